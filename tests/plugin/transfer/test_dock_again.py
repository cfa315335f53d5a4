"""The dock is closed by its x, which removes it, and opened again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures('shared_matches'),
]

WAIT = 60.0


@pytest.fixture
def left(ready: Any) -> Any:
    """A dock in which landmarks were placed, and one switched off."""
    ready.run(wait=True, timeout=WAIT)
    for start, end in (((20, 30), (22, 28)), ((50, 60), (48, 62))):
        ready.add_landmark(start, end, wait=True)
    ready.panel.landmarks.switched.emit(2, False)
    ready.wait(WAIT)
    ready.close()
    return ready


@pytest.fixture
def opened(left: Any, make_widget: Any) -> Any:
    """Opened again, while Python may still hold the one before."""

    def do() -> Any:
        widget = make_widget(left.viewer)
        widget.set_source('photo')
        widget.set_target('other')
        return widget

    return do


def test_landmarks_are_there_again(left: Any, opened: Any) -> None:
    widget, layers = opened(), left.viewer.layers
    found = widget.landmarks
    np.testing.assert_array_equal(found.source, [[20, 30], [50, 60]])
    np.testing.assert_array_equal(found.target, [[22, 28], [48, 62]])
    np.testing.assert_array_equal(found.active, [True, False])
    widget.add_landmark((40, 20), (41, 22))
    np.testing.assert_array_equal(
        layers['photo asked'].data, [[20, 30], [50, 60], [40, 20]]
    )
    assert len(left.landmarks.source) == 2
    match = widget.run(wait=True, timeout=WAIT)
    np.testing.assert_allclose(match.warp_points([[40, 20]]), [[41, 22]])


def test_they_are_heard_of_at_once(left: Any, opened: Any) -> None:
    widget, layers = opened(), left.viewer.layers
    answer = layers['other asked']
    answer.selected_data = {0}
    answer._move([0], answer.data[0])
    answer._move([0], answer.data[0] + (4, 4))
    answer._move([], answer.data[0])
    assert widget.landmarks.target[0].tolist() == [26, 32]
    assert left.landmarks.target[0].tolist() == [22, 28]


def test_what_was_done_without_a_dock_counts(left: Any, opened: Any) -> None:
    layers = left.viewer.layers
    start, answer = layers['photo asked'], layers['other asked']
    start.selected_data = {1}
    start.remove_selected()
    answer.data = answer.data + (1, 0)
    widget = opened()
    assert widget.landmarks.source.tolist() == [[20, 30]]
    assert widget.landmarks.target.tolist() == [[23, 28]]
    widget.add_landmark((40, 20), (41, 22))
    assert start.data.tolist() == [[20, 30], [40, 20]]


def test_points_of_a_script_are_no_error(ready: Any) -> None:
    ready.add_landmark((20, 30), (22, 28))
    start = ready.viewer.layers['photo asked']
    start.data = np.vstack([start.data, [[50.0, 60]]])
    ready.add_landmark((40, 20), (41, 22))
    assert [20, 30] in start.data.tolist()
    assert [40, 20] in start.data.tolist()
