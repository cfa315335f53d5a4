"""Fields for the part of the images that is matched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Shapes
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.widgets.choosers import LayerChooser
from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.plugin.widgets.parts import label, row

__all__ = ['RegionFields']

#: Texts of what is done with the region, and whether it is left out.
USES = {'match only': False, 'leave out': True}

#: Images that it is of.
IMAGES = ('source', 'target', 'both')


class RegionFields:
    """A chooser of shapes, what is done with them, and in which image.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers can be chosen.
    rows : QFormLayout
        Where the fields go.
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
        self.layer.setMinimumWidth(90)
        self.use, self.image = QComboBox(), QComboBox()
        self.use.addItems(list(USES))
        self.use.setAccessibleName('What is done with the region')
        self.use.setToolTip(tooltip(tip))
        self.image.addItems(
            [f'in {"the " * (n < 2)}{x}' for n, x in enumerate(IMAGES)]
        )
        self.image.setAccessibleName('Image that the region is of')
        self.image.setToolTip(tooltip('Image that the region is of.'))
        for combo in (self.use, self.image):
            # Two of them must fit into a narrow dock.
            combo.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            combo.setMinimumContentsLength(4)
            combo.setMinimumWidth(70)
        self._choices: QWidget = row(self.use, self.image)
        rows.addRow(label('Region', tip), self.layer)
        rows.addRow('', self._choices)
        self.show(offered=False)

    def connect_to(self, changed: Callable[..., Any]) -> None:
        """Call something after each change by the user."""
        self.layer.chosen.connect(changed)
        self.use.activated.connect(changed)
        self.image.activated.connect(changed)

    def show(self, *, offered: bool) -> None:
        """Show the fields while there is something to choose.

        Parameters
        ----------
        offered : bool
            Whether a region counts in this mode.
        """
        chosen = self.layer.layer is not None
        there = offered and bool(self.layer.layers)
        self._rows.setRowVisible(self.layer, there)
        self._rows.setRowVisible(self._choices, there and chosen)

    @property
    def leave_out(self) -> bool:
        """Whether the region is left out."""
        return list(USES.values())[self.use.currentIndex()]

    @property
    def images(self) -> tuple[str, ...]:
        """Images that it is of: 'source', 'target' or both."""
        chosen = IMAGES[self.image.currentIndex()]
        return ('source', 'target') if chosen == 'both' else (chosen,)

    def choose(self, *, leave_out: bool, image: str) -> None:
        """Set what is done with the region, and in which image.

        Parameters
        ----------
        leave_out : bool
            Whether it is left out; else it is all that is matched.
        image : {'source', 'target', 'both'}
            Image that it is of.
        """
        self.use.setCurrentIndex(int(leave_out))
        self.image.setCurrentIndex(IMAGES.index(image))


def _is_shapes(layer: Any) -> bool:
    return isinstance(layer, Shapes) and not about_layer(layer)
