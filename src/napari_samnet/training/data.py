"""Training images: lists of files, read to fixed size."""

from __future__ import annotations

import csv
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_samnet.errors import InputError
from napari_samnet.images import to_working

__all__ = ['ImageList', 'TrainingImage', 'batches', 'read_images', 'split']

_SUFFIXES = {'.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp'}


@dataclass(frozen=True)
class TrainingImage:
    """A file and the category it belongs to ('' if unknown)."""

    path: Path
    category: str = ''
    dataset: str = ''


ImageList = Sequence[TrainingImage]


def read_images(
    source: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
) -> list[TrainingImage]:
    """List training images from a folder or a CSV file.

    Parameters
    ----------
    source : path-like
        A folder, searched with its subfolders, whose names are the
        categories; or a CSV file with the column `file` and optionally
        `category` and `dataset`.
    root : path-like, optional
        What the files of a CSV file are relative to; by default its folder.

    Raises
    ------
    InputError
        If there is nothing usable.
    """
    source = Path(source)
    if source.is_dir():
        found = [
            TrainingImage(path, path.parent.name)
            for path in sorted(source.rglob('*'))
            if path.suffix.lower() in _SUFFIXES
        ]
    elif source.is_file():
        base = Path(root) if root is not None else source.parent
        with open(source, newline='', encoding='utf-8') as file:
            reader = csv.DictReader(file)
            if 'file' not in (reader.fieldnames or ()):
                raise InputError(
                    f'{source} must be a CSV file with a column "file", got '
                    f'{reader.fieldnames}'
                )
            found = [
                TrainingImage(
                    base / row['file'],
                    row.get('category') or '',
                    row.get('dataset') or '',
                )
                for row in reader
            ]
    else:
        raise InputError(f'{source} is neither a folder nor a CSV file')
    if not found:
        raise InputError(f'no images found in {source}')
    return found


def split(
    images: ImageList, *, every: int = 20
) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Training and held-out images; the same ones at every call.

    Parameters
    ----------
    images : sequence of TrainingImage
        All images.
    every : int
        One of so many is held out, chosen by the hash of its name.
    """

    def held_out(image: TrainingImage) -> bool:
        return zlib.crc32(image.path.name.encode()) % every == 0

    return (
        [image for image in images if not held_out(image)],
        [image for image in images if held_out(image)],
    )


@lru_cache(maxsize=8192)
def _read_bytes(path: Path, size: int) -> np.ndarray:
    """8-bit image of a file; kept, as decoding costs more than memory."""
    from skimage.io import imread

    image = to_working(imread(path), size=size, name=path.name)
    return np.round(image * 255).astype(np.uint8)


def read_working(path: Path, size: int) -> np.ndarray:
    """Read one file as float32 RGB ``(size, size, 3)`` in [0, 1]."""
    return _read_bytes(path, size).astype(np.float32) / 255


def to_tensor(images: Sequence[np.ndarray]) -> Tensor:
    """Stack ``(H, W, 3)`` arrays to ``(B, 3, H, W)``."""
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(images)))
    return stacked.permute(0, 3, 1, 2)


def batches(
    images: ImageList,
    *,
    batch: int,
    crop: int,
    size: int,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Endless random crops of random images, ``(batch, 3, crop, crop)``.

    Parameters
    ----------
    images : sequence of TrainingImage
        Where to draw from.
    batch, crop : int
        Images per batch and their side in pixels.
    size : int
        Side to which an image is resized before it is cropped.
    generator : torch.Generator
        Source of randomness.
    """

    def draw(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    while True:
        crops = []
        for _ in range(batch):
            image = read_working(images[draw(len(images))].path, size)
            y, x = draw(size - crop + 1), draw(size - crop + 1)
            piece = image[y : y + crop, x : x + crop]
            crops.append(piece[:, ::-1] if draw(2) else piece)
        yield to_tensor([np.ascontiguousarray(piece) for piece in crops])
