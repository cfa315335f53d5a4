"""Fields as ITK keeps them, for elastix, ANTs, SimpleITK and 3D Slicer.

A displacement field lives on the grid of the image that is made: it leads
from there to the image that is resampled. In files the unit is the spacing
of the image, which is 1 here, so that displacements are pixels, x before y.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.files import atomic_files
from napari_samnet.io.extras import require

#: Endings of displacement fields, as images of vectors.
ITK_FIELDS = ('.mha', '.mhd', '.nrrd', '.nii', '.nii.gz')

#: Endings of transforms that hold a displacement field.
ITK_TRANSFORMS = ('.h5', '.hdf5', '.tfm')


#: Bytes at the end of a transform in text in which its last line begins.
_TAIL = 4096


def write_itk(path: str | os.PathLike[str], flow: NDArray[np.float32]) -> Path:
    """Write a flow as a displacement field or a transform of ITK.

    ``path``: destination, whole or not at all. A field for an ending of
    `ITK_FIELDS`, a transform for one of `ITK_TRANSFORMS`.
    ``flow`` (H, W, 2): displacement (row, column) in pixels, on the grid of
    the image that will be made: the backward flow, to bring the source onto
    the target.
    Raises InputError if ITK is not installed, or the file cannot be written.
    """
    final = Path(path)
    ending = _ending(final)
    if ending not in (*ITK_FIELDS, *ITK_TRANSFORMS):
        raise InputError(
            f'{final} must end with one of '
            f'{", ".join((*ITK_FIELDS, *ITK_TRANSFORMS))}'
        )
    itk = require('itk', 'fields of ITK', extra='bench')
    transform = ending in ITK_TRANSFORMS
    number = np.float64 if transform else np.float32
    vectors = np.ascontiguousarray(np.asarray(flow)[..., ::-1], number)
    # Its own folder, so that a header names its file of numbers rightly.
    with atomic_files(final.parent) as folder:
        part = folder / final.name
        try:
            if transform:
                made = itk.DisplacementFieldTransform[itk.D, 2].New()
                made.SetDisplacementField(_image(itk, vectors, itk.D))
                itk.transformwrite([made], str(part))
            else:
                itk.imwrite(_image(itk, vectors, itk.F), str(part))
            _check_whole(itk, part, vectors)
        except RuntimeError as error:
            free = shutil.disk_usage(folder).free
            if free < vectors.nbytes:
                # ITK says this in many words of its own, or not at all.
                raise InputError(
                    f'cannot write {final}: {os.strerror(errno.ENOSPC)}'
                ) from error
            reason = ' '.join(str(error).split())[-200:]
            raise InputError(f'cannot write {final}: {reason}') from error
    return final


def _check_whole(itk: Any, file: Path, vectors: NDArray[Any]) -> None:
    """Look at what was written: of a full disk ITK does not always tell.

    Raises RuntimeError if it is not what was to be written.
    """
    whole = True
    if file.suffix.lower() == '.tfm':
        with open(file, 'rb') as text:
            text.seek(max(0, file.stat().st_size - _TAIL))
            end = text.read()
        whole = b'\nFixedParameters:' in end and end.endswith(b'\n')
    elif _ending(file) in ITK_FIELDS:
        read = itk.array_from_image(itk.imread(str(file)))
        whole = np.array_equal(read.ravel(), vectors.ravel())
    if not whole:
        raise RuntimeError('the file holds other numbers than were written')


def _image(itk: Any, vectors: NDArray[Any], number: Any) -> Any:
    kind = itk.Image[itk.Vector[number, 2], 2]
    return itk.image_view_from_array(vectors, ttype=kind)


def _ending(path: Path) -> str:
    name = path.name.lower()
    return '.nii.gz' if name.endswith('.nii.gz') else Path(name).suffix
