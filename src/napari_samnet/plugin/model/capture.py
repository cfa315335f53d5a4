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
from napari_samnet.plugin.model.resampled import ResampledLabels

#: Where our part of a layer's metadata is.
METADATA = 'napari-samnet'


@dataclass(frozen=True)
class Stack:
    """An image layer, as the worker sees it."""

    #: The layer's name when the run started.
    name: str
    #: Identifies the layer, whatever its name becomes.
    uid: Hashable
    #: Leading axes, rows, columns and, with `rgb`, channels.
    data: Any
    #: Whether the last axis holds colors.
    rgb: bool
    #: Where the planes live.
    grid: Grid
    #: How the layer shows its values.
    display: Mapping[str, Any] = field(default_factory=dict)
    #: Leading axis of `data` that holds channels rather than planes; the grid
    #: is without it.
    channels: int | None = None
    #: Data of layers that are its channels, instead of `data` alone.
    parts: Sequence[Any] = ()
    #: Grid of the layer with the axis of its channels.
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

        ``data``: leading axes, rows, columns and, where there are any,
        channels.
        ``grid``: where it lies, without channels.
        Returns: ``data``: with the channels where napari wants them; ``grid``:
        the same with channels; ``keywords``: style of the layer.
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
    if isinstance(data, ResampledLabels):
        data = data.data
    return isinstance(data, np.ndarray) and not isinstance(data, np.memmap)


def stack_of(
    layer: Any, *, channel_axis: int | None = None, parts: Sequence[Any] = ()
) -> Stack:
    """Read an image layer.

    ``channel_axis``: leading axis that holds channels. By default leading axes
    hold planes.
    ``parts``: layers that are its channels, itself among them, as napari makes
    them of an image that is added with `channel_axis`.
    Returns: the layer's data and place; nothing is copied or loaded.
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
