"""A button that does what a refusal names as the next step."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_samnet.plugin.model.remedies import Remedy
from napari_samnet.plugin.widgets.fields import tooltip


class RemedyButton(QPushButton):
    """Shown while there is something that it can do."""

    #: It was pressed: list of Remedy, all of one kind.
    asked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._offered: list[Remedy] = []
        self.clicked.connect(self._on_clicked)
        self.offer([])

    def offer(self, remedies: Sequence[Remedy]) -> None:
        """Offer the remedies of the first kind there is.

        ``remedies``: next steps of what was refused; none hides the button.
        """
        kinds = [remedy.kind for remedy in remedies]
        self._offered = [
            remedy for remedy in remedies if remedy.kind == kinds[0]
        ]
        if self._offered:
            self.setText(kinds[0])
            self.setToolTip(tooltip(self._offered[0].tip))
        self.setVisible(bool(self._offered))

    def _on_clicked(self) -> None:
        self.asked.emit(list(self._offered))
