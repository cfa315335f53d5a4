"""Volumes of medical imaging, written by SimpleITK itself."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from napari_samnet.errors import InputError
from napari_samnet.io.image_files import read_picture
from napari_samnet.io.label_files import read_label_picture
from napari_samnet.io.volumes import VOLUME_ENDINGS

SimpleITK = pytest.importorskip('SimpleITK')

RNG = np.random.default_rng(3)
VOLUME = RNG.integers(0, 60000, (5, 20, 30), np.uint16)


def write(path: Path, pixels: np.ndarray, *, vector: bool = False) -> Path:
    """Write an array as SimpleITK does."""
    image = SimpleITK.GetImageFromArray(pixels, isVector=vector)
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize('ending', VOLUME_ENDINGS)
@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'float32'])
def test_a_plane_is_chosen(ending: str, dtype: str, tmp_path: Path) -> None:
    volume = (VOLUME // 300).astype(dtype)
    path = write(tmp_path / f'a b{ending}', volume)
    for page in (0, 4):
        picture = read_picture(path, page=page)
        np.testing.assert_array_equal(picture.pixels, volume[page])
        assert picture.pixels.dtype == dtype
    with pytest.raises(InputError, match=r'5 planes .* from 0 to 4'):
        read_picture(path)
    with pytest.raises(InputError, match=r'page must be from 0 to 4'):
        read_picture(path, page=5)


@pytest.mark.parametrize('ending', VOLUME_ENDINGS)
def test_one_plane_needs_no_choice(ending: str, tmp_path: Path) -> None:
    for pixels in (VOLUME[0], VOLUME[:1]):
        path = write(tmp_path / f'a{ending}', pixels)
        np.testing.assert_array_equal(read_picture(path).pixels, VOLUME[0])


def test_colors_and_channels(tmp_path: Path) -> None:
    colors = (VOLUME[:3] // 256).astype(np.uint8).transpose(1, 2, 0)
    path = write(tmp_path / 'a.nrrd', colors, vector=True)
    np.testing.assert_array_equal(read_picture(path).pixels, colors)
    five = np.ascontiguousarray(VOLUME.transpose(1, 2, 0))
    picture = read_picture(write(tmp_path / 'b.mha', five, vector=True))
    assert picture.channel_axis == 2
    np.testing.assert_array_equal(picture.pixels, five)


def test_labels_of_a_plane(tmp_path: Path) -> None:
    labels = np.zeros((3, 20, 30), np.uint16)
    labels[1, 2:9, 3:12] = 700
    path = write(tmp_path / 'a.nii.gz', labels)
    read = read_label_picture(path, page=1)
    np.testing.assert_array_equal(read.labels, labels[1])


@pytest.mark.parametrize('ending', VOLUME_ENDINGS)
def test_damage_is_said_in_one_line(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / f'a{ending}', VOLUME)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError) as refusal:
        read_picture(path, page=0)
    assert '\n' not in str(refusal.value)


def test_more_than_a_file_can_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.nrrd'
    header = (
        'NRRD0004\ntype: uint16\ndimension: 3\nsizes: 4000 4000 90000\n'
        'encoding: gzip\nendian: little\n\n'
    )
    path.write_bytes(header.encode() + gzip.compress(bytes(1000)))
    with pytest.raises(InputError, match='claims'):
        read_picture(path, page=0)


def test_four_axes_are_refused(tmp_path: Path) -> None:
    image = SimpleITK.JoinSeries(
        [SimpleITK.GetImageFromArray(VOLUME) for _ in range(2)]
    )
    path = tmp_path / 'a.nrrd'
    SimpleITK.WriteImage(image, str(path))
    with pytest.raises(InputError, match='4 axes'):
        read_picture(path, page=0)
