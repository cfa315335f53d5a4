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

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_samnet.arrays.resize import resized

__all__ = ['aligned', 'sampled']

FloatArray = npt.NDArray[np.float32]

#: How often the image is halved, coarse first, and the width in pixels of
#: the windows there.
LEVELS = ((2, 4.0), (1, 3.0))
ROUNDS = 3

#: Blur before the gradients, in pixels, and longest step of a round.
BLUR = 0.4
STEP = 1.0

#: Squared gradient below which a window does not move, and the difference of
#: color at which a pixel counts half.
PLAIN = 5e-5
DIFFERENCE = 0.05

#: Differences wider than this many windows are of color, not of motion.
WIDE = 5


def aligned(
    picture: FloatArray, target: FloatArray, places: FloatArray
) -> FloatArray:
    """Bring the target onto a picture that looks like it.

    Parameters
    ----------
    picture : ndarray of float32, shape (h, w, 3)
        The source in the target's colors.
    target : ndarray of float32, shape (H, W, 3)
        The image to sample.
    places : ndarray of float32, shape (2, h, w)
        Row and column in the target, in pixels, for each pixel of the
        picture: within a few pixels of the truth.

    Returns
    -------
    ndarray of float32, shape (2, h, w)
        Better ones.
    """
    for shrink, width in LEVELS:
        size = tuple(max(1, side // shrink) for side in picture.shape[:2])
        small, other = (
            resized(image, *(max(1, s // shrink) for s in image.shape[:2]))
            for image in (picture, target)
        )
        # Positions on the smaller grids, center to center.
        scale = np.divide(other.shape[:2], target.shape[:2])
        scale = scale.reshape(2, 1, 1).astype(np.float32)
        start: FloatArray = (_resized(places, size) + 0.5) * scale - 0.5
        motion: FloatArray = _solved(small, other, start, width) / scale
        places = np.add(places, _resized(motion, picture.shape[:2]))
    return places


def sampled(image: FloatArray, places: FloatArray) -> FloatArray:
    """Pixels (h, w, K) of an image at places (2, h, w) between its own."""
    seen = np.empty((*places.shape[1:], image.shape[2]), image.dtype)
    for channel in range(image.shape[2]):
        ndimage.map_coordinates(
            np.ascontiguousarray(image[..., channel]),
            places,
            output=seen[..., channel],
            order=1,
            mode='nearest',
        )
    return seen


def _solved(
    picture: FloatArray, target: FloatArray, places: FloatArray, width: float
) -> FloatArray:
    """Motion (2, h, w) that brings the target onto the picture."""
    picture, target = (_blurred(image, BLUR) for image in (picture, target))
    slopes = _slopes(picture)
    motion = np.zeros_like(places)
    for _ in range(ROUNDS):
        seen = sampled(target, places + motion)
        # Half of each image's gradient: twice the basin of either.
        slope = 0.5 * (slopes + _slopes(seen))
        wrong = picture - seen
        wrong -= ndimage.uniform_filter(
            wrong, (round(WIDE * width) | 1,) * 2, mode='nearest', axes=(0, 1)
        )
        unlike: Any = _dots(wrong, wrong)
        trust = 1 / (1 + unlike / DIFFERENCE**2)
        down, right = slope
        parts = [(down, down), (down, right), (right, right)]
        parts += [(down, wrong), (right, wrong)]
        sums = np.stack([_dots(a, b) for a, b in parts], axis=-1)
        sums = _blurred(trust[..., None] * sums, width)
        yy, yx, xx, y, x = np.moveaxis(sums, -1, 0)
        yy, xx = yy + PLAIN, xx + PLAIN
        step = np.stack([xx * y - yx * x, yy * x - yx * y])
        step /= yy * xx - yx * yx
        length = np.sqrt(np.square(step).sum(0))
        step *= np.minimum(1, STEP / np.maximum(length, 1e-6))
        # From pixels of the picture to those of the target.
        down, right = np.gradient(places + motion, axis=(1, 2))
        motion += down * step[0] + right * step[1]
        motion = np.moveaxis(
            _blurred(np.moveaxis(motion, 0, -1), width / 2), -1, 0
        )
    return motion


def _dots(one: FloatArray, other: FloatArray) -> FloatArray:
    """Sums over the channels of products; faster than over a short axis."""
    return np.asarray(np.einsum('...k,...k->...', one, other))


def _slopes(image: FloatArray) -> FloatArray:
    """Derivatives (2, h, w, K) along rows and columns."""
    down, right = np.gradient(image, axis=(0, 1))
    return np.stack([down, right])


def _resized(maps: FloatArray, size: tuple[int, ...]) -> FloatArray:
    """Maps (K, h, w) on another grid."""
    found = resized(np.moveaxis(maps, 0, -1), *size)
    return np.moveaxis(found, -1, 0).astype(np.float32)


def _blurred(values: FloatArray, width: float) -> FloatArray:
    """Values (h, w, K), each the mean of its neighborhood."""
    return np.asarray(
        ndimage.gaussian_filter(
            values, width, mode='nearest', axes=(0, 1), truncate=2.5
        )
    )
