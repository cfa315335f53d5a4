"""Fields are made from the parameters, and from nothing else."""

from __future__ import annotations

import html
from typing import Any

import pytest
from qtpy.QtCore import QObject, Qt

from napari_samnet.errors import InputError
from napari_samnet.options import (
    DEFAULTS,
    LIMITS,
    MatchOptions,
    parameter_text,
    visible_options,
)
from napari_samnet.plugin.widgets.fields import (
    ADVANCED,
    LABELS,
    MAIN,
    OptionFields,
)
from napari_samnet.plugin.widgets.orientation_field import ORIENTATIONS


@pytest.fixture
def fields(qapp: Any) -> OptionFields:
    parent = QObject()
    made = OptionFields(parent)
    made.keep = parent
    return made


def test_every_parameter_has_a_field_and_a_name() -> None:
    assert {*MAIN, *ADVANCED} == set(visible_options()) == set(LABELS)


def test_defaults_are_those_of_the_options(fields: OptionFields) -> None:
    assert fields.options() == DEFAULTS


@pytest.mark.parametrize('name', visible_options())
def test_tooltip_is_the_documentation(fields: Any, name: str) -> None:
    assert html.escape(parameter_text(name)) in fields.native(name).toolTip()


@pytest.mark.parametrize('name', LIMITS)
def test_limits_are_those_of_the_options(fields: Any, name: str) -> None:
    native = fields.native(name)
    assert (native.minimum(), native.maximum()) == LIMITS[name]


def test_what_does_not_fit_together_is_refused(fields: OptionFields) -> None:
    fields.show({'size': 64, 'window': 21})
    with pytest.raises(InputError, match='window must not be larger'):
        fields.options()


def test_values_come_back(fields: OptionFields) -> None:
    values = {'window': 5, 'size': 128, 'device': 'cpu', 'lambda_max': 0.25}
    fields.show(values)
    assert fields.options() == MatchOptions(**values)


def test_a_second_card_can_be_named(fields: OptionFields) -> None:
    fields.show({'device': 'cuda:1'})
    assert fields.options().device == 'cuda:1'


def test_a_weights_file_can_be_chosen(fields: OptionFields) -> None:
    heard: list[bool] = []
    fields.changed.connect(lambda: heard.append(True))
    fields.show({'weights': '/somewhere/mine.safetensors', 'window': 11})
    assert fields.options().weights == '/somewhere/mine.safetensors'
    assert fields.native('weights').combo.currentText() == 'mine'
    assert heard == [True]


def test_an_orientation_is_chosen_or_written(
    qtbot: Any, fields: OptionFields
) -> None:
    field = fields.native('orientation')
    qtbot.addWidget(field)
    field.show()
    heard: list[str] = []
    fields.changed.connect(lambda: heard.append(field.value))
    for row in range(field.count()):
        field.setCurrentIndex(row)
        said = field.itemText(row)
        assert fields.options().orientation == said
        assert MatchOptions(orientation=said).orientation == said
        assert field.itemData(row, Qt.ItemDataRole.ToolTipRole)
    assert heard == [field.itemText(row) for row in range(1, field.count())]
    field.lineEdit().selectAll()
    qtbot.keyClicks(field.lineEdit(), '1')
    # Nothing is completed while an angle is written.
    assert field.value == '1'
    qtbot.keyClicks(field.lineEdit(), '5')
    qtbot.keyClick(field.lineEdit(), Qt.Key.Key_Return)
    assert fields.options().orientation == '15'
    assert field.count() == len(ORIENTATIONS)
    qtbot.keyClicks(field.lineEdit(), 'x')
    with pytest.raises(InputError, match='orientation must be auto'):
        fields.options()
    fields.show({'orientation': 'auto'})
    assert fields.options() == DEFAULTS


def test_wheel_scrolls_the_dock_and_changes_nothing(
    qtbot: Any, fields: OptionFields
) -> None:
    from qtpy.QtCore import QPoint, QPointF
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    native = fields.native('iterations')
    event = QWheelEvent(
        QPointF(2, 2),
        QPointF(2, 2),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(native, event)
    assert fields.options() == DEFAULTS
