"""What a run needs of the layers, read once on the GUI thread.

The worker must not touch layers: they may be renamed, edited or removed
while it runs. A :class:`Stack` is an image layer as the worker sees it; data
on disk is read there, one plane at a time.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.plugin.model.grids import Grid, Index, grid_of

__all__ = ['Stack', 'data_of', 'is_loaded', 'stack_of']


@dataclass(frozen=True)
class Stack:
    """An image layer, as the worker sees it.

    Parameters
    ----------
    name : str
        The layer's name when the run started.
    uid : hashable
        Identifies the layer, whatever its name becomes.
    data : array-like
        Leading axes, rows, columns and, with `rgb`, channels.
    rgb : bool
        Whether the last axis holds colors.
    grid : Grid
        Where the planes live.
    display : mapping
        How the layer shows its values.
    """

    name: str
    uid: Hashable
    data: Any
    rgb: bool
    grid: Grid
    display: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channel_axis(self) -> int | None:
        """Axis of the colors in a plane."""
        return 2 if self.rgb else None

    def plane(self, index: Index) -> NDArray[Any]:
        """Read one plane into memory."""
        return np.asarray(self.data[index])


def data_of(layer: Any) -> Any:
    """Data of a layer, at full resolution if it has several."""
    return layer.data[0] if getattr(layer, 'multiscale', False) else layer.data


def is_loaded(data: Any) -> bool:
    """Whether the values are in memory, so that looking at them is free."""
    return isinstance(data, np.ndarray) and not isinstance(data, np.memmap)


def stack_of(layer: Any) -> Stack:
    """Read an image layer.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.

    Returns
    -------
    Stack
        The layer's data and place; nothing is copied or loaded.
    """
    shown = ('colormap', 'contrast_limits', 'gamma')
    display = {} if layer.rgb else {n: getattr(layer, n) for n in shown}
    return Stack(
        name=layer.name,
        uid=layer.unique_id,
        data=data_of(layer),
        rgb=layer.rgb,
        grid=grid_of(layer),
        display=display,
    )
