"""Which labels are carried: all, the selected one, or a list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from operator import index
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QWidget

from napari_samnet.errors import InputError
from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.plugin.widgets.parts import stacked

#: A list that is longer than this is a slip of the keyboard.
MOST_IDS = 100_000

CHOICES = {
    'all': 'all labels',
    'selected': 'the selected label',
    'listed': 'these labels:',
}


def parse_ids(text: str) -> frozenset[int]:
    """Read ids as people write them.

    ``text``: numbers and ranges, such as ``'1, 3, 7-9'``; they may be
    negative, as in ``'-3, -2-4'``. Raises InputError if it is anything else.
    """
    ids: set[int] = set()
    for part in re.split(r'[,;\s]+', text.strip()):
        match = re.fullmatch(r'(-?\d+)(?:[-–](-?\d+))?', part)
        if match is None:
            raise InputError(
                'list the labels to carry as numbers and ranges, such as '
                f'1, 3, 7-9; got {text!r}'
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 <= last - first < MOST_IDS:
            raise InputError(f'{part} is no range of labels')
        ids.update(range(first, last + 1))
    return frozenset(ids - {0})


class IdsField(QWidget):
    """A choice of labels, and a line for their list."""

    #: The choice has changed.
    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = QComboBox()
        self.combo.addItems(list(CHOICES.values()))
        self.combo.setAccessibleName('Labels to carry')
        self.combo.setToolTip(
            tooltip(
                'Carry all labels, only the one that is selected in its '
                'layer, or a list. Others in a result stay as they are.'
            )
        )
        self.line = QLineEdit()
        self.line.setPlaceholderText('1, 3, 7-9')
        self.line.setAccessibleName('List of labels')
        self.line.setVisible(False)
        layout = stacked(self, spacing=4)
        layout.addWidget(self.combo)
        layout.addWidget(self.line)
        self.combo.currentIndexChanged.connect(self._on_index)
        self.line.textChanged.connect(self.changed)

    @property
    def choice(self) -> str:
        """One of 'all', 'selected' and 'listed'."""
        return list(CHOICES)[self.combo.currentIndex()]

    def choose(self, ids: str | Iterable[int] | None) -> None:
        """Set the choice.

        ``ids``: a list, the selected label of a layer, or all.
        """
        if ids is None or isinstance(ids, str):
            if ids not in (None, 'all', 'selected'):
                raise InputError(
                    f"ids must be whole numbers, 'selected' or None, got "
                    f'{ids!r}'
                )
            self.combo.setCurrentIndex(int(ids == 'selected'))
            return
        try:
            numbers = [index(number) for number in ids]
        except TypeError:
            raise InputError(
                f"ids must be whole numbers, 'selected' or None, got {ids!r}"
            ) from None
        self.line.setText(', '.join(map(str, numbers)))
        self.combo.setCurrentIndex(2)

    def of(self, layer: Any) -> frozenset[int] | None:
        """Ids of a layer that are carried.

        Returns: None for all of them. Raises InputError if the list cannot be
        read.
        """
        if self.choice == 'all':
            return None
        if self.choice == 'selected':
            return frozenset({int(layer.selected_label)})
        return parse_ids(self.line.text())

    def _on_index(self, place: int) -> None:
        self.line.setVisible(place == 2)
        self.changed.emit()
