"""Image files in, image files out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samnet.errors import InputError
from napari_samnet.io.image_files import read_image, write_png, write_tiff
from napari_samnet.io.label_files import read_labels

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 255, (12, 17, 3), np.uint8)
GRAY = COLOR[..., 0].copy()


@pytest.mark.parametrize(
    'image',
    [
        GRAY,
        COLOR,
        np.dstack([COLOR, GRAY]),
        GRAY.astype(np.uint16) * 257,
        GRAY > 100,
    ],
    ids=['gray', 'color', 'alpha', '16 bits', 'one bit'],
)
def test_reads_png_as_it_is(image: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(image).save(tmp_path / 'a.png')
    read, axis = read_image(tmp_path / 'a.png')
    assert read.dtype == image.dtype
    np.testing.assert_array_equal(read, image)
    assert axis == (2 if image.ndim == 3 else None)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'float32', 'int32'])
def test_reads_tiff_as_it_is(dtype: str, tmp_path: Path) -> None:
    image = GRAY.astype(dtype)
    tifffile.imwrite(tmp_path / 'a.tif', image)
    read, axis = read_image(tmp_path / 'a.tif')
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, image)
    assert axis is None


def test_tiff_says_which_axis_holds_channels(tmp_path: Path) -> None:
    image = RNG.integers(0, 9, (6, 20, 30), np.uint16)
    path = tmp_path / 'a.ome.tif'
    tifffile.imwrite(path, image, metadata={'axes': 'CYX'})
    read, axis = read_image(path)
    np.testing.assert_array_equal(read, image)
    assert axis == 0


def test_color_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / 'a.tif', COLOR, photometric='rgb')
    read, axis = read_image(tmp_path / 'a.tif')
    np.testing.assert_array_equal(read, COLOR)
    assert axis == 2


def test_time_series_is_refused_though_it_has_three_frames(
    tmp_path: Path,
) -> None:
    path = tmp_path / 'a.tif'
    series = np.zeros((3, 20, 30), np.uint8)
    tifffile.imwrite(path, series, imagej=True, metadata={'axes': 'TYX'})
    with pytest.raises(InputError, match='stack of 3 time points'):
        read_image(path)


def test_palette_is_colors_in_an_image_and_ids_in_labels(
    tmp_path: Path,
) -> None:
    ids = GRAY % 3
    image = Image.fromarray(ids).convert('P')
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), ids)
    colors, _ = read_image(tmp_path / 'a.png')
    np.testing.assert_array_equal(colors[..., 0], (ids == 1) * 255)
    np.testing.assert_array_equal(colors[..., 1], (ids == 2) * 255)


def test_labels_keep_their_dtype(tmp_path: Path) -> None:
    for dtype in ('bool', 'uint8', 'uint16', 'int32', 'int64', 'uint64'):
        labels = (GRAY % 5).astype(dtype)
        path = tmp_path / f'{dtype}.tif'
        write_tiff(path, labels)
        read = read_labels(path)
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, labels)


def test_labels_are_compressed(tmp_path: Path) -> None:
    write_tiff(tmp_path / 'a.tif', np.ones((500, 500), np.int32))
    assert (tmp_path / 'a.tif').stat().st_size < 50_000


@pytest.mark.parametrize(
    ('image', 'expected'),
    [
        (GRAY, GRAY),
        (COLOR, COLOR),
        (GRAY.astype(np.uint16) * 257, GRAY.astype(np.uint16) * 257),
        (COLOR / 255.0, COLOR),
        (GRAY / np.float32(255), np.dstack([GRAY] * 3)),
    ],
    ids=['gray', 'color', '16 bits', 'float color', 'float gray'],
)
def test_writes_pictures(
    image: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    write_png(tmp_path / 'a.png', image)
    read, _ = read_image(tmp_path / 'a.png')
    np.testing.assert_array_equal(read, expected)


def test_channels_in_front_are_written_as_colors(tmp_path: Path) -> None:
    write_png(tmp_path / 'a.png', np.moveaxis(COLOR, -1, 0), channel_axis=0)
    read, _ = read_image(tmp_path / 'a.png')
    np.testing.assert_array_equal(read, COLOR)
