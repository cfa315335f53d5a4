"""Masks from files, checked before they become layers.

napari opens a mask as an image, an RGB picture given as labels as a stack of
three, and fails on float; none of that may happen to a dropped file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.grids import Grid

__all__ = ['read_mask']


def read_mask(path: str, grid: Grid) -> NDArray[Any]:
    """Read a mask that fits an image.

    Parameters
    ----------
    path : str
        PNG, TIFF, NumPy's .npy or any other image file.
    grid : Grid
        Grid of the image that it annotates.

    Returns
    -------
    ndarray of int
        Of the grid's shape, or of its planes'.

    Raises
    ------
    InputError
        If it is not a mask, or one of another image.
    """
    labels = _read_stack(path) if grid.leading else None
    if labels is None:
        from napari_samnet.io.image_files import read_labels

        labels = read_labels(path)
    if labels.shape not in (grid.shape, grid.plane_shape):
        raise InputError(
            f'{Path(path).name} is {_sizes(labels.shape)}, the source '
            f'{_sizes(grid.shape)}'
        )
    # napari's labels hold numbers.
    return labels.astype(np.uint8) if labels.dtype == bool else labels


def _read_stack(path: str) -> NDArray[Any] | None:
    """Array of a file that can hold a stack, None if it cannot."""
    from napari_samnet.io.image_files import read_stack

    stack = read_stack(path, name='labels')
    if stack is None:
        return None
    if stack.dtype.kind not in 'biu':
        raise InputError(
            f'labels must be whole numbers, got {stack.dtype} in {path}'
        )
    return stack


def _sizes(shape: tuple[int, ...]) -> str:
    return ' × '.join(map(str, shape))
