"""Volumes of medical imaging (NRRD, MetaImage, NIfTI), by SimpleITK."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.io.extras import require
from napari_samnet.io.picture import Stored, choose_plane
from napari_samnet.io.size_limits import check_claim

#: Names of such files; SimpleITK tells their kinds by them too.
VOLUME_ENDINGS = ('.nrrd', '.nhdr', '.mha', '.mhd', '.nii', '.nii.gz')


def read_volume(file: Path, name: str, page: int | None = None) -> Stored:
    """Read one plane of a volume.

    ``page``: which plane along the last axis of the file, counted from 0;
    needed where there are several.
    Returns: its numbers, rows from the first to the last in the file; three or
    four 8-bit components are colors, others channels.
    Raises InputError if SimpleITK is missing, or the file holds no single
    plane.
    """
    SimpleITK = require(
        'SimpleITK', f'{name}: volumes such as {file}', extra='volumes'
    )
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(file))
    reader.ReadImageInformation()
    size = list(reader.GetSize())
    parts = reader.GetNumberOfComponents()
    planes = prod(size[2:])
    # Most of these files are unpacked whole, whichever plane is asked for.
    pixel = SimpleITK.Image([1, 1], reader.GetPixelID(), parts)
    number = pixel.GetSizeOfPixelComponent()
    check_claim(name, file, prod(size) * parts * number)
    if len(size) > 3 and planes > 1:
        raise InputError(
            f'{name} must be one 2-D image, got {len(size)} axes in {file}: '
            f'open it in napari and choose the plane there'
        )
    chosen, notices = choose_plane(page, planes, 'plane', name=name, file=file)
    if len(size) > 2:
        reader.SetExtractSize([*size[:2], *[0] * (len(size) - 2)])
        reader.SetExtractIndex([0, 0, chosen, *[0] * (len(size) - 3)])
    pixels = SimpleITK.GetArrayFromImage(reader.Execute())
    if parts == 1:
        return Stored(pixels=pixels, space='gray', notices=notices)
    return _channels(pixels, parts).with_notices(*notices)


def _channels(pixels: Any, parts: int) -> Stored:
    if parts in (3, 4) and pixels.dtype == np.uint8:
        alpha = 'straight' if parts == 4 else ''
        return Stored(pixels=pixels, space='rgb', channel_axis=2, alpha=alpha)
    return Stored(pixels=pixels, space='channels', channel_axis=2)
