"""Blurs, derivatives and changes of size of maps, as matrix products.

Each is one matrix for the rows and one for the columns, kept by size. On maps
of a few hundred pixels a side two products take a fraction of the time of a
filter that goes from pixel to pixel, and use all cores. The border is repeated
beyond it. Maps are ``(..., h, w)``, in any floating type.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_samnet.arrays.resize import antialias_matrix

Array = npt.NDArray[np.float64]


#: Rows of a matrix that are multiplied at a time, with the columns that they
#: have numbers in: nearly all of these matrices are narrow bands.
BLOCK = 32

#: Longest side up to which a matrix is multiplied as a whole.
SMALL = 64


#: Where maps are, and their floating type.
_Kind = tuple[torch.device, torch.dtype]


def _kind(maps: Tensor) -> _Kind:
    return maps.device, maps.dtype


class _Operator(NamedTuple):
    """A matrix in blocks of rows, each with the first and last column."""

    blocks: tuple[tuple[int, int, Tensor], ...]

    # Cached outside inference mode, so that training can use them too.
    @classmethod
    @torch.inference_mode(False)
    def of(cls, matrix: Array, kind: _Kind) -> _Operator:
        blocks = []
        step = len(matrix)
        if max(matrix.shape) > SMALL:
            # As many numbers where there are fewer rows than columns.
            step = max(1, BLOCK * step // max(matrix.shape))
        for first in range(0, len(matrix), step):
            rows = matrix[first : first + step]
            used = np.flatnonzero(rows.any(0))
            low, high = int(used[0]), int(used[-1]) + 1
            block = torch.from_numpy(rows[:, low:high].copy())
            blocks.append((low, high, block.to(*kind)))
        return cls(tuple(blocks))

    def down(self, maps: Tensor) -> Tensor:
        """Along the rows of ``(..., h, w)``."""
        parts = [
            block @ maps[..., low:high, :] for low, high, block in self.blocks
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -2)

    def across(self, maps: Tensor) -> Tensor:
        """Along the columns."""
        parts = [
            maps[..., low:high] @ block.T for low, high, block in self.blocks
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def _banded(size: int, taps: Array, *, mirrored: bool = False) -> Array:
    """Matrix of a correlation with taps about the middle, (n, n)."""
    reach = len(taps) // 2
    row = np.repeat(np.arange(size), len(taps))
    column = row + np.tile(np.arange(-reach, reach + 1), size)
    if mirrored:
        column %= 2 * size
        column = np.minimum(column, 2 * size - 1 - column)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (row, column.clip(0, size - 1)), np.tile(taps, size))
    return matrix


@lru_cache(maxsize=64)
def _gaussian(
    size: int, width: float, truncate: float, mirrored: bool, kind: _Kind
) -> _Operator:
    reach = int(truncate * width + 0.5)
    steps = np.arange(-reach, reach + 1)
    taps = np.exp(-0.5 * np.square(steps / width))
    taps /= taps.sum()
    return _Operator.of(_banded(size, taps, mirrored=mirrored), kind)


@lru_cache(maxsize=32)
def _correlation(size: int, taps: tuple[float, ...], kind: _Kind) -> _Operator:
    return _Operator.of(_banded(size, np.array(taps)), kind)


@lru_cache(maxsize=64)
def _resizing(size: int, new_size: int, kind: _Kind) -> _Operator:
    return _Operator.of(antialias_matrix(size, new_size).toarray(), kind)


def blurred(
    maps: Tensor,
    width: float,
    truncate: float = 4.0,
    *,
    mirrored: bool = False,
) -> Tensor:
    """Gaussian means.

    ``maps``: ``(..., h, w)``, each of the last two axes on its own.
    ``width``: standard deviation of the Gaussian, in pixels.
    ``mirrored``: whether the maps are mirrored at the border, not repeated.
    Returns: shape and type of `maps`.
    """
    rows, columns = (
        _gaussian(side, width, truncate, mirrored, _kind(maps))
        for side in maps.shape[-2:]
    )
    return columns.across(rows.down(maps))


def box_mean(maps: Tensor, side: int) -> Tensor:
    """Means of squares around each pixel.

    ``maps``: ``(..., h, w)``, each of the last two axes on its own. ``side``:
    odd number of pixels of a square's side. Returns: shape and type of `maps`.
    """
    rows, columns = (
        _correlation(size, (1 / side,) * side, _kind(maps))
        for size in maps.shape[-2:]
    )
    return columns.across(rows.down(maps))


def resized(maps: Tensor, rows: int, columns: int) -> Tensor:
    """Another size, without aliasing; see :mod:`napari_samnet.arrays.resize`.

    ``maps``: ``(..., h, w)``, each of the last two axes on its own.
    ``rows``, ``columns``: pixels wanted, down and across.
    Returns: ``(..., rows, columns)`` of the type of `maps`.
    """
    height, width = maps.shape[-2:]
    if (height, width) == (rows, columns):
        return maps
    tall = _resizing(height, rows, _kind(maps)).down(maps)
    return _resizing(width, columns, _kind(maps)).across(tall)


def slopes(maps: Tensor) -> Tensor:
    """Derivatives by central differences, one-sided at the border.

    ``maps``: ``(..., h, w)``, with at least two pixels a side. Returns:
    ``(2, ..., h, w)``, along rows and along columns, per pixel.
    """
    smoothed = maps.new_empty(2, *maps.shape)
    # A fraction of the time of torch.gradient.
    for part, axis in zip(smoothed, (-2, -1), strict=True):
        last = maps.shape[axis] - 1
        torch.sub(
            maps.narrow(axis, 2, last - 1),
            maps.narrow(axis, 0, last - 1),
            out=part.narrow(axis, 1, last - 1),
        )
        part.mul_(0.5)
        for at, low in ((0, 0), (last, last - 1)):
            torch.sub(
                maps.narrow(axis, low + 1, 1),
                maps.narrow(axis, low, 1),
                out=part.narrow(axis, at, 1),
            )
    return smoothed


def sobel(maps: Tensor) -> Tensor:
    """Derivatives by Sobel's operator, per pixel.

    ``maps``: ``(..., h, w)``, each of the last two axes on its own. Returns:
    ``(2, ..., h, w)``, along rows and along columns.
    """
    steep, smooth = (-0.5, 0.0, 0.5), (0.25, 0.5, 0.25)
    height, width = maps.shape[-2:]
    return torch.stack(
        [
            _correlation(width, across, _kind(maps)).across(
                _correlation(height, down, _kind(maps)).down(maps)
            )
            for down, across in ((steep, smooth), (smooth, steep))
        ]
    )
