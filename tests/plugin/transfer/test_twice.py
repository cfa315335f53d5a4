"""What people do with a dock that they have used before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.arrange import are_in_view

WAIT = 60.0

pytestmark = pytest.mark.usefixtures('shared_matches')


@pytest.fixture
def done(ready: Any) -> Any:
    """A pair that was run, with all that a run adds."""
    ready.run(wait=True, timeout=WAIT)
    return ready


def names(widget: Any) -> list[str]:
    return [layer.name for layer in widget.viewer.layers]


def again(widget: Any) -> list[str]:
    """Run again, and tell what is new."""
    before = set(names(widget))
    widget.run(wait=True, timeout=WAIT)
    return [name for name in names(widget) if name not in before]


class TestRunAgain:
    """After this and that has changed."""

    def test_with_other_names(self, done: Any) -> None:
        layers = done.viewer.layers
        for layer, name in zip(
            [done.source, done.labels, done.target],
            ['<b>photo</b> & more', 'labels of a person', 20 * 'long name '],
            strict=True,
        ):
            layer.name = name
        assert again(done) == []
        assert done.panel.source.toolTip().startswith('<p>&lt;b&gt;photo')
        assert 'other ← mask' in layers

    @pytest.mark.slow
    def test_with_another_picture_in_the_layer(
        self, done: Any, photos: Any
    ) -> None:
        done.target.data = photos[1][:50, :60].copy()
        assert again(done) == []
        carried = done.viewer.layers['other ← mask']
        assert carried.data.shape == (50, 60)

    @pytest.mark.slow
    def test_once_the_image_was_calibrated(self, done: Any) -> None:
        """The scale of an image is set after a result was made."""
        done.target.scale = (2, 2)
        again(done)
        carried = [x for x in done.viewer.layers if ' ← mask' in x.name]
        assert any(np.allclose(x.scale, 2) for x in carried)

    @pytest.mark.slow
    def test_with_labels_of_another_type(self, done: Any, mask: Any) -> None:
        for data in (
            (mask > 0).astype(np.uint8),
            mask.astype(np.int64) * 100_000,
        ):
            done.labels.data = data
            assert again(done) == []
            carried = done.viewer.layers['other ← mask'].data
            assert set(np.unique(carried)) <= set(np.unique(data))
            assert carried.any()

    def test_with_everything_out_of_sight(self, done: Any) -> None:
        for layer in done.viewer.layers:
            layer.visible = False
        assert again(done) == []
        assert not any(layer.visible for layer in done.viewer.layers)

    def test_after_the_labels_were_erased(self, done: Any, mask: Any) -> None:
        """All else is made, and the result of before stays."""
        carried = done.viewer.layers['other ← mask']
        before = carried.data.copy()
        done.labels.data = np.zeros_like(mask)
        done.set_outputs('labels', 'confidence')
        assert again(done) == ['photo → other confidence']
        np.testing.assert_array_equal(carried.data, before)
        assert "'mask' has no label on the source" in done.message

    def test_of_nothing_but_erased_labels(
        self, ready: Any, mask: Any, qtbot: Any
    ) -> None:
        ready.labels.data = np.zeros_like(mask)
        ready.set_outputs('labels')
        qtbot.mouseClick(ready.panel.run, Qt.MouseButton.LeftButton)
        assert "'mask' has no label on the source" in ready.message
        assert not ready.running
        with pytest.raises(InputError, match='no label'):
            ready.run()

    def test_of_a_mask_that_was_dropped_before(self, ready: Any) -> None:
        ready.transfer('mask', wait=True, timeout=WAIT)
        ready.transfer('mask', wait=True, timeout=WAIT)
        assert sum(' ← mask' in name for name in names(ready)) == 1


def test_other_axes_on_the_screen(ready: Any, photos: Any) -> None:
    """A plane that nobody sees is not matched."""
    viewer = ready.viewer
    stack = viewer.add_image(np.stack([photos[0][..., 0]] * 4), name='stack')
    ready.set_source(stack)
    ready.set_labels(None)
    assert ready.reason == ''
    viewer.dims.roll()
    assert 'roll the axes back' in ready.reason
    viewer.dims.roll()
    viewer.dims.roll()
    assert ready.reason == ''
    viewer.dims.transpose()
    assert ready.reason == ''


class TestMeanwhile:
    """While a run is under way."""

    def test_the_viewer_was_cleared(self, held: Any, photos: Any) -> None:
        held.viewer.layers.clear()
        held.release()
        held.wait(WAIT)
        assert names(held) == []
        # What comes next is the pair.
        held.viewer.add_image(photos[0], name='one')
        held.viewer.add_image(photos[1], name='two')
        assert [held.source.name, held.target.name] == ['one', 'two']
        assert held.reason == ''

    def test_the_fields_were_reset_and_swapped(self, held: Any) -> None:
        held.reset_defaults()
        held.panel.swap.click()
        held.set_labels(None)
        held.release()
        held.wait(WAIT)
        assert 'other ← mask' in names(held)
        assert held.source.name == 'other'
        # The verdict is on another pair than the one on the screen.
        assert not held.panel.footer.verdict.isVisible()
        assert held.message.startswith('photo → other: Done')

    def test_the_target_got_another_picture(
        self, held: Any, photos: Any
    ) -> None:
        held.target.data = photos[1][:50, :60].copy()
        held.release()
        held.wait(WAIT)
        assert held.viewer.layers['other ← mask'].data.shape == (72, 96)
        assert "'other' got another picture during the run" in held.message

    def test_run_was_pressed_twice(self, ready: Any, qtbot: Any) -> None:
        for _ in range(2):
            qtbot.mouseClick(ready.panel.run, Qt.MouseButton.LeftButton)
        ready.wait(WAIT)
        assert sum(' ← mask' in name for name in names(ready)) == 1

    def test_canceled_and_started_anew(self, ready: Any) -> None:
        ready.run()
        ready.cancel()
        ready.run(wait=True, timeout=WAIT)
        assert 'other ← mask' in names(ready)


@pytest.mark.slow
class TestRemoved:
    """Layers that something belonged to are gone."""

    def test_results_do_not_become_the_pair(self, done: Any) -> None:
        done.viewer.layers.remove('other')
        assert done.target is None
        assert 'Open a second image' in done.reason
        done.viewer.layers.remove('photo')
        assert done.source is None
        # Whoever wants to can choose them.
        done.set_source('photo like other')
        assert done.source.name == 'photo like other'

    def test_the_worst_places_of_an_image_that_is_gone(
        self, done: Any
    ) -> None:
        done.viewer.layers.remove('other')
        done.show_worst()
        assert not done.running

    def test_the_points_of_landmarks(self, done: Any) -> None:
        """The list keeps them, and they are drawn again."""
        layers = done.viewer.layers
        done.panel.asking.setChecked(True)
        done.add_landmark((35, 45), (41, 37), wait=True)
        layers.remove('photo asked')
        assert len(done.landmarks.source) == 1
        done.ask((20, 20))
        assert len(layers['photo asked'].data) == 2

    def test_landmarks_wait_for_their_pair(self, done: Any) -> None:
        done.add_landmark((35, 45), (41, 37), wait=True)
        done.panel.swap.click()
        assert len(done.landmarks.source) == 0
        done.panel.swap.click()
        assert len(done.landmarks.source) == 1
        assert done.panel.landmarks.table.rowCount() == 1
        # An image that comes back is another one.
        done.viewer.layers.remove('other')
        assert len(done.landmarks.source) == 0

    def test_the_result_to_go_on_from(self, ready: Any, photos: Any) -> None:
        stack = ready.viewer.add_image(np.stack([photos[0]] * 3))
        ready.set_source(stack)
        ready.set_planes('propagate')
        ready.panel.go_on.click()
        assert 'no propagated result to go on from' in ready.message


class TestTheNextDay:
    """Results that were saved and opened again have lost their metadata."""

    @pytest.mark.parametrize(
        'result', ['other like photo', 'other → photo confidence']
    )
    def test_results_are_not_the_target(
        self, viewer: Any, photos: Any, make_widget: Any, result: str
    ) -> None:
        viewer.add_image(photos[0], name=result)
        viewer.add_image(photos[0], name='photo')
        viewer.add_image(photos[1], name='my horse like drawing')
        widget = make_widget(viewer)
        assert widget.source.name == 'photo'
        assert widget.target.name == 'my horse like drawing'
        widget.set_target(result)
        assert widget.target.name == result

    def test_carried_labels_are_not_the_sources(
        self, viewer: Any, photos: Any, mask: Any, make_widget: Any
    ) -> None:
        viewer.add_image(photos[0], name='photo')
        viewer.add_image(photos[0], name='other')
        viewer.add_labels(mask, name='other ← mask')
        widget = make_widget(viewer)
        assert widget.labels is None
        viewer.add_labels(mask, name='mask')
        assert widget.labels.name == 'mask'


def test_a_stack_beside_a_flat_pair_does_not_hinder(ready: Any) -> None:
    """The viewer has three dimensions then, and the pair two."""
    ready.viewer.add_points([[4.0, 10, 10]], name='of a stack')
    ready.target.translate = (0, 5000)
    ready.run(wait=True, timeout=WAIT)
    assert 'other ← mask' in ready.viewer.layers
    scene = getattr(ready.viewer, 'scene', ready.viewer)
    assert scene.camera.center[-1] == pytest.approx(2548, abs=2)
    assert are_in_view(ready.viewer, [ready.source, ready.target])
