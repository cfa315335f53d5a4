"""Images and arrays of Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_samnet.errors import InputError
from napari_samnet.io.image_files import read_picture
from napari_samnet.io.label_files import read_labels

zarr = pytest.importorskip('zarr')

STACK = np.random.default_rng(0).integers(0, 999, (3, 2, 20, 30), np.uint16)


def ome(path: Path, pixels: np.ndarray, axes: str, version: str) -> Path:
    """An image of two resolutions, by zarr alone."""
    old = version == '0.4'
    group = zarr.open_group(path, mode='w', zarr_format=2 if old else 3)
    for name, step in (('0', 1), ('1', 2)):
        part = pixels[..., ::step, ::step]
        array = group.create_array(name, shape=part.shape, dtype=part.dtype)
        array[...] = part
    about: dict[str, Any] = {
        'multiscales': [
            {
                'version': version,
                'axes': [{'name': axis} for axis in axes],
                'datasets': [{'path': '0'}, {'path': '1'}],
            }
        ]
    }
    group.attrs.update(about if old else {'ome': about})
    return path


@pytest.mark.parametrize('version', ['0.4', '0.5'])
def test_a_plane_of_an_image(version: str, tmp_path: Path) -> None:
    path = ome(tmp_path / 'a.zarr', STACK, 'zcyx', version)
    with pytest.raises(InputError, match='3 planes'):
        read_picture(path)
    picture = read_picture(path, page=2)
    assert picture.channel_axis == 0
    np.testing.assert_array_equal(picture.pixels, STACK[2])
    one = read_picture(path, page=2, channel=1)
    np.testing.assert_array_equal(one.pixels, STACK[2, 1])
    with pytest.raises(InputError, match='from 0 to 2'):
        read_picture(path, page=3)


def test_planes_are_counted_over_all_axes(tmp_path: Path) -> None:
    path = ome(tmp_path / 'a.zarr', STACK, 'tzyx', '0.5')
    picture = read_picture(path, page=3)
    assert picture.channel_axis is None
    np.testing.assert_array_equal(picture.pixels, STACK[1, 1])


def test_a_series_of_a_converter(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / 'a.zarr', mode='w')
    ome(tmp_path / 'a.zarr' / '0', STACK[:1, :1], 'tcyx', '0.5')
    picture = read_picture(tmp_path / 'a.zarr')
    np.testing.assert_array_equal(picture.pixels, STACK[0, 0])


@pytest.mark.parametrize('shape', [(20, 30), (20, 30, 3)])
def test_an_array(shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = np.resize(STACK, shape)
    array = zarr.open_array(
        tmp_path / 'a', mode='w', shape=shape, dtype=pixels.dtype
    )
    array[...] = pixels
    read = read_picture(tmp_path / 'a').pixels
    np.testing.assert_array_equal(read, pixels)
    if len(shape) == 2:
        labels = read_labels(tmp_path / 'a')
        np.testing.assert_array_equal(labels, pixels)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / 'a.zarr', mode='w')
    with pytest.raises(InputError, match='cannot be read'):
        read_picture(tmp_path / 'a.zarr')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(InputError, match='is a folder, expected a file'):
        read_picture(tmp_path / 'folder')
