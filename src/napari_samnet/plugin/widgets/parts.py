"""Small pieces of the panel: a fold, a heading, rows and checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAction,
    QCheckBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QShortcut,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_samnet.plugin.widgets.fields import tooltip
from napari_samnet.plugin.widgets.remedy_button import RemedyButton

#: Width of a new dock, which shows the whole of its title.
COMFORTABLE = 320

#: What a field says that the Tab key reaches.
TAB = Qt.FocusPolicy.TabFocus


class Fold(QWidget):
    """A heading that folds away what is below it."""

    #: Opened (True) or closed.
    toggled = Signal(bool)

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(
            Qt.ToolButtonStyle.ToolButtonTextBesideIcon
        )
        self.button.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed
        )
        self.body = QWidget()
        layout = stacked(self, spacing=4)
        layout.addWidget(self.button)
        layout.addWidget(self.body)
        self.button.toggled.connect(self._on_toggled)
        self._on_toggled(False)

    def open(self, opened: bool = True) -> None:
        """Open or close."""
        self.button.setChecked(opened)

    def _on_toggled(self, opened: bool) -> None:
        self.button.setArrowType(
            Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow
        )
        self.body.setVisible(opened)
        self.toggled.emit(opened)


def label(text: str, tip: str = '') -> QLabel:
    """A label whose tooltip wraps."""
    made = QLabel(text)
    if tip:
        made.setToolTip(tooltip(tip))
    return made


def add_action(menu: QMenu, text: str, act: Callable[[], object]) -> QAction:
    """Add a line to a menu that does something.

    ``text``: as it is to be read, also if it is a name with an ampersand.
    """
    action = menu.addAction(text.replace('&', '&&'))
    action.triggered.connect(lambda *_: act())
    return action


def stacked(parent: QWidget, *, spacing: int) -> QVBoxLayout:
    """Lay a widget's parts out below each other, without margins."""
    layout = QVBoxLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    return layout


def row(*widgets: Any) -> QWidget:
    """Widgets beside each other; the first takes the space left."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, 0 if number else 1)
    return box


def form(parent: QWidget | None = None) -> QFormLayout:
    """A form whose fields fill the width."""
    layout = QFormLayout(parent) if parent is not None else QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setHorizontalSpacing(8)
    layout.setVerticalSpacing(4)
    layout.setFieldGrowthPolicy(
        QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow
    )
    layout.setLabelAlignment(
        Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
    )
    return layout


def name_fields(*forms: QFormLayout) -> None:
    """Let screen readers say of each field what its label says.

    Fields that have a name of their own keep it.
    """
    for rows in forms:
        for number in range(rows.rowCount()):
            name = rows.itemAt(number, QFormLayout.ItemRole.LabelRole)
            held = rows.itemAt(number, QFormLayout.ItemRole.FieldRole)
            if name is None or held is None or held.widget() is None:
                continue
            made, field = name.widget(), held.widget()
            if not isinstance(made, QLabel) or not made.text():
                continue
            if field.focusPolicy() == Qt.FocusPolicy.NoFocus:
                # Several fields beside each other: the first is meant.
                inner = field.findChildren(QWidget)
                able = [x for x in inner if x.focusPolicy() & TAB]
                if not able:
                    continue
                field = able[0]
            made.setBuddy(field)
            if not field.accessibleName():
                field.setAccessibleName(made.text().lstrip('· '))


def align(*forms: QFormLayout) -> None:
    """Give the labels of several forms one width, so that fields line up."""
    role = QFormLayout.ItemRole.LabelRole
    labels = []
    for rows in forms:
        items = (rows.itemAt(n, role) for n in range(rows.rowCount()))
        labels += [item.widget() for item in items if item is not None]
    width = max(made.sizeHint().width() for made in labels)
    for made in labels:
        made.setMinimumWidth(width)


class Checks(QWidget):
    """Check boxes in two columns."""

    #: Something was checked or unchecked.
    changed = Signal()

    def __init__(
        self, texts: Mapping[str, tuple[str, str]], checked: Iterable[str]
    ) -> None:
        super().__init__()
        self.boxes: dict[str, QCheckBox] = {}
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(8)
        layout.setVerticalSpacing(2)
        for number, (name, (text, tip)) in enumerate(texts.items()):
            box = QCheckBox(text)
            box.setToolTip(tooltip(tip))
            box.toggled.connect(self.changed)
            self.boxes[name] = box
            layout.addWidget(box, number // 2, number % 2)
        self.set(checked)

    def set(self, names: Iterable[str]) -> None:
        """Check these, uncheck the others."""
        wanted = frozenset(names)
        unknown = wanted - set(self.boxes)
        if unknown:
            raise KeyError(', '.join(sorted(unknown)))
        for name, box in self.boxes.items():
            box.setChecked(name in wanted)

    @property
    def names(self) -> frozenset[str]:
        """What is checked and can be."""
        return frozenset(
            name
            for name, box in self.boxes.items()
            if box.isChecked() and box.isEnabled()
        )


class Scroll(QScrollArea):
    """Scrolls up and down only, and is never narrower than its body."""

    def __init__(self, body: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(
            Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        self.setWidget(body)

    def minimumSizeHint(self) -> QSize:
        bar = self.verticalScrollBar().sizeHint().width()
        width = self.widget().minimumSizeHint().width() + bar
        return QSize(width, 160)

    def sizeHint(self) -> QSize:
        width = max(self.minimumSizeHint().width(), COMFORTABLE)
        return QSize(width, self.widget().sizeHint().height())


class VerdictLine(QWidget):
    """One line with a colored sign, and a button that leads to places."""

    #: The button was pressed.
    asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.button = QPushButton('Show me')
        self.button.setToolTip(
            tooltip('Go to the worst place; again, to the next one.')
        )
        self.button.clicked.connect(self.asked)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        self.clear()

    def show_verdict(
        self, text: str, color: tuple[int, int, int], *, places: bool
    ) -> None:
        """Show a verdict."""
        sign = '#{:02x}{:02x}{:02x}'.format(*color)
        self.text.setText(
            f'<span style="color:{sign}">\u25cf</span> {escape(text)}'
        )
        self.button.setVisible(places)
        self.setVisible(True)

    def clear(self) -> None:
        """Show nothing."""
        self.text.setText('')
        self.setVisible(False)


class Footer(QWidget):
    """What stays in sight: bar, buttons, and a line that tells what is on."""

    def __init__(self, run: str, run_tip: str, cancel_tip: str) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 8)
        layout.setSpacing(6)
        self.run = QPushButton(run)
        self.run.setToolTip(tooltip(run_tip))
        self.cancel = QPushButton('Cancel')
        self.cancel.setToolTip(tooltip(cancel_tip))
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        # Hidden between runs without anything moving.
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        # Always two lines high, so that nothing jumps when it is filled.
        self.message.setMinimumHeight(
            2 * self.message.fontMetrics().lineSpacing()
        )
        self.message.setAlignment(
            Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self.run, 2)
        buttons.addWidget(self.cancel, 1)
        layout.addWidget(self.bar)
        layout.addLayout(buttons)
        layout.addWidget(self.message)
        self.remedy = RemedyButton()
        layout.addWidget(self.remedy)
        self.verdict = VerdictLine()
        layout.addWidget(self.verdict)

    def show_steps(self, done: int, total: int) -> None:
        """Move the bar; a total of 0 means that nobody knows."""
        if (self.bar.value(), self.bar.maximum()) == (done, total):
            return
        # A bar that is on screen draws itself, and with it the window, at
        # once; this way it is drawn together with what else changes.
        self.bar.setUpdatesEnabled(False)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setUpdatesEnabled(True)

    def add_shortcut(self, scope: QWidget, callback: Any) -> None:
        """Run with the keyboard, inside the dock only."""
        shortcut = QShortcut(QKeySequence('Ctrl+Return'), scope)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(callback)
