"""Folders with one mask for each plane of a stack."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from napari_samnet.batch.folders import find_images
from napari_samnet.errors import InputError
from napari_samnet.io.label_files import read_label_picture
from napari_samnet.io.picture import LabelPicture
from napari_samnet.outputs.written import LABELS_ENDING
from napari_samnet.plugin.model.grids import Grid, sizes

#: How `napari-samnet propagate` calls the labels of a plane of a stack, whose
#: files have gaps where a plane could not be labeled.
_NUMBERED = re.compile(rf'.*_(\d{{5}}){re.escape(LABELS_ENDING)}')


def read_mask_folder(folder: Path, grid: Grid) -> LabelPicture:
    """Read the masks of a stack.

    ``folder``: as many label files as the stack has planes, in natural order,
    or those that ``napari-samnet propagate`` has written.
    Returns: labels of the grid's shape; planes without a file have none.
    Raises InputError if it is anything else.
    """
    try:
        files = find_images(folder)
    except InputError as error:
        raise InputError(f'labels: {error}') from None
    planes = _planes_of(files, folder, grid)
    read = [read_label_picture(file) for file in files]
    colors: dict[int, tuple[int, int, int]] = {}
    for file, one in zip(files, read, strict=True):
        if one.labels.shape != grid.plane_shape:
            raise InputError(
                f'labels: {file.name} in {folder} is '
                f'{sizes(one.labels.shape)}, planes of the source are '
                f'{sizes(grid.plane_shape)}'
            )
        for number, color in (one.colors or {}).items():
            if colors.setdefault(number, color) != color:
                raise InputError(
                    f'labels: the colors in {folder} do not stand for the '
                    f'same ids in all files, from {file.name} on: save ids'
                )
    dtype = np.result_type(*(one.labels.dtype for one in read))
    if dtype.kind not in 'biu':
        raise InputError(
            f'labels: no type of numbers holds all ids in {folder}: save '
            f'them in one type'
        )
    labels = np.zeros(grid.shape, np.uint8 if dtype.kind == 'b' else dtype)
    for place, one in zip(planes, read, strict=True):
        labels[place] = one.labels
    notices = dict.fromkeys(said for one in read for said in one.notices)
    return LabelPicture(
        labels=labels,
        notices=tuple(notices),
        colors=colors or None,
        names={k: v for x in read for k, v in (x.names or {}).items()} or None,
    )


def _planes_of(files: list[Path], folder: Path, grid: Grid) -> list[int]:
    """Planes of the stack that files are about."""
    count = grid.leading[0]
    numbered = [_NUMBERED.fullmatch(file.name) for file in files]
    numbers = [int(found[1]) for found in numbered if found is not None]
    if len(numbers) == len(files) and max(numbers) < count:
        return numbers
    if len(files) != count:
        raise InputError(
            f'labels: {folder} holds {len(files)} pictures, the source has '
            f'{count} planes: expected one for each, in order'
        )
    return [*range(count)]
