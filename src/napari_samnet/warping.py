"""Backward sampling of images and labels through a small field.

A field is given at the cells of a coarse grid, in normalised units, and is
interpolated bilinearly where it is needed: block by block, on all cores, so
that memory beyond input and output does not grow with the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.fields import Mapping, gather, lerp
from napari_samnet.plane import as_dtype
from napari_samnet.resampling import Tile, Upsampler, run_tiles, tiles

__all__ = ['Pixels', 'warp_bilinear', 'warp_nearest']

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, int]

#: Arrays that must be rearranged are copied whole up to this many values,
#: and read by windows beyond.
COPIED_VALUES = 1 << 26

#: Side of the tiles in which larger arrays are read.
WINDOW_SIDE = 1024


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of an image that can be gathered from.

    Parameters
    ----------
    data : array_like
        Two axes of space, and perhaps one of channels.
    channel_axis : int or None
        The axis of channels.
    whole : ndarray or None
        All pixels, contiguous, channels last, where they are at hand.
    """

    data: Any
    channel_axis: int | None
    whole: npt.NDArray[Any] | None

    @classmethod
    def of(cls, data: Any, channel_axis: int | None = None) -> Pixels:
        """Choose between direct access, one copy, and windows.

        Parameters
        ----------
        data : array_like
            In memory or lazy.
        channel_axis : int, optional
            The axis of channels.

        Returns
        -------
        Pixels
        """
        whole = None
        at_hand = isinstance(data, np.ndarray) and (
            _channels_last(data, channel_axis).flags.c_contiguous
        )
        if at_hand or np.prod(data.shape) <= COPIED_VALUES:
            last = _channels_last(np.asarray(data), channel_axis)
            whole = np.ascontiguousarray(last)
        return cls(data, channel_axis, whole)

    def window(
        self, rows: tuple[int, int], columns: tuple[int, int]
    ) -> tuple[npt.NDArray[Any], int, int]:
        """Pixels of at least a window.

        Parameters
        ----------
        rows, columns : tuple of int
            First and last.

        Returns
        -------
        pixels : ndarray, shape (rows, columns, ...)
            Contiguous, channels last.
        top, left : int
            Where they begin in the image.
        """
        if self.whole is not None:
            return self.whole, 0, 0
        where = [
            slice(rows[0], rows[1] + 1),
            slice(columns[0], columns[1] + 1),
        ]
        if self.channel_axis is not None:
            where.insert(self.channel_axis, slice(None))
        part = np.asarray(self.data[tuple(where)])
        part = _channels_last(part, self.channel_axis)
        return np.ascontiguousarray(part), rows[0], columns[0]

    def strips(self, shape: Shape) -> list[list[Tile]]:
        """Tiles of the grid to fill, grouped by their columns.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns of that grid.

        Returns
        -------
        list of list of tuple of slice
        """
        side = None if self.whole is not None else WINDOW_SIDE
        groups: dict[int, list[Tile]] = {}
        for tile in tiles(shape, side=side):
            groups.setdefault(tile[1].start, []).append(tile)
        return list(groups.values())


def warp_nearest(
    pixels: Pixels,
    shape: Shape,
    field: FloatArray,
    out: npt.NDArray[Any],
    *,
    confidence: FloatArray | None = None,
    min_confidence: float = 0.0,
) -> None:
    """Fill a grid with the nearest pixels of another; outside is 0.

    Parameters
    ----------
    pixels : Pixels
        What is sampled, without channels.
    shape : tuple of int
        Its rows and columns.
    field : ndarray, shape (h, w, 2)
        Normalised displacement, from the grid that is filled.
    out : ndarray, shape (H, W)
        The grid that is filled, of the dtype of `pixels`.
    confidence : ndarray, shape (h, w), optional
        Confidence of `field`.
    min_confidence : float
        Where the confidence is below, `out` is 0.
    """
    height, width = shape
    grid = (out.shape[0], out.shape[1])
    for strip in pixels.strips(grid):
        columns = strip[0][1]
        mapping = Mapping(field, grid, shape, columns)
        trust = None
        if confidence is not None and min_confidence > 0:
            trust = Upsampler(confidence, grid, columns=columns)

        def fill(
            tile: Tile,
            mapping: Mapping = mapping,
            trust: Upsampler | None = trust,
        ) -> None:
            at = mapping.positions(tile[0])
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
            if trust is not None:
                inside &= trust.rows(tile[0])[0] >= min_confidence
            target = out[tile]
            if not inside.any():
                target[...] = 0
                return
            if pixels.whole is None:
                down, across = row[inside], column[inside]
                found, top, left = pixels.window(
                    (int(down.min()), int(down.max())),
                    (int(across.min()), int(across.max())),
                )
                row -= top
                column -= left
            else:
                found = pixels.whole
            row *= found.shape[1]
            row += column
            np.take(found.reshape(-1), row, out=target, mode='clip')
            np.copyto(target, False, where=~inside)

        run_tiles(fill, strip)


def warp_bilinear(
    pixels: Pixels,
    shape: Shape,
    field: FloatArray,
    out: npt.NDArray[Any],
    *,
    fill: float = 0.0,
) -> None:
    """Fill a grid with bilinear samples of another.

    Parameters
    ----------
    pixels : Pixels
        What is sampled.
    shape : tuple of int
        Its rows and columns.
    field : ndarray, shape (h, w, 2)
        Normalised displacement, from the grid that is filled.
    out : ndarray, shape (H, W) or (H, W, C)
        The grid that is filled, of the dtype of `pixels`, channels last.
    fill : float
        Value outside of the image, which ends half a pixel beyond the
        outermost centres.
    """
    height, width = shape
    grid = (out.shape[0], out.shape[1])
    for strip in pixels.strips(grid):
        mapping = Mapping(field, grid, shape, strip[0][1])

        def work(tile: Tile, mapping: Mapping = mapping) -> None:
            y, x = mapping.positions(tile[0])
            inside = (y >= -0.5) & (y < height - 0.5)
            inside &= (x >= -0.5) & (x < width - 0.5)
            target = out[tile]
            if not inside.any():
                target[...] = fill
                return
            # A place that is in the window for those that are not.
            np.copyto(y, y[inside][0], where=~inside)
            np.copyto(x, x[inside][0], where=~inside)
            top, below, down = _neighbours(y, height)
            left, right, along = _neighbours(x, width)
            found, first, start = pixels.window(
                (int(top.min()), int(below.max())),
                (int(left.min()), int(right.max())),
            )
            flat = found.reshape(-1, *found.shape[2:])
            stride = found.shape[1]
            top, below = (top - first) * stride, (below - first) * stride
            left, right = left - start, right - start
            if flat.ndim == 2:
                down, along = down[..., None], along[..., None]
            upper, lower = (
                lerp(
                    gather(flat, row + left), gather(flat, row + right), along
                )
                for row in (top, below)
            )
            value = lerp(upper, lower, down)
            # A float keeps its infinities.
            same = out.dtype.kind == 'f'
            target[...] = value if same else as_dtype(value, out.dtype)
            target[~inside] = fill

        run_tiles(work, strip)


def _channels_last(
    array: npt.NDArray[Any], channel_axis: int | None
) -> npt.NDArray[Any]:
    """View with the channels on the last axis."""
    if channel_axis is None:
        return array
    return np.moveaxis(array, channel_axis, -1)


def _neighbours(
    at: FloatArray, size: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """Pixels on both sides of a position, and the weight of the second.

    On a pixel's centre it is its own neighbour, so that an infinity or NaN
    beside it does not matter.
    """
    np.clip(at, 0, size - 1, out=at)
    first = at.astype(np.intp)
    at -= first
    return first, first + (at > 0), at
