"""Which neighbors of a cell count, by distance and alikeness.

The part of the weights of :mod:`.bilateral` that does not depend on the
matches, so that it is computed once per image. Maps larger than
``NEIGHBOR_CELLS`` have blocks of cells as neighbors, and are worked on in
strips, which bounds time and memory.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import grid
from napari_samnet.samnet.whole_numbers import WholeFeatures

#: Longest side, in cells, of the map of neighbors; larger maps are pooled.
NEIGHBOR_CELLS = 64


#: Widths of the Gaussian after which rows of neighbors are left out.
REACH = 3.0


#: Cells that are fitted at a time, which bounds the memory of large maps.
STRIP_CELLS = 1024


class BilateralWindow(NamedTuple):
    """Weights of neighbors by distance and alikeness, as logarithms."""

    #: ``(B, n, m)`` for the n cells of some rows and the m neighbors in reach
    #: of them; together all cells. One strip up to 32 x 32 cells.
    strips: tuple[Tensor, ...]
    #: H and W of the map.
    size: tuple[int, int]
    #: Side of the block of cells that is one neighbor; 1 up to
    #: ``NEIGHBOR_CELLS`` a side.
    pooling: int
    #: Width of the Gaussian, in cells.
    sigma: float

    def extents(self) -> list[tuple[slice, slice]]:
        """Cells of each strip and its neighbors, as slices of flat maps."""
        return _extents(self.size, self.pooling, self.sigma)


def _extents(
    size: tuple[int, int], pooling: int, sigma: float
) -> list[tuple[slice, slice]]:
    height, width = size
    rows, columns = (-(-side // pooling) for side in size)
    step = max(1, STRIP_CELLS // width)
    if height * width <= STRIP_CELLS:
        return [(slice(0, height * width), slice(0, rows * columns))]
    reach = math.ceil(REACH * sigma)
    extents = []
    for first in range(0, height, step):
        last = min(first + step, height)
        low = max(0, first - reach) // pooling
        high = min(rows, -(-(last + reach) // pooling))
        extents.append(
            (
                slice(first * width, last * width),
                slice(low * columns, high * columns),
            )
        )
    return extents


def centered(height: int, width: int, like: Tensor) -> Tensor:
    """Cell coordinates about the middle of the map, ``(2, H, W)``."""
    x, y = grid(height, width, like)
    # No small tensor from the CPU, which a CUDA graph cannot record.
    return torch.stack((x - (width - 1) / 2, y - (height - 1) / 2))


def pool(maps: Tensor, pooling: int) -> Tensor:
    """Means over blocks of cells, those at the border smaller."""
    if pooling == 1:
        return maps
    return F.avg_pool2d(maps, pooling, ceil_mode=True, count_include_pad=False)


def bilateral_window(
    features: Tensor,
    *,
    sigma: float,
    alikeness: float,
    cosines: Tensor | None = None,
    whole: bool = False,
) -> BilateralWindow:
    """Weigh neighbors by distance and by how alike their features are.

    ``features``: ``(B, C, H, W)`` of unit length along C, of the image whose
    cells are fitted. No gradient goes through the window.
    ``sigma``: width of the Gaussian of the distance, in cells. A wider window
    is steadier and follows bends less.
    ``alikeness``: h, the difference of cosines at which a weight has fallen to
    37 %. A smaller one averages less across outlines, over fewer neighbors.
    ``cosines``: ``(B, N, N)`` of all pairs of cells of a map small enough for
    a single strip, where they are there already.
    ``whole``: whether to compare them in whole numbers, see
    :mod:`.whole_numbers`.
    """
    features = features.detach().float()
    height, width = features.shape[-2:]
    pooling = -(-max(height, width) // NEIGHBOR_CELLS)
    others = features
    if pooling > 1:
        others = normalize(pool(features, pooling))
    cells, others = features.flatten(2), others.flatten(2)
    rounded = []
    if whole and cosines is None:
        rounded = [
            tuple(WholeFeatures.of(part.T) for part in pair)
            for pair in zip(cells, others, strict=True)
        ]
    extents = _extents((height, width), pooling, sigma)
    # Large maps would keep too much.
    near = _nearness if len(extents) == 1 else _nearness.__wrapped__
    strips = []
    for extent in extents:
        asked, around = extent
        nearness = near(
            (height, width),
            (asked.start, asked.stop, around.start, around.stop),
            pooling,
            sigma,
            alikeness,
            features.device,
        )
        if cosines is not None:
            strips.append(torch.add(nearness, cosines, alpha=1 / alikeness))
            continue
        if rounded:
            strip = nearness.new_empty(len(cells), *nearness.shape[1:])
            for (one, other), out in zip(rounded, strip, strict=True):
                one.some(asked).products(other.some(around), out)
            strips.append(strip.mul_(1 / alikeness).add_(nearness))
            continue
        strips.append(
            torch.baddbmm(
                nearness,
                cells[..., asked].transpose(1, 2),
                others[..., around],
                alpha=1 / alikeness,
            )
        )
    return BilateralWindow(tuple(strips), (height, width), pooling, sigma)


# Cached outside inference mode, so that training can use them too.
@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _nearness(
    size: tuple[int, int],
    extent: tuple[int, int, int, int],
    pooling: int,
    sigma: float,
    alikeness: float,
    device: torch.device,
) -> Tensor:
    """Logarithm of the weights by distance of one strip, ``(1, n, m)``.

    Less 1 / h, since the cosine of equal features is 1.
    """
    first, last, low, high = extent
    here = centered(*size, torch.empty(0, device=device))
    there = pool(here[None], pooling)[0].flatten(1)
    offset = here.flatten(1)[:, first:last, None] - there[:, None, low:high]
    distance = offset.square().sum(0) / (2 * sigma**2) + 1 / alikeness
    return -distance[None]
