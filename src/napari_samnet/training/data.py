"""Training images: lists of files, read to fixed size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_samnet.arrays.recently_used import RecentlyUsed
from napari_samnet.datasets.image_lists import (
    ImageList,
    TrainingImage,
)
from napari_samnet.images.rgb import to_working
from napari_samnet.io.image_files import read_picture
from napari_samnet.io.picture import WHOLE_FILE, PlaneChoice

#: Bytes of images that are held, as decoding costs more than memory: ten
#: thousand of them at a working size of 256.
HELD_BYTES = 2 * 2**30

_HELD: RecentlyUsed[np.ndarray] = RecentlyUsed(
    limit=HELD_BYTES, nbytes=lambda image: image.nbytes
)


def _read_bytes(path: Path, size: int, plane: PlaneChoice) -> np.ndarray:
    """8-bit image of a file, held for the next time."""
    key = path, size, plane
    held = _HELD.get(key)
    if held is None:
        picture = read_picture(path, **asdict(plane))
        image = to_working(
            picture.pixels,
            size=size,
            name=path.name,
            channel_axis=picture.channel_axis,
        )
        held = np.round(image * 255).astype(np.uint8)
        _HELD.put(key, held)
    return held


def read_working(image: TrainingImage | Path, size: int) -> np.ndarray:
    """Read one file as float32 RGB ``(size, size, 3)`` in [0, 1]."""
    if isinstance(image, TrainingImage):
        pixels = _read_bytes(image.path, size, image.plane)
    else:
        pixels = _read_bytes(image, size, WHOLE_FILE)
    return pixels.astype(np.float32) / 255


def read_some(images: ImageList, count: int, size: int) -> list[np.ndarray]:
    """Read images drawn at random, always the same ones; see `read_working`.

    ``images``: where to draw from. ``count``: how many at most. ``size``:
    working size in pixels.
    """
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(images), min(count, len(images)), replace=False)
    return [read_working(images[int(i)], size) for i in chosen]


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

    ``images``: where to draw from.
    ``batch``, ``crop``: images per batch and their side in pixels.
    ``size``: side to which an image is resized before it is cropped.
    """

    def draw(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    while True:
        crops = []
        for _ in range(batch):
            image = read_working(images[draw(len(images))], size)
            y, x = draw(size - crop + 1), draw(size - crop + 1)
            piece = image[y : y + crop, x : x + crop]
            crops.append(piece[:, ::-1] if draw(2) else piece)
        yield to_tensor([np.ascontiguousarray(piece) for piece in crops])
