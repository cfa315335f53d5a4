"""Backward sampling of images and labels through a small field.

A field is given at the cells of a coarse grid, in normalized units, and is
interpolated bilinearly where it is needed: block by block, on all cores, so
that memory beyond input and output does not grow with the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.lazy import chunk_shape
from napari_samnet.arrays.tiles import Tile, run_tiles, tiles
from napari_samnet.arrays.types import FloatArray, Shape
from napari_samnet.warping.fields import Block, Mapping, source_window
from napari_samnet.warping.kernels import Bilinear

#: Arrays that must be rearranged are copied whole up to this many values,
#: and read by windows beyond.
COPIED_VALUES = 1 << 26

#: Side of the tiles in which larger arrays are read.
WINDOW_SIDE = 1024

#: A tile that needs a window of more pixels than so many of these tiles have
#: is parted.
WIDEST_WINDOW = 4


class Kernel(Protocol):
    """How one block of a grid is filled from pixels at given positions."""

    @property
    def fill(self) -> float:
        """What stands where the grid shows what is outside."""

    def __call__(self, block: Block, target: npt.NDArray[Any]) -> None:
        """Fill one block."""


@dataclass(frozen=True, eq=False)
class SourceArray:
    """Pixels of an image that can be gathered from."""

    #: Two axes of space, and perhaps one of channels.
    data: Any
    #: The axis of channels.
    channel_axis: int | None
    #: All pixels, contiguous, channels last, where they are at hand.
    whole: npt.NDArray[Any] | None
    #: Row and column of the image at which `data` begins.
    corner: Shape = (0, 0)

    @classmethod
    def of(cls, data: Any, channel_axis: int | None = None) -> SourceArray:
        """Choose between direct access, one copy, and windows.

        ``data``: in memory or lazy. Returns: the same pixels, ready to be
        sampled in blocks.
        """
        whole = None
        at_hand = isinstance(data, np.ndarray) and (
            _channels_last(data, channel_axis).flags.c_contiguous
        )
        if at_hand or np.prod(data.shape) <= COPIED_VALUES:
            last = _channels_last(np.asarray(data), channel_axis)
            whole = np.ascontiguousarray(last)
        return cls(data, channel_axis, whole)

    def window(self, rows: Shape, columns: Shape) -> npt.NDArray[Any]:
        """Pixels of a window.

        ``rows``, ``columns``: first row or column and the one behind the last.
        Returns: (rows, columns, ...): contiguous, channels last.
        """
        where = [slice(*rows), slice(*columns)]
        if self.channel_axis is not None:
            where.insert(self.channel_axis, slice(None))
        part = np.asarray(self.data[tuple(where)])
        return np.ascontiguousarray(_channels_last(part, self.channel_axis))


@dataclass(frozen=True, eq=False)
class Destination:
    """A grid that is filled block by block."""

    #: Anything that slices can be assigned to.
    data: Any
    #: The axis of channels.
    channel_axis: int | None = None

    @property
    def shape(self) -> Shape:
        """Rows and columns."""
        rows, columns = self._plane(tuple(self.data.shape))
        return int(rows), int(columns)

    def _plane(self, sides: tuple[int, ...]) -> tuple[int, ...]:
        if self.channel_axis is None:
            return sides
        return tuple(
            side for k, side in enumerate(sides) if k != self.channel_axis
        )

    @property
    def in_memory(self) -> bool:
        """Whether blocks of it can be filled where they lie."""
        return isinstance(self.data, np.ndarray)

    def tiles(self, pixels: SourceArray) -> Iterator[Tile]:
        """Blocks in which the grid is best filled.

        Chunks are written by one thread each, and whole.

        ``pixels``: where they are filled from. Yields: rows and columns of one
        block after the other.
        """
        if self.in_memory and pixels.whole is not None:
            yield from tiles(self.shape)
            return
        chunks = chunk_shape(self.data)
        sides = (1, 1) if chunks is None else self._plane(chunks)
        yield from tiles(
            self.shape,
            side=tuple(side * -(-WINDOW_SIDE // side) for side in sides),
        )

    def block(self, tile: Tile) -> npt.NDArray[Any]:
        """Where the pixels of a tile are put: (rows, columns, ...).

        Returns: a view of the grid if it is in memory.
        """
        if self.in_memory:
            return _channels_last(self.data, self.channel_axis)[tile]
        shape = [part.stop - part.start for part in tile]
        if self.channel_axis is not None:
            shape.append(self.data.shape[self.channel_axis])
        return np.empty(shape, self.data.dtype)

    def put(self, tile: Tile, block: npt.NDArray[Any]) -> None:
        """Keep a block that :meth:`block` gave.

        ``block``: pixels that are put there.
        """
        if self.in_memory:
            return
        where = list(tile)
        if self.channel_axis is not None:
            where.insert(self.channel_axis, slice(None))
            block = np.moveaxis(block, -1, self.channel_axis)
        self.data[tuple(where)] = block


@dataclass(frozen=True, eq=False)
class _BlockWarper:
    """One grid being filled from another."""

    #: Image or labels that are sampled.
    pixels: SourceArray
    #: Rows and columns of the image they are of.
    shape: Shape
    #: (h, w, 2): normalized displacement, from the grid that is filled.
    field: FloatArray
    #: Rows and columns of that grid.
    grid: Shape
    #: How a block is filled from the pixels.
    kernel: Kernel

    @cached_property
    def _mappings(self) -> dict[Shape, Mapping]:
        return {}

    def mapping(self, columns: slice) -> Mapping:
        """The mapping of a strip of columns, made once for all its tiles."""
        key = columns.start, columns.stop
        if key not in self._mappings:
            self._mappings[key] = Mapping(
                self.field, self.grid, self.shape, columns
            )
        return self._mappings[key]

    def fill(self, tile: Tile, target: npt.NDArray[Any]) -> None:
        """Fill one tile."""
        mapping = self.mapping(tile[1])
        whole = self.pixels.whole
        if whole is not None:
            block = Block(mapping, tile, whole, self.pixels.corner)
            fill_in_bands(self.kernel, block, target)
            return
        window = source_window(self.field, self.grid, self.shape, tile)
        if window is None:
            target[...] = self.kernel.fill
            return
        (top, bottom), (left, right) = window
        sides = [part.stop - part.start for part in tile]
        wide = (bottom - top) * (right - left)
        limit = WIDEST_WINDOW * WINDOW_SIDE**2
        if wide > limit and max(sides) > 1:
            for part in tiles((sides[0], sides[1]), side=_halves(sides)):
                rows, columns = (
                    slice(whole.start + inner.start, whole.start + inner.stop)
                    for whole, inner in zip(tile, part, strict=True)
                )
                self.fill((rows, columns), target[part])
            return
        pixels = self.pixels.window(*window)
        block = Block(mapping, tile, pixels, (top, left))
        fill_in_bands(self.kernel, block, target)


def fill_in_bands(
    kernel: Kernel, block: Block, target: npt.NDArray[Any]
) -> None:
    """Fill a block in bands whose temporaries stay in the cache."""
    rows, columns = block.tile
    width = columns.stop - columns.start
    for band, _ in tiles((rows.stop - rows.start, width)):
        part = slice(rows.start + band.start, rows.start + band.stop)
        kernel(block._replace(tile=(part, columns)), target[band])


def warp(
    pixels: SourceArray,
    shape: Shape,
    field: FloatArray,
    destination: Destination,
    kernel: Kernel,
) -> None:
    """Fill a grid with samples of another, on all cores.

    ``pixels``: image or labels that are sampled.
    ``field`` (h, w, 2): normalized displacement, from the grid that is filled.
    ``destination``: the grid that is filled.
    ``kernel``: how a block is filled from the pixels.
    """
    warper = _BlockWarper(pixels, shape, field, destination.shape, kernel)
    parts = list(destination.tiles(pixels))
    for _, columns in parts:
        warper.mapping(columns)

    def work(tile: Tile) -> None:
        block = destination.block(tile)
        warper.fill(tile, block)
        destination.put(tile, block)

    run_tiles(work, parts)


def warp_bilinear(
    pixels: SourceArray,
    shape: Shape,
    field: FloatArray,
    out: Any,
    *,
    channel_axis: int | None = None,
    fill: float = 0.0,
) -> None:
    """Fill a grid with bilinear samples of another.

    ``pixels``: image or labels that are sampled.
    ``field`` (h, w, 2): normalized displacement, from the grid that is filled.
    ``out`` (H, W): the grid that is filled, of the dtype of `pixels`.
    ``fill``: value outside of the image, which ends half a pixel beyond the
    outermost centers.
    """
    destination = Destination(out, channel_axis)
    warp(pixels, shape, field, destination, Bilinear(shape, fill))


def _channels_last(
    array: npt.NDArray[Any], channel_axis: int | None
) -> npt.NDArray[Any]:
    """View with the channels on the last axis."""
    if channel_axis is None:
        return array
    return np.moveaxis(array, channel_axis, -1)


def _halves(sides: list[int]) -> tuple[int, int]:
    """Sides of four parts."""
    return -(-sides[0] // 2), -(-sides[1] // 2)
