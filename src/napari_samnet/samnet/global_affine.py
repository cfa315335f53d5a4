"""The start T^0 as one robust affine map of all pairs of cells."""

from __future__ import annotations

from torch import Tensor

from napari_samnet.samnet.cell_matches import (
    PEAK_CELLS,
    CellMatches,
    argmax,
    consensus,
    few_cells,
    window_mean,
)
from napari_samnet.samnet.field import affine_field, grid
from napari_samnet.samnet.robust_affine import robust_affine


def _mutual_matches(
    volume: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Best target position of every source cell and how mutual it is.

    ``volume``: ``(B, N, M)``, cosines of all pairs.
    ``size``: rows and columns of the M target cells.
    Returns: ``positions``: ``(B, 2, N)`` in (x, y) target cells; ``weights``:
    ``(B, N)`` in [0, 1].
    """
    index = argmax(volume, 2)[..., None]
    best = volume.gather(2, index)
    column_best = volume.amax(1, keepdim=True)
    rival = column_best.gather(2, index.transpose(1, 2))[:, 0]
    # Where nothing is alike at all, 0 instead of 0 / 0.
    mutual = best[..., 0] / rival.clamp_min(1e-6)
    points = grid(*size, volume).view(2, -1)
    peak = points[:, index[..., 0]].transpose(0, 1)
    positions = window_mean(volume, peak, points, cells=PEAK_CELLS)
    return positions, mutual.clamp(0, 1) ** 16


def global_affine(
    source: Tensor,
    target: Tensor,
    *,
    matches: CellMatches | None = None,
) -> Tensor:
    """T^0 from all pairs of cells: one robust affine map per image.

    Of maps with more cells a side than ``GLOBAL_CELLS``, means are compared,
    so that time and memory do not grow with the square of the pixels.

    ``source``, ``target``: ``(B, C, H, W)`` of unit length along C.
    ``matches``: of their :func:`~.cell_matches.few_cells`, where they are
    there already.
    Returns: ``(B, 6, H, W)`` field.
    """
    height, width = source.shape[-2:]
    source, target = (few_cells(one.float()) for one in (source, target))
    rows, columns = source.shape[-2:]
    grid_of_target = target.shape[-2], target.shape[-1]
    volume = (
        consensus(source, target).flatten(3).flatten(1, 2)
        if matches is None
        else matches.volume
    )
    positions, mutual = _mutual_matches(volume, grid_of_target)
    cells = grid(rows, columns, source).view(2, -1)
    # From the cells compared to those of the field, center to center.
    step = cells.new_tensor((width / columns, height / rows)).view(2, 1)
    cells, positions = ((at + 0.5) * step - 0.5 for at in (cells, positions))
    middle = cells.new_tensor(((width - 1) / 2, (height - 1) / 2)).view(2, 1)
    matrix = robust_affine(
        cells,
        positions,
        mutual,
        middle=middle,
        scale=max(height, width) / 2,
    )
    return affine_field(matrix, height, width)
