"""Shared by the tests of the evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image


@pytest.fixture(scope='session')
def data_root() -> Path:
    """Folder of the evaluation sets, which only some machines have."""
    named = os.environ.get('NAPARI_SAMNET_DATA')
    repository = Path(__file__).parents[2]
    root = Path(named) if named else repository.parent / 'shared' / 'data'
    if not (root / 'manifests').is_dir():
        pytest.skip(
            'needs the evaluation sets: set NAPARI_SAMNET_DATA to their folder'
        )
    return root


@pytest.fixture
def photograph() -> NDArray[np.uint8]:
    """Smooth colorful image with structure everywhere."""
    rows, columns = np.mgrid[:60, :80] / 10
    bands = [
        np.sin(rows + columns),
        np.sin(1.7 * columns),
        np.cos(rows * 1.3 - columns * 0.6),
    ]
    return np.round(127 + 100 * np.stack(bands, axis=-1)).astype(np.uint8)


@pytest.fixture
def write_list(tmp_path: Path) -> Callable[..., Path]:
    """Write a CSV file from a header and rows."""

    def write(header: str, *rows: str, name: str = 'pairs.csv') -> Path:
        path = tmp_path / name
        path.write_text('\n'.join((header, *rows)) + '\n', encoding='utf-8')
        return path

    return write


@pytest.fixture
def two_images(tmp_path: Path, photograph: NDArray[np.uint8]) -> Path:
    """Folder with a.png, 60 x 80, and b.png, 30 x 40 of the same."""
    Image.fromarray(photograph).save(tmp_path / 'a.png')
    Image.fromarray(photograph[::2, ::2]).save(tmp_path / 'b.png')
    return tmp_path
