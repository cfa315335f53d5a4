"""The first five minutes without a mouse."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QWidget,
)

from napari_samnet.plugin.widgets.pair_table import PairRow


def chain(first: QWidget) -> list[QWidget]:
    """What the Tab key reaches, in its order, from a field on."""
    reached: list[QWidget] = []
    field = first
    while field not in reached:
        if (
            field.focusPolicy() & Qt.FocusPolicy.TabFocus
            and field.isVisible()
            and field.isEnabled()
        ):
            reached.append(field)
        field = field.nextInFocusChain()
        if field is first:
            break
    return reached


def test_tab_reaches_every_field_in_order_and_each_has_a_name(
    ready: Any,
) -> None:
    panel = ready.panel
    reached = chain(panel.source)
    order = [panel.source, panel.target, panel.labels, panel.into, panel.run]
    places = [reached.index(field) for field in order]
    assert places == sorted(places)
    for field in reached:
        if isinstance(field, QAbstractButton | QComboBox):
            text = getattr(field, 'text', lambda: '')()
            assert field.accessibleName() or text, field


def test_every_field_can_be_told_by_a_screen_reader(
    ready: Any, qtbot: Any
) -> None:
    panel = ready.panel
    for fold in (panel.advanced, panel.several, panel.judging):
        fold.open()
    kinds = (QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider)
    fields = [
        field
        for field in chain(panel.source)
        if not isinstance(field.parent(), QAbstractSpinBox)
    ]
    assert len(fields) > 40
    for field in fields:
        text = field.text() if isinstance(field, QAbstractButton) else ''
        if isinstance(field, (*kinds, QLineEdit, QAbstractItemView)):
            assert field.accessibleName() or text, field
    names = [field.accessibleName() for field in fields]
    for name in ('Weights', 'Arrow color', 'Arrows', 'Warp preview', 'Mix'):
        assert name in names
    labels = [x for x in panel.findChildren(QLabel) if x.buddy() is not None]
    told = {made.text(): made.buddy() for made in labels}
    assert told['Source'] is panel.source
    assert told['Target'] is panel.target


def test_tables_show_as_many_lines_as_they_promise(ready: Any) -> None:
    panel = ready.panel
    panel.judging.open()
    table = panel.landmarks.table
    row = PairRow(1, (0.0, 0.0), (0.0, 0.0), active=True)
    panel.landmarks.show_rows([row] * 5, can_undo=False)
    bottom = table.viewport().height()
    last = table.visualItemRect(table.item(4, 0))
    assert last.bottom() <= bottom
    assert last.height() > table.fontMetrics().height()


def test_space_on_run_starts_and_on_cancel_stops(
    ready: Any, qtbot: Any
) -> None:
    panel = ready.panel
    panel.run.setFocus()
    qtbot.keyClick(panel.run, Qt.Key.Key_Space)
    assert ready.running
    qtbot.keyClick(panel.cancel, Qt.Key.Key_Space)
    ready.wait(60)
    assert not ready.running
