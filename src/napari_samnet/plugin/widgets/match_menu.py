"""A button for the match as a whole: its files, and what it is applied to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from qtpy.QtWidgets import QMenu, QPushButton, QWidget

from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.plugin.widgets.parts import add_action


class MatchMenu(QPushButton):
    """Opens, saves, inverts and applies the match."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setText('Open, save, apply')
        self.setToolTip(
            tooltip(
                'Open a match that was saved, save or export this one, '
                'invert it, or apply it to another channel, map, layer or '
                'file on the grid of the source.'
            )
        )
        self.choices = QMenu(self)
        self.choices.setToolTipsVisible(True)
        self.setMenu(self.choices)

    def connect_to(
        self,
        actions: Sequence[tuple[str, str, Callable[[], None]]],
        layers: Callable[[], Sequence[Any]],
        apply: Callable[[Any], None],
        has_match: Callable[[], bool],
    ) -> None:
        """Say what the menu does.

        ``actions``: text, tooltip and what it does; the first one is always
        possible. ``layers``: gives the layers that it can be applied to.
        """
        self._actions, self._layers = actions, layers
        self._apply, self._has_match = apply, has_match
        self.choices.aboutToShow.connect(self._fill)

    def _fill(self) -> None:
        """Name what there is at this moment."""
        menu, possible = self.choices, self._has_match()
        menu.clear()
        for place, (text, tip, act) in enumerate(self._actions):
            action = add_action(menu, text, act)
            action.setToolTip(tip)
            action.setEnabled(possible or not place)
        layers = self._layers() if possible else []
        if layers:
            menu.addSeparator()
        for layer in layers:
            text = f"Apply to '{layer.name}'"
            add_action(menu, text, partial(self._apply, layer))
