"""Nearest and bilinear samples for one block of a grid.

Each kernel is given positions by a
:class:`~napari_samnet.warping.fields.Mapping` and pixels that begin at some
corner of their image, and fills one block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.dtypes import as_dtype
from napari_samnet.arrays.resize import Upsampler
from napari_samnet.arrays.tiles import Tile
from napari_samnet.arrays.types import FloatArray, Shape
from napari_samnet.warping.fields import Block, lerp, lossless_float_dtype


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest pixel; outside is 0."""

    #: Rows and columns of the image that is sampled.
    shape: Shape
    #: Rows and columns of the grid that is filled.
    grid: Shape
    #: (h, w): confidence at the cells of that grid.
    confidence: FloatArray | None = None
    #: Where it is below, the result is 0.
    min_confidence: float = 0.0
    #: Value outside of the image.
    fill: float = 0.0
    #: Confidence of strips of columns, by their first and last.
    _trust: dict[Shape, Upsampler] = field(default_factory=dict)

    def __call__(self, block: Block, target: npt.NDArray[Any]) -> None:
        """Fill one block; see :class:`~napari_samnet.warping.warp.Kernel`."""
        tile, pixels, corner = block.tile, block.pixels, block.corner
        height, width = self.shape
        at = block.mapping.positions(tile[0])
        # Half a pixel to round, one more so that truncation rounds down
        # on both sides of zero.
        at += 1.5
        row = np.clip(at[0], 0, height + 1, out=at[0]).astype(np.intp)
        column = np.clip(at[1], 0, width + 1, out=at[1]).astype(np.intp)
        row -= 1
        column -= 1
        # Seen as unsigned, negative numbers are too large as well.
        inside = row.view(np.uintp) < height
        inside &= column.view(np.uintp) < width
        trusted = self.trusted(tile)
        if trusted is not None:
            inside &= trusted
        if not inside.any():
            target[...] = 0
            return
        row -= corner[0]
        column -= corner[1]
        row *= pixels.shape[1]
        row += column
        np.take(pixels.reshape(-1), row, out=target, mode='clip')
        np.copyto(target, False, where=~inside)

    def trusted(self, tile: Tile) -> npt.NDArray[np.bool_] | None:
        """Where a block is confident enough.

        Returns: None if everything is.
        """
        if self.confidence is None or self.min_confidence <= 0:
            return None
        confidence = self._confidence(self.confidence, tile[1]).rows(tile[0])[
            0
        ]
        return np.asarray(confidence >= self.min_confidence)

    def _confidence(self, small: FloatArray, columns: slice) -> Upsampler:
        """The confidence of a strip of columns."""
        key = columns.start, columns.stop
        if key not in self._trust:
            self._trust[key] = Upsampler(small, self.grid, columns=columns)
        return self._trust[key]


@dataclass(frozen=True, eq=False)
class Bilinear:
    """The bilinear mean of the four pixels around a position."""

    #: Rows and columns of the image that is sampled.
    shape: Shape
    #: Value outside of it.
    fill: float = 0.0

    def __call__(self, block: Block, target: npt.NDArray[Any]) -> None:
        """Fill one block; see :class:`~napari_samnet.warping.warp.Kernel`."""
        pixels, corner = block.pixels, block.corner
        height, width = self.shape
        y, x = block.mapping.positions(block.tile[0])
        inside = (y >= -0.5) & (y < height - 0.5)
        inside &= (x >= -0.5) & (x < width - 0.5)
        if not inside.any():
            target[...] = self.fill
            return
        outside = None if inside.all() else ~inside
        if outside is not None:
            # A place that is in the window for those that are not.
            np.copyto(y, y[inside][0], where=outside)
            np.copyto(x, x[inside][0], where=outside)
        top, below, down = _neighbors(y, height)
        left, right, along = _neighbors(x, width)
        flat = pixels.reshape(-1, *pixels.shape[2:])
        stride = pixels.shape[1]
        top, below = ((side - corner[0]) * stride for side in (top, below))
        left, right = left - corner[1], right - corner[1]
        if flat.ndim == 2:
            down, along = down[..., None], along[..., None]
        kind = lossless_float_dtype(flat.dtype)

        def at(row: npt.NDArray[np.intp], column: npt.NDArray[np.intp]) -> Any:
            # Indices are valid; mode='clip' skips bounds checks.
            taken = np.take(flat, row + column, axis=0, mode='clip')
            return taken.astype(kind, copy=False)

        upper, lower = (
            lerp(at(row, left), at(row, right), along) for row in (top, below)
        )
        value = lerp(upper, lower, down)
        # A float keeps its infinities.
        same = target.dtype.kind == 'f'
        target[...] = value if same else as_dtype(value, target.dtype)
        if outside is not None:
            target[outside] = self.fill


def _neighbors(
    at: FloatArray, size: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """Pixels on both sides of a position, and the weight of the second.

    On a pixel's center it is its own neighbor, so that an infinity or NaN
    beside it does not matter.
    """
    np.clip(at, 0, size - 1, out=at)
    first = at.astype(np.intp)
    at -= first
    return first, first + (at > 0), at
