"""Images to fine-tune on: layers, plane by plane, or a folder of files.

A process of its own trains, so the pixels of layers travel as small files:
8-bit color at working size, which is all that training sees of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event

import numpy as np

from napari_samnet.datasets.image_lists import is_image_file, read_images
from napari_samnet.errors import InputError
from napari_samnet.plugin.model.capture import Stack

#: Fewer images have nothing in common.
LEAST = 2
#: Seconds for which a folder is looked through while the user waits.
COUNT_SECONDS = 0.2


@dataclass(frozen=True)
class LayerImages:
    """Every plane of some image layers."""

    #: Layers as they were captured at the start.
    stacks: tuple[Stack, ...]

    @property
    def count(self) -> int:
        """How many images there are."""
        return sum(math.prod(stack.grid.leading) for stack in self.stacks)

    def describe(self) -> str:
        """Say how many there are."""
        planes = _number(self.count, 'image')
        layers = _number(len(self.stacks), 'layer')
        return (
            planes
            if self.count == len(self.stacks)
            else (f'{planes} in {layers}')
        )

    def names(self) -> list[str]:
        """Identify the images, the same in another session."""
        return [
            f'{stack.name} {stack.grid.shape}'
            + (' in color' if stack.rgb else '')
            for stack in self.stacks
        ]

    def write(
        self, folder: Path, size: int, stop: Event
    ) -> Generator[int, None, None]:
        """Write every plane as a small file.

        ``folder``: where to; it must exist.
        ``size``: working size of the images in pixels.
        ``stop``: set to stop after the current plane.
        Raises InputError if a plane is no image.
        """
        from PIL import Image

        from napari_samnet.images.rgb import to_working

        done = 0
        for number, stack in enumerate(self.stacks):
            for index in np.ndindex(stack.grid.leading):
                if stop.is_set():
                    return
                small = to_working(
                    stack.plane(index),
                    size=size,
                    name=stack.name,
                    channel_axis=stack.channel_axis,
                )
                place = '-'.join(f'{part:05d}' for part in (number, *index))
                pixels = np.rint(small * 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f'{place}.png')
                done += 1
                yield done


@dataclass(frozen=True)
class FolderImages:
    """The images of a folder and its subfolders."""

    #: Folder that holds the images.
    path: Path

    @property
    def count(self) -> int:
        """How many images there are, as far as a glance could tell."""
        return self._seen[0]

    def describe(self) -> str:
        """Say how many there are, as far as a glance could tell."""
        count, complete = self._seen
        number = _number(count, 'image')
        return number if complete else f'more than {number}'

    @cached_property
    def _seen(self) -> tuple[int, bool]:
        """Count, once and not for long."""
        until = time.monotonic() + COUNT_SECONDS
        count = 0
        for path in self.path.rglob('*'):
            count += is_image_file(path)
            if time.monotonic() > until:
                return count, False
        return count, True

    def check(self) -> None:
        """Refuse a folder without images.

        Raises InputError if it is not there or holds too few.
        """
        if not self.path.is_dir():
            raise InputError(f'there is no folder {self.path}')
        count, complete = self._seen
        if complete:
            check_count(count)

    def names(self) -> list[str]:
        """Identify the images, the same in another session."""
        return [
            image.path.relative_to(self.path).as_posix()
            for image in read_images(self.path)
        ]


TrainingSource = LayerImages | FolderImages


def check_count(count: int) -> None:
    """Refuse too few images.

    Raises InputError if they are too few.
    """
    if count < LEAST:
        raise InputError(
            f'fine-tuning needs at least {LEAST} images that show something '
            f'alike, got {count}'
        )


def _number(count: int, noun: str) -> str:
    return f'{count} {noun}' if count == 1 else f'{count} {noun}s'
