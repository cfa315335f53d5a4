"""Choosers of layers that never point to the wrong one.

A chooser keeps the layer, not its name or its place in the list: it stays
put when layers are renamed, reordered or added, and says so once when its
own is removed.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)


def unwrapped(layer: Any) -> Any:
    """The layer itself, where napari handed out a proxy of it."""
    return getattr(layer, '__wrapped__', layer)


class LayerChooser(QComboBox):
    """A combo box of the viewer's layers of some kind.

    ``none``: text of a first choice that is no layer. Without it the first
    layer is chosen where there is one.
    ``is_made``: takes a layer, tells whether it was made by us; those are not
    chosen by themselves.
    """

    #: The chosen layer has changed: layer or None.
    chosen = Signal(object)

    def __init__(
        self,
        viewer: Any,
        accepts: Callable[[Any], bool],
        *,
        none: str | None = None,
        is_made: Callable[[Any], bool] = lambda _: False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._accepts = accepts
        self._none = none
        # Kept here rather than as item data, which Qt would copy.
        self._layers: list[Any] = []
        self._layer: Any = None
        #: Layers that are not chosen unless the user does so.
        self.avoids: Callable[[], Any] = lambda: None
        self._is_made = is_made
        # Long names must not widen the dock.
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.setMinimumContentsLength(8)
        self.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed
        )
        # Names that begin alike differ at their end.
        self.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._help = ''
        self.activated.connect(self._on_activated)
        self.refresh()

    def set_help(self, text: str) -> None:
        """Set what the tooltip says below the name of the layer.

        ``text``: help for a person, as text without markup.
        """
        self._help = text
        self._show()

    def paintEvent(self, event: Any) -> None:  # noqa: ARG002
        """Draw the name with its middle left out where it is too long."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        control = QStyle.ComplexControl.CC_ComboBox
        room = self.style().subControlRect(
            control, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, room.width() - 4
        )
        painter.drawComplexControl(control, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()

    @property
    def layer(self) -> Any:
        """The chosen layer, or None."""
        return self._layer

    @property
    def layers(self) -> tuple[Any, ...]:
        """The layers to choose from."""
        return tuple(x for x in self._layers if x is not None)

    def choose(self, layer: Any) -> None:
        """Choose a layer.

        ``layer`` (napari layer or None): one of :attr:`layers`, or None where
        that is a choice. Raises ValueError if it is not.
        """
        layer = unwrapped(layer)
        self._fill()
        if layer not in self._layers:
            raise ValueError(f'{layer!r} cannot be chosen here')
        self._set(layer)

    def refresh(self) -> None:
        """Follow the viewer's layers and their names."""
        self._fill()
        if self._layer not in self._layers:
            self.fall_back()
        else:
            self._show()

    def fall_back(self) -> None:
        """Choose the first layer of the user that is free, or none."""
        avoided = self.avoids()
        free = [
            layer
            for layer in self._layers
            if layer is None
            or (layer is not avoided and not self._is_made(layer))
        ]
        self._set(free[0] if free else None)

    def _fill(self) -> None:
        layers = [unwrapped(x) for x in self._viewer.layers]
        self._layers = [x for x in layers if self._accepts(x)]
        if self._none is not None:
            self._layers.insert(0, None)
        with QSignalBlocker(self):
            self.clear()
            for layer in self._layers:
                name = self._none if layer is None else layer.name
                self.addItem(name)
                row = self.count() - 1
                self.setItemData(row, name, Qt.ItemDataRole.ToolTipRole)

    def _show(self) -> None:
        with QSignalBlocker(self):
            known = self._layer in self._layers
            place = self._layers.index(self._layer) if known else -1
            self.setCurrentIndex(place)
        texts = [self.currentText(), self._help]
        self.setToolTip(
            ''.join(f'<p>{html.escape(text)}</p>' for text in texts if text)
        )

    def _set(self, layer: Any) -> None:
        changed = layer is not self._layer
        self._layer = layer
        self._show()
        if changed:
            self.chosen.emit(layer)

    def _on_activated(self, index: int) -> None:
        self._set(self._layers[index])


class PairChoosers:
    """Two choosers that never hold the same layer.

    Choosing in one what the other holds swaps them; the first choice is the
    user's selection.

    ``first``, ``second``: the two layers or choosers of the pair.
    """

    def __init__(self, first: LayerChooser, second: LayerChooser) -> None:
        self._first, self._second = first, second
        first.avoids = lambda: second.layer
        second.avoids = lambda: first.layer
        self._held = (first.layer, None)
        first.chosen.connect(self._on_first)
        second.chosen.connect(self._on_second)
        second.fall_back()

    def prefer(self, layers: Sequence[Any]) -> None:
        """Choose from some layers first, as the user's selection.

        ``layers``: preferred layers; the first becomes the first, and so on.
        """
        held = (self._first.layer, self._second.layer)
        known = self._first.layers
        wanted = [x for x in known if x in layers]
        wanted += [x for x in held if x is not None]
        wanted = list(dict.fromkeys([*wanted, *known]))
        if len(wanted) > 1:
            self._hold(wanted[0], wanted[1])

    def swap(self) -> None:
        """Exchange the two layers."""
        first, second = self._first.layer, self._second.layer
        if first is not None and second is not None:
            self._hold(second, first)

    def _hold(self, first: Any, second: Any) -> None:
        self._first.choose(first)
        self._second.choose(second)

    def _on_first(self, layer: Any) -> None:
        self._complete_swap(self._second, layer, self._held[0])

    def _on_second(self, layer: Any) -> None:
        self._complete_swap(self._first, layer, self._held[1])

    def _complete_swap(
        self, other: LayerChooser, layer: Any, before: Any
    ) -> None:
        """Give the other chooser what this one held, if it lost its own."""
        if layer is not None and layer is other.layer:
            if before in other.layers and before is not layer:
                other.choose(before)
            else:
                other.fall_back()
        self._held = (self._first.layer, self._second.layer)
