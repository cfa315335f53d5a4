"""A match as a whole: opened, saved, inverted, applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.io.flo import read_flo

WAIT = 60.0


@pytest.fixture
def known(make_found: Any, tmp_path: Path) -> Path:
    """A saved match that moves everything by 6 rows down, 8 columns left."""
    file: Path = make_found(move=(0.08, -0.09)).save(tmp_path / 'm.npz')
    return file


def names(widget: Any) -> list[str]:
    return [layer.name for layer in widget.viewer.layers]


class TestWithItsImages:
    @pytest.fixture
    def opened(self, ready: Any, known: Path) -> Any:
        ready.set_outputs('labels', 'confidence')
        ready.open_match(known, wait=True, timeout=WAIT)
        return ready

    def test_it_stands_for_a_run(
        self, opened: Any, known: Path, mask: Any
    ) -> None:
        assert opened.message.startswith('Opened m.npz')
        match = Correspondence.load(known)
        carried = opened.viewer.layers['other ← mask'].data
        assert set(np.unique(carried)) <= {0, 3, 70_000}
        np.testing.assert_allclose(opened.correspondence.flow, match.flow)
        # A drop is carried by it, and nothing is matched.
        opened.viewer.add_points([[35.0, 45]], name='dot')
        opened.transfer('dot', wait=True, timeout=WAIT)
        np.testing.assert_allclose(
            opened.viewer.layers['other ← dot'].data,
            match.warp_points([[35, 45]]),
        )

    def test_it_is_applied_to_channels_labels_and_files(
        self, opened: Any, known: Path, tmp_path: Path, mask: Any
    ) -> None:
        match = Correspondence.load(known)
        heat = np.random.default_rng(0).random((80, 100), np.float32)
        opened.viewer.add_image(
            np.stack([heat, heat]), name='heat', colormap='inferno'
        )
        stack = opened.viewer.layers['heat']
        assert stack in opened._saved.layers()
        opened.apply_to(stack, wait=True, timeout=WAIT)
        made = opened.viewer.layers['other ← heat']
        np.testing.assert_allclose(
            made.data, match.warp_image(heat, to='target')
        )
        assert made.colormap.name == 'inferno'
        file = tmp_path / 'photo 2.png'
        Image.fromarray((heat * 255).astype(np.uint8)).save(file)
        opened.apply_to(file, wait=True, timeout=WAIT)
        assert opened.viewer.layers['other ← photo 2'].data.shape == (72, 96)
        opened.viewer.add_labels(mask, name='second')
        opened.apply_to('second', wait=True, timeout=WAIT)
        assert 'other ← second' in names(opened)
        opened.viewer.add_image(np.zeros((9, 9)), name='small')
        with pytest.raises(InputError, match='the same grid'):
            opened.apply_to('small')

    def test_it_is_inverted_and_inverted_again(
        self, opened: Any, known: Path, tmp_path: Path
    ) -> None:
        match = Correspondence.load(known)
        opened.invert_match(wait=True, timeout=WAIT)
        assert [opened.source.name, opened.target.name] == ['other', 'photo']
        start = [[30.0, 40.0]]
        np.testing.assert_allclose(
            opened.correspondence.warp_points(start),
            match.inverse().warp_points(start),
        )
        # Labels follow their image, which is the target now.
        assert opened.labels is None
        opened.save_match(tmp_path / 'back.npz')
        opened.panel.swap.click()
        opened.open_match(tmp_path / 'back.npz', wait=True, timeout=WAIT)
        assert 'leads the other way and was inverted' in opened.message
        np.testing.assert_allclose(opened.correspondence.flow, match.flow)

    def test_it_is_saved_for_others(self, opened: Any, tmp_path: Path) -> None:
        told = opened.save_match(tmp_path / 'field.flo')
        assert 'of the source to the target' in told
        flow = read_flo(tmp_path / 'field.flo')
        np.testing.assert_allclose(flow, opened.correspondence.flow)
        with pytest.raises(InputError, match=r'end with \.npz for everything'):
            opened.save_match(tmp_path / 'field.doc')


def test_of_other_images_it_is_refused(
    ready: Any, make_found: Any, tmp_path: Path
) -> None:
    file = make_found((30, 30), (40, 40)).save(tmp_path / 'm.npz')
    with pytest.raises(InputError, match='choose the images that were'):
        ready.open_match(file)
    with pytest.raises(InputError, match='there is no match'):
        ready.save_match(file)


def test_without_its_images_it_is_applied(
    viewer: Any, make_widget: Any, known: Path, mask: Any, photos: Any
) -> None:
    widget = make_widget(viewer)
    widget.open_match(known)
    viewer.add_labels(mask, name='mask')
    widget.apply_to('mask', wait=True, timeout=WAIT)
    match = Correspondence.load(known)
    np.testing.assert_array_equal(
        viewer.layers['m ← mask'].data, match.warp_labels(mask)
    )
    viewer.add_image(photos[0], name='photo')
    widget.apply_to('photo', wait=True, timeout=WAIT)
    assert viewer.layers['m ← photo'].data.shape == (72, 96, 3)


def test_the_menu_offers_what_is_possible(ready: Any, known: Path) -> None:
    menu = ready.panel.match_file.choices
    menu.aboutToShow.emit()
    assert [action.isEnabled() for action in menu.actions()] == [
        True,
        False,
        False,
        False,
    ]
    ready.open_match(known, wait=True, timeout=WAIT)
    menu.aboutToShow.emit()
    texts = [action.text() for action in menu.actions() if action.text()]
    assert texts[-1] == "Apply to 'mask'"
    # What was made of the source lies on another grid, or is left out.
    before = len(names(ready))
    menu.actions()[-1].trigger()
    ready.wait(WAIT)
    assert len(names(ready)) == before
