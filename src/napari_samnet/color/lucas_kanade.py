"""Places of the target for every pixel of the source, to a part of a pixel.

The field of the network is smooth and has a cell for every 8 pixels. Where
both images show the same scene, its rest of a pixel or two is found from the
images themselves: once the source is recolored like the target, the two
differ by a small motion only, and that is what the method of Lucas and
Kanade solves for ("An iterative image registration technique with an
application to stereo vision", IJCAI 1981), window by window, from coarse to
fine.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.color.moments import motion_sums
from napari_samnet.color.smoothing import blurred, box_mean, resized, slopes

#: Pixels of the image per pixel compared, coarse first, the width in pixels
#: of the windows there, and how often the motion is solved for. Chosen on
#: training images in another look: a coarser level, or twice as many rounds,
#: change the mean of the pictures by less than .01 dB.
LEVELS = ((2, 4.0, 6), (1, 3.0, 4))

#: Blur before the gradients, in pixels, and longest step of a round.
BLUR = 0.4
STEP = 1.0

#: Widths of a Gaussian that it reaches.
TRUNCATE = 2.5

#: Squared gradient below which a window does not move, and the difference of
#: color at which a pixel counts half.
PLAIN = 5e-5
DIFFERENCE = 0.05

#: Differences wider than this many windows are of color, not of motion.
WIDE = 5


def aligned(picture: Tensor, target: Tensor, places: Tensor) -> Tensor:
    """Bring the target onto a picture that looks like it.

    ``picture``: ``(3, h, w)``, the source in the target's colors.
    ``target``: ``(3, H, W)``, the image to sample.
    ``places``: ``(2, h, w)``: row and column in the target, in pixels, for
    each pixel of the picture: within a few pixels of the truth.
    Returns: ``(2, h, w)``, better ones.
    """
    height, width = picture.shape[1:]
    for shrink, window, rounds in LEVELS:
        small, other = (
            resized(
                image, *(max(1, side // shrink) for side in image.shape[1:])
            )
            for image in (picture, target)
        )
        # Positions on the smaller grids, center to center.
        scale = places.new_tensor(
            [
                other.shape[1] / target.shape[1],
                other.shape[2] / target.shape[2],
            ]
        ).view(2, 1, 1)
        size = small.shape[1], small.shape[2]
        start = (resized(places, *size) + 0.5) * scale - 0.5
        motion = _solved(small, other, start, window, rounds) / scale
        places = places + resized(motion, height, width)
    return places


def sampled(image: Tensor, places: Tensor) -> Tensor:
    """Pixels of an image between its own.

    ``image``: ``(K, H, W)``, with any number of channels.
    ``places``: ``(2, h, w)``, row and column in pixels.
    Returns: ``(K, h, w)``; beyond the image, its outermost pixels.
    """
    height, width = image.shape[1:]
    # From pixel centers to the units of grid_sample, (x, y) from -1 to 1.
    size = places.new_tensor([width, height]).view(2, 1, 1)
    grid = (places.flip(0).add_(0.5).mul_(2 / size)).sub_(1).permute(1, 2, 0)
    return F.grid_sample(
        image[None], grid[None], padding_mode='border', align_corners=False
    )[0]


def _solved(
    picture: Tensor,
    target: Tensor,
    places: Tensor,
    width: float,
    rounds: int,
) -> Tensor:
    """Motion ``(2, h, w)`` that brings the target onto the picture."""
    picture, target = (
        blurred(image, BLUR, TRUNCATE) for image in (picture, target)
    )
    # Half of each image's gradient: twice the basin of either.
    steep = slopes(picture).mul_(0.5)
    motion = torch.zeros_like(places)
    # Derivatives along rows and columns, and the difference: few operations on
    # large maps, since two threads that do many small ones wait for each
    # other.
    parts = picture.new_empty(3, *picture.shape)
    wrong = parts[2]
    for _ in range(rounds):
        there = places + motion
        seen = sampled(target, there)
        torch.add(steep, slopes(seen), alpha=0.5, out=parts[:2])
        torch.sub(picture, seen, out=wrong)
        wrong -= box_mean(wrong, round(WIDE * width) | 1)
        unlike = (
            wrong.square().sum(0, keepdim=True).mul_(1 / DIFFERENCE**2).add_(1)
        )
        sums = motion_sums(parts, unlike.reciprocal_())
        yy, yx, y, xx, x = blurred(sums, width, TRUNCATE)
        yy, xx = yy + PLAIN, xx + PLAIN
        step = torch.stack((xx * y - yx * x, yy * x - yx * y))
        step /= yy * xx - yx * yx
        length = step.square().sum(0).sqrt_()
        step *= STEP / length.clamp_min_(STEP)
        # From pixels of the picture to those of the target.
        down, right = slopes(there)
        motion.addcmul_(down, step[0]).addcmul_(right, step[1])
        motion = blurred(motion, width / 2, TRUNCATE)
    return motion
