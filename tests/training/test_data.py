"""Photographs to learn from are read like any other image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_samnet.datasets.image_lists import read_images
from napari_samnet.io.picture import PlaneChoice
from napari_samnet.training import data
from napari_samnet.training.data import read_working


def test_a_channel_of_a_page_is_learned_from(tmp_path: Path) -> None:
    stack = np.zeros((2, 40, 40, 3), np.uint8)
    stack[1, :, :20, 2] = 255
    tifffile.imwrite(tmp_path / 'a.tif', stack, photometric='rgb')
    (image,) = read_images(tmp_path, plane=PlaneChoice(1, 2))
    pixels = read_working(image, 32)
    np.testing.assert_allclose(pixels[:, :14], 1, atol=0.01)
    np.testing.assert_allclose(pixels[:, 18:], 0, atol=0.01)


def test_images_are_held_by_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = data.RecentlyUsed(limit=3 * 64 * 64 * 3, nbytes=lambda x: x.nbytes)
    monkeypatch.setattr(data, '_HELD', held)
    for number in range(5):
        tifffile.imwrite(tmp_path / f'{number}.tif', np.zeros((9, 9), 'u1'))
    for image in read_images(tmp_path):
        read_working(image, 64)
    assert len(held) == 3
