"""Images whose channels stand between their planes and rows.

napari aligns layers by their last axes: labels of planes, rows and columns
would lie along the channels of an image of planes, channels, rows, columns,
as ImageJ orders them.
"""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np

from napari_samnet.plugin.model.grids import grid_of


def put_channels_first(layer: Any, axis: int) -> None:
    """Turn the axes of an image so that its channels come first.

    No pixel changes or is copied.

    ``layer`` (napari.layers.Image): not RGB. ``axis``: that of the channels.
    """
    grid = grid_of(layer)
    order = [axis, *(n for n in range(len(grid.shape)) if n != axis)]
    turned = grid.in_order(order)
    limits = layer.contrast_limits
    if layer.multiscale:
        layer.data = [_turned(level, order) for level in layer.data]
    else:
        layer.data = _turned(layer.data, order)
    for name, value in turned.spatial.items():
        setattr(layer, name, value)
    layer.contrast_limits = limits


def _turned(data: Any, order: list[int]) -> Any:
    if isinstance(data, np.ndarray):
        return data.transpose(order)
    # What is on disk is not read for it.
    lazy = data if isinstance(data, da.Array) else da.from_array(data)
    return lazy.transpose(order)
