"""Lists of training images, and which of them are held out.

Torch is not imported here, so that the widget can count them too.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_samnet.datasets.pair_lists import read_rows
from napari_samnet.errors import InputError
from napari_samnet.io.file_kinds import natural_order
from napari_samnet.io.picture import WHOLE_FILE, PlaneChoice

_SUFFIXES = {
    '.avif', '.bmp', '.dcm', '.dicom', '.gif', '.heic', '.heif', '.j2k',
    '.jfif', '.jp2', '.jpeg', '.jpg', '.mpo', '.pbm', '.pgm', '.png', '.pnm',
    '.ppm', '.tif', '.tiff', '.webp',
}  # fmt: skip


@dataclass(frozen=True)
class TrainingImage:
    """A photograph to learn from."""

    #: File that holds it.
    path: Path
    #: What it shows, so that images of one category make pairs; '' if unknown.
    category: str = ''
    #: Categories are compared within one of these; '' if unknown.
    dataset: str = ''
    #: Page and channel of the file.
    plane: PlaneChoice = WHOLE_FILE


ImageList = Sequence[TrainingImage]


def is_image_file(path: Path) -> bool:
    """Whether a file is taken for a training image, by its name."""
    return path.suffix.lower() in _SUFFIXES


def read_images(
    source: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    plane: PlaneChoice = WHOLE_FILE,
) -> list[TrainingImage]:
    """List training images from a folder or a CSV file.

    ``source``: a folder, searched with its subfolders, whose names are the
    categories; or a CSV file with the column `file` and optionally `category`
    and `dataset`.
    ``root``: what the files of a CSV file are relative to; by default its
    folder.
    Returns: in the order of the file, or in that of the names.
    Raises InputError if there is nothing usable.
    """
    source = Path(source)
    if source.is_dir():
        images = [
            TrainingImage(path, path.parent.name, plane=plane)
            for path in sorted(source.rglob('*'), key=natural_order)
            if is_image_file(path)
        ]
    elif source.is_file():
        base = Path(root) if root is not None else source.parent
        images = [
            TrainingImage(
                base / row.need('file'),
                row.get('category'),
                row.get('dataset'),
                plane,
            )
            for row in read_rows(source, ('file',))
        ]
    else:
        raise InputError(f'{source} is neither a folder nor a CSV file')
    if not images:
        raise InputError(f'no images found in {source}')
    return images


def split(
    images: ImageList, *, every: int = 20
) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Training and held-out images; the same ones at every call.

    ``every``: one of so many is held out, chosen by the hash of its name.
    """

    def held_out(image: TrainingImage) -> bool:
        return zlib.crc32(image.path.name.encode()) % every == 0

    return (
        [image for image in images if not held_out(image)],
        [image for image in images if held_out(image)],
    )
