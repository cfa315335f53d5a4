"""Choosing the images to fine-tune on: layers with a tick, or a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QToolButton,
    QWidget,
)

from napari_samnet.errors import InputError
from napari_samnet.plugin.finetune.images import (
    LEAST,
    FolderImages,
    LayerImages,
    TrainingSource,
)
from napari_samnet.plugin.model.capture import METADATA, stack_of
from napari_samnet.plugin.widgets.choosers import unwrapped
from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.plugin.widgets.parts import row, stacked
from napari_samnet.plugin.widgets.tables import is_checked, selectable

#: Rows of the list that show at least and at most.
ROWS = (3, 7)
WAYS = ('Layers', 'A folder')


class ImagePicker(QWidget):
    """Layers with a tick, or a folder."""

    #: Other images are chosen.
    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._layers: list[Any] = []
        self._chosen: list[Any] = []
        self._folder: FolderImages | None = None
        self._text = ''
        self.way = QComboBox()
        self.way.addItems(WAYS)
        self.way.setToolTip(tooltip('Where the images come from.'))
        self.way.setAccessibleName('Images from')
        self.list = QListWidget()
        self.list.setToolTip(
            tooltip(
                'Every plane of the ticked layers is an image to learn from.'
            )
        )
        self.list.setAccessibleName('Layers to learn from')
        self.path = QLineEdit()
        self.path.setReadOnly(True)
        self.path.setPlaceholderText('no folder chosen')
        self.browse = QToolButton()
        self.browse.setText('…')
        self.browse.setToolTip(
            tooltip('Choose a folder; the images of its subfolders count too.')
        )
        self.browse.setAccessibleName('Choose a folder')
        self.files = row(self.path, self.browse)
        self.count = QLabel()
        layout = stacked(self, spacing=4)
        for part in (self.way, self.list, self.files, self.count):
            layout.addWidget(part)
        self.way.currentIndexChanged.connect(self._on_way)
        self.list.itemChanged.connect(self._on_ticked)
        self.browse.clicked.connect(self._choose_folder)
        self._prefer_selected()
        self.refresh()

    def source(self) -> TrainingSource:
        """The chosen images.

        Raises InputError if they are too few.
        """
        if self.way.currentIndex() == 1:
            if self._folder is None:
                raise InputError(
                    'Choose a folder of images that show something alike'
                )
            return self._folder
        images = LayerImages(tuple(map(stack_of, self._chosen)))
        if images.count < LEAST:
            raise InputError(
                'Open or tick at least two images that show something alike'
            )
        return images

    @property
    def suggestion(self) -> str:
        """What the network may be called."""
        if self.way.currentIndex() == 1 and self._folder is not None:
            return self._folder.path.name
        return str(self._chosen[0].name) if len(self._chosen) == 1 else ''

    def choose(self, layers: Iterable[Any]) -> None:
        """Tick these layers and no others.

        Raises InputError if one is not.
        """
        chosen = [unwrapped(layer) for layer in layers]
        self.refresh()
        for layer in chosen:
            if layer not in self._layers:
                raise InputError(f'{layer!r} is no image of the viewer')
        self._chosen = [x for x in self._layers if x in chosen]
        self.way.setCurrentIndex(0)
        self.refresh()

    def choose_folder(self, path: Path) -> None:
        """Take the images of a folder.

        Raises InputError if there is no such folder, or there are too few
        images in it.
        """
        folder = FolderImages(path)
        folder.check()
        self._folder = folder
        self._text = folder.describe()
        self.path.setText(str(path))
        self.path.setToolTip(str(path))
        self.way.setCurrentIndex(1)
        self.refresh()

    def refresh(self) -> None:
        """Follow the viewer's layers and their names, and say so."""
        self.refresh_quietly()
        self.changed.emit()

    def refresh_quietly(self) -> None:
        """Follow the viewer's layers and their names."""
        layers = [unwrapped(x) for x in self._viewer.layers]
        images = [x for x in layers if isinstance(x, Image)]
        fresh = [x for x in images if x not in self._layers]
        self._chosen = [x for x in self._chosen if x in images]
        # Results show what is known already.
        self._chosen += [
            x
            for x in fresh
            if METADATA not in x.metadata and x not in self._chosen
        ]
        self._layers = images
        self._chosen.sort(key=images.index)
        self._fill()

    def _prefer_selected(self) -> None:
        """Of several selected images take these; else all there are."""
        selected = {unwrapped(x) for x in self._viewer.layers.selection}
        images = [
            x
            for x in map(unwrapped, self._viewer.layers)
            if isinstance(x, Image)
        ]
        chosen = [x for x in images if x in selected]
        if len(chosen) > 1:
            self._layers, self._chosen = images, chosen

    def _fill(self) -> None:
        by_folder = self.way.currentIndex() == 1
        self.list.setVisible(not by_folder)
        self.files.setVisible(by_folder)
        with QSignalBlocker(self.list):
            self._list_layers()
        low, high = ROWS
        rows = min(max(len(self._layers), low), high)
        height = max(
            self.list.sizeHintForRow(0), self.list.fontMetrics().height() + 4
        )
        self.list.setFixedHeight(
            rows * height + 2 * self.list.frameWidth() + 4
        )
        self._count()

    def _list_layers(self) -> None:
        self.list.clear()
        for layer in self._layers:
            count = LayerImages((stack_of(layer),)).count
            planes = f' ({count} planes)' if count > 1 else ''
            self.list.addItem(
                selectable(
                    QListWidgetItem(f'{layer.name}{planes}'),
                    layer in self._chosen,
                )
            )

    def _count(self) -> None:
        if self.way.currentIndex() == 1:
            text = self._text
        elif self._chosen:
            text = LayerImages(tuple(map(stack_of, self._chosen))).describe()
        else:
            text = 'no image' if self._layers else 'no image is open'
        self.count.setText(text)

    def _on_way(self, index: int) -> None:  # noqa: ARG002
        self._fill()
        self.changed.emit()

    def _on_ticked(self, item: Any) -> None:  # noqa: ARG002
        self._chosen = [
            layer
            for number, layer in enumerate(self._layers)
            if is_checked(self.list.item(number))
        ]
        self._count()
        self.changed.emit()

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(
            self, 'Images to learn from', self.path.text()
        )
        if not path:
            return
        try:
            self.choose_folder(Path(path))
        except InputError as error:
            self._folder, self._text = None, str(error)
            self.path.setText('')
            self.refresh()
