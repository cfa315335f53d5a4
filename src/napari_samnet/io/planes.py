"""How many planes a file holds that is a film or a stack."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

import tifffile
from PIL import Image

from napari_samnet.errors import refused
from napari_samnet.io.file_kinds import existing_file, file_kind
from napari_samnet.io.npy import read_npy
from napari_samnet.io.pillow_files import PILLOW_FORMATS
from napari_samnet.io.size_limits import check_pages
from napari_samnet.io.tiff_planes import leading_axes, pictures_of, places_of


def count_planes(path: str | os.PathLike[str], *, name: str = 'stack') -> int:
    """Count the planes of a file, as its pages are counted when it is read.

    ``path``: a TIFF stack, an animated picture, or an array of NumPy.
    Returns: numbers that `page` of
    :func:`~napari_samnet.io.image_files.read_picture` takes, from 0 to one
    less; 1 for a single picture.
    Raises InputError if there is no such file, or it cannot be read.
    """
    file = existing_file(path, name)
    kind = file_kind(file, name)
    with refused(f'{name}: {file} cannot be read'):
        if kind == 'npy':
            shape = read_npy(file).shape
            color = len(shape) > 2 and shape[-1] in (3, 4)
            return prod(shape[: -3 if color else -2])
        if kind == 'tiff':
            return _of_tiff(file, name)
        if kind == 'picture':
            with Image.open(file, formats=PILLOW_FORMATS) as image:
                return int(getattr(image, 'n_frames', 1))
    return 1


def _of_tiff(file: Path, name: str) -> int:
    """Planes through all series, without previews."""
    check_pages(name, file)
    with tifffile.TiffFile(file) as content:
        count = sum(
            1 for series in pictures_of(content) for _ in places_of(series)
        )
        first = content.series[0]
        if count == 1 and first.axes == 'SYX' and content.is_shaped:
            # Written without being told what its planes are.
            return int(first.shape[0])
        return count


def about_axes(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """What to say of a file whose planes lie on more than one axis.

    ``path``: a file that :func:`count_planes` has counted.
    Returns: one line; nothing where there is one order of the planes.
    """
    file = Path(path)
    if file_kind(file, 'stack') != 'tiff':
        return ()
    with tifffile.TiffFile(file) as content:
        axes = leading_axes(pictures_of(content)[0])
    if len(axes) < 2:
        return ()
    sizes = ' × '.join(str(size) for _, _, size in axes)
    names = ', '.join(name for _, name, _ in axes)
    return (
        f'{file.name} has {sizes} planes on the axes {names}; they are taken '
        f'one after the other, the last axis first: save a file for each '
        f'step of the others if that is no film',
    )
