"""Stacks: the current plane, all planes, and labels carried through."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtCore import Qt

import napari_samnet
from napari_samnet.errors import InputError
from napari_samnet.plugin.model.capture import METADATA

da = pytest.importorskip('dask.array')

WAIT = 120.0


def results(viewer: ViewerModel) -> dict[str, Any]:
    """Our layers by role."""
    return {
        layer.metadata[METADATA]['role']: layer
        for layer in viewer.layers
        if METADATA in layer.metadata
    }


@pytest.fixture
def stacks(photos: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two stacks of three RGB planes, each plane shifted further."""
    return tuple(
        np.stack([np.roll(photo, 2 * k, 1) for k in range(3)])
        for photo in photos
    )


@pytest.fixture
def masks(mask: np.ndarray) -> np.ndarray:
    return np.stack([np.roll(mask, 2 * k, 1) for k in range(3)])


@pytest.fixture
def stacked(
    viewer: ViewerModel, make_widget: Any, stacks: Any, masks: np.ndarray
) -> Any:
    place = {'scale': (2, 0.5, 0.5), 'translate': (10, 1, 2)}
    viewer.add_image(stacks[0], name='photo', rgb=True, **place)
    viewer.add_labels(masks, name='mask', **place)
    viewer.add_image(stacks[1], name='other', rgb=True, **place)
    widget = make_widget(viewer)
    widget.set_source('photo')
    widget.set_target('other')
    widget.set_labels('mask')
    return widget


def test_only_stacks_offer_planes(ready: Any, viewer: ViewerModel) -> None:
    assert not ready.panel.mode.isVisibleTo(ready)
    viewer.add_image(np.zeros((3, 80, 100)), name='stack')
    ready.set_source('stack')
    assert ready.panel.mode.isVisibleTo(ready)


@pytest.mark.usefixtures('shared_matches')
class TestCurrent:
    """The plane that is shown."""

    @pytest.mark.slow
    def test_results_lie_on_their_plane(
        self,
        stacked: Any,
        viewer: ViewerModel,
        stacks: Any,
        masks: np.ndarray,
        fast: dict[str, Any],
    ) -> None:
        viewer.dims.set_point(0, 12)
        stacked.run(wait=True, timeout=WAIT)
        found = napari_samnet.match(
            stacks[0][1], stacks[1][1], labels=masks[1], **fast
        )
        made = results(viewer)
        assert made['labels'].data.shape == (1, 72, 96)
        np.testing.assert_array_equal(
            made['labels'].data[0], found.warped_labels
        )
        np.testing.assert_allclose(
            made['labels'].data_to_world((0, 3, 4)),
            viewer.layers['other'].data_to_world((1, 3, 4)),
        )
        assert made['transferred'].data.shape == (1, 80, 100, 3)
        assert set(made['flow'].data[:, 0, 0]) == {1.0}

    @pytest.mark.slow
    def test_another_plane_keeps_the_first_one(
        self, stacked: Any, viewer: ViewerModel
    ) -> None:
        stacked.set_outputs('labels')
        for point in (10, 14, 14):
            viewer.dims.set_point(0, point)
            stacked.run(wait=True, timeout=WAIT)
        made = [x for x in viewer.layers if METADATA in x.metadata]
        assert [float(x.translate[0]) for x in made] == [10, 14]

    @pytest.mark.slow
    def test_points_of_the_plane_are_carried(
        self, stacked: Any, viewer: ViewerModel
    ) -> None:
        viewer.dims.set_point(0, 12)
        viewer.add_points([[10, 11.0, 22], [12, 11, 22]], name='dots', ndim=3)
        found = stacked.transfer('dots', wait=True, timeout=WAIT)
        made = results(viewer)['points']
        expected = found.warp_points([[20, 40]])[0]
        np.testing.assert_allclose(made.data, [[1, *expected]], rtol=1e-5)
        world = made.data_to_world(made.data[0])
        np.testing.assert_allclose(world[0], 12)

    def test_flat_points_mean_the_current_plane(
        self, stacked: Any, viewer: ViewerModel
    ) -> None:
        viewer.dims.set_point(0, 12)
        viewer.add_points([[11.0, 22]], name='dots')
        stacked.transfer('dots', wait=True, timeout=WAIT)
        assert results(viewer)['points'].data[0, 0] == 1


class TestPairwise:
    """Every plane with the same plane."""

    @pytest.mark.slow
    def test_arrays_are_those_of_each_pair(
        self,
        stacked: Any,
        viewer: ViewerModel,
        stacks: Any,
        masks: np.ndarray,
        fast: dict[str, Any],
    ) -> None:
        stacked.set_planes('pairwise')
        stacked.run(wait=True, timeout=WAIT)
        made = results(viewer)
        assert made['labels'].data.shape == (3, 72, 96)
        assert made['transferred'].data.shape == (3, 80, 100, 3)
        for k in range(3):
            found = napari_samnet.match(
                stacks[0][k], stacks[1][k], labels=masks[k], **fast
            )
            np.testing.assert_array_equal(
                made['labels'].data[k], found.warped_labels
            )
            np.testing.assert_array_equal(
                made['transferred'].data[k], found.transferred
            )
        assert set(made['flow'].data[:, 0, 0]) == {0.0, 1.0, 2.0}
        at = (2, 3, 4)
        np.testing.assert_allclose(
            made['labels'].data_to_world(at),
            viewer.layers['other'].data_to_world(at),
        )
        assert stacked.message.startswith('Done, 3 of 3 planes')

    @pytest.mark.slow
    def test_one_image_with_every_plane(
        self,
        stacked: Any,
        viewer: ViewerModel,
        photos: Any,
        mask: np.ndarray,
    ) -> None:
        viewer.add_image(photos[0], name='one', scale=(0.5, 0.5))
        viewer.add_labels(mask, name='flat', scale=(0.5, 0.5))
        stacked.set_source('one')
        stacked.set_target('other')
        stacked.set_labels('flat')
        stacked.set_planes('pairwise')
        stacked.run(wait=True, timeout=WAIT)
        made = results(viewer)
        assert made['labels'].data.shape == (3, 72, 96)
        assert made['transferred'].data.shape == (3, 80, 100, 3)
        world = made['transferred'].data_to_world((1, 6, 8))
        np.testing.assert_allclose(world, (12, 3, 4))

    def test_stacks_of_different_length_are_refused(
        self, stacked: Any, viewer: ViewerModel
    ) -> None:
        viewer.add_image(np.zeros((5, 80, 100)), name='long')
        stacked.set_target('long')
        stacked.set_planes('pairwise')
        assert 'source has 3 planes, the target 5; pairwise' in stacked.reason

    @pytest.mark.slow
    def test_lazy_stacks_are_read_plane_by_plane(
        self, viewer: ViewerModel, make_widget: Any, stacks: Any
    ) -> None:
        read = []

        def watch(block: np.ndarray, block_info: Any = None) -> np.ndarray:
            if block_info is not None:
                read.append(block_info[0]['chunk-location'][0])
            return block

        gray = stacks[0].mean(axis=-1)
        lazy = da.from_array(gray, chunks=(1, 80, 100)).map_blocks(
            watch, dtype=gray.dtype, meta=np.empty((0, 0, 0))
        )
        viewer.add_image(lazy, name='lazy', contrast_limits=(0, 255))
        viewer.add_image(stacks[1].mean(axis=-1), name='other')
        widget = make_widget(viewer)
        widget.set_source('lazy')
        widget.set_planes('pairwise')
        widget.set_outputs('transferred')
        read.clear()
        heard = []
        widget._tasks.runner.reported.connect(
            lambda report: heard.append((report.index, len(set(read))))
        )
        widget.run(wait=True, timeout=WAIT)
        # When it is heard, the worker may be at the next plane already.
        assert all(planes <= index + 2 for index, planes in heard)
        assert heard[0][1] < 3
        assert results(viewer)['transferred'].data.shape == (3, 80, 100)

    @pytest.mark.slow
    def test_cancel_keeps_the_planes_done(
        self, qtbot: Any, stacked: Any, viewer: ViewerModel
    ) -> None:
        stacked.set_planes('pairwise')
        stacked.set_options(iterations=8)
        done = []
        stacked._tasks.runner.reported.connect(
            lambda report: done.append(report.index)
        )
        stacked.run()
        qtbot.waitUntil(lambda: 1 in done, timeout=60_000)
        stacked.cancel()
        stacked.wait(WAIT)
        assert 'Cancelled, kept' in stacked.message
        data = results(viewer)['labels'].data
        assert data[0].any()
        assert not data[2].any()


@pytest.mark.slow
class TestPropagate:
    """Labels carried through the source itself."""

    @pytest.fixture
    def annotated(
        self, viewer: ViewerModel, make_widget: Any, stacks: Any, masks: Any
    ) -> Any:
        stack = np.concatenate([stacks[0], stacks[0][::-1]])
        viewer.add_image(stack, name='photo', rgb=True, scale=(3, 1, 1))
        labels = np.zeros(stack.shape[:3], np.int32)
        labels[2] = masks[2]
        viewer.add_labels(labels, name='mask', scale=(3, 1, 1))
        widget = make_widget(viewer, size=128, iterations=3)
        widget.set_labels('mask')
        widget.set_planes('propagate')
        viewer.dims.set_point(0, 6)
        return widget

    def test_every_plane_gets_its_labels(
        self, annotated: Any, viewer: ViewerModel, masks: np.ndarray
    ) -> None:
        assert annotated.reason == ''
        assert not annotated.panel.target.isEnabled()
        annotated.run(wait=True, timeout=WAIT)
        made = results(viewer)['labels propagated']
        assert made.data.shape == (6, 80, 100)
        assert made.data.dtype == np.int32
        np.testing.assert_allclose(made.scale, (3, 1, 1))
        np.testing.assert_array_equal(made.data[2], masks[2])
        truth = [0, 1, 2, 2, 1, 0]
        for plane, k in enumerate(truth):
            here, there = made.data[plane] == 70_000, masks[k] == 70_000
            overlap = (here & there).sum() / (here | there).sum()
            assert overlap > 0.6
        about = made.metadata[METADATA]
        assert about['anchor'] == [2]
        # There is no curve of a propagation, so none is shown.
        assert not annotated.panel.view.isVisible()
        assert sorted(about['link_errors']) == ['0', '1', '3', '4', '5']

    def test_nothing_to_propagate_is_noticed(
        self, annotated: Any, viewer: ViewerModel
    ) -> None:
        viewer.dims.set_point(0, 0)
        assert annotated.reason == ''
        viewer.layers['mask'].data[:] = 0
        annotated.refresh()
        assert "'mask' has no labels on any plane" in annotated.reason

    def test_labels_are_needed(self, annotated: Any) -> None:
        annotated.set_labels(None)
        assert annotated.reason == 'Choose the labels to propagate'

    def test_a_single_image_has_no_planes(
        self, annotated: Any, viewer: ViewerModel, photos: Any
    ) -> None:
        viewer.add_image(photos[1], name='flat')
        annotated.set_source('flat')
        annotated.set_target('photo')
        assert 'nothing to propagate through' in annotated.reason

    def test_a_dropped_mask_is_propagated_too(
        self, annotated: Any, viewer: ViewerModel
    ) -> None:
        viewer.add_points([[6.0, 35, 49]], name='dot', ndim=3)
        annotated.transfer('dot', wait=True, timeout=WAIT)
        made = results(viewer)['points propagated']
        assert sorted(made.data[:, 0]) == [0, 1, 2, 3, 4, 5]

    def test_the_chain_ends_at_a_cut(
        self, annotated: Any, viewer: ViewerModel
    ) -> None:
        viewer.layers['photo'].data[4:] = np.indices((80, 100, 3)).sum(0) * 5
        annotated.run(wait=True, timeout=WAIT)
        assert (
            'ended before plane 4, which does not match' in annotated.message
        )
        made = results(viewer)['labels propagated']
        assert [bool(p.any()) for p in made.data] == [True] * 4 + [False] * 2
        states = {p['index']: p for p in made.metadata[METADATA]['planes']}
        assert states[4]['state'] == states[5]['state'] == 'ended'
        assert 'cut' in states[4]['reason']

    def test_all_annotated_planes_count(
        self, annotated: Any, viewer: ViewerModel, masks: np.ndarray
    ) -> None:
        other = np.zeros((80, 100), np.int32)
        other[45:75, 5:40] = 3
        viewer.layers['mask'].data[4] = other
        annotated.run(wait=True, timeout=WAIT)
        made = results(viewer)['labels propagated']
        assert made.metadata[METADATA]['annotated'] == [2, 4]
        np.testing.assert_array_equal(made.data[4], other)
        for plane in (0, 1, 3, 5):
            assert {3, masks.max()} <= set(np.unique(made.data[plane]))

    def test_a_correction_is_kept_and_gone_on_from(
        self, annotated: Any, viewer: ViewerModel
    ) -> None:
        annotated.run(wait=True, timeout=WAIT)
        made = results(viewer)['labels propagated']
        box = np.nonzero(np.ones((20, 20)))
        at = (np.full(400, 3), box[0] + 50, box[1] + 5)
        made.data_setitem(at, 9)
        before = made.data.copy()
        annotated.lock_planes(4)
        annotated.go_on(3, direction='forwards', wait=True, timeout=WAIT)
        for plane in (0, 1, 2, 3, 4):
            np.testing.assert_array_equal(made.data[plane], before[plane])
        assert (made.data[5] == 9).sum() > 200
        about = made.metadata[METADATA]
        assert about['annotated'] == [2, 3]
        made.undo()
        np.testing.assert_array_equal(made.data, before)
        # Only the new id, the other way; the rest stays to the pixel.
        annotated.lock_planes(4, locked=False)
        annotated.go_on(3, direction='backwards', ids=[9], wait=True)
        for plane in (2, 3, 4, 5):
            np.testing.assert_array_equal(made.data[plane], before[plane])
        for plane in (0, 1):
            same = made.data[plane] != 9
            assert (~same).sum() > 200
            np.testing.assert_array_equal(
                made.data[plane][same], before[plane][same]
            )

    @pytest.mark.parametrize('opened', [False, True])
    def test_what_is_painted_or_locked_during_a_run_stays(
        self, annotated: Any, viewer: ViewerModel, opened: bool
    ) -> None:
        annotated.run(wait=True, timeout=WAIT)
        made = results(viewer)['labels propagated']
        if opened:
            # As a file has it, without what is known of it.
            viewer.layers.remove(made)
            made = viewer.add_labels(
                made.data, name=made.name, scale=made.scale
            )
        box = np.mgrid[50:70, 5:25].reshape(2, -1)

        def paint(plane: int, number: int) -> None:
            made.data_setitem((np.full(400, plane), *box), number)

        paint(1, 9)
        annotated.go_on(1, direction='forwards')
        paint(4, 7)
        annotated.lock_planes(3)
        before = made.data.copy()
        annotated.wait(WAIT)
        for plane in (0, 1, 3, 4):
            np.testing.assert_array_equal(made.data[plane], before[plane])
        assert (made.data[5] == 9).sum() > 200
        said = "lane 4 of 'photo ← mask propagated' changed during the run"
        assert said in annotated.message
        made.undo()
        np.testing.assert_array_equal(made.data, before)
        made.redo()
        # What was painted leads from now on, like all that was corrected.
        assert 4 in made.metadata[METADATA]['annotated']
        annotated.lock_planes(3, locked=False)
        annotated.go_on(4, direction='forwards', wait=True, timeout=WAIT)
        assert (made.data[5] == 7).sum() > 200

    def test_the_brush_is_on_the_result_then(
        self, annotated: Any, viewer: ViewerModel
    ) -> None:
        drawn = viewer.layers['mask']
        viewer.layers.selection.active = drawn
        annotated.run(wait=True, timeout=WAIT)
        made = results(viewer)['labels propagated']
        assert viewer.layers.selection.active is made
        # Whoever chose another layer, or goes on annotating, keeps it.
        viewer.layers.selection.active = viewer.layers['photo']
        annotated.run(wait=True, timeout=WAIT)
        assert viewer.layers.selection.active is viewer.layers['photo']
        viewer.layers.selection.active = drawn
        annotated.run()
        drawn.data_setitem((np.array([5]), np.array([3]), np.array([4])), 3)
        annotated.wait(WAIT)
        assert viewer.layers.selection.active is drawn

    def test_a_saved_result_is_gone_on_from_another_day(
        self,
        annotated: Any,
        viewer: ViewerModel,
        tmp_path: Path,
        own_home: Path,
    ) -> None:
        annotated.run(wait=True, timeout=WAIT)
        made = results(viewer)['labels propagated']
        # On a computer that knows nothing of it.
        shutil.rmtree(own_home)
        file = tmp_path / f'{made.name}.tif'
        tifffile.imwrite(file, made.data)
        viewer.layers.remove(made)
        opened = viewer.add_labels(tifffile.imread(file), name=file.stem)
        # The file keeps no scale.
        with pytest.raises(InputError, match='lies on the stack, with its'):
            annotated.go_on(3)
        opened.scale = viewer.layers['photo'].scale
        box = np.nonzero(np.ones((20, 20)))
        at = (np.full(400, 3), box[0] + 50, box[1] + 5)
        opened.data_setitem(at, 9)
        before = opened.data.copy()
        assert annotated.panel.go_on.isVisible()
        annotated.lock_planes(4)
        annotated.go_on(3, direction='forwards', wait=True, timeout=WAIT)
        assert 'was opened from a file' in annotated.message
        for plane in (0, 1, 2, 3, 4):
            np.testing.assert_array_equal(opened.data[plane], before[plane])
        assert (opened.data[5] == 9).sum() > 200
        opened.undo()
        np.testing.assert_array_equal(opened.data, before)
        opened.redo()
        # From now on it is known what is corrected.
        after = opened.data.copy()
        opened.data_setitem((np.full(400, 1), *at[1:]), 9)
        annotated.go_on(3, wait=True, timeout=WAIT)
        assert annotated.message.count('opened from a file') == 0
        assert (opened.data[1] == 9).sum() >= 400
        np.testing.assert_array_equal(opened.data[3:5], after[3:5])

    def test_nothing_to_carry_is_said(
        self, annotated: Any, viewer: ViewerModel
    ) -> None:
        labels = viewer.layers['mask']
        labels.data = np.stack([labels.data[2]] * len(labels.data))
        annotated.run(wait=True, timeout=WAIT)
        assert 'Nothing to carry: all planes have labels' in annotated.message

    def test_points_are_led_by_fields(
        self, annotated: Any, viewer: ViewerModel, monkeypatch: Any
    ) -> None:
        viewer.add_points([[6.0, 35, 49]], name='dot', ndim=3)
        monkeypatch.setattr(
            'napari_samnet.plugin.run.propagate.WEAK_LINK', -1.0
        )
        annotated.transfer('dot', wait=True, timeout=WAIT)
        assert len(annotated._matches) == 5
        monkeypatch.setattr(
            'napari_samnet.plugin.run.propagate.FAILED_LINK', 0.0
        )
        annotated.transfer('dot', wait=True, timeout=WAIT)
        assert 'ended before planes 1 and 3, which do not' in annotated.message

    def test_cancel_keeps_the_planes_done(
        self, qtbot: Any, annotated: Any, viewer: ViewerModel
    ) -> None:
        done = []
        annotated._tasks.runner.reported.connect(
            lambda report: done.append(report.index)
        )
        annotated.run()
        qtbot.waitUntil(lambda: 2 in done, timeout=60_000)
        annotated.cancel()
        annotated.wait(WAIT)
        assert 'Cancelled, kept' in annotated.message
        data = results(viewer)['labels propagated'].data
        assert data[3].any()
        assert not data[0].any()

    def test_the_axis_can_be_chosen(
        self, viewer: ViewerModel, make_widget: Any, stacks: Any, masks: Any
    ) -> None:
        gray = stacks[0].mean(axis=-1)
        data = np.stack([gray, gray], axis=1)
        viewer.add_image(data, name='tz', axis_labels=('t', 'z', 'y', 'x'))
        labels = np.zeros(data.shape, np.uint8)
        labels[0, 1] = masks[0] > 0
        viewer.add_labels(labels, name='mask')
        viewer.dims.set_point((0, 1), (0, 1))
        widget = make_widget(viewer)
        widget.set_labels('mask')
        widget.set_planes('propagate', axis=0)
        axis = widget.panel.axis
        assert [axis.itemText(n) for n in range(axis.count())] == ['t', 'z']
        widget.run(wait=True, timeout=WAIT)
        made = results(viewer)['labels propagated'].data
        assert [bool(x.any()) for x in made[:, 1]] == [True] * 3
        assert not made[:, 0].any()


def test_planes_must_be_known(stacked: Any) -> None:
    with pytest.raises(InputError, match='no leading axis 4'):
        stacked.set_planes('propagate', axis=4)


@pytest.mark.slow
class TestSeriesView:
    """One row for each plane of a propagation."""

    @pytest.fixture
    def done(
        self, viewer: ViewerModel, make_widget: Any, stacks: Any, masks: Any
    ) -> Any:
        viewer.add_image(stacks[0], name='photo', rgb=True, scale=(3, 1, 1))
        labels = np.zeros(stacks[0].shape[:3], np.int32)
        labels[1] = masks[1]
        viewer.add_labels(labels, name='mask', scale=(3, 1, 1))
        widget = make_widget(viewer, size=128, iterations=2)
        widget.set_labels('mask')
        assert not widget.panel.series.isVisibleTo(widget)
        widget.set_planes('propagate')
        widget.run(wait=True, timeout=WAIT)
        return widget

    def test_rows_lead_to_their_planes_and_lock_them(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        table = done.panel.series
        assert table.isVisibleTo(done)
        assert [row.place for row in table.rows] == [0, 1, 2]
        assert table.rows[1].text == 'annotated'
        assert table.rows[0].text in ('good', 'look')
        table.selectRow(2)
        assert viewer.dims.point[0] == 6
        viewer.dims.set_point(0, 0)
        assert {i.row() for i in table.selectedIndexes()} == {0}
        table.item(2, 0).setCheckState(Qt.CheckState.Checked)
        assert table.rows[2].locked
        # A locked plane outlives another run, and so does its lock.
        made = results(viewer)['labels propagated']
        before = made.data.copy()
        mask = viewer.layers['mask']
        mask.data = np.where(mask.data == 3, 4, mask.data)
        done.run(wait=True, timeout=WAIT)
        assert results(viewer)['labels propagated'] is made
        np.testing.assert_array_equal(made.data[2], before[2])
        assert (made.data[0] != before[0]).any()
        assert done.panel.series.rows[-1].locked
        done.set_planes('current')
        assert not table.isVisibleTo(done)
