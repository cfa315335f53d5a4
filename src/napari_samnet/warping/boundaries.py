"""Displacements between the samples of a field, with motion boundaries kept.

A field is bilinear between its samples. Where two motions meet, as an object
and the ground behind it do, that is wrong: between two samples that lead to
different places, interpolation leads to everything that lies between them,
and draws it as a sliver. So along each axis the step from one sample to the
next is compared with the steps around it. If it is far from their median,
the field is broken there: up to the middle it goes on from the one sample
with the median slope, and from there on it comes from the other.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import Upsampler, centers, linear_taps
from napari_samnet.arrays.types import FloatArray, Shape

#: Distance between samples by which a step must exceed its surroundings, and
#: be long itself, to be a motion boundary: less is stretched, not torn.
BREAK = 1.5

#: Steps to each side, besides the one in question, whose median is taken.
AROUND = 2


class _Breaks(NamedTuple):
    """Broken steps along the first axis of an array (n, 2, m)."""

    #: ``step``, ``place``: (B,): the step from sample `step` to the next one,
    #: at the place `place` of the other axis; steps in ascending order.
    step: npt.NDArray[np.intp]
    place: npt.NDArray[np.intp]
    #: (2, B): median of the steps around each.
    slope: FloatArray


def _find_breaks(samples: FloatArray, unit: FloatArray) -> _Breaks:
    """Find steps that are far from those around them.

    `samples` are (n, 2, m), `unit` turns values into distances of samples.
    """
    steps = np.diff(samples, axis=0)
    long = np.square(steps[:, 0] * unit[0])
    long += np.square(steps[:, 1] * unit[1])
    step, place = np.nonzero(long > BREAK * BREAK)
    slope = _median_step(steps, step, place)
    excess = (steps[step, :, place].T - slope) * unit[:, None]
    broken = np.square(excess).sum(0) > BREAK * BREAK
    return _Breaks(step[broken], place[broken], slope[:, broken])


def _median_step(
    steps: FloatArray, step: npt.NDArray[np.intp], place: npt.NDArray[np.intp]
) -> FloatArray:
    """Median of some steps and of those around them, (2, B)."""
    around = _around(step, len(steps))
    return np.asarray(np.median(steps[around, :, place], axis=0).T)


def _around(step: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
    """Indices of the steps around some, mirrored at the ends."""
    reach = np.arange(-AROUND, AROUND + 1).reshape(-1, *(1,) * step.ndim)
    index = np.abs(step + reach)
    index = np.minimum(index, 2 * (count - 1) - index)
    return np.asarray(np.clip(index, 0, count - 1))


def _torn(
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    slope: npt.NDArray[Any],
    weight: npt.NDArray[Any],
) -> npt.NDArray[Any]:
    """Values between two samples at a motion boundary."""
    return np.where(
        weight < 0.5, first + weight * slope, second - (1 - weight) * slope
    )


class DisplacementUpsampler(Upsampler):
    """Values of a displacement field on a larger grid, block by block.

    Bilinear as in :class:`.Upsampler`, the outermost slopes going on, but
    broken where two motions meet.

    ``field`` (h, w, 2): displacement (row, column) at the centers of h by w
    cells.
    ``scale``: units of `field` per side of the image that it leads to, in rows
    and columns: 1 for normalized displacements.
    """

    def __init__(
        self,
        field: FloatArray,
        shape: Shape,
        *,
        columns: slice = slice(None),
        scale: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        super().__init__(field, shape, columns=columns, extrapolate=True)
        self._unit = np.divide(field.shape[:2], scale).astype(np.float32)
        self._tear_columns(np.asarray(field, np.float32), shape, columns)
        down = _find_breaks(self.wide, self._unit)
        starts = np.searchsorted(down.step, np.arange(len(self.wide) + 1))
        #: Columns with a broken step below each row of cells, and slopes.
        self._down = {
            row: (down.place[start:stop], down.slope[:, start:stop])
            for row, (start, stop) in enumerate(pairwise(starts.tolist()))
            if start < stop
        }

    def _tear_columns(
        self, field: FloatArray, shape: Shape, columns: slice
    ) -> None:
        """Break `wide` where samples side by side are of two motions."""
        breaks = _find_breaks(field.transpose(1, 2, 0), self._unit)
        if not breaks.step.size:
            return
        number = np.full((len(field), field.shape[1]), -1)
        number[breaks.place, breaks.step] = np.arange(breaks.step.size)
        left, _, weight = linear_taps(
            field.shape[1], centers(shape[1])[columns], extrapolate=True
        )
        number = number[:, left]
        row, column = np.nonzero(number >= 0)
        self.wide[row, :, column] = _torn(
            field[row, left[column]],
            field[row, left[column] + 1],
            breaks.slope.T[number[row, column]],
            weight[column, None],
        )

    def rows(self, rows: slice) -> FloatArray:
        """Values of a block of rows.

        Returns: (2, rows, columns): displacements, channels first.
        """
        out = super().rows(rows)
        above = self._upper_left[rows]
        for row in np.unique(above):
            if row in self._down:
                columns, slope = self._down[row]
                start, stop = np.searchsorted(above, [row, row + 1])
                out[:, start:stop, columns] = _torn(
                    self.wide[row][:, None, columns],
                    self.wide[row + 1][:, None, columns],
                    slope[:, None],
                    self._weight[rows][start:stop, None],
                )
        return out


def sample_displacement(
    field: FloatArray, at: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """Displacements at any points, broken where two motions meet.

    ``field`` (h, w, 2): normalized displacement (row, column) at cell centers.
    ``at`` (2, ...): normalized rows and columns. Beyond the outermost centers
    the outermost slope goes on.
    Returns: (2, ...): what :class:`DisplacementUpsampler` has at these points.
    """
    values = np.asarray(field, np.float64)
    shape = at.shape[1:]
    height, width = field.shape[:2]
    (top, below, down), (left, right, along) = (
        linear_taps(side, where.ravel(), extrapolate=True)
        for side, where in zip((height, width), at, strict=True)
    )
    down, along = down[:, None], along[:, None]
    upper, lower = (
        values[row, left] + along * (values[row, right] - values[row, left])
        for row in (top, below)
    )
    out = upper + down * (lower - upper)
    unit = np.array([height, width], np.float32)
    suspects = np.flatnonzero(
        _long_steps(values * unit)[top, left]
        | (np.abs(along[:, 0] - 0.5) > 1)
        | (np.abs(down[:, 0] - 0.5) > 1)
    )
    if suspects.size and height > 1:
        taps = top[suspects], left[suspects], along[suspects]
        out[suspects] = _torn_rows(values, unit, taps, down[suspects])
    elif suspects.size:
        across = _RowSampler(values, unit)
        out[suspects] = across(top[suspects], left[suspects], along[suspects])
    return np.ascontiguousarray(out.T).reshape(2, *shape)


def _long_steps(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Cells between four samples that a motion boundary may cross, (h, w)."""
    # Half of the limit, since slopes go on beyond the outermost centers.
    suspect = np.zeros(samples.shape[:2], bool)
    down = np.linalg.norm(np.diff(samples, axis=0), axis=-1) > BREAK / 2
    suspect[:-1] |= down
    suspect[:-1, :-1] |= down[:, 1:]
    across = np.linalg.norm(np.diff(samples, axis=1), axis=-1) > BREAK / 2
    suspect[:, :-1] |= across
    suspect[:-1, :-1] |= across[1:]
    return suspect


class _RowSampler:
    """Displacements along rows of samples, broken where two motions meet."""

    def __init__(
        self, values: npt.NDArray[np.float64], unit: FloatArray
    ) -> None:
        self._values = values
        breaks = _find_breaks(
            values.transpose(1, 2, 0).astype(np.float32), unit
        )
        sides = values.shape[0], max(1, values.shape[1] - 1)
        self._broken = np.zeros(sides, bool)
        self._broken[breaks.place, breaks.step] = True
        self._slope = np.zeros((*sides, 2))
        self._slope[breaks.place, breaks.step] = breaks.slope.T

    def __call__(
        self,
        row: npt.NDArray[np.intp],
        left: npt.NDArray[np.intp],
        along: npt.NDArray[Any],
    ) -> npt.NDArray[np.float64]:
        """Values in rows of samples, (N, 2)."""
        first = self._values[row, left]
        right = np.minimum(left + 1, self._values.shape[1] - 1)
        second = self._values[row, right]
        return np.where(
            self._broken[row, left][..., None],
            _torn(first, second, self._slope[row, left], along),
            first + along * (second - first),
        )


def _torn_rows(
    values: npt.NDArray[np.float64],
    unit: FloatArray,
    taps: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray],
    down: FloatArray,
) -> npt.NDArray[np.float64]:
    """Displacements at points near a motion boundary, (N, 2)."""
    top, left, along = taps
    across = _RowSampler(values, unit)
    steps = np.stack(
        [
            across(step + 1, left, along) - across(step, left, along)
            for step in _around(top, len(values) - 1)
        ]
    )
    slope = np.median(steps, axis=0)
    step = steps[AROUND]
    broken = np.linalg.norm(step * unit, axis=1) > BREAK
    broken &= np.linalg.norm((step - slope) * unit, axis=1) > BREAK
    first = across(top, left, along)
    return np.where(
        broken[:, None],
        _torn(first, first + step, slope, down),
        first + step * down,
    )
