"""Warped labels and images as dask arrays, block by block when asked for.

For results that shall not be in memory at once and have no file to go to:
they are shown by napari as they are, or stored by dask. Each block reads only
the part of the input that it shows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.checks import (
    as_array,
    check_labels,
    check_share,
    checked_image,
)
from napari_samnet.arrays.tiles import Tile, tiles
from napari_samnet.arrays.types import Shape
from napari_samnet.errors import InputError
from napari_samnet.io.extras import require
from napari_samnet.labels.kernel import label_kernel, sample_indices
from napari_samnet.warping.fields import Block, Mapping, source_window
from napari_samnet.warping.kernels import Bilinear
from napari_samnet.warping.warp import SourceArray, fill_in_bands

if TYPE_CHECKING:
    import dask.array

    from napari_samnet.correspondence import Correspondence
    from napari_samnet.warping.field_pair import Side
    from napari_samnet.warping.warp import Kernel


#: Side of the blocks of a result.
BLOCK_SIDE = 1024


def lazy_labels(
    correspondence: Correspondence,
    labels: Any,
    *,
    min_confidence: float = 0.0,
    evidence: bool = True,
    side: int = BLOCK_SIDE,
) -> dask.array.Array:
    """Labels of the source on the target's grid, computed when asked for.

    ``labels`` (Hs, Ws): in memory or lazy.
    ``min_confidence``: pixels that are matched with less confidence get 0.
    ``evidence``: as for :meth:`Correspondence.warp_labels`. The first block
    then reads all of the labels.
    ``side``: side of the result's blocks in pixels.
    Returns: (Ht, Wt): the same as :meth:`Correspondence.warp_labels` gives.
    Raises InputError if the labels are not of the source's shape or not whole
    numbers, the confidence is not from 0 to 1, or dask is not installed.
    """
    check_share('min_confidence', min_confidence)
    labels = as_array(labels, 'labels')
    check_labels('labels', labels, correspondence.source_shape)
    dask = _find_dask()
    lazy = isinstance(labels, dask.array.Array)
    make = partial(
        label_kernel,
        correspondence.label_field(evidence=evidence),
        None if lazy else SourceArray(labels, None, None),
        min_confidence=min_confidence,
    )
    # As large as a few blocks of labels, and needed by each of the result.
    samples = None
    if lazy and evidence and correspondence.evidence is not None:
        rows, columns = sample_indices(correspondence.source_shape)
        samples = labels[rows][:, columns]
    kernel = dask.delayed(make, traverse=False)(samples=samples)
    return _warped(
        labels,
        None,
        correspondence.source_shape,
        correspondence.backward,
        correspondence.target_shape,
        (kernel, 0),
        side,
    )


def lazy_image(
    correspondence: Correspondence,
    image: Any,
    *,
    to: Side = 'source',
    fill: float = 0.0,
    side: int = BLOCK_SIDE,
) -> dask.array.Array:
    """An image of one side on the grid of the other, when asked for.

    ``image`` (H, W): of the size of the target if `to` is 'source', of the
    source if it is 'target'.
    ``fill``: value where that grid shows what is outside of `image`.
    ``side``: side of the result's blocks in pixels.
    Raises InputError if the image is not of that size, or not of real numbers,
    or dask is not installed.
    """
    if to not in ('source', 'target'):
        raise InputError(f"to must be 'source' or 'target', got {to!r}")
    to_source = to == 'source'
    shape = (
        correspondence.target_shape
        if to_source
        else correspondence.source_shape
    )
    grid = (
        correspondence.source_shape
        if to_source
        else correspondence.target_shape
    )
    field = correspondence.forward if to_source else correspondence.backward
    name = 'target' if to_source else 'source'
    image, axis = checked_image(image, shape, name)
    kernel = _find_dask().delayed(Bilinear(shape, fill), traverse=False)
    return _warped(image, axis, shape, field, grid, (kernel, fill), side)


def _warped(
    data: Any,
    axis: int | None,
    shape: Shape,
    field: npt.NDArray[np.float32],
    grid: Shape,
    filled: tuple[Any, float],
    side: int,
) -> dask.array.Array:
    """Blocks of a grid, each a task on the window that it shows.

    `filled` is the delayed kernel, and its value outside.
    """
    dask = _find_dask()
    da = dask.array
    kernel, fill = filled
    lazy = isinstance(data, da.Array)
    if lazy and axis is not None:
        data, axis = da.moveaxis(data, axis, -1), 2
    pixels = SourceArray(data, axis, None)
    rest = () if axis is None else (data.shape[axis],)
    columns: list[list[Any]] = []
    for tile in tiles(grid, side=(side, side)):
        sides = tuple(part.stop - part.start for part in tile) + rest
        window = source_window(field, grid, shape, tile)
        if window is None:
            block = da.full(sides, fill, dtype=data.dtype)
        else:
            place = _Place(field, shape, grid, tile, window)
            if lazy:
                rows, across = window
                parts = [data[slice(*rows), slice(*across)]]
                paint = _Block(place)
            else:
                parts = []
                paint = _Block(place, pixels)
            task = dask.delayed(paint, traverse=False)(kernel, *parts)
            block = da.from_delayed(task, sides, dtype=data.dtype)
        if not tile[0].start:
            columns.append([])
        columns[-1].append(block)
    return da.concatenate(
        [da.concatenate(column, axis=0) for column in columns], axis=1
    )


def _find_dask() -> Any:
    """The package dask, with its arrays."""
    require('dask.array', 'lazy results', extra='batch')
    return require('dask', 'lazy results', extra='batch')


class _Place(NamedTuple):
    """Where a block lies, and the window of pixels that it shows."""

    field: npt.NDArray[np.float32]
    shape: Shape
    grid: Shape
    tile: Tile
    window: tuple[Shape, Shape]


class _Block:
    """The task that fills one block.

    ``place``: row and column of the block in the grid of blocks. ``pixels``:
    where the window is read from, unless dask brings it.
    """

    def __init__(
        self, place: _Place, pixels: SourceArray | None = None
    ) -> None:
        self._place = place
        self._pixels = pixels

    def __call__(
        self, kernel: Kernel, *given: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        field, shape, grid, (rows, columns), window = self._place
        if self._pixels is not None:
            given = (self._pixels.window(*window),)
        pixels = np.ascontiguousarray(given[0])
        sides = rows.stop - rows.start, columns.stop - columns.start
        out = np.empty((*sides, *pixels.shape[2:]), pixels.dtype)
        mapping = Mapping(field, grid, shape, columns)
        corner = window[0][0], window[1][0]
        block = Block(mapping, (rows, columns), pixels, corner)
        fill_in_bands(kernel, block, out)
        return out
