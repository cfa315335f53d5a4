"""Image files in, image files out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samnet.errors import InputError
from napari_samnet.io.image_files import (
    read_image,
    read_labels,
    write_png,
    write_tiff,
)

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 255, (12, 17, 3), np.uint8)
GREY = COLOUR[..., 0].copy()


@pytest.mark.parametrize(
    'image',
    [
        GREY,
        COLOUR,
        np.dstack([COLOUR, GREY]),
        GREY.astype(np.uint16) * 257,
        GREY > 100,
    ],
    ids=['grey', 'colour', 'alpha', '16 bits', 'one bit'],
)
def test_reads_png_as_it_is(image: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(image).save(tmp_path / 'a.png')
    read, axis = read_image(tmp_path / 'a.png')
    assert read.dtype == image.dtype
    np.testing.assert_array_equal(read, image)
    assert axis is None


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'float32', 'int32'])
def test_reads_tiff_as_it_is(dtype: str, tmp_path: Path) -> None:
    image = GREY.astype(dtype)
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


def test_colour_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / 'a.tif', COLOUR, photometric='rgb')
    read, axis = read_image(tmp_path / 'a.tif')
    np.testing.assert_array_equal(read, COLOUR)
    assert axis == 2


def test_time_series_is_refused_though_it_has_three_frames(
    tmp_path: Path,
) -> None:
    path = tmp_path / 'a.tif'
    series = np.zeros((3, 20, 30), np.uint8)
    tifffile.imwrite(path, series, imagej=True, metadata={'axes': 'TYX'})
    with pytest.raises(InputError, match='stack of 3 time points'):
        read_image(path)


def test_palette_is_colours_in_an_image_and_ids_in_labels(
    tmp_path: Path,
) -> None:
    ids = GREY % 3
    image = Image.fromarray(ids).convert('P')
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), ids)
    colours, _ = read_image(tmp_path / 'a.png')
    np.testing.assert_array_equal(colours[..., 0], (ids == 1) * 255)
    np.testing.assert_array_equal(colours[..., 1], (ids == 2) * 255)


def test_labels_keep_their_dtype(tmp_path: Path) -> None:
    for dtype in ('bool', 'uint8', 'uint16', 'int32', 'int64', 'uint64'):
        labels = (GREY % 5).astype(dtype)
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
        (GREY, GREY),
        (COLOUR, COLOUR),
        (GREY.astype(np.uint16) * 257, GREY.astype(np.uint16) * 257),
        (COLOUR / 255.0, COLOUR),
        (GREY / np.float32(255), np.dstack([GREY] * 3)),
    ],
    ids=['grey', 'colour', '16 bits', 'float colour', 'float grey'],
)
def test_writes_pictures(
    image: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    write_png(tmp_path / 'a.png', image)
    read, _ = read_image(tmp_path / 'a.png')
    np.testing.assert_array_equal(read, expected)


def test_channels_in_front_are_written_as_colours(tmp_path: Path) -> None:
    write_png(tmp_path / 'a.png', np.moveaxis(COLOUR, -1, 0), channel_axis=0)
    read, _ = read_image(tmp_path / 'a.png')
    np.testing.assert_array_equal(read, COLOUR)
