"""Which labels, which channels, and what is seen after a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.arrange import are_in_view
from napari_samnet.plugin.transfer.ids import parse_ids

WAIT = 60.0


@pytest.mark.usefixtures('shared_matches')
class TestIds:
    """Only some labels are carried, and others in a result stay."""

    def test_lists_and_ranges_are_read(self) -> None:
        assert parse_ids('1, 3 7-9') == {1, 3, 7, 8, 9}
        assert parse_ids('70000') == {70_000}
        assert parse_ids('-4, 2') == {-4, 2}
        assert parse_ids('-3--1 -1-2') == {-3, -2, -1, 1, 2}
        for text in ('', 'nose', '9-7', '-1--3', '1.5', '3-', '-'):
            with pytest.raises(InputError):
                parse_ids(text)

    @pytest.mark.slow
    def test_only_the_chosen_are_carried(self, ready: Any) -> None:
        ready.set_outputs('labels')
        ready.set_ids([3])
        ready.run(wait=True, timeout=WAIT)
        made = ready.viewer.layers['other ← mask']
        assert set(np.unique(made.data)) == {0, 3}
        before = made.data.copy()
        ready.viewer.layers['mask'].selected_label = 70_000
        ready.set_ids('selected')
        ready.run(wait=True, timeout=WAIT)
        assert set(np.unique(made.data)) == {0, 3, 70_000}
        assert 'rote id 70000 (' in ready.message
        kept = made.data == 3
        np.testing.assert_array_equal(
            kept | (made.data > 3), kept | (before > 3) | (made.data > 3)
        )

    @pytest.mark.slow
    def test_a_later_id_may_need_a_wider_type(self, ready: Any) -> None:
        ready.set_outputs('labels')
        source = ready.viewer.layers['mask']
        small = np.asarray(source.data).copy()
        small[small > 255] = 7
        source.data = small.astype(np.uint8)
        ready.run(wait=True, timeout=WAIT)
        before = ready.viewer.layers['other ← mask'].data.copy()
        assert before.dtype == np.uint8
        # One that the type of the result cannot hold is nowhere in it.
        ready.set_ids([3, 300])
        ready.run(wait=True, timeout=WAIT)
        assert 'no label 300' in ready.message
        wide = small.astype(np.int32)
        wide[wide == 7] = 70_000
        source.data = wide
        ready.set_ids([70_000])
        ready.run(wait=True, timeout=WAIT)
        made = [x for x in ready.viewer.layers if 'other ← mask' in x.name]
        assert len(made) == 1
        assert made[0].data.dtype == np.int32
        expected = np.where(before == 7, 0, before).astype(np.int32)
        expected[made[0].data == 70_000] = 70_000
        np.testing.assert_array_equal(made[0].data, expected)
        assert (made[0].data == 70_000).sum() > 0.9 * (before == 7).sum()
        # What is hidden and shown again is the whole of it.
        ready.set_min_confidence(1.0)
        ready.set_min_confidence(0.0)
        np.testing.assert_array_equal(made[0].data, expected)

    def test_a_list_that_cannot_be_read_is_said(self, ready: Any) -> None:
        ready.panel.ids.combo.setCurrentIndex(2)
        assert ready.panel.ids.line.isVisible()
        ready.panel.ids.line.setText('nose')
        assert 'List the labels to carry' in ready.reason
        assert not ready.panel.run.isEnabled()
        ready.panel.ids.line.setText('3')
        assert ready.reason == ''

    def test_ids_that_are_not_there_are_said(self, ready: Any) -> None:
        ready.set_ids([8])
        with pytest.raises(InputError, match='of the ids 8'):
            ready.transfer('mask', wait=True, timeout=WAIT)


@pytest.mark.usefixtures('shared_matches')
class TestChannels:
    """Leading axes, or layers, that are channels."""

    @pytest.fixture
    def channels(
        self, viewer: ViewerModel, make_widget: Any, photos: Any, mask: Any
    ) -> Any:
        first = np.moveaxis(photos[0], -1, 0).copy()
        viewer.add_image(first, name='photo')
        viewer.add_image(photos[1], name='other')
        viewer.add_labels(mask, name='mask')
        widget = make_widget(viewer)
        widget.set_target('other')
        return widget

    @pytest.mark.slow
    def test_an_axis_can_be_declared(
        self, channels: Any, viewer: ViewerModel, photos: Any
    ) -> None:
        channels.set_source('photo')
        assert channels.panel.channels['source'].isVisible()
        assert channels.panel.mode.isVisible()
        channels.set_source('photo', channel_axis=0)
        assert not channels.panel.mode.isVisible()
        channels.set_labels('mask')
        channels.set_outputs('labels', 'transferred', 'confidence', 'flow')
        declared = channels.run(wait=True, timeout=WAIT)
        like = viewer.layers['photo like other']
        assert like.data.shape == (3, 80, 100)
        colored = viewer.add_image(photos[0], name='rgb')
        channels.set_source(colored)
        plain = channels.run(wait=True, timeout=WAIT)
        np.testing.assert_allclose(declared.flow, plain.flow, atol=1e-4)
        np.testing.assert_array_equal(
            np.moveaxis(like.data, 0, -1), viewer.layers['rgb like other'].data
        )

    def test_labels_of_axes_are_understood(
        self, viewer: ViewerModel, make_widget: Any, photos: Any
    ) -> None:
        viewer.add_image(
            np.moveaxis(photos[0], -1, 0).copy(),
            axis_labels=('c', 'y', 'x'),
            name='photo',
        )
        viewer.add_image(photos[1], name='other')
        widget = make_widget(viewer)
        widget.set_source('photo')
        assert not widget.panel.mode.isVisible()
        widget.set_source('photo', channel_axis='planes')
        assert widget.panel.mode.isVisible()

    @pytest.mark.slow
    def test_layers_that_napari_split_are_used_together(
        self, viewer: ViewerModel, make_widget: Any, photos: Any
    ) -> None:
        viewer.add_image(photos[0], channel_axis=2, name='split')
        viewer.add_image(photos[1], name='other')
        widget = make_widget(viewer)
        widget.set_source('split', channel_axis='together')
        widget.set_target('other')
        widget.set_outputs('flow', 'transferred')
        together = widget.run(wait=True, timeout=WAIT)
        assert viewer.layers['split like other'].data.shape == (3, 80, 100)
        colored = viewer.add_image(photos[0], name='rgb')
        widget.set_source(colored)
        plain = widget.run(wait=True, timeout=WAIT)
        np.testing.assert_allclose(together.flow, plain.flow, atol=1e-4)

    def test_what_is_no_choice_is_refused(self, channels: Any) -> None:
        with pytest.raises(InputError, match='channels of'):
            channels.set_source('photo', channel_axis=2)


class TestSeen:
    """What is on screen after a run."""

    @pytest.mark.slow
    def test_nothing_covers_the_source(self, ready: Any) -> None:
        ready.set_outputs('flow', 'labels', 'transferred', 'confidence')
        ready.run(wait=True, timeout=WAIT)
        shown = {x.name: x.visible for x in ready.viewer.layers}
        assert shown['other ← mask']
        assert not shown['photo like other']
        assert not shown['photo → other flow']
        assert not shown['photo → other confidence']

    @pytest.mark.slow
    def test_what_is_all_there_is_shows(self, ready: Any) -> None:
        ready.set_outputs('confidence')
        ready.run(wait=True, timeout=WAIT)
        assert ready.viewer.layers['photo → other confidence'].visible

    @pytest.mark.slow
    def test_both_images_come_into_view_once(self, ready: Any) -> None:
        viewer = ready.viewer
        images = [viewer.layers['photo'], viewer.layers['other']]
        images[1].translate = (0, 500)
        camera = getattr(viewer, 'scene', viewer).camera
        camera.center, camera.zoom = (0, 10, 10), 30
        ready.set_outputs('labels')
        ready.run(wait=True, timeout=WAIT)
        assert are_in_view(viewer, images)
        camera.center, camera.zoom = (0, 10, 10), 30
        ready.set_options(window=7)
        ready.run(wait=True, timeout=WAIT)
        assert camera.zoom == 30

    def test_images_are_laid_side_by_side_and_back(self, ready: Any) -> None:
        viewer = ready.viewer
        ready.set_outputs('labels', 'transferred')
        ready.run(wait=True, timeout=WAIT)
        target, made = viewer.layers['other'], viewer.layers['other ← mask']
        start = target.translate.copy()
        assert ready.panel.beside.isVisible()
        ready.panel.beside.click()
        right = viewer.layers['photo'].extent.world[1, 1]
        assert target.extent.world[0, 1] > right
        np.testing.assert_allclose(made.translate, target.translate)
        assert are_in_view(viewer, [viewer.layers['photo'], target])
        assert ready.panel.beside.text() == 'Lay back'
        # The result is still the one that the next run updates.
        ready.run(wait=True, timeout=WAIT)
        assert viewer.layers['other ← mask'] is made
        ready.panel.beside.click()
        np.testing.assert_allclose(target.translate, start)
        np.testing.assert_allclose(made.translate, start)

    def test_images_in_units_are_laid_side_by_side(
        self, viewer: ViewerModel, make_widget: Any, photos: Any
    ) -> None:
        viewer.add_image(
            photos[0], name='a', scale=(0.5, 0.5), units=('um', 'um')
        )
        viewer.add_image(
            photos[1],
            name='b',
            scale=(500, -500),
            translate=(0, 47_500),
            units=('nm', 'nm'),
        )
        widget = make_widget(viewer)
        widget.set_source('a')
        widget.set_target('b')
        widget.lay_side_by_side()
        right = viewer.layers['a'].extent.world[1, 1]
        assert viewer.layers['b'].extent.world[0, 1] / 1000 > right

    @pytest.mark.slow
    def test_no_threshold_is_carried_over(
        self, ready: Any, photos: Any
    ) -> None:
        ready.set_outputs('labels')
        ready.run(wait=True, timeout=WAIT)
        ready.set_min_confidence(0.99)
        third = ready.viewer.add_image(photos[1].copy(), name='third')
        ready.set_target(third)
        assert ready.panel.confidence_slider.value() == 0
        ready.run(wait=True, timeout=WAIT)
        made = ready.viewer.layers['third ← mask']
        assert (made.data == 70_000).any()
        # Selecting the old one shows its threshold, and does not spread it.
        ready.viewer.layers.selection.active = ready.viewer.layers[
            'other ← mask'
        ]
        assert ready.panel.confidence_slider.value() == 99
        ready.viewer.layers.remove(made)
        ready.run(wait=True, timeout=WAIT)
        assert (ready.viewer.layers['third ← mask'].data == 70_000).any()

    @pytest.mark.slow
    def test_nothing_of_another_pair_stays(
        self, ready: Any, photos: Any
    ) -> None:
        ready.run(wait=True, timeout=WAIT)
        assert ready.message.startswith('Done')
        assert ready.panel.view.isVisible()
        third = ready.viewer.add_image(photos[1].copy(), name='third')
        ready.set_target(third)
        assert ready.message == ''
        assert not ready.panel.view.isVisible()
        ready.set_target('other')
        # Recalled, so that there is no curve of its own.
        ready.run(wait=True, timeout=WAIT)
        assert not ready.panel.view.isVisible()

    @pytest.mark.slow
    def test_names_tell_the_plane_where_there_are_several(
        self, viewer: ViewerModel, make_widget: Any, photos: Any
    ) -> None:
        stack = np.stack([np.roll(photos[0], k, 1) for k in range(3)])
        viewer.add_image(stack, name='stack', rgb=True)
        viewer.add_image(photos[1], name='other')
        widget = make_widget(viewer)
        widget.set_source('stack')
        widget.set_target('other')
        widget.set_outputs('transferred')
        for plane in (1, 2):
            viewer.dims.set_current_step(0, plane)
            widget.run(wait=True, timeout=WAIT)
        assert 'stack like other' in viewer.layers
        assert 'stack like other, plane 2' in viewer.layers


class TestDrops:
    """One that is refused does not stop the others."""

    @pytest.mark.slow
    def test_the_rest_of_a_drop_goes_on(
        self, ready: Any, drop: Any, layer_mime: Any
    ) -> None:
        viewer = ready.viewer
        empty = viewer.add_points(np.zeros((0, 2)), name='none yet')
        dots = viewer.add_points([[30.0, 40]], name='dots')
        assert drop(ready.panel.drop, layer_mime(empty, dots))
        ready.wait(WAIT)
        assert len(viewer.layers['other ← dots'].data) == 1
        assert "'none yet' has no point on the source" in ready.message

    def test_an_empty_layer_alone_is_one_clear_sentence(
        self, ready: Any
    ) -> None:
        ready.viewer.add_points(np.zeros((0, 2)), name='none yet')
        with pytest.raises(InputError) as error:
            ready.transfer('none yet', wait=True)
        assert str(error.value) == "'none yet' has no point on the source"

    def test_what_is_not_carried_as_it_seems_is_told(
        self, shared_matches: None, ready: Any
    ) -> None:
        ready.viewer.add_points([[30.0, 40], [30, 400]], name='dots')
        ready.transfer('dots', wait=True, timeout=WAIT)
        assert len(ready.viewer.layers['other ← dots'].data) == 2
        assert '1 of 2 points of' in ready.message
        assert 'lie off the source' in ready.message
        ready.set_outputs('labels')
        ready.set_ids([3, 9])
        ready.run(wait=True, timeout=WAIT)
        assert "'mask' has no label 9 on the source" in ready.message
        ready.set_ids([0])
        with pytest.raises(InputError, match='0 is the background'):
            ready.run()

    @pytest.mark.slow
    def test_reasons_stay_until_they_are_read(
        self, ready: Any, qtbot: Any, drop: Any, tmp_path: Any, mask: Any
    ) -> None:
        import tifffile
        from qtpy.QtCore import QMimeData, Qt, QUrl

        folder = tmp_path / ('a folder with a long name ' * 4)
        folder.mkdir()
        bad = folder / 'no mask.tif'
        bad.write_bytes(b'nothing')
        good = tmp_path / 'cells.tif'
        tifffile.imwrite(good, mask)
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(x)) for x in (bad, good)])
        zone = ready.panel.drop
        assert drop(zone, mime)
        ready.wait(WAIT)
        assert 'other ← cells' in ready.viewer.layers
        assert 'no mask.tif' in zone.reason
        assert 'no mask.tif' in zone.toolTip()
        qtbot.mouseClick(zone, Qt.MouseButton.LeftButton)
        assert zone.reason == ''


def test_labels_drawn_on_the_target_make_it_the_source(
    viewer: ViewerModel, make_widget: Any, photos: Any
) -> None:
    viewer.add_image(photos[0], name='A')
    target = viewer.add_image(photos[0].copy(), name='B', translate=(0, 150))
    viewer.layers.selection.active = target
    viewer._new_labels()
    widget = make_widget(viewer)
    assert (widget.source.name, widget.target.name) == ('B', 'A')
    assert widget.labels is viewer.layers[-1]


def test_labels_elsewhere_are_not_proposed(
    viewer: ViewerModel, make_widget: Any, photos: Any, mask: Any
) -> None:
    viewer.add_image(photos[0], name='A')
    viewer.add_image(photos[1], name='B')
    away = viewer.add_labels(mask, translate=(0, 900), name='away')
    widget = make_widget(viewer)
    assert widget.labels is None
    widget.set_labels(away)
    assert 'does not lie on the source' in widget.reason
