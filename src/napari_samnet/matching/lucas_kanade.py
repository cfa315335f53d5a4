"""One step of the method of Lucas and Kanade, on maps of two images.

What is compared, how one image is seen through a field, and the motion that
brings one onto the other, window by window; :mod:`.fine` says when. This is
not part of the paper.

References
----------
.. [1] Lucas, Kanade. An iterative image registration technique with an
   application to stereo vision. IJCAI 1981.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

#: Pixels of the images per cell of the refined fields.
CELL = 4


class Level(NamedTuple):
    """One step from coarse to fine."""

    #: Pixels of the images per pixel compared.
    shrink: int
    #: How often the motion is solved for.
    rounds: int
    #: Width of the windows, in cells.
    window: float
    #: Width over which motions are averaged, in cells.
    smooth: float
    #: Width of the mean and deviation that are taken out, in pixels.
    local: float


LEVELS = (
    Level(4, 5, 2.5, 2.5, 4.0),
    Level(2, 3, 1.5, 1.25, 5.0),
    Level(1, 2, 1.0, 0.75, 6.0),
)

#: Deviation below which brightness counts as plain.
PLAIN = 0.02

#: Longest step of a round in pixels, difference at which a pixel counts half,
#: and squared slopes that count as no texture, in the fit and in the average.
STEP, DIFFERENCE, NO_SLOPE, FAINT = 1.0, 0.7, 0.02, 0.05


def moved_step(
    one: Tensor, seen: Tensor, inside: Tensor, motion: Tensor, level: Level
) -> Tensor:
    """The motion after one more step, in cells."""
    import torch

    cells = motion.shape[-1]
    pool = one.shape[-1] // cells
    # Half of each image's slope: twice the basin of either.
    right, down = slopes((one + seen) / 2)
    wrong = one - seen
    confidence = inside / (1 + wrong.square() / DIFFERENCE**2)
    products = (
        right * right,
        right * down,
        down * down,
        right * wrong,
        down * wrong,
    )
    sums = torch.cat(
        [(confidence * part).sum(1, keepdim=True) for part in products], 1
    )
    xx, xy, yy, x, y = blurred(shrunk(sums, pool), level.window).split(1, 1)
    xx, yy = xx + NO_SLOPE, yy + NO_SLOPE
    determinant = xx * yy - xy * xy
    step = torch.cat((yy * x - xy * y, xx * y - xy * x), 1) / determinant
    length = step.square().sum(1, keepdim=True).sqrt()
    step = step * (STEP / length.clamp_min(STEP))
    # About the smaller of the two eigenvalues.
    texture = (determinant / (xx + yy) - NO_SLOPE / 2).clamp_min(0)
    weight = texture / (texture + FAINT)
    motion = motion + step / pool
    sums = blurred(torch.cat((weight * motion, weight), 1), level.smooth)
    return sums[:, :2] / (sums[:, 2:] + 0.02)


def described(images: Tensor, local: float) -> Tensor:
    """Brightness and steepness, less their mean and over their deviation."""
    import torch

    shares = images.new_tensor((0.2126, 0.7152, 0.0722)).view(1, 3, 1, 1)
    brightness = (images * shares).sum(1, keepdim=True)
    right, down = slopes(images)
    steep = (2 * (right.square() + down.square()).sum(1, keepdim=True)).sqrt()
    maps = torch.cat((brightness, steep), 1)
    # Wide means are smooth: a quarter of the pixels is enough for them.
    rest = maps - _wide(maps, local)
    spread = _wide(rest.square(), local)
    floor = images.new_tensor((PLAIN**2, PLAIN**2 / 4)).view(1, 2, 1, 1)
    return rest / (spread + floor).sqrt()


def seen_through(image: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """An image at places between its pixels, and what is not beyond it."""
    import torch.nn.functional as F

    pool = image.shape[-1] // places.shape[-1]
    # The slope goes on beyond the outermost cells.
    places = extended(places, -1)
    places = extended(places, -2)
    if pool > 1:
        places = F.interpolate(
            places, scale_factor=pool, mode='bilinear', align_corners=False
        )
    places = places[..., pool:-pool, pool:-pool]
    inside = ((places > 0) & (places < 1)).all(1, keepdim=True)
    return sample(image, places), inside.to(image.dtype)


def extended(maps: Tensor, axis: int) -> Tensor:
    """Maps with one more cell at both ends of an axis."""
    import torch

    first, second = maps.narrow(axis, 0, 1), maps.narrow(axis, 1, 1)
    last, before = maps.narrow(axis, -1, 1), maps.narrow(axis, -2, 1)
    ends = 2 * first - second, 2 * last - before
    return torch.cat((ends[0], maps, ends[1]), axis)


def sample(maps: Tensor, places: Tensor) -> Tensor:
    """Maps at normalized (x, y) places, those of the border beyond it."""
    import torch.nn.functional as F

    return F.grid_sample(
        maps,
        (2 * places - 1).permute(0, 2, 3, 1),
        padding_mode='border',
        align_corners=False,
    )


def still_places(places: Tensor) -> Tensor:
    """Normalized (x, y) of the cells themselves."""
    import torch

    side = places.shape[-1]
    at = (torch.arange(side, device=places.device) + 0.5) / side
    return torch.stack(torch.meshgrid(at, at, indexing='xy'))[None]


def slopes(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y, the outermost repeated."""
    import torch.nn.functional as F

    right = (maps[..., 2:] - maps[..., :-2]) / 2
    down = (maps[..., 2:, :] - maps[..., :-2, :]) / 2
    return (
        F.pad(right, (1, 1, 0, 0), mode='replicate'),
        F.pad(down, (0, 0, 1, 1), mode='replicate'),
    )


def shrunk(maps: Tensor, factor: int) -> Tensor:
    """Means of squares of pixels."""
    import torch.nn.functional as F

    return F.avg_pool2d(maps, factor) if factor > 1 else maps


def _wide(maps: Tensor, width: float) -> Tensor:
    """A wide mean, taken on half the pixels of a side."""
    import torch.nn.functional as F

    found = blurred(F.avg_pool2d(maps, 2), width / 2)
    return F.interpolate(
        found, size=maps.shape[-2:], mode='bilinear', align_corners=False
    )


def blurred(maps: Tensor, width: float) -> Tensor:
    """Gaussian means of maps ``(B, C, h, w)``, the border repeated."""
    from napari_samnet.color import smoothing

    reach = max(1, round(2 * width))
    return smoothing.blurred(maps, width, truncate=reach / width)
