"""A table of the planes of a series, with how each turned out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QTableWidgetItem

from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.plugin.widgets.tables import Table, is_checked, selectable

_HEADS = {
    'Lock plane': 'Checked planes are locked: no run changes them.',
    'State': 'How it turned out. Click to go there.',
    'Quality': 'Share of the annotated labels that is found again when the '
    'labels of the plane are carried back.',
}

#: Rows that are seen without scrolling.
_ROWS = 6


@dataclass(frozen=True)
class PlaneRow:
    """One line of the table."""

    #: Place of the plane on the axis.
    place: int
    #: How it turned out.
    text: str
    #: Red, green and blue of its sign.
    color: tuple[int, int, int]
    #: From 0 to 1; None where nothing was carried.
    quality: float | None = None
    #: Why, in a sentence.
    tip: str = ''
    #: Whether runs leave it alone.
    locked: bool = False


class PlaneTable(Table):
    """Planes in order; a click goes to one."""

    #: A plane is to be shown: its place.
    chosen = Signal(int)
    #: A plane was locked or freed: place, state.
    locked = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__(
            _HEADS, 'Planes of the series', lines=_ROWS, wide=(1,)
        )
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._rows: tuple[PlaneRow, ...] = ()
        self.itemChanged.connect(self._on_changed)
        self.itemSelectionChanged.connect(self._on_selected)

    @property
    def rows(self) -> tuple[PlaneRow, ...]:
        """What is shown."""
        return self._rows

    def show_rows(self, rows: Sequence[PlaneRow]) -> None:
        """Show the planes of a series.

        ``rows``: all of them, in order. Nothing is done if they are shown
        already.
        """
        if tuple(rows) == self._rows:
            return
        self._rows = tuple(rows)
        with QSignalBlocker(self):
            self.setRowCount(len(rows))
            for number, row in enumerate(rows):
                quality = '' if row.quality is None else f'{row.quality:.2f}'
                for column, text in enumerate(
                    (str(row.place), f'\u25cf {row.text}', quality)
                ):
                    checked = row.locked if column == 0 else None
                    item = selectable(QTableWidgetItem(text), checked)
                    if column == 1:
                        item.setForeground(QColor(*row.color))
                    if row.tip:
                        item.setToolTip(tooltip(row.tip))
                    self.setItem(number, column, item)

    def mark(self, place: int) -> None:
        """Select the plane that is shown, without going there."""
        numbers = [n for n, row in enumerate(self._rows) if row.place == place]
        with QSignalBlocker(self):
            self.clearSelection()
            if numbers:
                self.selectRow(numbers[0])

    def _on_changed(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            row = self._rows[item.row()]
            self.locked.emit(row.place, is_checked(item))

    def _on_selected(self) -> None:
        chosen = {index.row() for index in self.selectedIndexes()}
        if len(chosen) == 1:
            self.chosen.emit(self._rows[chosen.pop()].place)
