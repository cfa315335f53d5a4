"""Write carried labels into labels of the user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.confidence import Warped, hide_unsure
from napari_samnet.plugin.layers.label_writes import (
    Indices,
    Written,
    write_labels,
)
from napari_samnet.plugin.model.grids import Grid, Index
from napari_samnet.plugin.model.request import Product


def check_into(
    layer: Any, target: Grid, ids: tuple[int, int] = (0, 0)
) -> None:
    """Refuse labels that carried ones cannot be written into.

    ``ids``: smallest and largest id that are to be written, where they are
    known.
    Raises InputError if the layer is locked, not in memory, of another shape,
    or cannot hold the ids.
    """
    existing = layer.data
    if not isinstance(existing, np.ndarray):
        raise InputError(
            f'{layer.name!r} is not in memory, so not editable; choose '
            "another layer for 'Put into', or a new layer"
        )
    if not layer.editable:
        raise InputError(
            f'{layer.name!r} is locked (not editable); unlock it, or choose '
            'a new layer'
        )
    if existing.shape not in (target.shape, target.plane_shape):
        raise InputError(
            f'{layer.name!r} has shape {existing.shape}, the target '
            f'{target.shape}; choose labels of the target, or a new layer'
        )
    if existing.dtype == bool:
        return
    limits = np.iinfo(existing.dtype)
    for number in ids:
        if not limits.min <= number <= limits.max:
            raise InputError(
                f'{layer.name!r} holds ids from {limits.min} to {limits.max} '
                f'({existing.dtype}), the mask has {number}; choose a new '
                'layer'
            )


def add_into(
    layer: Any, product: Product, target: Grid, threshold: float = 0.0
) -> Written:
    """Write carried labels into an existing layer, as one step of undo.

    ``layer`` (napari.layers.Labels): layer on the target's grid. Where the
    carried labels are 0 it stays as it is; with `preserve_labels` it also
    stays where it has a label.
    ``product``: carried labels, on a plane of `target` or all of it.
    Returns: ids and number of pixels.
    Raises InputError see :func:`check_into`.
    """
    data = product.data
    if product.full is not None:
        data = hide_unsure(
            data, Warped(product.full, product.correspondences, threshold)
        )
    check_into(layer, target, id_range(data))
    existing = layer.data
    flat = existing.ndim == 2
    if flat and data.size != existing.size:
        raise InputError(
            f'{layer.name!r} has shape {existing.shape}, the carried labels '
            f'{data.shape}; choose a new layer'
        )
    protect = bool(layer.preserve_labels)
    offset = (0, 0) if flat else _offset(product.grid, target)
    if flat:
        data = data.reshape(existing.shape)

    def pieces() -> Iterator[tuple[Indices, NDArray[Any]]]:
        # Blocks of the first axis keep the indices of large images small.
        step = max(1, len(data) // max(1, data.size // 4_000_000))
        for start in range(0, len(data), step):
            block = data[start : start + step]
            at = np.nonzero(block)
            where = tuple(
                axis + first
                for axis, first in zip(
                    at, (offset[0] + start, *offset[1:]), strict=True
                )
            )
            values = block[at]
            if protect:
                free = existing[where] == 0
                where = tuple(axis[free] for axis in where)
                values = values[free]
            yield where, values.astype(existing.dtype)

    return write_labels(layer, pieces())


def id_range(labels: NDArray[Any]) -> tuple[int, int]:
    """Smallest and largest id of labels; 0 and 0 where there are none."""
    if not labels.size:
        return 0, 0
    return int(labels.min()), int(labels.max())


def _offset(grid: Grid, target: Grid) -> Index:
    """Index of a grid's first plane in the target."""
    if grid.shape == target.shape:
        return (0,) * len(target.shape)
    origin = grid.to_world()[:-1, -1]
    return tuple(int(v) for v in np.round(target.from_world(origin[None])[0]))
