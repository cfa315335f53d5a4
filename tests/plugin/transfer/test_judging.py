"""Preview, questions and confidence on a viewer without a window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.preview import checkerboard
from napari_samnet.plugin.model.capture import METADATA

pytestmark = pytest.mark.usefixtures('shared_matches')

WAIT = 60.0


@pytest.fixture
def done(ready: Any) -> Any:
    ready.set_outputs('labels')
    ready.run(wait=True, timeout=WAIT)
    return ready


def preview_of(viewer: ViewerModel) -> Any:
    return next(
        (
            layer
            for layer in viewer.layers
            if layer.metadata.get(METADATA, {}).get('role') == 'preview'
        ),
        None,
    )


class TestPreview:
    """The warped target over the source."""

    def test_blend(self, done: Any, viewer: ViewerModel, photos: Any) -> None:
        done.preview('blend', 0.25, wait=True)
        layer = preview_of(viewer)
        assert layer.data.shape == (80, 100, 4)
        assert layer.opacity == 0.25
        np.testing.assert_allclose(
            layer.data[..., :3].astype(int),
            done.correspondence.warp_image(photos[1]),
            atol=1,
        )

    def test_checkerboard_shows_every_other_tile(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        done.preview('checkerboard', 0.0, wait=True)
        layer = preview_of(viewer)
        tiles = checkerboard((80, 100), 0.0)
        assert not layer.data[~tiles, 3].any()
        assert layer.opacity == 1
        coarse = layer.data[..., 3].copy()
        done.preview('checkerboard', 1.0, wait=True)
        assert (preview_of(viewer).data[..., 3] != coarse).any()

    def test_switching_keeps_one_layer_and_off_removes_it(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        before = len(viewer.layers)
        done.preview('blend', wait=True)
        done.preview('checkerboard', wait=True)
        assert len(viewer.layers) == before + 1
        done.preview('off')
        assert preview_of(viewer) is None

    def test_the_slider_mixes_at_once(
        self, qtbot: Any, done: Any, viewer: ViewerModel
    ) -> None:
        done.preview('blend', 0.5, wait=True)
        done.panel.amount.setValue(80)
        qtbot.waitUntil(lambda: preview_of(viewer).opacity == 0.8)

    @pytest.mark.slow
    def test_a_new_run_renews_it(self, done: Any, viewer: ViewerModel) -> None:
        done.preview('blend', wait=True)
        preview_of(viewer).data = np.zeros((80, 100, 4), np.uint8)
        done.set_options(iterations=1)
        done.run(wait=True, timeout=WAIT)
        assert preview_of(viewer).data.any()

    def test_choosing_it_before_a_match_says_why_not(self, ready: Any) -> None:
        ready.panel.preview.setCurrentIndex(1)
        ready.panel.preview.activated.emit(1)
        assert ready.panel.preview.currentIndex() == 0
        assert 'match these planes first' in ready.message

    @pytest.mark.parametrize('fineness', [0.0, 0.5, 1.0])
    def test_half_of_a_checkerboard_is_the_target(
        self, fineness: float
    ) -> None:
        assert checkerboard((96, 96), fineness).mean() == pytest.approx(
            0.5, abs=0.08
        )


class TestAsk:
    """A click in one image, a point in the other."""

    def test_both_directions(self, done: Any, viewer: ViewerModel) -> None:
        viewer.layers['other'].translate = (0, 200)
        side, there = done.ask((30, 40))
        assert side == 'target'
        np.testing.assert_allclose(
            there, done.correspondence.warp_points([[30, 40]])[0]
        )
        side, back = done.ask((20, 230))
        assert side == 'source'
        np.testing.assert_allclose(
            back,
            done.correspondence.warp_points([[20, 30]], to='source')[0],
        )
        asked = viewer.layers['photo asked'], viewer.layers['other asked']
        np.testing.assert_allclose(asked[0].data, [[30, 40], back])
        np.testing.assert_allclose(asked[1].data, [there, [20, 30]])
        for layer in asked:
            assert list(layer.features['number']) == [1, 2]
        np.testing.assert_allclose(asked[0].face_color, asked[1].face_color)
        assert len(np.unique(asked[0].face_color, axis=0)) == 2

    def test_each_question_has_a_color_of_its_own(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        for row in (10, 20, 30, 40):
            done.ask((row, 40))
        for name in ('photo asked', 'other asked'):
            layer = viewer.layers[name]
            assert list(layer.features['number']) == [1, 2, 3, 4]
            assert len(np.unique(layer.face_color, axis=0)) == 4
            assert not layer.selected_data

    def test_points_lie_on_the_grids(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        viewer.layers['other'].translate = (0, 200)
        viewer.layers['other'].scale = (2, 2)
        done.ask((30, 40))
        asked = viewer.layers['other asked']
        np.testing.assert_allclose(asked.scale, (2, 2))
        np.testing.assert_allclose(asked.translate, (0, 200))

    def test_the_active_image_is_meant_where_both_are(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        viewer.layers.selection.active = viewer.layers['photo']
        assert done.ask((30, 40))[0] == 'target'
        viewer.layers.selection.active = viewer.layers['other']
        assert done.ask((30, 40))[0] == 'source'
        viewer.layers.selection.active = viewer.layers['mask']
        assert done.ask((30, 40))[0] == 'source'
        viewer.layers['other'].visible = False
        assert done.ask((30, 40))[0] == 'target'

    def test_outside_is_said(self, done: Any) -> None:
        assert done.ask((3000, 40)) is None
        assert 'Click inside' in done.message

    def test_before_a_match_it_is_said(self, ready: Any) -> None:
        assert ready.ask((30, 40)) is None
        assert 'match these planes first' in ready.message

    def test_a_click_asks_and_a_drag_does_not(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        done.panel.asking.setChecked(True)
        (callback,) = [
            x
            for x in viewer.mouse_drag_callbacks
            if 'Ask' in getattr(x, '__qualname__', '')
        ]
        for kinds in (['mouse_move', 'mouse_release'], ['mouse_release']):
            event = SimpleNamespace(
                button=1, modifiers=(), position=(30, 40), type='mouse_press'
            )
            steps = callback(viewer, event)
            next(steps)
            for kind in kinds:
                event.type = kind
                next(steps, None)
            asked = 'photo asked' in viewer.layers
            assert asked == (kinds == ['mouse_release'])
        done.panel.asking.setChecked(False)
        assert callback not in viewer.mouse_drag_callbacks

    @pytest.mark.slow
    def test_a_hidden_dock_leaves_the_mouse_alone(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        before = len(viewer.mouse_drag_callbacks)
        done.panel.asking.setChecked(True)
        assert len(viewer.mouse_drag_callbacks) == before + 1
        done.hide()
        assert len(viewer.mouse_drag_callbacks) == before


class TestConfidence:
    """The slider."""

    def test_it_hides_what_is_unsure(
        self, qtbot: Any, done: Any, viewer: ViewerModel
    ) -> None:
        layer = viewer.layers['other ← mask']
        full = layer.data.copy()
        sure = done.correspondence.backward_confidence
        level = float(np.round(np.median(sure), 2))
        done.panel.confidence_slider.setValue(round(100 * level))
        assert done.panel.confidence_text.text() == f'{round(100 * level)} %'
        expected = np.where(sure >= level, full, 0)
        qtbot.waitUntil(lambda: bool((layer.data == expected).all()))
        done.set_min_confidence(0)
        np.testing.assert_array_equal(layer.data, full)
        with pytest.raises(InputError, match='confidence must be from 0 to 1'):
            done.set_min_confidence(30)
        np.testing.assert_array_equal(layer.data, full)

    @pytest.mark.slow
    def test_it_follows_the_selected_layer(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        viewer.add_labels(np.ones((80, 100), np.uint8), name='two')
        done.set_min_confidence(0.3)
        done.transfer('two', wait=True, timeout=WAIT)
        done.set_min_confidence(0.6)
        viewer.layers.selection.active = viewer.layers['other ← mask']
        assert done.panel.confidence_slider.value() == 30
        viewer.layers.selection.active = viewer.layers['other ← two']
        assert done.panel.confidence_slider.value() == 60

    def test_a_slider_that_has_not_rested_was_moved_first(
        self, done: Any, viewer: ViewerModel, mask: np.ndarray
    ) -> None:
        layer = viewer.layers['other ← mask']
        full = layer.data.copy()
        sure = done.correspondence.backward_confidence
        level = float(np.round(np.median(sure), 2))
        some = viewer.add_labels(np.full_like(mask, 3), name='some')
        done.panel.confidence_slider.setValue(round(100 * level))
        done.transfer(some, into=layer, wait=True, timeout=WAIT)
        # One step for what was put there, one for what was hidden.
        layer.undo()
        hidden = np.where(sure >= level, full, 0)
        np.testing.assert_array_equal(layer.data, hidden)
        layer.undo()
        np.testing.assert_array_equal(layer.data, full)

    def test_a_slider_counts_for_the_layer_it_was_moved_for(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        layer = viewer.layers['other ← mask']
        viewer.add_labels(np.ones((80, 100), np.uint8), name='two')
        done.transfer('two', wait=True, timeout=WAIT)
        two = viewer.layers['other ← two'].data.copy()
        viewer.layers.selection.active = layer
        done.panel.confidence_slider.setValue(100)
        viewer.layers.selection.active = viewer.layers['other ← two']
        assert not layer.data.any()
        assert done.panel.confidence_slider.value() == 0
        np.testing.assert_array_equal(viewer.layers['other ← two'].data, two)

    def test_a_removed_layer_is_left_alone(
        self, done: Any, viewer: ViewerModel
    ) -> None:
        viewer.layers.remove('other ← mask')
        done.set_min_confidence(0.5)
        assert done._results._warped == {}
