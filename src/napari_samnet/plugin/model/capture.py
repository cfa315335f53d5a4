"""What a run needs of the layers, read once on the GUI thread.

The worker must not touch layers: they may be renamed, edited or removed
while it runs. A :class:`Stack` is an image layer as the worker sees it; data
on disk is read there, one plane at a time.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.plugin.model.grids import Grid, Index, grid_of

__all__ = ['Stack', 'data_of', 'is_loaded', 'kind_of', 'stack_of']


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
    channels : int, optional
        Leading axis of `data` that holds channels rather than planes; the
        grid is without it.
    parts : sequence of array-like
        Data of layers that are its channels, instead of `data` alone.
    whole : Grid, optional
        Grid of the layer with the axis of its channels.
    """

    name: str
    uid: Hashable
    data: Any
    rgb: bool
    grid: Grid
    display: Mapping[str, Any] = field(default_factory=dict)
    channels: int | None = None
    parts: Sequence[Any] = ()
    whole: Grid | None = None

    @property
    def channel_axis(self) -> int | None:
        """Axis of the colors or channels in a plane."""
        several = self.channels is not None or bool(self.parts)
        return 2 if self.rgb or several else None

    def plane(self, index: Index) -> NDArray[Any]:
        """Read one plane into memory, channels last if it has any."""
        if self.parts:
            return np.stack([np.asarray(x[index]) for x in self.parts], -1)
        if self.channels is None:
            return np.asarray(self.data[index])
        axis = self.channels
        where = (*index[:axis], slice(None), *index[axis:])
        return np.moveaxis(np.asarray(self.data[where]), 0, -1)

    def as_layer(
        self, data: NDArray[Any], grid: Grid
    ) -> tuple[NDArray[Any], Grid, dict[str, Any]]:
        """Lay out an image with the channels of this one as a layer.

        Parameters
        ----------
        data : ndarray
            Leading axes, rows, columns and, where there are any, channels.
        grid : Grid
            Where it lies, without channels.

        Returns
        -------
        data : ndarray
            With the channels where napari wants them.
        grid : Grid
            The same with channels.
        keywords : dict
            Style of the layer.
        """
        if self.rgb or self.channel_axis is None:
            return data, grid, {**self.display, 'rgb': self.rgb}
        whole = self.whole or self.grid
        axis = self.channels or 0
        count = data.shape[-1]
        return (
            np.moveaxis(data, -1, -3),
            grid.with_channels(count, whole, axis),
            {'rgb': False},
        )


def kind_of(layer: Any) -> str:
    """Type of a layer, as napari writes it: 'labels', 'points', ..."""
    return type(getattr(layer, '__wrapped__', layer)).__name__.lower()


def data_of(layer: Any) -> Any:
    """Data of a layer, at full resolution if it has several."""
    return layer.data[0] if getattr(layer, 'multiscale', False) else layer.data


def is_loaded(data: Any) -> bool:
    """Whether the values are in memory, so that looking at them is free."""
    return isinstance(data, np.ndarray) and not isinstance(data, np.memmap)


def stack_of(
    layer: Any, *, channel_axis: int | None = None, parts: Sequence[Any] = ()
) -> Stack:
    """Read an image layer.

    Parameters
    ----------
    layer : napari.layers.Image
        Layer of the viewer that is meant.
    channel_axis : int, optional
        Leading axis that holds channels. By default leading axes hold
        planes.
    parts : sequence of napari.layers.Image
        Layers that are its channels, itself among them, as napari makes them
        of an image that is added with `channel_axis`.

    Returns
    -------
    Stack
        The layer's data and place; nothing is copied or loaded.
    """
    shown = ('colormap', 'contrast_limits', 'gamma')
    several = channel_axis is not None or bool(parts)
    plain = layer.rgb or several
    grid = grid_of(layer)
    return Stack(
        name=layer.name,
        uid=layer.unique_id,
        data=data_of(layer),
        rgb=layer.rgb,
        grid=grid if channel_axis is None else grid.without(channel_axis),
        display={} if plain else {n: getattr(layer, n) for n in shown},
        channels=channel_axis,
        parts=tuple(data_of(part) for part in parts),
        whole=_channel_grid(grid) if parts else grid,
    )


def _channel_grid(grid: Grid) -> Grid:
    """A grid whose first axis can stand for channels."""
    axis = {**grid.spatial, 'scale': np.ones(len(grid.shape))}
    axis['translate'] = np.zeros(len(grid.shape))
    axis['axis_labels'] = ('channel',) * len(grid.shape)
    return Grid(grid.shape, axis)
