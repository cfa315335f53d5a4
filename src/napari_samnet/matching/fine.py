"""Down to the pixel: a field refined by the images themselves.

The network compares cells of eight pixels, so that its field ends a few
pixels off, although the pixels could tell where both images show the same
scene or specimen. There the rest of the way is found by the method of Lucas
and Kanade [1]_, from coarse to fine: window by window, the motion is solved
for that brings the second image, seen through the field, onto the first.

Compared are not colors, which differ with light and stain, but brightness
and steepness, each less its local mean and over its local deviation. Windows
without texture follow their neighbors. What comes out is believed where the
two images then are alike, and where both directions, which are solved for
independently, say the same. Elsewhere, and in the whole image where that is
hardly anywhere, the field stays as it was. This is not part of the paper.

References
----------
.. [1] Lucas, Kanade. An iterative image registration technique with an
   application to stereo vision. IJCAI 1981.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.resize import Upsampler, centers

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ['CELL', 'Refined', 'refine']

FloatArray = NDArray[np.float32]

#: Pixels of the images per cell of the refined fields.
CELL = 4


class Level(NamedTuple):
    """One step from coarse to fine.

    Attributes
    ----------
    shrink : int
        Pixels of the images per pixel compared.
    rounds : int
        How often the motion is solved for.
    window : float
        Width of the windows, in cells.
    smooth : float
        Width over which motions are averaged, in cells.
    local : float
        Width of the mean and deviation that are taken out, in pixels.
    """

    shrink: int
    rounds: int
    window: float
    smooth: float
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

#: Softness of the belief in a correlation, forward-backward error in pixels
#: at which it has fallen to 61 %, and width in cells over which both are
#: taken.
SOFT, AGREED, REGION = 0.08, 2.0, 4.0


class Belief(NamedTuple):
    """When a refined place is believed.

    Attributes
    ----------
    alike : float
        Correlation from which it is by half.
    share : float
        Share of the image that must be for anything to be.
    """

    alike: float
    share: float


#: Two images of which nothing is known, and two that surely show one
#: specimen, if in another stain.
UNKNOWN, SPECIMEN = Belief(0.4, 0.2), Belief(0.1, 0.05)

#: Pixels of the images per pixel at which this is judged.
JUDGED = 2


class Refined(NamedTuple):
    """Fields with a cell for every few pixels, or more as they came.

    Attributes
    ----------
    forward, backward : ndarray of float32, shape (h, w, 2)
        Normalized displacements (row, column).
    believed : ndarray of float32, shape (2, n, n)
        How far each place of the two images was refined, from 0 to 1, with a
        cell for every ``CELL`` pixels.
    """

    forward: FloatArray
    backward: FloatArray
    believed: FloatArray


def refine(
    source: FloatArray,
    target: FloatArray,
    forward: FloatArray,
    backward: FloatArray,
    *,
    specimen: bool = False,
    again: bool = False,
    device: str = 'cpu',
) -> Refined | None:
    """Refine the fields of two images.

    Parameters
    ----------
    source, target : ndarray of float32, shape (n, n, 3)
        Both images, squashed to the same square, in [0, 1]; n is a multiple
        of 16.
    forward, backward : ndarray of float32, shape (h, w, 2)
        Normalized displacements (row, column), within a few pixels of the
        truth.
    specimen : bool
        Whether they are known to show the same scene or specimen: then less
        likeness is asked for, so that stains may differ.
    again : bool
        Whether the fields have been refined at a smaller size, so that the
        coarsest level is left out.
    device : str
        Where it is computed.

    Returns
    -------
    Refined or None
        None where the images do not show the same scene.
    """
    import torch

    cells = source.shape[0] // CELL
    start = np.stack([_places(one, cells) for one in (forward, backward)])
    with torch.inference_mode():
        images = torch.from_numpy(np.stack([source, target])).to(device)
        found, believed = _solved(
            images.permute(0, 3, 1, 2),
            torch.from_numpy(start).to(device),
            LEVELS[1:] if again else LEVELS,
            SPECIMEN if specimen else UNKNOWN,
        )
        if found is None:
            return None
        # Back from (x, y) to (row, column).
        change = found.cpu().numpy() - start
        change = np.moveaxis(change[:, ::-1], 1, -1)
    return Refined(
        _added(forward, change[0]),
        _added(backward, change[1]),
        believed.cpu().numpy(),
    )


def _added(field: FloatArray, change: FloatArray) -> FloatArray:
    """A field and a smooth change of it, on the finer grid of both."""
    rows, columns = np.maximum(field.shape[:2], change.shape[:2])
    one, other = (
        Upsampler(part, (rows, columns), extrapolate=True).rows(slice(0, rows))
        for part in (field, change)
    )
    return np.ascontiguousarray(np.moveaxis(one + other, 0, -1))


def _places(field: FloatArray, cells: int) -> FloatArray:
    """Normalized (x, y) of the other image at each cell, (2, cells, cells)."""
    at = Upsampler(field, (cells, cells), extrapolate=True)
    places = at.rows(slice(0, cells))[:2]
    row, column = (
        places[0] + centers(cells)[:, None],
        places[1] + centers(cells),
    )
    return np.stack([column, row]).astype(np.float32)


def _solved(
    images: Tensor, start: Tensor, levels: Sequence[Level], belief: Belief
) -> tuple[Tensor | None, Tensor]:
    """Refined places of both directions, and how far they are believed."""
    import torch

    right, down = _slopes(start)

    def moved(motion: Tensor) -> Tensor:
        return start + right * motion[:, :1] + down * motion[:, 1:]

    motion = torch.zeros_like(start)
    described = {}
    for level in levels:
        small = _shrunk(images, level.shrink)
        one = described[level.shrink] = _described(small, level.local)
        for _ in range(level.rounds):
            seen, inside = _seen(one.flip(0), moved(motion))
            motion = _round(one, seen, inside, motion, level)
    places = moved(motion)
    one = described[JUDGED]
    seen, inside = _seen(one.flip(0), places)
    likeness = _correlation(one, seen, inside, places.shape[-1])
    back = _sample(places.flip(0) - _still(places), places)
    error = (places + back - _still(places)) * images.shape[-1]
    squared = error.square().sum(1, keepdim=True) / AGREED**2
    believed = torch.sigmoid((likeness - belief.alike) / SOFT)
    believed = believed * torch.exp(-squared / 2)
    believed = believed * _shrunk(inside, inside.shape[-1] // places.shape[-1])
    believed = _blurred(believed, REGION / 2)
    if float(believed.mean()) < belief.share:
        return None, believed[:, 0]
    return moved(motion * believed), believed[:, 0]


def _round(
    one: Tensor, seen: Tensor, inside: Tensor, motion: Tensor, level: Level
) -> Tensor:
    """The motion after one more step, in cells."""
    import torch

    cells = motion.shape[-1]
    pool = one.shape[-1] // cells
    # Half of each image's slope: twice the basin of either.
    right, down = _slopes((one + seen) / 2)
    wrong = one - seen
    trust = inside / (1 + wrong.square() / DIFFERENCE**2)
    products = (
        right * right,
        right * down,
        down * down,
        right * wrong,
        down * wrong,
    )
    sums = torch.cat(
        [(trust * part).sum(1, keepdim=True) for part in products], 1
    )
    xx, xy, yy, x, y = _blurred(_shrunk(sums, pool), level.window).split(1, 1)
    xx, yy = xx + NO_SLOPE, yy + NO_SLOPE
    determinant = xx * yy - xy * xy
    step = torch.cat((yy * x - xy * y, xx * y - xy * x), 1) / determinant
    length = step.square().sum(1, keepdim=True).sqrt()
    step = step * (STEP / length.clamp_min(STEP))
    # About the smaller of the two eigenvalues.
    texture = (determinant / (xx + yy) - NO_SLOPE / 2).clamp_min(0)
    weight = texture / (texture + FAINT)
    motion = motion + step / pool
    sums = _blurred(torch.cat((weight * motion, weight), 1), level.smooth)
    return sums[:, :2] / (sums[:, 2:] + 0.02)


def _described(images: Tensor, local: float) -> Tensor:
    """Brightness and steepness, less their mean and over their deviation."""
    import torch

    shares = images.new_tensor((0.2126, 0.7152, 0.0722)).view(1, 3, 1, 1)
    brightness = (images * shares).sum(1, keepdim=True)
    right, down = _slopes(images)
    steep = (2 * (right.square() + down.square()).sum(1, keepdim=True)).sqrt()
    maps = torch.cat((brightness, steep), 1)
    # Wide means are smooth: a quarter of the pixels is enough for them.
    rest = maps - _wide(maps, local)
    spread = _wide(rest.square(), local)
    floor = images.new_tensor((PLAIN**2, PLAIN**2 / 4)).view(1, 2, 1, 1)
    return rest / (spread + floor).sqrt()


def _correlation(
    one: Tensor, seen: Tensor, inside: Tensor, cells: int
) -> Tensor:
    """Correlation of two descriptions around each cell, ``(B, 1, h, w)``."""
    import torch

    parts = (one * seen, one * one, seen * seen)
    sums = torch.cat(
        [(inside * part).sum(1, keepdim=True) for part in parts], 1
    )
    both, own, other = _blurred(
        _shrunk(sums, one.shape[-1] // cells), REGION
    ).split(1, 1)
    return both / (own * other).sqrt().clamp_min(1e-3)


def _seen(image: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """An image at places between its pixels, and what is not beyond it."""
    import torch.nn.functional as F

    pool = image.shape[-1] // places.shape[-1]
    # The slope goes on beyond the outermost cells.
    places = _extended(places, -1)
    places = _extended(places, -2)
    if pool > 1:
        places = F.interpolate(
            places, scale_factor=pool, mode='bilinear', align_corners=False
        )
    places = places[..., pool:-pool, pool:-pool]
    inside = ((places > 0) & (places < 1)).all(1, keepdim=True)
    return _sample(image, places), inside.to(image.dtype)


def _extended(maps: Tensor, axis: int) -> Tensor:
    """Maps with one more cell at both ends of an axis."""
    import torch

    first, second = maps.narrow(axis, 0, 1), maps.narrow(axis, 1, 1)
    last, before = maps.narrow(axis, -1, 1), maps.narrow(axis, -2, 1)
    ends = 2 * first - second, 2 * last - before
    return torch.cat((ends[0], maps, ends[1]), axis)


def _sample(maps: Tensor, places: Tensor) -> Tensor:
    """Maps at normalized (x, y) places, those of the border beyond it."""
    import torch.nn.functional as F

    return F.grid_sample(
        maps,
        (2 * places - 1).permute(0, 2, 3, 1),
        padding_mode='border',
        align_corners=False,
    )


def _still(places: Tensor) -> Tensor:
    """Normalized (x, y) of the cells themselves."""
    import torch

    side = places.shape[-1]
    at = (torch.arange(side, device=places.device) + 0.5) / side
    return torch.stack(torch.meshgrid(at, at, indexing='xy'))[None]


def _slopes(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y, the outermost repeated."""
    import torch.nn.functional as F

    right = (maps[..., 2:] - maps[..., :-2]) / 2
    down = (maps[..., 2:, :] - maps[..., :-2, :]) / 2
    return (
        F.pad(right, (1, 1, 0, 0), mode='replicate'),
        F.pad(down, (0, 0, 1, 1), mode='replicate'),
    )


def _shrunk(maps: Tensor, factor: int) -> Tensor:
    """Means of squares of pixels."""
    import torch.nn.functional as F

    return F.avg_pool2d(maps, factor) if factor > 1 else maps


def _wide(maps: Tensor, width: float) -> Tensor:
    """A wide mean, taken on half the pixels of a side."""
    import torch.nn.functional as F

    found = _blurred(F.avg_pool2d(maps, 2), width / 2)
    return F.interpolate(
        found, size=maps.shape[-2:], mode='bilinear', align_corners=False
    )


def _blurred(maps: Tensor, width: float) -> Tensor:
    """Gaussian means of maps ``(B, C, h, w)``, the border repeated."""
    import torch
    import torch.nn.functional as F

    reach = max(1, round(2 * width))
    steps = torch.arange(-reach, reach + 1, device=maps.device)
    kernel = torch.exp(-steps.square() / (2 * width**2)).to(maps.dtype)
    kernel = kernel / kernel.sum()
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    flat = F.pad(flat, (reach,) * 4, mode='replicate')
    flat = F.conv2d(flat, kernel.view(1, 1, 1, -1))
    flat = F.conv2d(flat, kernel.view(1, 1, -1, 1))
    return flat.view(maps.shape)
