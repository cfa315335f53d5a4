"""Keeps the first fields true: channels, axes, and side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_samnet.plugin.layers.arrange import SideBySide, overlap
from napari_samnet.plugin.transfer.inputs import Inputs
from napari_samnet.plugin.transfer.panel import Panel


class ImagesShown(QObject):
    """Offers what the two chosen images allow.

    ``panel``: where the fields are.
    """

    #: Channels of an image were declared: the layer.
    changed = Signal(object)

    def __init__(
        self, panel: Panel, inputs: Inputs, side_by_side: SideBySide
    ) -> None:
        super().__init__(panel)
        self._panel = panel
        self._inputs = inputs
        self._side_by_side = side_by_side
        for name, combo in panel.channels.items():
            combo.activated.connect(partial(self._on_channels, name))

    def refresh(self) -> None:
        """Bring the fields up to date with the images."""
        self._show_channels()
        self._show_beside()

    def _layers(self) -> dict[str, Any]:
        panel = self._panel
        return {'source': panel.source.layer, 'target': panel.target.layer}

    def _show_channels(self) -> None:
        """Offer channels and axes of the two images."""
        channels, panel = self._inputs.channels, self._panel
        for name, layer in self._layers().items():
            choices = {} if layer is None else channels.choices(layer)
            chosen = 'planes' if layer is None else channels.chosen(layer)
            panel.show_channels(name, choices, chosen)
        names: Sequence[str] = ()
        source = panel.source.layer
        if source is not None:
            grid = self._inputs.stack(source).grid
            labels = grid.spatial['axis_labels'][: len(grid.leading)]
            names = [str(label) for label in labels]
        if list(names) != panel.axis_names:
            panel.show_axes(names)

    def _on_channels(self, name: str, index: int) -> None:
        layer = self._layers()[name]
        choices = list(self._inputs.channels.choices(layer))
        self._inputs.channels.choose(layer, choices[index])
        self.changed.emit(layer)

    def _show_beside(self) -> None:
        """Offer to lay two images that cover each other side by side."""
        source, target = self._layers().values()
        moved = self._side_by_side.is_beside(target)
        pair = source is not None and target is not None
        covered = pair and not moved and overlap(source, target)
        propagating = self._inputs.mode == 'propagate'
        self._panel.show_beside(
            offered=not propagating and (moved or covered), back=moved
        )
