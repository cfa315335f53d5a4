"""Masks from files, checked before they become layers.

napari opens a mask as an image, an RGB picture given as labels as a stack of
three, and fails on float; none of that may happen to a dropped file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.io.picture import LabelPicture
from napari_samnet.plugin.model.grids import Grid

__all__ = ['read_mask']


def read_mask(path: str, grid: Grid) -> LabelPicture:
    """Read a mask that fits an image.

    Parameters
    ----------
    path : str
        Any file that the package reads as labels.
    grid : Grid
        Grid of the image that it annotates.

    Returns
    -------
    LabelPicture
        Labels of the grid's shape, or of its planes', with colors and
        notices.

    Raises
    ------
    InputError
        If it is not a mask, or one of another image.
    """
    from napari_samnet.io.formats.registry import format_of, read_label_format
    from napari_samnet.io.label_files import read_label_picture

    read = None
    if format_of(Path(path)):
        read = read_label_format(Path(path), grid.plane_shape)
    elif grid.leading:
        read = _read_stack(path, grid)
    if read is None:
        read = read_label_picture(path)
    labels = read.labels
    if labels.shape not in (grid.shape, grid.plane_shape):
        raise InputError(
            f'{Path(path).name} is {_sizes(labels.shape)}, the source '
            f'{_sizes(grid.shape)}'
        )
    # napari's labels hold numbers.
    if labels.dtype == bool:
        return replace(read, labels=labels.astype(np.uint8))
    return read


def _read_stack(path: str, grid: Grid) -> LabelPicture | None:
    """Labels of a file that holds such a stack, None if it does not."""
    from napari_samnet.io.image_files import read_stack
    from napari_samnet.io.label_numbers import whole

    stack = read_stack(path, name='labels')
    if stack is None or stack.shape != grid.shape:
        return None
    labels, notices = whole(stack, 'labels', path)
    return LabelPicture(labels=labels, notices=notices)


def _sizes(shape: tuple[int, ...]) -> str:
    return ' × '.join(map(str, shape))
