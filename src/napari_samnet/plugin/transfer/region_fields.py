"""Fields for the part of the images that is matched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Shapes
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QComboBox, QFormLayout

from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.widgets.choosers import LayerChooser
from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.plugin.widgets.parts import label

#: Images that it is of.
IMAGES = ('source', 'target', 'both')

#: Whether a region is left out, and of which image; and the texts.
USES: dict[tuple[bool, str], str] = {
    (leave_out, image): f'{what}, in {image}'
    for image in IMAGES
    for leave_out, what in ((False, 'match only'), (True, 'leave out'))
}


class RegionFields:
    """A chooser of shapes, what is done with them, and in which image.

    ``rows``: where the fields go.
    """

    def __init__(self, viewer: Any, rows: QFormLayout) -> None:
        tip = (
            'Shapes that enclose the only part to match, or one to leave '
            'out, such as damage or a second animal. What is left out has a '
            'confidence of 0.'
        )
        self._rows = rows
        self.layer = LayerChooser(viewer, _is_shapes, none='all')
        self.layer.set_help(tip)
        self.layer.setAccessibleName('Region')
        self.layer.setMinimumWidth(90)
        self.use = QComboBox()
        self.use.addItems(list(USES.values()))
        self.use.setAccessibleName('What is done with the region')
        self.use.setToolTip(tooltip(tip))
        self.use.setMinimumWidth(90)
        rows.addRow(label('Region', tip), self.layer)
        rows.addRow('', self.use)
        self.show()

    def connect_to(self, changed: Callable[..., Any]) -> None:
        """Call something after each change by the user."""
        self.layer.chosen.connect(changed)
        self.use.activated.connect(changed)

    def show(self, *, one_image: bool = False) -> None:
        """Show the fields while there is something to choose.

        ``one_image``: labels go through the source, there is no target.
        """
        chosen = self.layer.layer is not None
        there = bool(self.layer.layers)
        model = self.use.model()
        assert isinstance(model, QStandardItemModel)
        for number, (_, image) in enumerate(USES):
            model.item(number).setEnabled(image == 'source' or not one_image)
        self._rows.setRowVisible(self.layer, there)
        self._rows.setRowVisible(self.use, there and chosen)

    @property
    def leave_out(self) -> bool:
        """Whether the region is left out."""
        return self._chosen[0]

    @property
    def images(self) -> tuple[str, ...]:
        """Images that it is of: 'source', 'target' or both."""
        image = self._chosen[1]
        return IMAGES[:2] if image == 'both' else (image,)

    @property
    def _chosen(self) -> tuple[bool, str]:
        return list(USES)[self.use.currentIndex()]

    def exchange(self) -> None:
        """Let the region follow its image, where the two were swapped."""
        leave_out, image = self._chosen
        if image in IMAGES[:2]:
            other = IMAGES[1 - IMAGES.index(image)]
            self.choose(leave_out=leave_out, image=other)

    def choose(self, *, leave_out: bool, image: str) -> None:
        """Set what is done with the region, and in which image.

        ``leave_out``: whether it is left out; else it is all that is matched.
        """
        self.use.setCurrentIndex(list(USES).index((leave_out, image)))


def _is_shapes(layer: Any) -> bool:
    return isinstance(layer, Shapes) and not about_layer(layer)
