"""The view: every field, button and line, and no behavior.

Top to bottom as one works: the images, how to match, what to add; then masks
to drop and ways to judge the match. The footer stays in sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_samnet.options import visible_defaults
from napari_samnet.plugin.layers.arrows import ARROW_LIMIT, COLORS
from napari_samnet.plugin.layers.preview import MODES as PREVIEWS
from napari_samnet.plugin.model.grids import grid_of
from napari_samnet.plugin.model.request import OUTPUTS
from napari_samnet.plugin.model.resampled import same_pixels
from napari_samnet.plugin.transfer.add_menu import AddMenu
from napari_samnet.plugin.transfer.image_fields import ImageFields
from napari_samnet.plugin.widgets.choosers import LayerChooser
from napari_samnet.plugin.widgets.convergence import ConvergencePlot, Picture
from napari_samnet.plugin.widgets.dropzone import DropZone
from napari_samnet.plugin.widgets.fields import (
    ADVANCED,
    MAIN,
    OptionFields,
    tooltip,
)
from napari_samnet.plugin.widgets.match_menu import MatchMenu
from napari_samnet.plugin.widgets.pair_table import PairRow, PairTable
from napari_samnet.plugin.widgets.parts import (
    Checks,
    Fold,
    Footer,
    Scroll,
    align,
    form,
    label,
    name_fields,
    row,
    stacked,
)
from napari_samnet.plugin.widgets.reference_list import ReferenceList
from napari_samnet.plugin.widgets.remedy_button import RemedyButton

DEFAULT_OUTPUTS = ('flow', 'labels', 'transferred')
DEFAULT_ARROWS = 400


class Panel(ImageFields, QWidget):
    """All widgets of the dock."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(14)
        for part in (
            self._make_images(),
            self._make_options(),
            self._make_masks(),
            self._make_references(),
            self._make_judging(),
            self._make_view(),
        ):
            layout.addWidget(part)
        layout.addStretch(1)
        self.scroll = Scroll(body)
        self._watching = False
        self.scroll.verticalScrollBar().rangeChanged.connect(self._on_range)
        for fold in (self.advanced, self.several, self.judging):
            fold.toggled.connect(self.scroll.updateGeometry)
        outer = stacked(self, spacing=0)
        outer.addWidget(self.scroll, 1)
        outer.addWidget(self._make_footer())

    def _make_options(self) -> QWidget:
        box = QWidget()
        layout = stacked(box, spacing=8)
        self.options = OptionFields(self)
        rows = form()
        self.option_rows = rows
        self.options.add_to(rows, MAIN)
        layout.addLayout(rows)
        self.add = AddMenu()
        title = label('Add to the viewer')
        layout.addWidget(row(title, self.add))
        self.outputs = Checks(OUTPUTS, DEFAULT_OUTPUTS)
        layout.addWidget(self.outputs)
        self.advanced = Fold('Advanced')
        inner = form(self.advanced.body)
        # In a narrow dock, fields go below labels that are long.
        inner.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        inner.setContentsMargins(12, 0, 0, 0)
        self.options.add_to(inner, ADVANCED)
        self.color = QComboBox()
        self.color.addItems([name.capitalize() for name in COLORS])
        self.arrows = QSpinBox()
        self.arrows.setRange(16, ARROW_LIMIT)
        self.arrows.setSingleStep(100)
        self.arrows.setValue(DEFAULT_ARROWS)
        self.live = QCheckBox('Show progress as a picture')
        self.live.setChecked(True)
        self.reset = QPushButton('Reset defaults')
        tips = {
            'color': 'What the color of the arrows shows.',
            'arrows': 'Largest number of arrows.',
            'live': 'Show transferred image and field while they converge.',
            'reset': (
                'Set every field of this dock to its default, but for the '
                'layers.'
            ),
        }
        for name, tip in tips.items():
            getattr(self, name).setToolTip(tooltip(tip))
        inner.addRow(label('Arrow color', tips['color']), self.color)
        inner.addRow(label('Arrows', tips['arrows']), self.arrows)
        inner.addRow(self.live)
        inner.addRow(self.reset)
        layout.addWidget(self.advanced)
        return box

    def _make_masks(self) -> QWidget:
        box = QWidget()
        layout = stacked(box, spacing=6)
        self.drop = DropZone(self._viewer)
        self.drop_remedy = RemedyButton()
        # A new drop replaces the refusal that the button was for.
        self.drop.cleared.connect(partial(self.drop_remedy.offer, []))
        self.into = LayerChooser(
            self._viewer, self._fits_target, none='a new layer'
        )
        self.into.setAccessibleName('Put into')
        self.into.set_help(
            'Where carried labels go: a layer of their own, or into '
            'labels of the target that are there already. Ctrl+Z undoes '
            'what was written into labels; a new layer can be removed.'
        )
        self.confidence_slider = QSlider(Qt.Orientation.Horizontal)
        self.confidence_slider.setRange(0, 100)
        self.confidence_slider.setAccessibleName('Smallest confidence')
        self.confidence_text = QLabel('0 %')
        self.confidence_text.setMinimumWidth(
            self.confidence_text.fontMetrics().horizontalAdvance('100 %')
        )
        self.confidence_text.setAlignment(
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        )
        self.confidence_slider.setToolTip(
            tooltip(
                'Hide warped labels where the match is less sure than this. '
                'Acts on the selected warped layer, or on the latest.'
            )
        )
        self.restore = QPushButton('Restore points or shapes')
        self.restore.setToolTip(
            tooltip(
                'Exchange the carried points or shapes with those of the run '
                'before; napari has no undo for them.'
            )
        )
        self.restore.setVisible(False)
        rows = form()
        rows.addRow(label('Put into'), self.into)
        rows.addRow(
            label('Hide unsure', 'Smallest confidence of warped labels.'),
            row(self.confidence_slider, self.confidence_text),
        )
        self.mask_rows = rows
        layout.addWidget(self.drop)
        layout.addWidget(self.drop_remedy)
        layout.addLayout(rows)
        layout.addWidget(self.restore)
        return box

    def _fits_target(self, layer: Any) -> bool:
        """Whether carried labels can go into a layer."""
        # The target chooser is made first, but filled later.
        source, target = self.source.layer, self.target.layer
        if target is None or not isinstance(layer, Labels):
            return False
        if not same_pixels(grid_of(layer), grid_of(target)):
            return False
        # Where the images cover each other, labels lie on both of them.
        carried = layer is self.labels.layer and source is not None
        return not (carried and same_pixels(grid_of(layer), grid_of(source)))

    def _make_references(self) -> QWidget:
        self.several = Fold('Several annotated images')
        layout = QVBoxLayout(self.several.body)
        layout.setContentsMargins(0, 0, 0, 0)
        self.references = ReferenceList()
        layout.addWidget(self.references)
        return self.several

    def _make_judging(self) -> QWidget:
        self.judging = Fold('Judge and correct the match')
        rows = form(self.judging.body)
        rows.setContentsMargins(12, 0, 0, 0)
        self.preview = QComboBox()
        self.preview.addItems(list(PREVIEWS.values()))
        self.preview.setToolTip(
            tooltip('Lay the warped target over the source.')
        )
        self.amount = QSlider(Qt.Orientation.Horizontal)
        self.amount.setRange(0, 100)
        self.amount.setValue(50)
        self.amount.setToolTip(
            tooltip('Share of the target, or fineness of the tiles.')
        )
        self.asking = QCheckBox('Click to ask')
        self.asking.setToolTip(
            tooltip(
                'A click in one image marks the matching point in the other. '
                'Drag a point to where it belongs, or Shift and click there, '
                'and the match bends to the pair.'
            )
        )
        self.landmarks = PairTable()
        self.match_file = MatchMenu()
        rows.addRow(label('Match'), self.match_file)
        rows.addRow(label('Warp preview'), self.preview)
        rows.addRow(label('Mix'), self.amount)
        rows.addRow(self.asking)
        self.landmark_title = label('Landmarks')
        rows.addRow(self.landmark_title)
        rows.addRow(self.landmarks)
        return self.judging

    def _make_view(self) -> QWidget:
        self.view = QWidget()
        layout = stacked(self.view, spacing=6)
        self.picture = Picture()
        self.picture.setToolTip(
            tooltip('Transferred image and field, so far.')
        )
        self.plot = ConvergencePlot()
        layout.addWidget(self.picture)
        layout.addWidget(self.plot)
        self.view.setVisible(False)
        return self.view

    def watch(self, on: bool) -> None:
        """Bring picture and plot into sight where they need room, or not."""
        self._watching = on
        if on:
            self.view.setVisible(True)

    def _on_range(self, low: int, high: int) -> None:  # noqa: ARG002
        if self._watching:
            self.scroll.verticalScrollBar().setValue(high)

    def showEvent(self, event: Any) -> None:
        """Line up the fields once the theme has set the fonts."""
        super().showEvent(event)
        name_fields(*self.findChildren(QFormLayout))
        align(self.image_rows, self.option_rows, self.mask_rows)

    @property
    def choosers(self) -> tuple[LayerChooser, ...]:
        """All choosers of layers."""
        return (
            self.source,
            self.target,
            self.labels,
            self.into,
            self.region.layer,
        )

    def show_landmarks(
        self, rows: Sequence[PairRow], *, can_undo: bool, possible: bool
    ) -> None:
        """Show the landmarks of the planes that are shown."""
        self.landmarks.setEnabled(possible)
        self.landmarks.show_rows(rows, can_undo=can_undo)
        self.landmark_title.setText(
            f'Landmarks: {len(rows)}' if rows else 'Landmarks: none yet'
        )

    def follow_options(self) -> None:
        """Offer only what the parameters allow."""
        attributes = self.options.values['attributes']
        self.outputs.boxes['transferred'].setEnabled(attributes)

    def reset_fields(self) -> None:
        """Set every field that is no layer to its default."""
        self.options.show(visible_defaults())
        self.outputs.set(DEFAULT_OUTPUTS)
        self.color.setCurrentIndex(0)
        self.arrows.setValue(DEFAULT_ARROWS)
        self.live.setChecked(True)
        self.mode.setCurrentIndex(0)
        self.confidence_slider.setValue(0)
        self.ids.choose(None)
        self.region.choose(leave_out=False, image='source')

    def _make_footer(self) -> QWidget:
        self.footer = Footer(
            'Run',
            'Match the images (Ctrl+Return).',
            'Stop after this iteration and keep what is done.',
        )
        self.run, self.cancel = self.footer.run, self.footer.cancel
        self.bar, self.message = self.footer.bar, self.footer.message
        return self.footer
