"""Folders and saved matches on the dock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from qtpy.QtCore import QMimeData, QUrl

WAIT = 120.0

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('shared_matches')]


@pytest.fixture
def film(viewer: Any, photos: Any, make_widget: Any) -> Any:
    """A dock with a film of four frames and nothing else."""
    frames = np.stack([np.roll(photos[0], 2 * k, 1) for k in range(4)])
    viewer.add_image(frames, name='film', rgb=True, scale=(1, 2, 2))
    return make_widget(viewer)


def drop_on(widget: Any, drop: Any, *paths: Path) -> str:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    assert drop(widget.panel.drop, mime)
    widget.wait(WAIT)
    return str(widget.panel.drop.reason)


def masks(folder: Path, names: list[str], mask: np.ndarray) -> Path:
    """A folder with a mask of its own id in each file."""
    folder.mkdir()
    for number, name in enumerate(names):
        labels = (mask == 70_000).astype(np.uint8) * (number + 1)
        if name.endswith('.png'):
            Image.fromarray(labels).save(folder / name)
        else:
            tifffile.imwrite(folder / name, labels)
    return folder


@pytest.mark.binding
def test_one_mask_for_each_plane(
    film: Any, drop: Any, tmp_path: Path, mask: np.ndarray
) -> None:
    names = [f'img{n}.png' for n in (1, 2, 10, 20)]
    folder = masks(tmp_path / 'annotated', names, mask)
    assert drop_on(film, drop, folder) == ''
    layer = film.viewer.layers['annotated']
    assert layer.data.dtype == np.uint8
    # In natural order, so that img10 is the third one.
    assert [int(plane.max()) for plane in layer.data] == [1, 2, 3, 4]
    np.testing.assert_array_equal(layer.scale, (1, 2, 2))
    assert 'Nothing to carry: all planes have labels' in film.message


def test_what_propagate_has_written(
    film: Any, drop: Any, tmp_path: Path, mask: np.ndarray
) -> None:
    """A plane that could not be labeled has no file, and keeps none."""
    names = [f'film_{n:05}_labels.tif' for n in (0, 1, 3)]
    assert drop_on(film, drop, masks(tmp_path / 'out', names, mask)) == ''
    planes = film.viewer.layers['out'].data
    assert [int(plane.max()) for plane in planes] == [1, 2, 0, 3]
    # The plane without labels is carried.
    assert film.viewer.layers['film ← out propagated'].data[2].any()


def test_what_is_no_folder_of_masks_is_said(
    film: Any, drop: Any, tmp_path: Path, mask: np.ndarray
) -> None:
    few = masks(tmp_path / 'few', ['a.png', 'b.png'], mask)
    names = [f'{letter}.png' for letter in 'abcd']
    small = masks(tmp_path / 'small', names, mask[:9, :9])
    (tmp_path / 'empty').mkdir()
    said = drop_on(film, drop, few, small, tmp_path / 'empty')
    assert 'few holds 2 pictures, the source has 4 planes' in said
    assert 'a.png in small is 9 × 9, planes of the source are 80 × 100' in said
    assert 'empty must hold images, found none in it' in said
    assert [layer.name for layer in film.viewer.layers] == ['film']


def test_a_saved_match_is_opened(
    ready: Any, drop: Any, tmp_path: Path
) -> None:
    ready.run(wait=True, timeout=WAIT)
    ready.save_match(tmp_path / 'match.npz')
    ready.set_source('other')
    ready.set_target('photo')
    ready.set_labels(None)
    assert ready.correspondence is not None
    assert drop_on(ready, drop, tmp_path / 'match.npz') == ''
    assert 'match.npz leads the other way' in ready.message
