"""A button that adds further layers of a match by one click."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from qtpy.QtWidgets import QMenu, QToolButton, QWidget

from napari_samnet.plugin.model.capture import kind_of
from napari_samnet.plugin.model.request import OUTPUTS
from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.plugin.widgets.parts import add_action


class AddMenu(QToolButton):
    """Offers what can be made of the match that is there."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # Room for the arrow that the theme draws over the text.
        self.setText('Add now   ')
        self.setToolTip(
            tooltip(
                'Add one of these, or an annotation, from the match that is '
                'there. Nothing is matched anew.'
            )
        )
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.choices = QMenu(self)
        self.setMenu(self.choices)

    def connect_to(
        self,
        add: Callable[[str], None],
        carry: Callable[[Any], None],
        annotations: Callable[[], Sequence[Any]],
    ) -> None:
        """Say what the menu does."""
        self._add, self._carry = add, carry
        self._annotations = annotations
        self.choices.aboutToShow.connect(self._fill)

    def _fill(self) -> None:
        """Name what there is at this moment."""
        menu = self.choices
        menu.clear()
        for name, (text, tip) in OUTPUTS.items():
            if name == 'labels':
                continue
            action = add_action(menu, text, partial(self._add, name))
            action.setToolTip(tip)
        layers = self._annotations()
        if layers:
            menu.addSeparator()
        for layer in layers:
            text = f'{kind_of(layer).capitalize()} {layer.name!r}'
            add_action(menu, text, partial(self._carry, layer))
