"""The field of a correspondence as files of other programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.files import atomic_write
from napari_samnet.io.flo import write_flo
from napari_samnet.io.itk_fields import ITK_FIELDS, ITK_TRANSFORMS, write_itk

if TYPE_CHECKING:
    from napari_samnet.correspondence import Correspondence

#: Endings of all files that a field can be written to.
ENDINGS = ('.flo', '.npy', *ITK_FIELDS, *ITK_TRANSFORMS)


def export_field(
    correspondence: Correspondence,
    path: str | os.PathLike[str],
    grid: Literal['source', 'target'] | None = None,
) -> str:
    """Write a field as the ending of a file says.

    ``path``: file to write, whole or not at all: .flo of Middlebury, .npy, or
    a displacement field or transform of ITK.
    ``grid``: whose grid it lives on. By default that of the target for files
    of ITK, by which those programs bring the source onto the target, and of
    the source for the others.
    Returns: one line on what was written.
    Raises InputError if there is no such format, or it cannot be written.
    """
    file = Path(path)
    itk = file.name.lower().endswith((*ITK_FIELDS, *ITK_TRANSFORMS))
    ending = file.suffix.lower()
    if not itk and ending not in ('.flo', '.npy'):
        raise InputError(
            f'FILE must end with one of {", ".join(ENDINGS)}, got {file.name}'
        )
    grid = grid or ('target' if itk else 'source')
    flow = (
        correspondence.flow
        if grid == 'source'
        else correspondence.backward_flow
    )
    if itk:
        write_itk(file, flow)
    elif ending == '.flo':
        write_flo(file, flow)
    else:
        with atomic_write(file) as content:
            np.save(content, flow, allow_pickle=False)
    rows, columns = flow.shape[:2]
    order = 'x, y' if itk or ending == '.flo' else 'row, column'
    other = 'target' if grid == 'source' else 'source'
    return (
        f'from each of {rows} × {columns} pixels of the {grid} to the '
        f'{other}, {order}, in pixels'
    )
