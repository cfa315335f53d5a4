"""How the target is turned: chosen from a list, or written."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QWidget

#: What can be chosen, and what it means. Other angles are written.
ORIENTATIONS = {
    'auto': 'Find out',
    'upright': 'As it is',
    '90': 'A quarter turn against the clock',
    '180': 'Upside down',
    '270': 'A quarter turn with the clock',
    'mirror': 'Left and right exchanged',
    '90 mirror': 'Left and right exchanged, then a quarter turn',
    '180 mirror': 'Left and right exchanged, then upside down',
    '270 mirror': 'Left and right exchanged, then three quarter turns',
}


class OrientationField(QComboBox):
    """A list of the usual orientations, with room for any angle.

    ``value``: what it says at first.
    """

    changed = Signal(str)

    def __init__(self, value: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        # It would make 180 of somebody's 1 who is about to write 15.
        self.setCompleter(None)
        for row, (name, text) in enumerate(ORIENTATIONS.items()):
            self.addItem(name)
            self.setItemData(row, text, Qt.ItemDataRole.ToolTipRole)
        self.value = value
        self.editTextChanged.connect(self.changed)

    def setAccessibleName(self, name: str) -> None:
        """Name the part that is written in as well."""
        super().setAccessibleName(name)
        self.lineEdit().setAccessibleName(name)

    @property
    def value(self) -> str:
        """What it says, possible or not."""
        return self.currentText()

    @value.setter
    def value(self, text: str) -> None:
        self.setCurrentText(text)
