"""The grid that labels are scored on, and boxes in it."""

from __future__ import annotations

import numpy as np

from napari_samnet.arrays.resize import centers, linear_taps
from napari_samnet.arrays.tiles import Tile
from napari_samnet.arrays.types import FloatArray, Shape

#: Longest side of the grid that scores are given on, in samples.
GRID_SIDE = 256

#: Shares of evidence below this are neglected.
LEAST_SHARE = 0.02


def grid_shape(shape: Shape) -> Shape:
    """Grid of the scores over an image.

    Returns: rows and columns of the grid, in the same proportion, at most
    `GRID_SIDE` and at most those of the image.
    """
    scale = min(1.0, GRID_SIDE / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def on_grid(cells: FloatArray, grid: Shape) -> FloatArray:
    """Bilinear values of a map of cells on a grid.

    ``cells`` (h, w): values at the centers of cells. Returns: (n, m): the
    outermost values are repeated.
    """
    return part_on_grid(cells, grid, (slice(0, grid[0]), slice(0, grid[1])))


def part_on_grid(cells: FloatArray, grid: Shape, box: Tile) -> FloatArray:
    """Bilinear values of a map of cells in a part of a grid.

    ``cells`` (h, w): values at the centers of cells. Returns: values of the
    shape of the box.
    """
    (above, below, down), (left, right, along) = (
        linear_taps(count, centers(side)[part])
        for count, side, part in zip(cells.shape, grid, box, strict=True)
    )
    wide = cells[:, left] + along * (cells[:, right] - cells[:, left])
    upper = wide[above]
    return np.asarray(upper + down[:, None] * (wide[below] - upper))


def support(cells: FloatArray, grid: Shape) -> Tile | None:
    """Part of a grid where a map of cells is not neglected.

    ``cells`` (h, w): share of the evidence in each cell.
    Returns: rows and columns that hold all shares above `LEAST_SHARE`; None
    where there are none.
    """
    there = cells > LEAST_SHARE
    if not there.any():
        return None
    parts = []
    for axis, side in enumerate(grid):
        at = np.flatnonzero(there.any(1 - axis))
        count = cells.shape[axis]
        parts.append(
            slice(
                max(0, (at[0] - 1) * side // count),
                min(side, -(-(at[-1] + 2) * side // count)),
            )
        )
    return parts[0], parts[1]


def union(one: Tile | None, other: Tile | None) -> Tile | None:
    """Smallest box that holds two.

    ``one``, ``other``: rows and columns; None is empty. Returns: None if both
    are empty.
    """
    if one is None or other is None:
        return one or other
    rows, columns = (
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def padded(box: Tile, grid: Shape, margin: int) -> Tile:
    """A box with a margin, cut off at the borders of its grid."""
    rows, columns = (
        slice(max(0, part.start - margin), min(side, part.stop + margin))
        for part, side in zip(box, grid, strict=True)
    )
    return rows, columns
