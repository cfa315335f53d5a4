"""A list of annotated images, with buttons below it."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Signal
from qtpy.QtWidgets import (
    QListWidget,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.plugin.widgets.tables import button_row

#: Height of the list in lines.
_LINES = 4


class ReferenceList(QWidget):
    """Names of annotated images; what they are is kept elsewhere."""

    #: References are to be taken away: their places in the list.
    removed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.names = QListWidget()
        self.names.setAccessibleName('Annotated images')
        self.names.setSelectionMode(
            QListWidget.SelectionMode.ExtendedSelection
        )
        line = self.names.fontMetrics().lineSpacing() + 4
        self.names.setFixedHeight(_LINES * line + 6)
        self.names.setMinimumWidth(QSize(90, 0).width())
        self.add = QPushButton('Add source')
        self.files = QPushButton('Files…')
        self.remove = QPushButton('Remove')
        self.run = QPushButton('Carry labels of all')
        self.run.setToolTip(
            tooltip(
                'Carry the labels of all of them to the target that is shown. '
                'Those of the same id become one.'
            )
        )
        buttons = button_row(
            {
                self.add: 'Add the source with its labels. Of a stack, every '
                'plane that has labels counts.',
                self.files: 'Add an image file and a file of its labels.',
                self.remove: 'Take the selected ones out of the list.',
            }
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.names)
        layout.addLayout(buttons)
        layout.addWidget(self.run)
        self.remove.clicked.connect(self._on_remove)
        self.show_names([], possible=False)

    def show_names(self, names: Sequence[str], *, possible: bool) -> None:
        """Show the references.

        ``possible``: whether there is a target that they can be carried to.
        """
        shown = [self.names.item(n) for n in range(self.names.count())]
        if [item.text() for item in shown if item] != list(names):
            self.names.clear()
            for name in names:
                self.names.addItem(name)
                item = self.names.item(self.names.count() - 1)
                if item is not None:
                    item.setToolTip(tooltip(name))
        self.remove.setEnabled(bool(names))
        self.run.setEnabled(bool(names) and possible)

    def _on_remove(self) -> None:
        chosen = {index.row() for index in self.names.selectedIndexes()}
        if chosen:
            self.removed.emit(sorted(chosen))
