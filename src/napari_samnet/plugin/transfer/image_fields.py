"""The first fields of the dock: images, labels and planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari.layers import Image, Labels
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QPushButton,
    QToolButton,
    QWidget,
)

from napari_samnet.plugin.layers.reopened import is_result
from napari_samnet.plugin.model.remedies import BESIDE
from napari_samnet.plugin.model.request import MODES
from napari_samnet.plugin.transfer.ids import IdsField
from napari_samnet.plugin.transfer.region_fields import RegionFields
from napari_samnet.plugin.widgets.choosers import LayerChooser, PairChoosers
from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.plugin.widgets.parts import Checks, form, label, row
from napari_samnet.plugin.widgets.plane_table import PlaneTable

_CHANNELS = (
    'Which axis of the image, or which layers, are its channels; other '
    'leading axes are planes.'
)


def _is_image(layer: Any) -> bool:
    return isinstance(layer, Image)


def _is_labels(layer: Any) -> bool:
    return isinstance(layer, Labels)


class ImageFields:
    """What is matched: a part of the panel, which owns the widgets."""

    _viewer: Any
    outputs: Checks

    def _make_images(self) -> QWidget:
        box = QWidget()
        rows = form(box)
        self.source, self.target = (
            LayerChooser(self._viewer, _is_image, is_made=self._is_result)
            for _ in range(2)
        )
        self.pair = PairChoosers(self.source, self.target)
        self.labels = LayerChooser(self._viewer, _is_labels, none='none')
        self.swap = QToolButton()
        self.swap.setText('⇅')
        self.swap.setAccessibleName('Swap source and target')
        self.swap.setToolTip(tooltip('Swap source and target.'))
        self.swap.clicked.connect(self.pair.swap)
        self.beside = QPushButton()
        self.ids = IdsField()
        self.channels = {'source': QComboBox(), 'target': QComboBox()}
        for name, combo in self.channels.items():
            combo.setToolTip(tooltip(_CHANNELS))
            combo.setAccessibleName(f'Channels of the {name}')
        self.mode = QComboBox()
        for number, (text, tip) in enumerate(MODES.values()):
            self.mode.addItem(text)
            self.mode.setItemData(
                number, tooltip(tip), Qt.ItemDataRole.ToolTipRole
            )
        self.axis = QComboBox()
        self.axis.setToolTip(tooltip('Axis to propagate along.'))
        texts = {
            'source': 'The image that is annotated.',
            'target': 'The image that shows something alike.',
            'labels': "Labels of the source; they land on the target's grid.",
            'planes': 'What is matched where the images are stacks.',
        }
        for name, widget in (
            ('source', self.source),
            ('target', row(self.target, self.swap)),
            ('labels', self.labels),
            ('planes', self.mode),
        ):
            made = label(name.capitalize(), texts[name])
            if name == 'planes':
                self.mode.setToolTip(tooltip(texts[name]))
            else:
                chooser = getattr(self, name)
                chooser.set_help(texts[name])
                chooser.setAccessibleName(name.capitalize())
            rows.addRow(made, widget)
            if name in self.channels:
                channels = self.channels[name]
                rows.addRow(label('· channels', _CHANNELS), channels)
            if name == 'target':
                rows.addRow(self.beside)
            if name == 'labels':
                rows.addRow(label('· carry'), self.ids)
                self.region = RegionFields(self._viewer, rows)
        rows.addRow(label('Along'), self.axis)
        self.direction = QComboBox()
        for text, way in (
            ('Both ways', 'both'),
            ('Forwards', 'forwards'),
            ('Backwards', 'backwards'),
        ):
            self.direction.addItem(text, way)
        self.direction.setToolTip(
            tooltip('Whether labels go to later planes, to earlier, or both.')
        )
        self.go_on = QPushButton('Go on from here')
        self.go_on.setToolTip(
            tooltip(
                'After a correction: propagate again from the plane that is '
                'shown, in this direction. Annotated and corrected planes '
                'stay.'
            )
        )
        self.direction.setMinimumWidth(90)
        rows.addRow(label('Direction'), self.direction)
        rows.addRow('', self.go_on)
        self.series = PlaneTable()
        #: Whether there is a propagated result to go on from.
        self.series_offered = False
        #: Whether labels go through the planes of one stack.
        self.propagating = False
        rows.addRow(self.series)
        self.image_rows = rows
        for chooser in (self.source, self.target, self.labels, self.mode):
            chooser.setMinimumWidth(90)
        return box

    def _is_result(self, layer: Any) -> bool:
        return is_result(layer, self._viewer.layers)

    def show_planes(self, *, has_planes: bool, mode: str) -> None:
        """Show what only stacks need."""
        rows = self.image_rows
        rows.setRowVisible(self.mode, has_planes)
        self.propagating = propagating = mode == 'propagate'
        self.region.show(one_image=propagating)
        rows.setRowVisible(self.axis, propagating and self.axis.count() > 1)
        for widget in (self.direction, self.go_on):
            rows.setRowVisible(widget, propagating)
        self.target.setEnabled(not propagating)
        self.swap.setEnabled(not propagating)
        self.outputs.setEnabled(not propagating)

    def show_series(self, *, offered: bool) -> None:
        """Show the planes of a propagated result."""
        self.series_offered = offered
        self.image_rows.setRowVisible(self.series, offered)

    def show_channels(
        self, name: str, choices: Mapping[int | str, str], chosen: int | str
    ) -> None:
        """Offer the channels that an image can have.

        ``name``: which image: 'source' or 'target'. ``choices``: text by
        choice; with one there is nothing to choose.
        """
        combo = self.channels[name]
        with QSignalBlocker(combo):
            combo.clear()
            combo.addItems(list(choices.values()))
            if chosen in choices:
                combo.setCurrentIndex(list(choices).index(chosen))
        self.image_rows.setRowVisible(combo, len(choices) > 1)

    def show_beside(self, *, offered: bool, back: bool) -> None:
        """Offer to lay the images side by side, or to put the target back.

        ``back``: whether the target was laid beside the source before.
        """
        self.image_rows.setRowVisible(self.beside, offered)
        self.beside.setText('Lay back' if back else BESIDE)
        self.beside.setToolTip(
            tooltip(
                'Move the target, and what lies on it, back to where it was.'
                if back
                else 'The images cover each other: move the target, and what '
                'lies on it, to the right of the source.'
            )
        )

    def show_axes(self, names: Sequence[str]) -> None:
        """Offer the leading axes of an image to propagate along."""
        kept = self.axis.currentIndex()
        self.axis.clear()
        self.axis.addItems(list(names))
        self.axis.setCurrentIndex(min(max(kept, 0), len(names) - 1))

    @property
    def axis_names(self) -> list[str]:
        """Labels of the axes that are offered."""
        return [self.axis.itemText(n) for n in range(self.axis.count())]
