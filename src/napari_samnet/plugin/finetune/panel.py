"""The view of 'Fine-tune on my images': every field, and no behavior."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_samnet.plugin.finetune.picker import ImagePicker
from napari_samnet.plugin.widgets.convergence import Curve
from napari_samnet.plugin.widgets.fields import (
    FieldPlan,
    OptionFields,
    tooltip,
)
from napari_samnet.plugin.widgets.parts import (
    Fold,
    Footer,
    Scroll,
    align,
    form,
    label,
    row,
    stacked,
)
from napari_samnet.training.options import (
    FINE_TUNING_DEFAULTS,
    TRAINING_CHOICES,
    TRAINING_LIMITS,
    option_names,
)

#: Names on the screen.
LABELS = {
    'start': 'Start from',
    'matcher_steps': 'Steps on warps',
    'category_steps': 'Steps on pairs',
    'size': 'Detail (px)',
    'device': 'Device',
    'pairs': 'Warped pairs',
    'iterations': 'Iterations',
    'matcher_batch': 'Warps per step',
    'matcher_rate': 'Rate on warps',
    'category_images': 'Images for pairs',
    'category_batch': 'Pairs per step',
    'category_rate': 'Rate on pairs',
    'loss': 'Loss of pairs',
    'decoder_steps': 'Decoder steps',
    'decoder_batch': 'Crops per step',
    'decoder_rate': 'Decoder rate',
    'crop': 'Crop',
    'precision': 'Precision',
    'seed': 'Seed',
}

#: What to expect, and what not: measured on other images of a collection.
HOPE = (
    'Other frames of a mouse were matched a little better by this, and much '
    'better by points on 20 images: napari-samnet train --points'
)

#: What everybody sees; the rest is folded away.
_SEEN = ('start', 'matcher_steps', 'category_steps', 'size', 'device')
#: For networks that are made from nothing, and for files of keypoints.
_UNSEEN = (
    'backbone_weights',
    'light_weights',
    'preprocessing',
    'validation',
    'validation_root',
    'feature_steps',
    'feature_images',
    'feature_warps',
    'feature_channels',
    'feature_objects',
    'objects_root',
    'feature_start',
    'feature_context',
    'feature_context_layers',
    'feature_blocks',
    'feature_batch',
    'feature_rate',
    'matcher_start',
    'matcher_objects',
    'keypoints',
    'keypoints_root',
    'confidence_pairs',
    'network',
)
MAIN = tuple(name for name in _SEEN if name in option_names())
ADVANCED = tuple(
    name for name in option_names() if name not in (*MAIN, *_UNSEEN)
)

PLAN = FieldPlan(
    defaults=FINE_TUNING_DEFAULTS,
    names=(*MAIN, *ADVANCED),
    labels=LABELS,
    limits=TRAINING_LIMITS,
    choices=TRAINING_CHOICES,
    steps={
        'matcher_steps': 50,
        'category_steps': 10,
        'decoder_steps': 50,
        'size': 32,
        'crop': 16,
        'pairs': 16,
        'matcher_rate': 1e-4,
        'category_rate': 1e-5,
        'decoder_rate': 1e-4,
    },
    weights='start',
)


class FineTunePanel(QWidget):
    """All widgets of the dock."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(14)
        self.images = ImagePicker(viewer)
        for part in (
            self._make_images(),
            self._make_options(),
            self._make_view(),
        ):
            layout.addWidget(part)
        layout.addStretch(1)
        self.scroll = Scroll(body)
        self.advanced.toggled.connect(self.scroll.updateGeometry)
        self.footer = Footer(
            'Fine-tune',
            'Adapt the network to the images (Ctrl+Return).',
            'Stop after this step and keep what is learnt. It can go on '
            'later.',
        )
        # In sight whatever is scrolled.
        self.footer.layout().addWidget(self.use)
        outer = stacked(self, spacing=0)
        outer.addWidget(self.scroll, 1)
        outer.addWidget(self.footer)

    def _make_images(self) -> QWidget:
        box = QWidget()
        layout = stacked(box, spacing=4)
        layout.addWidget(
            label(
                'Images that show something alike',
                'Nothing has to be annotated: the network learns from the '
                'images alone.',
            )
        )
        layout.addWidget(self.images)
        self.hope = QLabel(HOPE)
        self.hope.setWordWrap(True)
        layout.addWidget(self.hope)
        return box

    def _make_options(self) -> QWidget:
        box = QWidget()
        layout = stacked(box, spacing=8)
        self.name = QComboBox()
        self.name.setEditable(True)
        self.name.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.name.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.name.setMinimumContentsLength(8)
        tip = (
            'How the network will be called in the weights chooser. The list '
            'shows runs that were stopped and can go on.'
        )
        self.name.setToolTip(tooltip(tip))
        self.name.setAccessibleName('Save as')
        self.over = QPushButton('Start over')
        self.over.setToolTip(
            tooltip('Forget this run, its steps and its checkpoint.')
        )
        self.so_far = QLabel()
        self.unfinished = row(self.so_far, self.over)
        self.unfinished.setVisible(False)
        self.options = OptionFields(self, PLAN)
        rows = form()
        rows.addRow(label('Save as', tip), self.name)
        rows.addRow(self.unfinished)
        self.options.add_to(rows, MAIN)
        self.rows = rows
        layout.addLayout(rows)
        self.advanced = Fold('Advanced')
        inner = form(self.advanced.body)
        inner.setContentsMargins(12, 0, 0, 0)
        self.options.add_to(inner, ADVANCED)
        self.reset = QPushButton('Reset defaults')
        self.reset.setToolTip(tooltip('Set every field above to its default.'))
        inner.addRow(self.reset)
        layout.addWidget(self.advanced)
        self.estimate = QLabel()
        self.estimate.setWordWrap(True)
        layout.addWidget(self.estimate)
        self.options_box = box
        return box

    def _make_view(self) -> QWidget:
        self.view = QWidget()
        layout = stacked(self.view, spacing=6)
        self.loss = Curve('Loss')
        self.loss.setToolTip(
            tooltip('Loss that training reduces, smoothed over steps.')
        )
        self.error = Curve('Held-out error', ' px', beside='before')
        self.error.setToolTip(
            tooltip(
                'Mean error on pairs that are not trained on, in pixels of '
                'the shrunk images. The dashed line is the error before.'
            )
        )
        self.use = QPushButton('Use in Semantic transfer')
        self.use.setToolTip(
            tooltip('Choose the new weights in the other widget.')
        )
        self.use.setVisible(False)
        layout.addWidget(self.loss)
        layout.addWidget(self.error)
        self.view.setVisible(False)
        return self.view

    def showEvent(self, event: Any) -> None:
        """Line up the fields once the theme has set the fonts."""
        super().showEvent(event)
        align(self.rows)
        self.scroll.updateGeometry()

    def show_unfinished(self, text: str) -> None:
        """Show that a run goes on, whose options are fixed; '' for none."""
        self.so_far.setText(text)
        self.unfinished.setVisible(bool(text))
        self.footer.run.setText('Go on' if text else 'Fine-tune')
        for name in self.options:
            self.options.native(name).setEnabled(not text)
        self.reset.setEnabled(not text)

    def reset_fields(self) -> None:
        """Set every option to its default."""
        self.options.show(
            {name: getattr(PLAN.defaults, name) for name in PLAN.names}
        )
