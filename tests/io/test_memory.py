"""Memory that reading takes at its peak, in bytes for each pixel."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samnet.io.image_files import read_picture
from napari_samnet.io.label_files import read_label_picture

SIDES = (1280, 1600)
small = np.random.default_rng(0).integers(0, 4, (16, 20))
IDS = np.kron(small, np.ones((80, 80), int)).astype(np.uint8)
COLORS = np.array(
    [[0, 0, 0], [250, 30, 30], [30, 250, 30], [30, 30, 250]], np.uint8
)
PAINTED = COLORS[IDS]
TILES: dict[str, Any] = {'compression': 'lzw', 'tile': (256, 256)}


def tiff(array: np.ndarray, **keywords: Any) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, array, **TILES, **keywords)


def pil(array: np.ndarray, **keywords: Any) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(array).save(path, **keywords)


#: The pixels themselves take 3 bytes, 12 of float colors.
IMAGES = {
    'rgb.tif': (tiff(PAINTED, photometric='rgb'), 4),
    'turned.tif': (
        tiff(
            PAINTED,
            photometric='rgb',
            metadata=None,
            extratags=[(274, 3, 1, 6, True)],
        ),
        8,
    ),
    'profile.tif': (
        tiff(
            PAINTED,
            photometric='rgb',
            iccprofile=bytes(imagecodecs.cms_profile('adobergb')),
        ),
        10,
    ),
    'white.tif': (tiff(IDS * 80, photometric='miniswhite'), 4),
    'inks.tif': (
        lambda path: Image.fromarray(PAINTED).convert('CMYK').save(path),
        14,
    ),
}
LABELS = {
    'float.tif': (tiff(IDS.astype(np.float32)), 18),
    'painted.png': (pil(PAINTED), 28),
    'gray.jpg': (pil(IDS * 80, quality=80), 24),
    'painted.jpg': (pil(PAINTED, quality=80), 44),
}


@pytest.mark.parametrize('name', [*IMAGES, *LABELS])
def test_grows_with_the_pixels_by_a_few_bytes_each(
    name: str, tmp_path: Path
) -> None:
    read = read_picture if name in IMAGES else read_label_picture
    write, most = (IMAGES | LABELS)[name]
    write(tmp_path / name)
    if name not in IMAGES:
        # What is imported at the first call does not count.
        Image.fromarray(IDS[:8, :8]).save(tmp_path / 'first.png')
        read(tmp_path / 'first.png')
    tracemalloc.start()
    try:
        read(tmp_path / name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Tables of all colors take the same for any size.
    assert (peak - (1 << 24)) / (SIDES[0] * SIDES[1]) < most
