"""Fields of a widget, made from a class of parameters.

Default, limits, choices and tooltip of each come from
:class:`~napari_samnet.options.MatchOptions` or another such class, so
that widgets, the command line and the API cannot drift apart.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    FloatSpinBox,
    LineEdit,
    SpinBox,
)
from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QToolButton,
    QWidget,
)

from napari_samnet.errors import no_such
from napari_samnet.options import (
    CHOICES,
    DEFAULTS,
    LIMITS,
    SIZE_STEP,
    parameter_text,
    visible_options,
)
from napari_samnet.plugin.widgets.orientation_field import OrientationField
from napari_samnet.runtime.weights import available_weights

#: Names on the screen. A parameter without one shows its own name.
LABELS = {
    'window': 'Search window',
    'iterations': 'Iterations',
    'size': 'Detail (px)',
    'device': 'Device',
    'weights': 'Weights',
    'precision': 'Precision',
    'backend': 'Backend',
    'attributes': 'Transfer appearance',
    'evidence': 'Evidence from all places',
    'outlines': 'Outlines at edges',
    'init': 'Starting field',
    'motions': 'Motions',
    'alikeness': 'Alikeness of neighbors',
    'orientation': 'Orientation',
    'fine': 'Down to the pixel',
    'confidence': 'Confidence',
    'candidates': 'Likelier matches',
    'coarse_iterations': 'Coarse iterations',
    'feedback': 'Feedback',
    'lambda_max': 'Share of the look',
    'skip': 'Share of the source',
    'tolerance': 'Tolerance (px)',
}

#: What everybody sees; what experts turn is folded away.
MAIN = ('size', 'orientation', 'device')
ADVANCED = tuple(name for name in visible_options() if name not in MAIN)


@dataclass(frozen=True)
class FieldPlan:
    """What fields are made from."""

    #: Gives default and, by its class's docstring, the text of each.
    defaults: Any
    #: Which parameters, in which order.
    names: tuple[str, ...]
    #: Names on the screen.
    labels: Mapping[str, str]
    #: Inclusive limits of the numbers.
    limits: Mapping[str, tuple[float, float]]
    #: Allowed values of the texts.
    choices: Mapping[str, tuple[str, ...]]
    #: Steps of the arrows beside numbers.
    steps: Mapping[str, float] = field(default_factory=dict)
    #: The parameter that names weights.
    weights: str = 'weights'


MATCHING = FieldPlan(
    defaults=DEFAULTS,
    names=(*MAIN, *ADVANCED),
    labels=LABELS,
    limits=LIMITS,
    choices=CHOICES,
    steps={
        'window': 2,
        'size': SIZE_STEP,
        'tolerance': 0.1,
        'alikeness': 0.05,
    },
)


def tooltip(text: str) -> str:
    """Make a tooltip that wraps its lines."""
    return f'<p>{html.escape(text)}</p>'


def _devices() -> tuple[str, ...]:
    """Devices that this kind of computer can have.

    Whether the device is really there is known once torch is loaded, which
    opening the widget must not do; the run then says so.
    """
    absent = 'cuda' if sys.platform == 'darwin' else 'mps'
    return tuple(name for name in CHOICES['device'] if name != absent)


class _NoWheel(QObject):
    """Keeps the mouse wheel for scrolling the dock, not for values."""

    def eventFilter(self, watched: Any, event: Any) -> bool:
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


class _FreshCombo(QComboBox):
    """Looks again at what there is to choose from before it is used."""

    about_to_show = Signal()

    def showPopup(self) -> None:
        self.about_to_show.emit()
        super().showPopup()

    def focusInEvent(self, event: Any) -> None:
        # The arrow keys choose without the list.
        self.about_to_show.emit()
        super().focusInEvent(event)


class WeightsField(QWidget):
    """Packaged weights, the user's own, or a file."""

    changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = _FreshCombo()
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.combo.setMinimumContentsLength(6)
        self.browse = QToolButton()
        self.browse.setText('…')
        self.browse.setToolTip(tooltip('Choose a weights file.'))
        self.browse.setAccessibleName('Choose a weights file')
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo, 1)
        layout.addWidget(self.browse)
        self._names: list[str] = []
        self._add(DEFAULTS.weights)
        self.refresh()
        self.combo.about_to_show.connect(self.refresh)
        self.combo.activated.connect(self._on_activated)
        self.browse.clicked.connect(self._choose_file)

    @property
    def value(self) -> str:
        """Name of packaged weights, or path of a file."""
        return self._names[self.combo.currentIndex()]

    @value.setter
    def value(self, name: str) -> None:
        if name not in self._names:
            self._add(name)
        if name != self.value:
            self.combo.setCurrentIndex(self._names.index(name))
            self.changed.emit(name)

    def refresh(self) -> None:
        """Offer networks that were trained since."""
        for name in available_weights():
            if name not in self._names:
                self._add(name)

    def _add(self, name: str) -> None:
        self._names.append(name)
        # The end of a file's name is cut off in a narrow dock.
        self.combo.addItem(Path(name).name.removesuffix('.safetensors'))
        self.combo.setItemData(
            self.combo.count() - 1, name, Qt.ItemDataRole.ToolTipRole
        )

    def _on_activated(self, index: int) -> None:
        self.changed.emit(self._names[index])

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, 'Weights', '', 'Weights (*.safetensors)'
        )
        if path:
            self.value = path


def _make(name: str, plan: FieldPlan) -> Any:
    """Field of one parameter."""
    default = getattr(plan.defaults, name)
    text = plan.labels.get(name, name)
    if name == plan.weights:
        return WeightsField()
    if name == 'orientation':
        return OrientationField(default)
    if name in plan.choices:
        choices = _devices() if name == 'device' else plan.choices[name]
        return ComboBox(name=name, choices=choices, value=default)
    if isinstance(default, bool):
        return CheckBox(name=name, text=text, value=default)
    if isinstance(default, str):
        return LineEdit(name=name, value=default)
    low, high = plan.limits[name]
    kind = SpinBox if isinstance(default, int) else FloatSpinBox
    whole = isinstance(default, int)
    return kind(
        name=name,
        min=int(low) if whole else low,
        max=int(high) if whole else high,
        step=plan.steps.get(name, 1 if whole else 0.05),
        value=default,
    )


class OptionFields(QObject):
    """One field for each parameter.

    ``plan``: what they are made from; by default the parameters of a match.
    """

    changed = Signal()

    def __init__(self, parent: QObject, plan: FieldPlan = MATCHING) -> None:
        super().__init__(parent)
        self.plan = plan
        self._fields: dict[str, Any] = {}
        self._wheel = _NoWheel(self)
        kind = type(plan.defaults)
        for name in plan.names:
            field = _make(name, plan)
            self._fields[name] = field
            native = self.native(name)
            native.setToolTip(tooltip(parameter_text(name, kind)))
            native.setAccessibleName(plan.labels.get(name, name))
            for part in (native, *native.findChildren(QWidget)):
                part.installEventFilter(self._wheel)
                if part.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                    part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            field.changed.connect(lambda _=None: self.changed.emit())

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def add_to(self, rows: QFormLayout, names: Iterable[str]) -> None:
        """Put some fields into a form, with their labels."""
        for name in names:
            native = self.native(name)
            if isinstance(native, QCheckBox):
                rows.addRow(native)
                continue
            made = QLabel(self.plan.labels.get(name, name))
            made.setToolTip(native.toolTip())
            rows.addRow(made, native)

    def native(self, name: str) -> Any:
        """Qt widget of a parameter."""
        field = self._fields[name]
        return field if isinstance(field, QWidget) else field.native

    @property
    def values(self) -> dict[str, Any]:
        """What the fields say, valid or not."""
        return {name: field.value for name, field in self._fields.items()}

    def options(self) -> Any:
        """The parameters.

        Raises InputError if the fields do not fit together.
        """
        return replace(self.plan.defaults, **self.values)

    def set(self, options: Mapping[str, Any]) -> None:
        """Set some parameters, or none of them.

        Raises InputError if one is not known or not possible.
        """
        unknown = {*options} - {*self}
        if unknown:
            raise no_such('option', sorted(unknown), self)
        replace(self.plan.defaults, **(self.values | {**options}))
        self.show(options)

    def show(self, values: Mapping[str, Any]) -> None:
        """Fill in some fields, and say so once if that changes any.

        Raises KeyError if there is no such parameter.
        """
        before = self.values
        with QSignalBlocker(self):
            for name, value in values.items():
                field = self._fields[name]
                if isinstance(field, ComboBox) and value not in field.choices:
                    # 'cuda:1' is a device too, though no default choice.
                    field.choices = (*field.choices, value)
                field.value = value
        if self.values != before:
            self.changed.emit()
