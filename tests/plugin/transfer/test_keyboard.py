"""The first five minutes without a mouse."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QComboBox, QWidget


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
