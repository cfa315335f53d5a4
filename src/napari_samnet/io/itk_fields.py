"""Fields as ITK keeps them, for elastix, ANTs, SimpleITK and 3D Slicer.

A displacement field lives on the grid of the image that is made: it leads
from there to the image that is resampled. In files the unit is the spacing
of the image, which is 1 here, so that displacements are pixels, x before y.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.io.extras import require

#: Endings of displacement fields, as images of vectors.
ITK_FIELDS = ('.mha', '.mhd', '.nrrd', '.nii', '.nii.gz')

#: Endings of transforms that hold a displacement field.
ITK_TRANSFORMS = ('.h5', '.hdf5', '.tfm')


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
    part = final.with_name(f'.{os.getpid()}.{final.name}')
    try:
        if transform:
            made = itk.DisplacementFieldTransform[itk.D, 2].New()
            made.SetDisplacementField(_image(itk, vectors, itk.D))
            itk.transformwrite([made], str(part))
        else:
            itk.imwrite(_image(itk, vectors, itk.F), str(part))
        os.replace(part, final)
    except (OSError, RuntimeError) as error:
        reason = ' '.join(str(error).split())[-200:]
        raise InputError(f'cannot write {final}: {reason}') from error
    finally:
        part.unlink(missing_ok=True)
    return final


def _image(itk: Any, vectors: NDArray[Any], number: Any) -> Any:
    kind = itk.Image[itk.Vector[number, 2], 2]
    return itk.image_view_from_array(vectors, ttype=kind)


def _ending(path: Path) -> str:
    name = path.name.lower()
    return '.nii.gz' if name.endswith('.nii.gz') else Path(name).suffix
