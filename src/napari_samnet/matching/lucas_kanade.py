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

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Pixels of the images per cell of the refined fields.
CELL = 4

#: Widths in cells over which motion is continued to where it is not known, and
#: their weights: the nearest cells count wherever there are any.
WIDTHS = ((1.0, 1.0), (3.0, 1e-2), (8.0, 1e-5))


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

    from napari_samnet.color.moments import motion_sums

    cells = motion.shape[-1]
    pool = one.shape[-1] // cells
    # Few operations on large maps: two threads that do many small ones wait
    # for each other. Of slopes along x and y, and the difference:
    parts = one.new_empty(3, *one.shape)
    # Half of each image's slope: twice the basin of either.
    slopes((one + seen).mul_(0.5), out=parts[:2])
    wrong = torch.sub(one, seen, out=parts[2])
    unlike = wrong.square().mul_(1 / DIFFERENCE**2).add_(1)
    weight = inside / unlike
    sums = motion_sums(parts.transpose(1, 2), weight.transpose(0, 1))
    sums = blurred(shrunk(sums, pool), level.window)
    xx, xy, x, yy, y = sums[:, :, None]
    xx, yy = xx + NO_SLOPE, yy + NO_SLOPE
    determinant = xx * yy - xy * xy
    step = torch.cat((yy * x - xy * y, xx * y - xy * x), 1).div_(determinant)
    length = step.square().sum(1, keepdim=True).sqrt_()
    step.mul_(STEP / length.clamp_min_(STEP))
    # About the smaller of the two eigenvalues.
    texture = (determinant / (xx + yy)).sub_(NO_SLOPE / 2).clamp_min_(0)
    weight = texture / (texture + FAINT)
    motion = torch.add(motion, step, alpha=1 / pool)
    sums = blurred(torch.cat((weight * motion, weight), 1), level.smooth)
    return sums[:, :2] / (sums[:, 2:] + 0.02)


class Descriptions:
    """Both images as they are compared, each level computed once.

    ``images``: ``(2, 3, n, n)`` in [0, 1].
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self._small = {1: images}
        self._known: dict[Level, Tensor] = {}

    def small(self, level: Level) -> Tensor:
        """The images themselves at a level."""
        if level.shrink not in self._small:
            self._small[level.shrink] = shrunk(self.images, level.shrink)
        return self._small[level.shrink]

    def of(self, level: Level) -> Tensor:
        """See :func:`described`."""
        if level not in self._known:
            self._known[level] = described(self.small(level), level.local)
        return self._known[level]


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
    cells = places.shape[-1]
    pool = image.shape[-1] // cells
    if pool > 1:
        matrix = _finer(cells, pool, places.device)
        places = matrix @ places @ matrix.T
    ends = places.mul(2).sub_(1)
    inside = ends.abs().amax(1, keepdim=True) < 1
    return _sampled(image, ends), inside.to(image.dtype)


# Cached outside inference mode, so that training can use them too.
@lru_cache(maxsize=16)
def _finer(cells: int, pool: int, device: torch.device) -> Tensor:
    """Matrix that interpolates cells, the slope going on beyond them."""
    import torch
    import torch.nn.functional as F

    with torch.inference_mode(mode=False):
        rows = extended(torch.eye(cells), 0)
        finer = F.interpolate(
            rows.T[None], scale_factor=pool, mode='linear', align_corners=False
        )
        return finer[0, :, pool:-pool].T.contiguous().to(device)


def extended(maps: Tensor, axis: int) -> Tensor:
    """Maps with one more cell at both ends of an axis."""
    import torch

    first, second = maps.narrow(axis, 0, 1), maps.narrow(axis, 1, 1)
    last, before = maps.narrow(axis, -1, 1), maps.narrow(axis, -2, 1)
    ends = 2 * first - second, 2 * last - before
    return torch.cat((ends[0], maps, ends[1]), axis)


def sample(maps: Tensor, places: Tensor) -> Tensor:
    """Maps at normalized (x, y) places, those of the border beyond it."""
    return _sampled(maps, 2 * places - 1)


def _sampled(maps: Tensor, ends: Tensor) -> Tensor:
    """The same at (x, y) places from -1 to 1."""
    import torch.nn.functional as F

    return F.grid_sample(
        maps,
        ends.permute(0, 2, 3, 1),
        padding_mode='border',
        align_corners=False,
    )


def still_places(places: Tensor) -> Tensor:
    """Normalized (x, y) of the cells themselves."""
    import torch

    side = places.shape[-1]
    at = (torch.arange(side, device=places.device) + 0.5) / side
    return torch.stack(torch.meshgrid(at, at, indexing='xy'))[None]


def slopes(maps: Tensor, out: Tensor | None = None) -> Tensor:
    """Central differences along x and y, the outermost repeated.

    ``maps``: ``(..., h, w)`` with at least four pixels a side.
    ``out``: what they are written to. Returns: ``(2, ..., h, w)``.
    """
    import torch

    found = maps.new_empty(2, *maps.shape) if out is None else out
    for part, axis in zip(found, (-1, -2), strict=True):
        along, steep = maps.movedim(axis, 0), part.movedim(axis, 0)
        torch.sub(along[2:], along[:-2], out=steep[1:-1])
        last = len(steep) - 1
        steep[::last] = steep[1 : -1 : last - 2]
    return found.mul_(0.5)


def shrunk(maps: Tensor, factor: int) -> Tensor:
    """Means of squares of pixels."""
    from napari_samnet.samnet.pooling import pooled

    return pooled(maps, factor)


def _wide(maps: Tensor, width: float) -> Tensor:
    """A wide mean, taken on half the pixels of a side."""
    import torch.nn.functional as F

    found = blurred(shrunk(maps, 2), width / 2)
    return F.interpolate(
        found, size=maps.shape[-2:], mode='bilinear', align_corners=False
    )


def blurred(maps: Tensor, width: float) -> Tensor:
    """Gaussian means of maps ``(B, C, h, w)``, the border repeated."""
    from napari_samnet.color import smoothing

    reach = max(1, round(2 * width))
    return smoothing.blurred(maps, width, truncate=reach / width)


def spread_out(maps: Tensor) -> Tensor:
    """Sums of the nearest cells with weight, everywhere.

    ``maps``: ``(B, C, h, w)``: values times weights, and the weights. Returns:
    the same shape: a ratio of two channels is the mean of the nearest cells.
    """
    total = 1e-9 * maps.mean((2, 3), keepdim=True)
    for width, weight in WIDTHS:
        total = total + weight * blurred(maps, width)
    return total
