"""Landmarks in the dock: placed, listed, undone, saved; results follow."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_samnet.errors import InputError
from napari_samnet.io.landmarks_csv import read_landmarks
from napari_samnet.plugin.layers.edits import about_layer

pytestmark = pytest.mark.usefixtures('shared_matches')

WAIT = 60.0


@pytest.fixture
def done(ready: Any) -> Any:
    """A pair that was matched, with labels and points carried."""
    ready.viewer.layers['other'].translate = (0, 200)
    # Edges of the picture would hold the labels where they are.
    ready.set_options(outlines=False)
    ready.viewer.add_points([[35.0, 45]], name='dot')
    ready.set_outputs('labels', 'confidence')
    ready.run(wait=True, timeout=WAIT)
    ready.transfer('dot', wait=True, timeout=WAIT)
    ready.panel.judging.open()
    return ready


def drag(viewer: Any, start: Any, end: Any, modifiers: Any = ()) -> Any:
    """Press, move and release the mouse, as the canvas tells of it."""
    event = SimpleNamespace(
        button=1,
        modifiers=modifiers,
        position=tuple(start),
        type='mouse_press',
        handled=False,
    )
    running: list[Iterator[Any]] = []
    for callback in viewer.mouse_drag_callbacks:
        steps = callback(viewer, event)
        if steps is not None:
            next(steps, None)
            running.append(steps)
    moves = [] if tuple(start) == tuple(end) else [np.mean([start, end], 0)]
    for place in [*moves, *([end] if moves else [])]:
        event.type, event.position = 'mouse_move', tuple(place)
        for steps in running:
            next(steps, None)
    event.type, event.position = 'mouse_release', tuple(end)
    for steps in running:
        next(steps, None)
    return event


def texts(widget: Any) -> list[list[str]]:
    """What the table shows."""
    table = widget.panel.landmarks.table
    return [
        [table.item(row, column).text() for column in range(4)]
        for row in range(table.rowCount())
    ]


@pytest.mark.slow
def test_dragging_the_answer_bends_field_labels_and_points(
    done: Any,
) -> None:
    viewer = done.viewer
    layers = viewer.layers
    before = {
        name: np.array(layers[f'other ← {name}'].data)
        for name in ('mask', 'dot')
    }
    done.panel.asking.setChecked(True)
    drag(viewer, (35, 45), (35, 45))
    answer = layers['other asked'].data[0]
    there = answer + (0, 200)
    event = drag(viewer, there, there + (6, 5))
    assert event.handled, 'the camera must stay'
    done.wait(WAIT)
    (line,) = texts(done)
    moved = answer + (6, 5)
    assert line[1] == '35, 45'
    np.testing.assert_allclose(
        done.correspondence.warp_points([[35.0, 45]])[0], moved, atol=0.5
    )
    np.testing.assert_allclose(layers['other ← dot'].data[0], moved, atol=0.5)
    assert (layers['other ← mask'].data != before['mask']).any()
    assert float(line[3].split()[0]) == pytest.approx(np.hypot(6, 5), abs=0.2)
    assert 'meets 1 landmark' in done.message
    # One step back, and all is as it was.
    done.panel.landmarks.undo.click()
    done.wait(WAIT)
    assert texts(done) == []
    for name, data in before.items():
        np.testing.assert_allclose(layers[f'other ← {name}'].data, data)
    np.testing.assert_allclose(layers['other asked'].data[0], answer)


def test_shift_and_click_place_pairs_also_before_a_match(
    ready: Any,
) -> None:
    viewer = ready.viewer
    viewer.layers['other'].translate = (0, 200)
    ready.panel.asking.setChecked(True)
    for source, target in (((35, 45), (41, 37)), ((20, 75), (26, 67))):
        there = target[0], target[1] + 200
        drag(viewer, source, source, ('Shift',))
        assert 'Shift and click its place in the target' in ready.message
        drag(viewer, there, there, ('Shift',))
    assert '2 landmarks: Run matches with them' in ready.message
    assert [row[3] for row in texts(ready)] == ['', '']
    ready.set_outputs('labels')
    found = ready.run(wait=True, timeout=WAIT)
    np.testing.assert_allclose(
        found.warp_points([[35, 45], [20, 75]]),
        [[41, 37], [26, 67]],
        atol=0.5,
    )
    assert all(row[3] for row in texts(ready))
    layer = viewer.layers['other ← mask']
    assert about_layer(layer)['landmarks']['met'] == [True, True]


class TestTable:
    """What can be done in the table."""

    @pytest.fixture
    def two(self, done: Any) -> Any:
        done.add_landmark((35, 45), (45, 40))
        done.add_landmark((15, 20), (25, 14), wait=True)
        return done

    @pytest.mark.slow
    def test_off_and_on(self, two: Any) -> None:
        item = two.panel.landmarks.table.item(0, 0)
        item.setCheckState(Qt.CheckState.Unchecked)
        two.wait(WAIT)
        assert two.landmarks.active.tolist() == [False, True]
        assert two.correspondence.metadata['landmarks']['source'] == [[15, 20]]
        item = two.panel.landmarks.table.item(0, 0)
        item.setCheckState(Qt.CheckState.Checked)
        two.wait(WAIT)
        assert len(two.correspondence.metadata['landmarks']['source']) == 2

    @pytest.mark.slow
    def test_delete_key_and_button_remove(self, two: Any, qtbot: Any) -> None:
        table = two.panel.landmarks.table
        table.selectRow(0)
        qtbot.keyClick(table, Qt.Key.Key_Delete)
        two.wait(WAIT)
        assert [row[1] for row in texts(two)] == ['15, 20']
        table.selectRow(0)
        two.panel.landmarks.remove.click()
        two.wait(WAIT)
        assert texts(two) == []
        assert 'landmarks' not in two.correspondence.metadata
        assert 'No landmarks' in two.message

    def test_files_go_round(self, two: Any, tmp_path: Any) -> None:
        kept = two.landmarks
        two.save_landmarks(tmp_path / 'pairs.csv')
        two.save_landmarks(tmp_path / 'x.bigwarp.csv')
        two.remove_landmarks(wait=True)
        for name in ('pairs.csv', 'x.bigwarp.csv'):
            two.load_landmarks(tmp_path / name, wait=True)
            np.testing.assert_allclose(two.landmarks.source, kept.source)
            np.testing.assert_allclose(two.landmarks.target, kept.target)
        assert read_landmarks(tmp_path / 'pairs.csv').active.all()

    @pytest.mark.slow
    def test_landmarks_of_another_image_are_refused(
        self, two: Any, tmp_path: Any
    ) -> None:
        path = tmp_path / 'far.csv'
        path.write_text(
            'source-row,source-column,target-row,target-column\n'
            '3500,4500,10,10\n'
        )
        with pytest.raises(InputError, match='none of the 1 points'):
            two.load_landmarks(path)
        assert len(texts(two)) == 2

    @pytest.mark.slow
    def test_another_pair_has_its_own(self, two: Any) -> None:
        two.viewer.add_image(np.zeros((72, 96, 3), np.uint8), name='third')
        two.set_target('third')
        assert texts(two) == []
        two.set_target('other')
        assert len(texts(two)) == 2


@pytest.mark.parametrize('at', [(np.nan, 4.0), (500.0, 4.0), (-9.0, 4.0)])
def test_landmarks_off_the_images_are_refused(ready: Any, at: Any) -> None:
    for ends in (at, (4.0, 4.0)), ((4.0, 4.0), at):
        with pytest.raises(InputError, match=r'finite|none of the 1 points'):
            ready.add_landmark(*ends)
    assert len(ready.landmarks.source) == 0
    # What was refused leaves nothing behind that later steps trip over.
    ready.viewer.layers.remove('mask')
    assert ready.reason == ''


@pytest.mark.slow
def test_points_moved_and_deleted_with_napari_s_tools_count(
    done: Any,
) -> None:
    done.ask((35, 45))
    answer = done.viewer.layers['other asked']
    # What the select tool does at the end of a drag.
    answer.selected_data = {0}
    answer._move([0], answer.data[0])
    answer._move([0], answer.data[0] + (4, 4))
    answer._drag_start = None
    done.wait(WAIT)
    assert len(texts(done)) == 1
    answer.selected_data = {0}
    answer.remove_selected()
    done.wait(WAIT)
    assert texts(done) == []
    assert not len(done.viewer.layers['photo asked'].data)


@pytest.mark.slow
def test_removed_results_stay_away_and_edited_ones_stay(done: Any) -> None:
    layers = done.viewer.layers
    layers.remove('other ← dot')
    painted = layers['other ← mask']
    painted.data_setitem((np.array([0]), np.array([0])), 9)
    before = painted.data.copy()
    done.add_landmark((35, 45), (45, 40), wait=True)
    assert 'other ← dot' not in layers
    np.testing.assert_array_equal(painted.data, before)
    assert (layers['other ← mask, run 2'].data != before).any()


@pytest.mark.slow
def test_three_pairs_rescue_a_match_that_failed(
    viewer: Any, photos: Any, mask: np.ndarray, make_widget: Any
) -> None:
    turned = np.ascontiguousarray(photos[0][::-1, ::-1])
    viewer.add_image(photos[0], name='photo')
    viewer.add_labels(mask, name='mask')
    viewer.add_image(turned, name='other')
    widget = make_widget(viewer, orientation='upright')
    widget.set_source('photo')
    widget.set_target('other')
    widget.set_labels('mask')
    widget.set_outputs('labels')
    widget.run(wait=True, timeout=WAIT)
    for row, col in ((20, 30), (20, 70), (60, 40)):
        widget.add_landmark((row, col), (79 - row, 99 - col))
    widget.wait(WAIT)
    assert 'Run matches again from them' in widget.message
    at = np.array([[35.0, 45], [50, 60], [30, 50]])
    want = np.array([79, 99]) - at
    off = np.linalg.norm(widget.correspondence.warp_points(at) - want, axis=1)
    assert off.max() < 12
    widget.run(wait=True, timeout=WAIT)
    off = np.linalg.norm(widget.correspondence.warp_points(at) - want, axis=1)
    assert off.max() < 12


@pytest.mark.slow
def test_the_first_click_finds_its_layers_ready(done: Any, qtbot: Any) -> None:
    """Layers are made as soon as clicks are answered, and seen with points."""
    layers = done.viewer.layers
    done.panel.asking.setChecked(True)
    qtbot.waitUntil(lambda: 'other asked' in layers, timeout=5000)
    qtbot.waitUntil(lambda: layers['other asked'].opacity == 1, timeout=5000)
    ready = layers['photo asked'], layers['other asked']
    assert [len(layer.data) for layer in ready] == [0, 0]
    drag(done.viewer, (35, 45), (35, 45))
    assert [len(layer.data) for layer in ready] == [1, 1]
    assert [layer.opacity for layer in ready] == [1, 1]
    done.panel.asking.setChecked(False)
    assert 'photo asked' in layers
    done.remove_landmarks(1)
    done.panel.asking.setChecked(True)
    done.panel.asking.setChecked(False)
    assert 'photo asked' not in layers
    # A click that comes before they are ready is answered as well.
    done.panel.asking.setChecked(True)
    drag(done.viewer, (35, 45), (35, 45))
    qtbot.wait(200)
    assert len(layers['photo asked'].data) == 1
    assert layers['photo asked'].opacity == 1
