"""A table of landmarks, with what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QPushButton, QTableWidgetItem, QWidget

from napari_samnet.plugin.widgets.parts import stacked
from napari_samnet.plugin.widgets.tables import (
    Table,
    button_row,
    is_checked,
    selectable,
)

_HEADS = {
    '#': 'Number of the pair; unchecked, it is not used.',
    'Source': 'Row and column in the source.',
    'Target': 'Row and column in the target.',
    'Off by': 'How far the match without landmarks was from the target '
    'point, in pixels of the target. A cross: the field would fold, so this '
    'pair is not met.',
}

#: Rows that are seen without scrolling.
_ROWS = 5


@dataclass(frozen=True)
class PairRow:
    """One line of the table."""

    #: Number of the pair.
    number: int
    #: ``source``, ``target``: row and column in the two images.
    source: tuple[float, float]
    target: tuple[float, float]
    #: Whether it is used.
    active: bool
    #: Distance of the match from it in pixels; None if there is no match.
    error: float | None = None
    #: Whether the field meets it.
    met: bool = True


class PairTable(QWidget):
    """Landmarks in a table, and buttons below it."""

    #: A pair was switched on or off: number, state.
    switched = Signal(int, bool)
    #: Pairs are to be taken away: list of numbers.
    removed = Signal(object)
    #: A pair is to be shown: number.
    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(
            _HEADS, 'Landmarks', lines=_ROWS, wide=range(1, len(_HEADS))
        )
        self.table.itemChanged.connect(self._on_changed)
        self.table.itemDoubleClicked.connect(self._on_double)
        self.table.installEventFilter(self)
        self.remove = QPushButton('Remove')
        self.undo = QPushButton('Undo')
        self.load = QPushButton('Load…')
        self.save = QPushButton('Save…')
        buttons = button_row(
            {
                self.remove: 'Take the selected pairs away (Delete).',
                self.undo: 'Take back the last change of the landmarks.',
                self.load: 'Read pairs of a CSV file of ours or of BigWarp, '
                'or the two files of points that affinder works on.',
                self.save: 'Write the pairs as CSV; a name that ends in '
                'bigwarp.csv is written as BigWarp does.',
            }
        )
        layout = stacked(self, spacing=4)
        layout.addWidget(self.table)
        layout.addLayout(buttons)
        self.remove.clicked.connect(self._on_remove)
        self.show_rows([], can_undo=False)

    def show_rows(self, rows: Sequence[PairRow], *, can_undo: bool) -> None:
        """Show pairs."""
        table = self.table
        chosen = set(self.selected)
        with QSignalBlocker(table):
            table.setRowCount(len(rows))
            for place, row in enumerate(rows):
                error = '' if row.error is None else f'{row.error:.1f}'
                if row.active and not row.met:
                    error = f'{error} ✕'.strip()
                texts = [
                    str(row.number),
                    '{:.0f}, {:.0f}'.format(*row.source),
                    '{:.0f}, {:.0f}'.format(*row.target),
                    error,
                ]
                for column, text in enumerate(texts):
                    checked = row.active if column == 0 else None
                    item = selectable(QTableWidgetItem(text), checked)
                    table.setItem(place, column, item)
            table.clearSelection()
            for place, row in enumerate(rows):
                if row.number in chosen:
                    for column in range(len(_HEADS)):
                        item = table.item(place, column)
                        if item is not None:
                            item.setSelected(True)
        self.remove.setEnabled(bool(rows))
        self.save.setEnabled(bool(rows))
        self.undo.setEnabled(can_undo)

    @property
    def selected(self) -> list[int]:
        """Numbers of the selected pairs."""
        places = sorted(
            {index.row() for index in self.table.selectedIndexes()}
        )
        return [self._number(place) for place in places]

    def _number(self, place: int) -> int:
        item = self.table.item(place, 0)
        return 0 if item is None else int(item.text())

    def _on_changed(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            self.switched.emit(int(item.text()), is_checked(item))

    def _on_double(self, item: QTableWidgetItem) -> None:
        self.chosen.emit(self._number(item.row()))

    def _on_remove(self) -> None:
        if self.selected:
            self.removed.emit(self.selected)

    def eventFilter(
        self, watched: QObject | None, event: QEvent | None
    ) -> bool:
        """Let the Delete key take the selected pairs away."""
        if (
            watched is self.table
            and isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)
        ):
            self._on_remove()
            return True
        return False
