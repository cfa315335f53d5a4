"""Resampling of regular grids with pixel centers at half-integers.

Both directions a match needs: photographs down to the working size without
aliasing, and small maps up to the size of a photograph, block by block, so
that nothing of that size is held twice.

Sample `k` of `n` lies at the normalized coordinate ``(k + 0.5) / n``
everywhere ("align_corners=False").
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.types import FloatArray

if TYPE_CHECKING:
    from scipy import sparse


def linear_taps(
    cells: int,
    positions: npt.ArrayLike,
    *,
    extrapolate: bool = False,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """Neighbors and weight of linear interpolation between cell centers.

    ``cells``: number of samples, at least 1.
    ``positions``: normalized coordinates; 0 and 1 are the outer borders.
    ``extrapolate``: continue the outermost slope beyond the outermost centers,
    so that a linear function is reproduced everywhere. Otherwise the outermost
    value is repeated.
    Returns: ``lower, upper``: indices of the two samples; ``weight``: the
    value is ``a[lower] + weight * (a[upper] - a[lower])``.
    """
    at = np.asarray(positions, np.float64) * cells - 0.5
    lower = np.clip(np.floor(at), 0, max(cells - 2, 0)).astype(np.intp)
    upper = np.minimum(lower + 1, cells - 1)
    weight = at - lower
    if not extrapolate:
        weight = np.clip(weight, 0.0, 1.0)
    return lower, upper, weight.astype(np.float32)


def centers(size: int) -> npt.NDArray[np.float64]:
    """Normalized coordinates of the pixel centers of a side.

    ``size``: number of pixels along the axis. Returns: (size,): in shares of
    the side, from 0 to 1.
    """
    return (np.arange(size) + 0.5) / size


def center_grid(shape: Sequence[int]) -> npt.NDArray[np.float64]:
    """Normalized coordinates of the centers of a grid's cells.

    ``shape``: rows and columns; further axes do not count. Returns: (rows,
    columns, 2): row and column of each center, in shares of the sides.
    """
    sides = map(centers, shape[:2])
    return np.stack(np.meshgrid(*sides, indexing='ij'), axis=-1)


class Upsampler:
    """Bilinear values of a small map on a larger grid, block by block.

    The columns are interpolated once. A block of rows then costs one
    multiplication and one addition per value, over contiguous memory.

    ``small`` (h, w) or (h, w, K): samples at the centers of h by w cells.
    ``extrapolate``: let the slope go on beyond the outermost centers, see
    :func:`linear_taps`.
    """

    def __init__(
        self,
        small: npt.NDArray[Any],
        shape: tuple[int, int],
        *,
        columns: slice = slice(None),
        extrapolate: bool = False,
    ) -> None:
        values = np.asarray(small, np.float32)
        if values.ndim == 2:
            values = values[..., None]
        left, right, weight = linear_taps(
            values.shape[1],
            centers(shape[1])[columns],
            extrapolate=extrapolate,
        )
        planes = np.ascontiguousarray(np.moveaxis(values, 2, 1))
        wide = planes[..., right]
        wide -= planes[..., left]
        wide *= weight
        wide += planes[..., left]
        #: (h, K, columns), open to an offset that varies by column.
        self.wide: FloatArray = wide
        self._upper_left, self._lower_left, self._weight = linear_taps(
            values.shape[0], centers(shape[0]), extrapolate=extrapolate
        )

    def rows(self, rows: slice) -> FloatArray:
        """Values of a block of rows.

        Returns: (K, rows, columns): interpolated rows, channels first.
        """
        above = self._upper_left[rows]
        below = self._lower_left[rows]
        weight = self._weight[rows, None]
        _, channels, width = self.wide.shape
        out = np.empty((channels, above.size, width), np.float32)
        edges = np.flatnonzero(np.diff(above)) + 1
        starts = [0, *edges.tolist(), above.size]
        for start, stop in pairwise(starts):
            first = self.wide[above[start], :, None]
            slope = self.wide[below[start], :, None] - first
            part = out[:, start:stop]
            np.multiply(slope, weight[start:stop], out=part)
            part += first
        return out


@lru_cache(maxsize=64)
def antialias_matrix(size: int, new_size: int) -> sparse.csr_array:
    """One axis of a resize that does not alias, as a sparse matrix.

    A triangle as wide as two output samples when shrinking, linear
    interpolation when growing; the outermost value is repeated.

    ``size``, ``new_size``: samples before and after. Returns: (new_size,
    size): every row sums to 1.
    """
    # Imported here, since it takes most of the module's import time.
    from scipy import sparse

    if new_size >= size:
        lower, upper, weight = linear_taps(size, centers(new_size))
        row = np.repeat(np.arange(new_size), 2)
        column = np.stack([lower, upper], 1).ravel()
        value = np.stack([1 - weight, weight], 1).ravel()
    else:
        scale = size / new_size
        middle = centers(new_size) * size
        first = np.floor(middle - scale).astype(np.intp)
        window = np.arange(int(np.ceil(2 * scale)) + 2)
        column = first[:, None] + window
        distance = np.abs(column + 0.5 - middle[:, None]) / scale
        value = np.maximum(1 - distance, 0)
        value[(column < 0) | (column >= size)] = 0
        value /= value.sum(1, keepdims=True)
        row, tap = np.nonzero(value)
        column, value = column[row, tap], value[row, tap]
    return sparse.csr_array(
        (value.astype(np.float32), (row, column)), shape=(new_size, size)
    )


def resized(
    values: npt.NDArray[Any], rows: int, columns: int
) -> npt.NDArray[Any]:
    """Resize without aliasing.

    ``values`` (h, w, K): samples at the centers of h by w cells.
    ``rows``, ``columns``: number of cells wanted, down and across.
    Returns: (rows, columns, K): weighted means, with a wider kernel where it
    shrinks.
    """
    height, width, count = values.shape
    tall = antialias_matrix(height, rows) @ values.reshape(height, -1)
    tall = tall.reshape(rows, width, count).swapaxes(0, 1)
    flat = antialias_matrix(width, columns) @ tall.reshape(width, -1)
    return np.asarray(flat.reshape(columns, rows, count).swapaxes(0, 1))
