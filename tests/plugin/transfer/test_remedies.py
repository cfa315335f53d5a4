"""A refusal names the next step, and a button takes it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from npe2 import PluginManifest
from PIL import Image as Picture
from qtpy.QtCore import QMimeData, Qt, QUrl

from napari_samnet.errors import InputError
from napari_samnet.plugin.transfer import mask_reading

WAIT = 60.0

pytestmark = pytest.mark.usefixtures('shared_matches')


@pytest.fixture
def press(qtbot: Any) -> Any:
    def do(button: Any) -> None:
        assert button.isVisible()
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    return do


def files(*paths: Path) -> QMimeData:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return mime


class TestConvert:
    """Images that hold labels."""

    def test_a_mask_that_was_opened_as_an_image(
        self, ready: Any, mask: Any, drop: Any, layer_mime: Any, press: Any
    ) -> None:
        panel = ready.panel
        image = ready.viewer.add_image(mask.astype(np.float32), name='opened')
        assert not drop(panel.drop, layer_mime(image))
        assert 'Image layer is no mask' in panel.drop.reason
        assert panel.drop_remedy.text() == 'Convert to labels'
        press(panel.drop_remedy)
        ready.wait(WAIT)
        made = ready.viewer.layers['opened labels']
        assert isinstance(made, Labels)
        np.testing.assert_array_equal(made.data, mask)
        assert ready.labels is made
        assert 'other ← opened labels' in ready.viewer.layers
        assert not panel.drop_remedy.isVisible()
        assert image in ready.viewer.layers

    def test_a_painting_keeps_its_colors(self, ready: Any) -> None:
        painted = np.zeros((80, 100, 3), np.uint8)
        painted[10:40, 20:60] = 255, 0, 0
        painted[50:70, 30:80] = 0, 0, 255
        image = ready.viewer.add_image(painted, name='painted', rgb=True)
        made = ready.use_as_labels(image)
        assert set(np.unique(made.data)) == {0, 1, 2}
        colors = {
            tuple(np.round(made.get_color(number), 3)) for number in (1, 2)
        }
        assert colors == {(1, 0, 0, 1), (0, 0, 1, 1)}

    def test_stacks_have_one_id_on_all_planes(self, ready: Any) -> None:
        stack = np.zeros((3, 80, 100, 3), np.uint8)
        stack[0, 10:40, 20:60] = 255, 0, 0
        stack[2, 10:40, 20:60] = 255, 0, 0
        made = ready.use_as_labels(ready.viewer.add_image(stack, rgb=True))
        assert made.data.shape == (3, 80, 100)
        assert made.data[0, 20, 30] == made.data[2, 20, 30] == 1
        assert not made.data[1].any()

    def test_a_palette_is_read_from_its_file(
        self, ready: Any, tmp_path: Path, npe2pm: Any
    ) -> None:
        npe2pm.register(PluginManifest.from_distribution('napari'))
        index = np.zeros((80, 100), np.uint8)
        index[10:30, 20:50] = 9
        picture = Picture.fromarray(index)
        picture.putpalette([0, 0, 0] * 9 + [10, 200, 30] + [0, 0, 0] * 246)
        picture.save(tmp_path / 'palette.png')
        (image,) = ready.viewer.open(tmp_path / 'palette.png', plugin='napari')
        assert image.rgb
        made = ready.use_as_labels(image)
        np.testing.assert_array_equal(made.data, index)

    def test_a_photograph_is_refused(
        self, ready: Any, photos: Any, press: Any, drop: Any, layer_mime: Any
    ) -> None:
        noise = np.random.default_rng(0).random((80, 100))
        image = ready.viewer.add_image(noise, name='noise')
        drop(ready.panel.drop, layer_mime(image))
        press(ready.panel.drop_remedy)
        assert 'whole numbers' in ready.panel.drop.reason
        assert not ready.panel.drop_remedy.isVisible()
        with pytest.raises(InputError, match='no layer'):
            ready.use_as_labels('nobody')

    def test_the_pair_is_not_offered(
        self, ready: Any, drop: Any, layer_mime: Any
    ) -> None:
        drop(ready.panel.drop, layer_mime(ready.source))
        assert ready.panel.drop.reason
        assert not ready.panel.drop_remedy.isVisible()

    @pytest.mark.slow
    def test_rows_of_all_kinds(
        self, ready: Any, mask: Any, drop: Any, layer_mime: Any
    ) -> None:
        layers = ready.viewer.layers
        image = ready.viewer.add_image(mask.astype(float), name='opened')
        mime = layer_mime(layers['mask'], image, ready.source)
        assert drop(ready.panel.drop, mime)
        ready.wait(WAIT)
        assert 'other ← mask' in layers
        assert "convert 'opened' to labels" in ready.panel.drop.reason
        assert 'photo' not in ready.panel.drop.reason
        assert ready.panel.drop_remedy.isVisible()


class TestResample:
    """Labels of another resolution."""

    def test_a_layer_without_a_scale(
        self, ready: Any, mask: Any, press: Any
    ) -> None:
        half = mask[::2, ::2].copy()
        layer = ready.viewer.add_labels(
            half, name='half', features={'name': ['back', 'disk']}
        )
        ready.set_labels(layer)
        assert 'resample it' in ready.reason
        remedy = ready.panel.footer.remedy
        assert remedy.text() == 'Resample'
        press(remedy)
        made = ready.labels
        assert made.name == 'half resampled'
        np.testing.assert_array_equal(
            made.data, half.repeat(2, axis=0).repeat(2, axis=1)
        )
        assert list(made.features['name']) == ['back', 'disk']
        assert ready.reason == ''
        assert not remedy.isVisible()
        np.testing.assert_array_equal(layer.data, half)

    def test_a_file(
        self, ready: Any, mask: Any, tmp_path: Path, drop: Any, press: Any
    ) -> None:
        path = tmp_path / 'double.tif'
        tifffile.imwrite(path, mask.repeat(2, axis=0).repeat(2, axis=1))
        assert drop(ready.panel.drop, files(path))
        ready.wait(WAIT)
        assert 'Labels: double.tif is 160 × 200, the source 80 × 100' in (
            ready.panel.drop.reason
        )
        press(ready.panel.drop_remedy)
        ready.wait(WAIT)
        made = ready.viewer.layers['double']
        np.testing.assert_array_equal(made.data, mask)
        assert 'other ← double' in ready.viewer.layers

    def test_files_are_read_while_the_window_lives(
        self,
        ready: Any,
        mask: Any,
        tmp_path: Path,
        drop: Any,
        monkeypatch: Any,
    ) -> None:
        threads = []
        read = mask_reading.read_mask

        def noted(*what: Any, **how: Any) -> Any:
            threads.append(threading.current_thread())
            return read(*what, **how)

        monkeypatch.setattr(mask_reading, 'read_mask', noted)
        paths = [tmp_path / 'a.tif', tmp_path / 'none.tif']
        tifffile.imwrite(paths[0], mask)
        drop(ready.panel.drop, files(*paths))
        assert ready.running
        ready.wait(WAIT)
        assert len(threads) == 2
        assert threading.main_thread() not in threads
        assert 'other ← a' in ready.viewer.layers
        assert ready.labels.name == 'a'
        assert 'no file none.tif' in ready.panel.drop.reason

    def test_other_proportions_have_no_button(
        self, ready: Any, mask: Any, tmp_path: Path, drop: Any
    ) -> None:
        path = tmp_path / 'wide.tif'
        tifffile.imwrite(path, mask.repeat(2, axis=1))
        drop(ready.panel.drop, files(path))
        ready.wait(WAIT)
        assert 'expected a mask of the source' in ready.panel.drop.reason
        assert not ready.panel.drop_remedy.isVisible()

    def test_one_bad_file_stops_no_other(
        self, ready: Any, mask: Any, tmp_path: Path, drop: Any, press: Any
    ) -> None:
        good, small, none = (tmp_path / f'{n}.tif' for n in ('a', 'b', 'c'))
        tifffile.imwrite(good, mask)
        tifffile.imwrite(small, mask[::2, ::2])
        none.write_bytes(b'no picture')
        drop(ready.panel.drop, files(none, small, good))
        ready.wait(WAIT)
        assert 'other ← a' in ready.viewer.layers
        assert len(ready.panel.drop.reason.splitlines()) == 2
        press(ready.panel.drop_remedy)
        ready.wait(WAIT)
        assert 'other ← b' in ready.viewer.layers
        # What the button did not mend is still to be read.
        assert ready.panel.drop.reason.startswith('Labels: c.tif')

    def test_files_that_need_different_buttons(
        self, ready: Any, mask: Any, tmp_path: Path, drop: Any, press: Any
    ) -> None:
        small, planes = (tmp_path / f'{name}.tif' for name in ('b', 'planes'))
        tifffile.imwrite(small, mask[::2, ::2])
        stack = np.stack([mask, 0 * mask])
        tifffile.imwrite(planes, stack, photometric='minisblack')
        panel = ready.panel
        drop(panel.drop, files(small, planes))
        ready.wait(WAIT)
        assert panel.drop_remedy.text() == 'Resample'
        press(panel.drop_remedy)
        ready.wait(WAIT)
        assert 'other ← b' in ready.viewer.layers
        assert panel.drop.reason.startswith('Labels: planes.tif has more')
        assert len(panel.drop.reason.splitlines()) == 1
        assert panel.drop_remedy.text() == 'Use this plane'
        press(panel.drop_remedy)
        ready.wait(WAIT)
        assert 'other ← planes' in ready.viewer.layers
        assert not panel.drop.reason
        assert not panel.drop_remedy.isVisible()


class TestPlanes:
    """What has more than two dimensions."""

    def test_stacks_that_cannot_be_paired(
        self, ready: Any, photos: Any, press: Any
    ) -> None:
        viewer = ready.viewer
        ready.set_source(viewer.add_image(np.stack([photos[0]] * 3)))
        ready.set_target(viewer.add_image(np.stack([photos[1]] * 2)))
        ready.set_labels(None)
        ready.set_planes('pairwise')
        assert 'source has 3 planes, the target 2' in ready.reason
        press(ready.panel.footer.remedy)
        assert ready.reason == ''
        assert ready.panel.mode.currentText() == 'Current plane'

    def test_a_file_of_several_planes(
        self, ready: Any, mask: Any, tmp_path: Path, drop: Any, press: Any
    ) -> None:
        path = tmp_path / 'planes.tif'
        planes = np.stack([mask, 0 * mask, 0 * mask, mask, mask])
        tifffile.imwrite(path, planes, photometric='minisblack')
        drop(ready.panel.drop, files(path))
        ready.wait(WAIT)
        assert 'has more planes than one' in ready.panel.drop.reason
        assert ready.panel.drop_remedy.text() == 'Use this plane'
        press(ready.panel.drop_remedy)
        ready.wait(WAIT)
        made = ready.viewer.layers['planes']
        np.testing.assert_array_equal(made.data, mask)


def test_a_reason_stays_until_it_is_read(
    ready: Any, mask: Any, drop: Any, layer_mime: Any, qtbot: Any
) -> None:
    panel = ready.panel
    image = ready.viewer.add_image(mask.astype(float))
    drop(panel.drop, layer_mime(image))
    ready.run(wait=True, timeout=WAIT)
    assert panel.drop.reason
    assert panel.drop_remedy.isVisible()
    qtbot.mouseClick(panel.drop, Qt.MouseButton.LeftButton)
    assert not panel.drop.reason
    assert not panel.drop_remedy.isVisible()


def test_the_viewer_is_cleared(
    viewer: Any, photos: Any, mask: np.ndarray, make_widget: Any
) -> None:
    viewer.add_image(photos[0], name='first')
    viewer.add_labels(mask, name='mask')
    viewer.add_image(photos[0][::-1], name='last')
    widget = make_widget(viewer)
    widget.set_source('last')
    widget.set_target('first')
    widget.set_labels('mask')
    viewer.layers.clear()
    assert widget.source is None
    assert 'Open two images' in widget.reason


def test_files_are_named_without_their_folder(
    ready: Any, drop: Any, tmp_path: Path
) -> None:
    folder = tmp_path / 'a folder'
    folder.mkdir()
    note = folder / 'note.txt'
    note.write_text('no picture')
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in (folder, note)])
    assert drop(ready.panel.drop, mime)
    ready.wait(WAIT)
    first, second = ready.panel.drop.reason.splitlines()
    assert first.startswith('Labels: a folder is a folder')
    assert second.startswith('Labels: note.txt cannot be read')


def test_labels_that_nobody_chose_follow_the_images(
    viewer: Any, photos: Any, mask: np.ndarray, make_widget: Any, press: Any
) -> None:
    beside = {'translate': (0, 200)}
    viewer.add_image(photos[0], name='first')
    viewer.add_labels(mask, name='mask')
    viewer.add_image(photos[0], name='last', **beside)
    widget = make_widget(viewer)
    assert widget.labels.name == 'mask'
    press(widget.panel.swap)
    assert (widget.labels, widget.reason) == (None, '')
    press(widget.panel.swap)
    assert widget.labels.name == 'mask'
    # A script and the commands of napari choose as well.
    widget.set_source('last')
    assert (widget.labels, widget.reason) == (None, '')
    widget.set_target('last')
    assert widget.labels.name == 'mask'
    widget.set_labels('mask')
    widget.set_source('last')
    assert 'does not lie on the source' in widget.reason


class TestBeside:
    """A result that lies under the other image."""

    def test_it_is_brought_into_sight(self, ready: Any, press: Any) -> None:
        remedy, layers = ready.panel.footer.remedy, ready.viewer.layers
        ready.run(wait=True, timeout=WAIT)
        # The target is above the source, and everything is seen.
        assert not remedy.isVisible()
        layers.move(layers.index('photo'), len(layers))
        ready.run(wait=True, timeout=WAIT)
        assert remedy.text() == 'Lay side by side'
        said = ready.panel.message.text()
        press(remedy)
        left, right = layers['photo'], layers['other']
        assert right.extent.world[0, 1] > left.extent.world[1, 1]
        assert not remedy.isVisible()
        assert ready.panel.message.text() == said
        ready.run(wait=True, timeout=WAIT)
        assert not remedy.isVisible()

    def test_the_button_goes_when_it_is_done_elsewhere(
        self, ready: Any, press: Any
    ) -> None:
        remedy, layers = ready.panel.footer.remedy, ready.viewer.layers
        layers.move(layers.index('photo'), len(layers))
        ready.run(wait=True, timeout=WAIT)
        assert remedy.isVisible()
        ready.lay_side_by_side()
        assert not remedy.isVisible()
        ready.lay_back()
        ready.run(wait=True, timeout=WAIT)
        assert remedy.isVisible()
        ready.set_source('other')
        # Something else stands in the way then: the labels are smaller.
        assert remedy.text() == 'Resample'
