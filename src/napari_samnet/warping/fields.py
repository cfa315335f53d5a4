"""Small fields of displacement, and what they say at the size of images."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.lazy import new_array
from napari_samnet.arrays.resize import Upsampler, centers, linear_taps
from napari_samnet.arrays.tiles import Tile, run_tiles, tiles
from napari_samnet.arrays.types import FloatArray, Shape
from napari_samnet.warping.boundaries import (
    DisplacementUpsampler,
    sample_displacement,
)

#: Distance from a motion boundary, in shares of the side, at which a place
#: is surely of one of its sides.
EITHER_SIDE = 1e-6


class Mapping:
    """Where the pixels of one grid lie in another.

    ``field`` (h, w, 2): displacement (row, column) in normalized units.
    ``shape``: rows and columns of the grid that the field starts from.
    ``other``: rows and columns of the grid that it leads to.
    ``relative``: give positions minus the pixel's own index: a flow.
    """

    def __init__(
        self,
        field: FloatArray,
        shape: Shape,
        other: Shape,
        columns: slice = slice(None),
        *,
        relative: bool = False,
    ) -> None:
        self._displacement = DisplacementUpsampler(
            field * np.asarray(other, np.float32),
            shape,
            columns=columns,
            scale=other,
        )
        row, column = (
            (np.arange(size) + 0.5) * (other_size / size)
            - 0.5
            - (np.arange(size) if relative else 0)
            for size, other_size in zip(shape, other, strict=True)
        )
        self._row = row.astype(np.float32)[:, None]
        # The column's part is the same in every row, so it costs nothing to
        # have it in the interpolated values.
        self._displacement.wide[:, 1] += column[columns].astype(np.float32)

    def positions(self, rows: slice) -> FloatArray:
        """Positions in pixels of the other grid.

        Returns: (2, rows, columns): row and column; pixel centers are whole
        numbers.
        """
        at = self._displacement.rows(rows)
        at[0] += self._row[rows]
        return at


class Block(NamedTuple):
    """A block of a grid that is filled, and the pixels that it may need."""

    #: Where places of the grid lie in the image.
    mapping: Mapping
    #: Rows and columns of the grid.
    tile: Tile
    #: (rows, columns) or (rows, columns, C), contiguous.
    pixels: npt.NDArray[Any]
    #: Row and column of the image at which the pixels begin.
    corner: Shape


def full_flow(
    displacement: FloatArray, shape: Shape, other: Shape
) -> FloatArray:
    """Flow in pixels at full size.

    ``displacement`` (h, w, 2): displacement (row, column) in normalized units.
    ``shape``, ``other``: rows and columns of the image it starts from, and of
    the one it leads to.
    Returns: (H, W, 2): position in the other image minus own index.
    """
    out = new_array((*shape, 2), np.float32)
    mapping = Mapping(displacement, shape, other, relative=True)

    def work(rows: slice) -> None:
        out[rows] = np.moveaxis(mapping.positions(rows), 0, -1)

    run_tiles(work, (rows for rows, _ in tiles(shape)))
    return out


def full_map(small: FloatArray, shape: Shape) -> FloatArray:
    """Confidence at full size.

    ``small`` (h, w): confidence at the cells. Returns: (H, W): from 0 to 1.
    """
    out = new_array(shape, np.float32)
    upsampler = Upsampler(small, shape)

    def work(rows: slice) -> None:
        np.clip(upsampler.rows(rows)[0], 0, 1, out=out[rows])

    run_tiles(work, (rows for rows, _ in tiles(shape)))
    return out


def sample_field(
    field: FloatArray, at: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """Bilinear values of a field at any points.

    ``field`` (h, w, K): samples at cell centers.
    ``at`` (2, ...): normalized rows and columns. Beyond the outermost centers
    the outermost slope goes on.
    Returns: (K, ...): values at the points, channels first.
    """
    top, below, down = linear_taps(field.shape[0], at[0], extrapolate=True)
    left, right, along = linear_taps(field.shape[1], at[1], extrapolate=True)
    down, along = down[..., None], along[..., None]
    corners = [
        field[row, column].astype(np.float64)
        for row in (top, below)
        for column in (left, right)
    ]
    upper = lerp(corners[0], corners[1], along)
    lower = lerp(corners[2], corners[3], along)
    return np.moveaxis(lerp(upper, lower, down), -1, 0)


def round_trip(
    forward: FloatArray,
    backward: FloatArray,
    shape: Shape,
    rows: slice,
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """How far from its start a point ends that goes there and back.

    ``forward``, ``backward`` (h, w, 2): normalized displacements of the two
    directions.
    Returns: ``error``: (2, rows, columns): in normalized units of the starting
    image. A point that leaves the other image comes back with the displacement
    of the border it left through; ``inside``: (rows, columns): where the point
    stays inside the other image.
    """
    error = DisplacementUpsampler(forward, shape).rows(rows)
    there = error.copy()
    there[0] += centers(shape[0])[rows, None]
    there[1] += centers(shape[1])
    inside = np.all((there >= 0) & (there < 1), axis=0)
    error += sample_displacement(backward, np.clip(there, 0, 1, out=there))
    return error, inside


def source_window(
    field: FloatArray, shape: Shape, other: Shape, tile: Tile
) -> tuple[Shape, Shape] | None:
    """Which part of another grid a tile needs.

    ``field`` (h, w, 2): displacement (row, column) in normalized units.
    ``shape``, ``other``: rows and columns of the grid that the tile is of, and
    of the other.
    Returns: start and stop of the rows, and of the columns, with all neighbors
    that interpolation takes. None if the tile shows nothing of the other grid.
    """
    # Between these lines the position is bilinear, so that its extremes are
    # where they cross. A motion boundary lies in the middle between centers,
    # and what lies on its two sides counts.
    lines = []
    for side, cells, part in zip(shape, field.shape[:2], tile, strict=True):
        first, last = (part.start + 0.5) / side, (part.stop - 0.5) / side
        middle = np.arange(1, cells) / cells
        inner = np.concatenate(
            [centers(cells), middle - EITHER_SIDE, middle + EITHER_SIDE]
        )
        inner = inner[(inner > first) & (inner < last)]
        lines.append(np.concatenate([[first], inner, [last]]))
    at = np.stack(np.meshgrid(*lines, indexing='ij'))
    at += sample_displacement(field, at)
    box = []
    for positions, side in zip(at, other, strict=True):
        # float32 is off by less than the pixel that is added.
        low = np.floor(positions.min() * side - 0.5) - 1
        high = np.ceil(positions.max() * side - 0.5) + 2
        start, stop = (int(np.clip(end, 0, side)) for end in (low, high))
        if start >= stop:
            return None
        box.append((start, stop))
    return box[0], box[1]


def lossless_float_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The smaller floating point that can tell all numbers apart.

    Returns: float32 where it does, else float64.
    """
    small = dtype.itemsize <= 2 or dtype == np.float32
    return np.dtype(np.float32 if small else np.float64)


def lerp(
    one: npt.NDArray[Any], other: npt.NDArray[Any], weight: FloatArray
) -> npt.NDArray[Any]:
    """Interpolate linearly, in place.

    ``one``, ``other``: values at weight 0 and 1. Both are overwritten.
    ``weight``: where it is 0, the other value does not count, even if it is
    NaN.
    """
    # inf - inf is NaN, which is dropped below where its weight is 0.
    with np.errstate(invalid='ignore', over='ignore'):
        other -= one
        other *= weight
        if not np.isfinite(other).all():
            np.copyto(other, 0, where=weight == 0)
        one += other
    return one
