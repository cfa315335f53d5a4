"""What the tables and lists of the docks have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QListWidgetItem,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
)

from napari_samnet.plugin.widgets.fields import tooltip

Item = TypeVar('Item', QListWidgetItem, QTableWidgetItem)


class Table(QTableWidget):
    """Lines below heads; they can be selected, not edited.

    ``heads``: tooltip of each column by the text of its head.
    ``name``: what screen readers say.
    ``lines``: how many are seen without scrolling.
    ``wide``: columns that share the room that the others leave.
    """

    def __init__(
        self,
        heads: Mapping[str, str],
        name: str,
        *,
        lines: int,
        wide: Collection[int],
    ) -> None:
        super().__init__(0, len(heads))
        self.setAccessibleName(name)
        self.setHorizontalHeaderLabels(list(heads))
        columns, rows = self.horizontalHeader(), self.verticalHeader()
        modes = QHeaderView.ResizeMode
        for column, tip in enumerate(heads.values()):
            self.horizontalHeaderItem(column).setToolTip(tooltip(tip))
            columns.setSectionResizeMode(
                column,
                modes.Stretch if column in wide else modes.ResizeToContents,
            )
        rows.setVisible(False)
        self.setSelectionBehavior(
            QAbstractItemView.SelectionBehavior.SelectRows
        )
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        line = max(rows.minimumSectionSize(), self.fontMetrics().height() + 6)
        rows.setDefaultSectionSize(line)
        # Napari's dark theme draws boxes in the color of what is behind them.
        self.setStyleSheet('::indicator:unchecked { border: 1px solid gray }')
        # Themes make the heads a little higher.
        frame = 2 * self.frameWidth() + line // 2
        self.setFixedHeight(columns.sizeHint().height() + lines * line + frame)


def selectable(item: Item, checked: bool | None = None) -> Item:
    """Let a cell or line be selected, not edited.

    ``checked``: state of the box before the text; no box if None.
    """
    flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
    if checked is not None:
        flags |= Qt.ItemFlag.ItemIsUserCheckable
        item.setCheckState(
            Qt.CheckState.Checked if checked else Qt.CheckState.Unchecked
        )
    item.setFlags(flags)
    return item


def is_checked(item: QListWidgetItem | QTableWidgetItem) -> bool:
    """Whether the box of a cell or line is checked."""
    return bool(item.checkState() == Qt.CheckState.Checked)


def button_row(tips: Mapping[QPushButton, str]) -> QHBoxLayout:
    """Buttons beside each other that give way in a narrow dock.

    ``tips``: what each of them does.
    """
    layout = QHBoxLayout()
    layout.setSpacing(4)
    for button, tip in tips.items():
        button.setToolTip(tooltip(tip))
        button.setMinimumWidth(40)
        layout.addWidget(button, 1)
    return layout
