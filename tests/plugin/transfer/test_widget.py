"""The whole of it on a viewer without a window, with the real network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes, Vectors
from qtpy.QtCore import QMimeData, QUrl

import napari_samnet
from napari_samnet.errors import InputError
from napari_samnet.plugin.model.capture import METADATA

pytestmark = pytest.mark.usefixtures('shared_matches')

WAIT = 60.0


def results(viewer: ViewerModel) -> dict[str, Any]:
    """Our layers by role."""
    return {
        layer.metadata[METADATA]['role']: layer
        for layer in viewer.layers
        if METADATA in layer.metadata
    }


class TestReason:
    """Run is there only when it can run, and a line says why not."""

    def check(self, widget: Any, text: str) -> None:
        assert text in widget.reason
        assert widget.message == widget.reason
        assert widget.panel.run.isEnabled() == (not text)
        if text:
            with pytest.raises(InputError, match=text[:20]):
                widget.run()

    def test_no_image(self, viewer: ViewerModel, make_widget: Any) -> None:
        self.check(make_widget(viewer), 'Open two images')

    def test_one_image(
        self, viewer: ViewerModel, make_widget: Any, photos: Any
    ) -> None:
        viewer.add_image(photos[0])
        self.check(make_widget(viewer), 'Open a second image')

    def test_one_stack(self, viewer: ViewerModel, make_widget: Any) -> None:
        viewer.add_image(np.zeros((3, 80, 100), np.uint8))
        self.check(make_widget(viewer), 'choose Propagate labels at Planes')

    def test_ready(self, ready: Any) -> None:
        self.check(ready, '')

    def test_what_does_not_fit_is_said_until_it_does(
        self, ready: Any, viewer: ViewerModel
    ) -> None:
        viewer.add_labels(np.zeros((5, 5), int), name='small')
        ready.set_labels('small')
        self.check(ready, "'small' has shape 5 × 5, the source has 80 × 100")
        ready.set_labels(None)
        ready.panel.options.show({'window': 21})
        self.check(ready, 'Search window must not be larger')
        ready.panel.options.show({'window': 5})
        ready.set_outputs()
        self.check(ready, 'Choose what to add')
        ready.set_outputs('labels')
        self.check(ready, 'Choose the labels to warp')
        ready.set_labels('mask')
        self.check(ready, '')

    def test_removing_an_image_takes_run_away(
        self, ready: Any, viewer: ViewerModel
    ) -> None:
        viewer.layers.remove('other')
        self.check(ready, 'Open a second image')


def test_labels_that_fit_are_suggested(
    viewer: ViewerModel, make_widget: Any, photos: Any, mask: np.ndarray
) -> None:
    widget = make_widget(viewer)
    viewer.add_image(photos[0])
    viewer.add_image(photos[1])
    viewer.add_labels(np.zeros((5, 5), int))
    assert widget.labels is None
    fitting = viewer.add_labels(mask)
    assert widget.labels is fitting
    widget.set_labels(None)
    viewer.add_labels(mask)
    assert widget.labels is None


def test_selection_becomes_the_pair(
    viewer: ViewerModel, make_widget: Any, photos: Any
) -> None:
    layers = [viewer.add_image(photos[0]) for _ in range(3)]
    viewer.layers.selection = {layers[1], layers[2]}
    widget = make_widget(viewer)
    assert {widget.source, widget.target} == {layers[1], layers[2]}


class TestRun:
    """Results of a run."""

    @pytest.fixture
    def done(self, ready: Any) -> Any:
        ready.set_outputs(
            'flow', 'labels', 'transferred', 'confidence', 'warped'
        )
        ready.run(wait=True, timeout=WAIT)
        return ready

    def test_every_output_on_its_grid(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        made = results(viewer)
        assert {role: type(x) for role, x in made.items()} == {
            'flow': Vectors,
            'labels': Labels,
            'transferred': Image,
            'confidence': Image,
            'warped': Image,
        }
        assert made['labels'].data.shape == (72, 96)
        assert made['transferred'].data.shape == (80, 100, 3)
        assert made['transferred'].data.dtype == np.uint8
        assert made['transferred'].rgb
        assert made['confidence'].data.shape == (80, 100)
        assert made['warped'].data.shape == (80, 100, 3)
        assert len(made['flow'].data) <= 10_000
        assert done.message.startswith('Done, 2 iterations, ')
        assert ' on cpu' in done.message
        assert done.panel.run.isEnabled()
        assert not done.panel.cancel.isEnabled()

    def test_the_arrays_are_those_of_the_api(
        self,
        done: Any,
        viewer: ViewerModel,
        photos: Any,
        mask: np.ndarray,
        fast: dict[str, Any],
    ) -> None:
        found = napari_samnet.match(*photos, labels=mask, **fast)
        made = results(viewer)
        np.testing.assert_array_equal(made['labels'].data, found.warped_labels)
        np.testing.assert_array_equal(
            made['transferred'].data, found.transferred
        )
        np.testing.assert_allclose(made['confidence'].data, found.confidence)
        np.testing.assert_array_equal(
            made['warped'].data, found.warp_image(photos[1])
        )
        np.testing.assert_allclose(done.correspondence.flow, found.flow)
        start = made['flow'].data[:, 0].astype(int)
        np.testing.assert_allclose(
            made['flow'].data[:, 1],
            found.flow[start[:, 0], start[:, 1]],
            atol=1e-3,
        )

    @pytest.mark.slow
    def test_the_arrays_are_those_of_the_command_line(
        self,
        done: Any,
        viewer: ViewerModel,
        photos: Any,
        mask: np.ndarray,
        fast: dict[str, Any],
        tmp_path: Path,
    ) -> None:
        from napari_samnet.cli.main import main

        for name, image in zip(('a', 'b'), photos, strict=True):
            tifffile.imwrite(tmp_path / f'{name}.tif', image)
        tifffile.imwrite(tmp_path / 'mask.tif', mask)
        out = tmp_path / 'out'
        files = [str(tmp_path / f'{name}.tif') for name in ('a', 'b', 'mask')]
        options = [f'--{name}={value}' for name, value in fast.items()]
        where = ['--labels', files[2], '--out', str(out)]
        assert main(['transfer', *files[:2], *where, *options]) == 0
        made = results(viewer)
        np.testing.assert_array_equal(
            tifffile.imread(out / 'warped_labels.tif'), made['labels'].data
        )
        found = napari_samnet.Correspondence.load(out / 'correspondence.npz')
        np.testing.assert_array_equal(
            found.forward, done.correspondence.forward
        )

    def test_layers_keep_what_they_are_of(
        self, done: Any, viewer: ViewerModel, fast: dict[str, Any]
    ) -> None:
        made = results(viewer)
        warped, original = made['labels'], viewer.layers['mask']
        assert warped.data.dtype == np.int32
        assert set(np.unique(warped.data)) <= {0, 3, 70_000}
        assert 70_000 in warped.data
        np.testing.assert_allclose(
            warped.get_color(70_000), original.get_color(70_000)
        )
        for layer in made.values():
            about = layer.metadata[METADATA]
            assert about['source'] == 'photo'
            assert about['target'] == 'other'
            assert about['options']['size'] == fast['size']
            assert about['version'] == napari_samnet.__version__
            assert about['iterations_used'] == 2
            assert len(about['weights']['sha256']) == 64

    @pytest.mark.slow
    def test_a_second_run_adds_no_layer(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        before = list(viewer.layers)
        done.set_options(iterations=1)
        done.run(wait=True, timeout=WAIT)
        assert list(viewer.layers) == before
        made = results(viewer)['flow']
        assert made.metadata[METADATA]['iterations_used'] == 1


@pytest.mark.slow
@pytest.mark.usefixtures('unmatched')
def test_the_curve_and_the_picture_show(ready: Any) -> None:
    ready.run(wait=True, timeout=WAIT)
    plot, picture = ready.panel.plot, ready.panel.picture
    assert len(plot.changes) == 2
    assert plot.changes == pytest.approx(
        ready.correspondence.metadata['changes'], abs=1e-3
    )
    assert picture.shown
    for part in (plot, picture):
        part.resize(200, 90)
        assert not part.grab().isNull()


def test_scale_units_and_affine_of_each_grid(
    viewer: ViewerModel, make_widget: Any, photos: Any, mask: np.ndarray
) -> None:
    affine = np.eye(3)
    affine[:2, 2] = (4, -7)
    affine[0, 1] = 0.2
    common = {'units': ('um', 'um'), 'axis_labels': ('y', 'x')}
    source = viewer.add_image(photos[0], scale=(0.5, 0.5), **common)
    viewer.add_labels(mask, scale=(0.5, 0.5), **common)
    target = viewer.add_image(
        photos[1],
        scale=(2, 0.5),
        translate=(30, 11),
        rotate=20,
        shear=[0.3],
        affine=affine,
        **common,
    )
    widget = make_widget(viewer)
    widget.set_source(source)
    widget.set_target(target)
    widget.run(wait=True, timeout=WAIT)
    made = results(viewer)
    at = (13, 21)
    for role, owner in (
        ('labels', target),
        ('flow', source),
        ('transferred', source),
    ):
        layer = made[role]
        np.testing.assert_allclose(
            layer.data_to_world(at), owner.data_to_world(at)
        )
        assert layer.units == owner.units
        assert layer.axis_labels == owner.axis_labels
    assert viewer.layers.extent.units is not None


@pytest.mark.slow
@pytest.mark.parametrize('dtype', [np.uint16, np.float32, bool])
def test_gray_images_keep_dtype_and_contrast(
    viewer: ViewerModel, make_widget: Any, photos: Any, dtype: Any
) -> None:
    gray = [photo.mean(axis=2) for photo in photos]
    if dtype is bool:
        gray = [image > image.mean() for image in gray]
    else:
        gray = [(image * 20).astype(dtype) for image in gray]
    source = viewer.add_image(gray[0], colormap='magma')
    limits = (0, 1) if dtype is bool else (100.0, 4000.0)
    source.contrast_limits = limits
    viewer.add_image(gray[1])
    widget = make_widget(viewer)
    widget.set_outputs('transferred', 'warped')
    widget.run(wait=True, timeout=WAIT)
    made = results(viewer)['transferred']
    assert made.data.dtype == dtype
    assert made.data.shape == (80, 100)
    assert tuple(made.contrast_limits) == limits
    assert made.colormap.name == 'magma'
    assert not made.rgb
    assert results(viewer)['warped'].data.dtype == dtype


@pytest.mark.slow
def test_transparency_is_kept(
    viewer: ViewerModel, make_widget: Any, photos: Any
) -> None:
    alpha = np.full((80, 100, 1), 130, np.uint8)
    viewer.add_image(np.concatenate([photos[0], alpha], axis=2), rgb=True)
    viewer.add_image(photos[1])
    widget = make_widget(viewer)
    widget.run(wait=True, timeout=WAIT)
    made = results(viewer)['transferred']
    assert made.data.shape == (80, 100, 4)
    assert (made.data[..., 3] == 130).all()


@pytest.mark.slow
def test_of_several_resolutions_the_full_one_is_used(
    viewer: ViewerModel, make_widget: Any, photos: Any
) -> None:
    levels = [photos[0], photos[0][::2, ::2]]
    viewer.add_image(levels, rgb=True, multiscale=True, scale=(3, 3))
    viewer.add_image(photos[1])
    widget = make_widget(viewer)
    widget.run(wait=True, timeout=WAIT)
    made = results(viewer)['transferred']
    assert made.data.shape == (80, 100, 3)
    np.testing.assert_allclose(made.scale, (3, 3))


@pytest.mark.slow
def test_without_attributes_nothing_is_transferred(
    ready: Any, viewer: ViewerModel
) -> None:
    ready.set_options(attributes=False)
    assert not ready.panel.outputs.boxes['transferred'].isEnabled()
    ready.run(wait=True, timeout=WAIT)
    assert set(results(viewer)) == {'flow', 'labels'}


@pytest.mark.slow
class TestDuringARun:
    """Whatever the user does meanwhile."""

    def test_run_is_off_and_cancel_is_on(self, held: Any) -> None:
        assert held.running
        assert not held.panel.run.isEnabled()
        assert held.panel.cancel.isEnabled()
        assert held.panel.bar.isVisibleTo(held)

    def test_renaming_is_safe(self, held: Any, viewer: ViewerModel) -> None:
        viewer.layers['photo'].name = 'renamed'
        viewer.layers['other'].name = 'photo'
        held.release()
        held.wait(WAIT)
        assert held.source.name == 'renamed'
        flow = results(viewer)['flow']
        assert viewer.layers.index(flow) > viewer.layers.index('renamed')

    def test_removing_is_safe(self, held: Any, viewer: ViewerModel) -> None:
        viewer.layers.remove('photo')
        viewer.layers.remove('mask')
        held.release()
        held.wait(WAIT)
        assert set(results(viewer)) == {'flow', 'labels', 'transferred'}

    def test_reordering_is_safe(self, held: Any, viewer: ViewerModel) -> None:
        viewer.layers.reverse()
        held.release()
        held.wait(WAIT)
        assert results(viewer)['labels'].data.shape == (72, 96)

    def test_hiding_the_dock_is_safe(
        self, held: Any, viewer: ViewerModel
    ) -> None:
        held.hide()
        held.release()
        held.wait(WAIT)
        assert 'labels' in results(viewer)

    def test_a_drop_waits_for_its_turn(
        self, held: Any, viewer: ViewerModel, mask: np.ndarray
    ) -> None:
        second = viewer.add_labels((mask > 0).astype(np.uint8), name='two')
        held.panel.drop.layers_dropped.emit([second])
        held.release()
        held.wait(WAIT)
        names = [layer.name for layer in viewer.layers]
        assert 'other ← mask' in names
        assert 'other ← two' in names

    def test_cancel_before_the_first_iteration_adds_nothing(
        self, held: Any, viewer: ViewerModel
    ) -> None:
        held.cancel()
        assert held.panel.cancel.text() == 'Cancelling…'
        held.release()
        held.wait(WAIT)
        assert 'nothing was added' in held.message
        assert results(viewer) == {}
        assert held.panel.run.isEnabled()
        assert held.panel.cancel.text() == 'Cancel'


def test_cancel_keeps_the_iterations_done(
    qtbot: Any, ready: Any, viewer: ViewerModel
) -> None:
    ready.set_options(iterations=20, tolerance=0.0)
    ready.panel.plot.restart(20, 0)
    ready.run()
    qtbot.waitUntil(lambda: len(ready.panel.plot.changes) > 0, timeout=60_000)
    ready.cancel()
    ready.wait(WAIT)
    used = results(viewer)['flow'].metadata[METADATA]['iterations_used']
    assert 1 <= used < 20
    assert ready.message.startswith(f'Cancelled, kept {used} iteration')
    assert ready.panel.run.isEnabled()
    # It is not taken for a whole one.
    assert len(ready._cache) == 0


@pytest.mark.slow
def test_cancel_answers_after_the_iteration(qtbot: Any, ready: Any) -> None:
    ready.set_options(iterations=20, tolerance=0.0)
    heard: list[tuple[bool, str]] = []
    runner = ready._tasks.runner
    runner.reported.connect(
        lambda _: heard.append((runner.canceling, ready.message))
    )
    ready.run()
    qtbot.waitUntil(lambda: len(ready.panel.plot.changes) > 0, timeout=60_000)
    ready.cancel()
    assert ready.panel.cancel.text() == 'Cancelling…'
    ready.wait(WAIT)
    after = [text for canceling, text in heard if canceling]
    # At most the iteration that was under way, then the answer.
    assert len(after) <= 2
    assert after[-1].startswith('Stopped after iteration')


@pytest.mark.slow
@pytest.mark.usefixtures('unmatched')
def test_the_field_is_shown_after_every_iteration(ready: Any) -> None:
    ready.set_options(iterations=5, tolerance=0.0)
    pictures: list[np.ndarray] = []
    ready._tasks.runner.reported.connect(
        lambda x: pictures.append(x.picture) if x.picture is not None else 0
    )
    ready.run(wait=True, timeout=WAIT)
    # One an iteration, and the result's, with the transferred image beside.
    assert len(pictures) == 6
    rows, width, _ = pictures[0].shape
    assert max(rows, width) == 160
    assert pictures[-1].shape[1] > 2 * width
    fields = [picture[:, -width:] for picture in pictures]
    assert not np.array_equal(fields[0], fields[1])


@pytest.mark.slow
@pytest.mark.usefixtures('unmatched')
def test_the_bar_and_the_line_count_iterations(ready: Any) -> None:
    ready.set_options(iterations=3, tolerance=0.0)
    bar = ready.panel.footer.bar
    seen: list[tuple[int, int, str]] = []
    ready._tasks.runner.reported.connect(
        lambda _: seen.append((bar.value(), bar.maximum(), ready.message))
    )
    ready.run(wait=True, timeout=WAIT)
    assert [(n, total) for n, total, text in seen if 'teration' in text] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]
    assert not bar.isVisibleTo(ready)


def test_advanced_options_are_folded_away(ready: Any) -> None:
    fold = ready.panel.advanced
    assert not fold.button.isChecked()
    assert not fold.body.isVisibleTo(ready)
    fold.button.click()
    assert fold.body.isVisibleTo(ready)


def test_arrows_are_colored_as_chosen(ready: Any, viewer: ViewerModel) -> None:
    ready.set_outputs('flow')
    for color in ('Direction', 'Confidence'):
        ready.panel.color.setCurrentText(color)
        ready.run(wait=True, timeout=WAIT)
        flow = results(viewer)['flow']
        values = flow.features[color.lower()]
        low, high = flow.edge_contrast_limits
        expected = flow.edge_colormap.map((values - low) / (high - low))
        np.testing.assert_allclose(flow.edge_color, expected, atol=1e-3)
        assert len(np.unique(flow.edge_color, axis=0)) > 1


class TestDrop:
    """Masks dropped on the zone."""

    def test_labels_are_carried_at_once(
        self, ready: Any, viewer: ViewerModel, drop: Any, layer_mime: Any
    ) -> None:
        assert drop(ready.panel.drop, layer_mime(viewer.layers['mask']))
        ready.wait(WAIT)
        made = results(viewer)
        assert set(made) == {'labels'}
        assert made['labels'].name == 'other ← mask'
        assert made['labels'].data.shape == (72, 96)

    @pytest.mark.slow
    @pytest.mark.usefixtures('unmatched')
    def test_a_second_mask_is_not_matched_again(
        self, ready: Any, viewer: ViewerModel, drop: Any, layer_mime: Any
    ) -> None:
        ready.run(wait=True, timeout=WAIT)
        ready.panel.plot.restart(1, 0)
        second = viewer.add_labels(np.ones((80, 100), np.uint8), name='two')
        assert drop(ready.panel.drop, layer_mime(second))
        ready.wait(WAIT)
        assert ready.panel.plot.changes == ()
        carried = viewer.layers['other ← two']
        found = ready.correspondence
        np.testing.assert_array_equal(
            carried.data, found.warp_labels(second.data)
        )

    @pytest.mark.slow
    @pytest.mark.usefixtures('unmatched')
    def test_a_changed_image_is_matched_again(
        self, ready: Any, viewer: ViewerModel
    ) -> None:
        ready.transfer('mask', wait=True, timeout=WAIT)
        assert len(ready._cache) == 1
        viewer.layers['photo'].data = viewer.layers['photo'].data[:, ::-1]
        ready.transfer('mask', wait=True, timeout=WAIT)
        assert len(ready._cache) == 2

    def test_several_kinds_in_one_drop(
        self, ready: Any, viewer: ViewerModel, drop: Any, layer_mime: Any
    ) -> None:
        points = viewer.add_points([[10.0, 20], [30, 40]], name='dots')
        shapes = viewer.add_shapes(
            [[10, 10], [30, 40]], shape_type='line', name='lines'
        )
        mime = layer_mime(viewer.layers['mask'], points, shapes)
        assert drop(ready.panel.drop, mime)
        ready.wait(WAIT)
        made = results(viewer)
        kinds = {'labels': Labels, 'points': Points, 'shapes': Shapes}
        assert {role: type(x) for role, x in made.items()} == kinds
        np.testing.assert_allclose(
            made['points'].data,
            ready.correspondence.warp_points(points.data),
            rtol=1e-5,
        )

    def test_points_with_a_place_of_their_own(
        self, ready: Any, viewer: ViewerModel
    ) -> None:
        viewer.add_points([[5.0, 10]], scale=(2, 2), name='dots')
        found = ready.transfer('dots', wait=True, timeout=WAIT)
        np.testing.assert_allclose(
            results(viewer)['points'].data,
            found.warp_points([[10, 20]]),
            rtol=1e-5,
        )

    def test_merging_into_existing_labels_is_one_undo(
        self, ready: Any, viewer: ViewerModel, drop: Any, layer_mime: Any
    ) -> None:
        existing = np.full((72, 96), 4, np.int32)
        layer = viewer.add_labels(existing.copy(), name='annotation')
        ready.panel.into.choose(layer)
        assert drop(ready.panel.drop, layer_mime(viewer.layers['mask']))
        ready.wait(WAIT)
        assert results(viewer) == {}
        carried = ready.correspondence.warp_labels(
            viewer.layers['mask'].data, image=viewer.layers['other'].data
        )
        expected = np.where(carried, carried, existing)
        np.testing.assert_array_equal(layer.data, expected)
        layer.undo()
        np.testing.assert_array_equal(layer.data, existing)

    def test_only_labels_of_the_target_are_offered_for_merging(
        self, ready: Any, viewer: ViewerModel
    ) -> None:
        fitting = viewer.add_labels(np.zeros((72, 96), int))
        assert ready.panel.into.layers == (fitting,)
        ready.panel.swap.click()
        assert ready.panel.into.layers == (viewer.layers['mask'],)

    def test_ids_that_do_not_fit_are_refused_and_run_comes_back(
        self, ready: Any, viewer: ViewerModel
    ) -> None:
        layer = viewer.add_labels(np.zeros((72, 96), np.uint8), name='small')
        with pytest.raises(
            InputError, match="'small' holds ids from 0 to 255"
        ):
            ready.transfer('mask', into=layer, wait=True, timeout=WAIT)
        assert not layer.data.any()
        assert ready.panel.run.isEnabled()

    def test_a_mask_of_another_image_is_refused(
        self, ready: Any, viewer: ViewerModel, drop: Any, layer_mime: Any
    ) -> None:
        layer = viewer.add_labels(np.zeros((9, 9), int), name='foreign')
        assert drop(ready.panel.drop, layer_mime(layer))
        assert "'foreign' has shape 9 × 9" in ready.panel.drop.reason
        assert not ready.running

    def test_a_file_becomes_labels_and_is_carried(
        self,
        ready: Any,
        viewer: ViewerModel,
        drop: Any,
        tmp_path: Path,
        mask: np.ndarray,
    ) -> None:
        path = tmp_path / 'cells.tif'
        tifffile.imwrite(path, mask)
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path))])
        assert drop(ready.panel.drop, mime)
        ready.wait(WAIT)
        np.testing.assert_array_equal(viewer.layers['cells'].data, mask)
        assert ready.labels is viewer.layers['cells']
        assert 'other ← cells' in viewer.layers

    @pytest.mark.slow
    @pytest.mark.parametrize(
        'array',
        [
            np.full((80, 100), 0.5, np.float32),
            np.random.default_rng(0).integers(
                0, 255, (80, 100, 3), dtype=np.uint8
            ),
        ],
    )
    def test_a_file_that_is_no_mask_is_refused(
        self,
        ready: Any,
        viewer: ViewerModel,
        drop: Any,
        tmp_path: Path,
        array: np.ndarray,
    ) -> None:
        path = tmp_path / 'photo.npy'
        np.save(path, array)
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path))])
        before = len(viewer.layers)
        assert drop(ready.panel.drop, mime)
        ready.wait(WAIT)
        assert ready.panel.drop.reason
        assert len(viewer.layers) == before


class TestFailure:
    """Errors in the worker."""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ('error', 'text'),
        [
            (RuntimeError('size mismatch'), 'RuntimeError: size mismatch'),
            (MemoryError(), 'Out of memory: choose a smaller Detail'),
        ],
    )
    def test_run_comes_back_with_a_readable_line(
        self, ready: Any, viewer: ViewerModel, error: Exception, text: str
    ) -> None:
        def fail(key: str) -> Any:
            raise error

        get, ready._cache.get = ready._cache.get, fail
        with pytest.raises(RuntimeError, match=text):
            ready.run(wait=True, timeout=WAIT)
        assert ready.message.startswith(text)
        assert ready.panel.run.isEnabled()
        assert not ready.running
        ready._cache.get = get
        ready.run(wait=True, timeout=WAIT)
        assert results(viewer)

    def test_missing_weights_are_named(self, ready: Any) -> None:
        ready.set_options(weights='/nowhere/mine.safetensors')
        with pytest.raises(InputError, match=r'mine\.safetensors'):
            ready.run(wait=True, timeout=WAIT)
        assert ready.panel.run.isEnabled()

    def test_the_button_shows_it_as_a_notification(
        self, qtbot: Any, ready: Any, monkeypatch: Any
    ) -> None:
        shown: list[str] = []
        monkeypatch.setattr(
            'napari_samnet.plugin.transfer.status.show_error', shown.append
        )
        ready.set_options(weights='/nowhere/mine.safetensors')
        ready.panel.run.click()
        qtbot.waitUntil(lambda: not ready.running, timeout=60_000)
        assert len(shown) == 1
        assert 'mine.safetensors' in shown[0]


class TestScript:
    """The interface for scripts."""

    def test_mistakes_are_named(self, ready: Any) -> None:
        mistakes: list[tuple[Callable[[Any], Any], str]] = [
            (lambda w: w.set_source('nothing'), "'nothing', only 'photo'"),
            (lambda w: w.set_source(3), 'a layer of this viewer or its name'),
            (lambda w: w.set_ids([1.5]), 'ids must be whole numbers'),
            (lambda w: w.set_ids(['a']), 'ids must be whole numbers'),
            (lambda w: w.set_ids(7), 'ids must be whole numbers'),
            (lambda w: w.set_source('mask'), "'mask' is not an image"),
            (lambda w: w.set_labels('photo'), "'photo' is not a layer of"),
            (lambda w: w.set_options(windw=9), 'no option windw, only size'),
            (lambda w: w.set_options(window=4), 'window must be odd'),
            (lambda w: w.set_outputs('flows'), 'no output flows, only flow'),
            (lambda w: w.set_planes('each'), 'planes must be one of'),
            (lambda w: w.transfer(), 'no annotation'),
            (lambda w: w.transfer('photo'), 'cannot be transferred'),
            (lambda w: w.transfer('mask', into='photo'), 'no layer of labels'),
            (lambda w: w.preview('sideways'), 'preview must be one of'),
            (lambda w: w.preview(), 'match these planes first'),
        ]
        for call, text in mistakes:
            with pytest.raises(InputError, match=text):
                call(ready)

    def test_a_wrong_option_changes_nothing(self, ready: Any) -> None:
        before = ready.options
        with pytest.raises(InputError):
            ready.set_options(iterations=3, window=4)
        assert ready.options == before

    def test_waiting_can_time_out(self, ready: Any) -> None:
        with pytest.raises(TimeoutError):
            ready.run(wait=True, timeout=0.001)
        ready.wait(WAIT)

    def test_reset(self, ready: Any) -> None:
        ready.set_outputs('confidence')
        ready.panel.arrows.setValue(9999)
        ready.reset_defaults()
        assert ready.options == napari_samnet.MatchOptions()
        assert ready.panel.outputs.names == {'flow', 'labels', 'transferred'}
        assert ready.panel.arrows.value() == 400

    def test_choosing_the_target_as_source_swaps(self, ready: Any) -> None:
        ready.set_source('other')
        assert (ready.source.name, ready.target.name) == ('other', 'photo')


def test_hidden_docks_do_not_listen(
    ready: Any, viewer: ViewerModel, monkeypatch: Any
) -> None:
    emitters = viewer.layers.events, viewer.dims.events
    count = [
        sum(len(e.callbacks) for e in group.emitters.values())
        for group in emitters
    ]
    for _ in range(3):
        ready.hide()
        ready.show()
    assert count == [
        sum(len(e.callbacks) for e in group.emitters.values())
        for group in emitters
    ]
    ready.hide()
    viewer.layers['photo'].name = 'renamed'
    ready.show()
    assert ready.panel.source.currentText() == 'renamed'


def test_a_hidden_dock_can_be_scripted(
    ready: Any, viewer: ViewerModel, photos: Any
) -> None:
    ready.hide()
    viewer.layers.remove('other')
    assert 'Open a second image' in ready.reason
    viewer.add_image(photos[1], name='new')
    assert ready.reason == ''
    ready.run(wait=True, timeout=WAIT)
    assert 'photo → new flow' in viewer.layers
