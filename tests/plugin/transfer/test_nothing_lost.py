"""Runs keep what people did: corrections, choices, what was captured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.grids import grid_of

WAIT = 60.0


@pytest.fixture
def done(shared_matches: None, ready: Any) -> Any:
    """A pair that was matched, with labels, points and a shape carried."""
    ready.viewer.add_points([[30.0, 40], [50, 60]], name='dots')
    box = [[10.0, 10], [10, 30], [30, 30]]
    ready.viewer.add_shapes([box], shape_type='polygon', name='boxes')
    ready.set_outputs('labels')
    ready.run(wait=True, timeout=WAIT)
    ready.transfer('dots', 'boxes', wait=True, timeout=WAIT)
    return ready


def test_corrections_of_all_kinds_survive_the_next_run(done: Any) -> None:
    layers = done.viewer.layers
    labels, points, shapes = (
        layers[f'other ← {name}'] for name in ('mask', 'dots', 'boxes')
    )
    labels.name = 'corrected by hand'
    spot = np.mgrid[20:40, 30:50].reshape(2, -1)
    labels.data_setitem(tuple(spot), 7)
    points.data = points.data + 20
    points.add([[50, 50]])
    shapes.data = [shapes.data[0] + 5]
    moved, bent = points.data.copy(), shapes.data[0].copy()
    done.set_outputs('labels', 'confidence')
    done.run(wait=True, timeout=WAIT)
    assert "'corrected by hand' was edited and is kept" in done.message
    done.transfer('dots', 'boxes', wait=True, timeout=WAIT)
    assert (labels.data == 7).sum() == 400
    np.testing.assert_array_equal(points.data, moved)
    np.testing.assert_array_equal(shapes.data[0], bent)
    assert len(layers['other ← dots, run 2'].data) == 2
    # Both are seen, and which is which.
    assert "the new result is 'other ← boxes, run 2', drawn as" in done.message
    again = [layers[f'other ← {name}, run 2'] for name in ('dots', 'boxes')]
    assert layers['other ← mask'].contour
    assert not labels.contour
    for new, kept in zip(again, (points, shapes), strict=True):
        assert not new.face_color[:, 3].any()
        assert kept.face_color[:, 3].all()
        assert new.visible
        assert kept.visible


def test_of_two_kept_results_and_a_new_one_two_can_be_told(done: Any) -> None:
    layers = done.viewer.layers
    for number in (1, 2):
        name = 'other ← dots' + (', run 2' if number == 2 else '')
        layers[name].data = layers[name].data + 20
        done.transfer('dots', wait=True, timeout=WAIT)
    assert not layers['other ← dots, run 2'].face_color[:, 3].any()
    assert layers['other ← dots, run 3'].face_color[:, 3].all()
    assert "is 'other ← dots, run 3'" in done.message


def test_outlines_end_with_what_they_lie_on(done: Any) -> None:
    layers = done.viewer.layers
    points = layers['other ← dots']
    points.data = points.data + 20
    done.transfer('dots', wait=True, timeout=WAIT)
    again = layers['other ← dots, run 2']
    layers['dots'].data = [[10.0, 20]]
    done.transfer('dots', wait=True, timeout=WAIT)
    assert not again.face_color[:, 3].any()
    layers.remove(points)
    layers['dots'].data = [[20.0, 20]]
    done.transfer('dots', wait=True, timeout=WAIT)
    assert 'other ← dots, run 3' not in layers
    assert again.face_color[:, 3].all()


@pytest.mark.slow
def test_carried_points_can_be_restored(done: Any) -> None:
    layers = done.viewer.layers
    points = layers['other ← dots']
    before = points.data.copy()
    assert not done.panel.restore.isVisible()
    layers['dots'].data = [[10.0, 20]]
    done.transfer('dots', wait=True, timeout=WAIT)
    assert len(points.data) == 1
    assert done.panel.restore.isVisible()
    done.panel.restore.click()
    np.testing.assert_array_equal(points.data, before)
    done.restore('other ← dots')
    assert len(points.data) == 1


def test_nothing_to_restore_is_said(done: Any) -> None:
    with pytest.raises(InputError, match='nothing to restore'):
        done.restore()


@pytest.mark.slow
@pytest.mark.binding
def test_labels_belong_to_the_moment_when_run_was_pressed(
    ready: Any,
) -> None:
    layer = ready.viewer.layers['mask']
    ready.set_outputs('labels')
    ready.run()
    # Before the worker gets to them.
    layer.data_setitem(np.nonzero(layer.data), 0)
    layer.data[:] = 0
    ready.wait(WAIT)
    made = ready.viewer.layers['other ← mask']
    assert set(np.unique(made.data)) == {0, 3, 70_000}


@pytest.mark.slow
def test_points_belong_to_the_moment_when_run_was_pressed(ready: Any) -> None:
    points = ready.viewer.add_points([[30.0, 40], [50, 60]], name='dots')
    ready.transfer('dots')
    points.data = np.zeros((1, 2))
    points.face_color = 'red'
    ready.wait(WAIT)
    made = ready.viewer.layers['other ← dots']
    assert len(made.data) == 2
    assert (made.face_color[:, 1] == 1).all()


class TestPutInto:
    """Labels of the target that carried ones go into."""

    @pytest.fixture
    def old(self, ready: Any) -> Any:
        """Labels of the target with an id of their own."""
        data = np.zeros((72, 96), np.int32)
        data[:40] = 5
        layer = ready.viewer.add_labels(data, name='old')
        ready.panel.into.choose(layer)
        return layer

    def test_run_respects_the_choice(self, ready: Any, old: Any) -> None:
        before = old.data.copy()
        ready.set_outputs('labels')
        ready.run(wait=True, timeout=WAIT)
        assert 'other ← mask' not in ready.viewer.layers
        assert (old.data == 70_000).any()
        count = f'{(old.data != before).sum():,} pixels'
        assert f'rote ids 3, 70000 ({count}) into' in ready.message
        old.undo()
        np.testing.assert_array_equal(old.data, before)

    def test_a_locked_layer_is_refused_before_the_run(
        self, ready: Any, old: Any
    ) -> None:
        old.editable = False
        with pytest.raises(InputError, match="'old' is locked"):
            ready.run(wait=True, timeout=WAIT)
        assert not ready.running

    @pytest.mark.slow
    def test_locked_meanwhile_it_gets_a_layer_of_its_own(
        self, ready: Any, old: Any
    ) -> None:
        before = old.data.copy()
        ready.set_outputs('labels')
        ready.run()
        old.editable = False
        ready.wait(WAIT)
        np.testing.assert_array_equal(old.data, before)
        assert (ready.viewer.layers['other ← mask'].data == 70_000).any()
        assert 'is locked' in ready.message

    @pytest.mark.slow
    def test_removed_meanwhile_it_gets_a_layer_of_its_own(
        self, ready: Any, old: Any
    ) -> None:
        ready.set_outputs('labels')
        ready.run()
        ready.viewer.layers.remove(old)
        ready.wait(WAIT)
        assert 'other ← mask' in ready.viewer.layers


@pytest.mark.slow
@pytest.mark.binding
def test_a_second_axis_adds_to_the_first(
    viewer: Any, photos: Any, mask: np.ndarray, make_widget: Any
) -> None:
    gray = photos[0][..., 0]
    stack = np.stack(
        [
            np.stack([np.roll(gray, 2 * (t + z), 1) for z in range(3)])
            for t in range(3)
        ]
    )
    labels = np.zeros(stack.shape, np.int32)
    labels[1, 1] = np.roll(mask, 4, 1)
    viewer.add_image(stack, name='TZYX')
    viewer.add_labels(labels, name='l')
    viewer.dims.set_current_step(0, 1)
    viewer.dims.set_current_step(1, 1)
    widget = make_widget(viewer)
    widget.set_source('TZYX')
    widget.set_labels('l')
    for axis in (0, 1):
        widget.set_planes('propagate', axis=axis)
        widget.run(wait=True, timeout=WAIT)
    made = viewer.layers['TZYX ← l propagated'].data.any((2, 3))
    assert made.tolist() == [
        [False, True, False],
        [True, True, True],
        [False, True, False],
    ]


@pytest.mark.slow
def test_a_canceled_run_leaves_the_planes_of_the_one_before(
    viewer: Any,
    photos: Any,
    mask: np.ndarray,
    make_widget: Any,
    qtbot: Any,
) -> None:
    stack = np.stack([np.roll(photos[0], k, 1) for k in range(4)])
    viewer.add_image(stack, name='stack', rgb=True)
    viewer.add_image(photos[1], name='other')
    viewer.add_labels(np.stack([mask] * 4), name='mask')
    widget = make_widget(viewer)
    widget.set_source('stack')
    widget.set_target('other')
    widget.set_labels('mask')
    widget.set_outputs('labels', 'confidence')
    widget.set_planes('pairwise')
    widget.run(wait=True, timeout=WAIT)
    labels = viewer.layers['other ← mask']
    assert labels.data.any((1, 2)).all()
    widget.set_options(window=7)
    heard: list[int] = []

    def stop_after_a_plane(report: Any) -> None:
        heard.append(report.index)
        if report.index == 1:
            widget.cancel()

    widget._tasks.runner.reported.connect(stop_after_a_plane)
    widget.run(wait=True, timeout=WAIT)
    assert 'Cancelled, kept' in widget.message
    assert viewer.layers['other ← mask'] is labels
    assert labels.data.any((1, 2)).all()


@pytest.mark.slow
def test_a_canceled_match_leaves_the_whole_one(ready: Any, qtbot: Any) -> None:
    ready.set_outputs('labels')
    ready.run(wait=True, timeout=WAIT)
    whole = ready.viewer.layers['other ← mask']
    before = whole.data.copy()
    ready.set_options(window=7, iterations=10, tolerance=0.0)

    def stop_at_once(report: Any) -> None:
        if report.change is not None:
            ready.cancel()

    ready._tasks.runner.reported.connect(stop_at_once)
    ready.run(wait=True, timeout=WAIT)
    np.testing.assert_array_equal(whole.data, before)
    assert 'other ← mask, stopped' in ready.viewer.layers


def corner(viewer: Any, side: float, *lead: float) -> Any:
    """A square region in the lower right corner, where no label is."""
    ends = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    box = (72, 96) - side * ends
    first = np.broadcast_to(lead, (4, len(lead)))
    return viewer.add_shapes([np.hstack([first, box])], name='corner')


def test_a_region_without_the_labels_leaves_the_result_before(
    done: Any,
) -> None:
    made = done.viewer.layers['other ← mask']
    before = made.data.copy()
    assert before.any()
    corner(done.viewer, 24)
    done.set_region('corner')
    done.run(wait=True, timeout=WAIT)
    np.testing.assert_array_equal(made.data, before)
    assert "No labels were found: 'other ← mask' stays" in done.message
    # What was edited is not given away for nothing.
    made.data_setitem(tuple(np.mgrid[:5, :5].reshape(2, -1)), 9)
    done.set_options(window=7)
    done.run(wait=True, timeout=WAIT)
    assert (made.data == 9).sum() == 25
    assert 'other ← mask, run 2' not in done.viewer.layers


def test_a_region_smaller_than_a_cell_is_said(done: Any) -> None:
    made = done.viewer.layers['other ← mask']
    before = made.data.copy()
    corner(done.viewer, 3)
    done.set_region('corner')
    with pytest.raises(InputError, match='smaller than a cell'):
        done.run(wait=True, timeout=WAIT)
    assert 'draw a larger region' in done.message
    np.testing.assert_array_equal(made.data, before)


@pytest.mark.slow
@pytest.mark.binding
def test_planes_without_labels_are_told_apart(
    viewer: Any, photos: Any, mask: np.ndarray, make_widget: Any
) -> None:
    stack = np.stack([np.roll(photos[0], k, 1) for k in range(3)])
    viewer.add_image(stack, name='stack', rgb=True)
    viewer.add_image(photos[1], name='other')
    drawn = viewer.add_labels(np.stack([mask] * 3), name='mask')
    widget = make_widget(viewer)
    widget.set_source('stack')
    widget.set_target('other')
    widget.set_labels('mask')
    widget.set_outputs('labels')
    widget.set_planes('pairwise')
    widget.run(wait=True, timeout=WAIT)
    made = viewer.layers['other ← mask']
    before = made.data.copy()
    assert before.any((1, 2)).all()
    # Erased by the user on one plane, not found in the region on another.
    drawn.data_setitem(np.nonzero(drawn.data[:1] == mask[None]), 0)
    corner(viewer, 24, 1)
    widget.set_region('corner')
    widget.run(wait=True, timeout=WAIT)
    assert not made.data[0].any()
    np.testing.assert_array_equal(made.data[1:], before[1:])
    assert "on plane 1: 'other ← mask' stays as it was there" in widget.message
    assert 'Plane 0 had no labels to carry and was cleared' in widget.message
    made.undo()
    np.testing.assert_array_equal(made.data, before)


@pytest.mark.slow
def test_results_follow_images_that_are_moved_during_the_run(
    ready: Any,
) -> None:
    layers = ready.viewer.layers
    ready.viewer.add_points([[30.0, 40]], name='dots')
    ready.transfer('dots', 'mask')
    layers['other'].translate = (5, 300)
    ready.wait(WAIT)
    for name in ('other ← dots', 'other ← mask'):
        np.testing.assert_allclose(layers[name].translate, (5, 300))
    ready.set_outputs('labels', 'flow')
    ready.set_options(window=7)
    ready.run()
    layers['photo'].rotate = 90
    layers['photo'].scale = (2, 2)
    ready.wait(WAIT)
    flow = next(x for x in layers if 'flow' in x.name)
    np.testing.assert_allclose(
        grid_of(flow, (1, 1)).to_world(), grid_of(layers['photo']).to_world()
    )
    np.testing.assert_allclose(layers['other ← mask'].translate, (5, 300))


@pytest.mark.slow
def test_a_result_that_was_moved_is_the_user_s(ready: Any) -> None:
    layers = ready.viewer.layers
    ready.set_outputs('labels')
    ready.run(wait=True, timeout=WAIT)
    made = layers['other ← mask']
    made.translate = (7, 7)
    ready.run(wait=True, timeout=WAIT)
    assert made in layers
    np.testing.assert_allclose(made.translate, (7, 7))
    assert "'other ← mask' was moved and is kept" in ready.message
    # One that went with its image is ours still.
    layers['other'].translate = (0, 9)
    again = layers['other ← mask, run 2']
    again.translate = (0, 9)
    ready.run(wait=True, timeout=WAIT)
    assert layers['other ← mask, run 2'] is again
    assert 'kept' not in ready.message
