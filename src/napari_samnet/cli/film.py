"""The planes of a film, and the masks that are given for them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.cli.arguments import tell_notices
from napari_samnet.errors import InputError
from napari_samnet.outputs.written import LABELS_ENDING

if TYPE_CHECKING:
    from napari_samnet.io.picture import Picture


@dataclass(frozen=True)
class Film:
    """The planes of a film by number."""

    #: File of each plane, one and the same for a stack.
    files: Sequence[Path]
    stack: bool
    #: The only channel to read.
    channel: int | None = None

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, index: int) -> Any:
        """Read one plane."""
        from napari_samnet.io.image_files import read_picture

        return read_picture(
            self.files[index],
            name=f'plane {index}',
            page=index if self.stack else None,
            channel=self.channel,
        )

    def number(self, word: str, flag: str) -> int:
        """Number of a plane from its number or the name of its file."""
        if word.isascii() and word.isdecimal():
            number = int(word)
            if number < len(self):
                return number
        elif not self.stack:
            for number, file in enumerate(self.files):
                if word in (file.name, file.stem):
                    return number
        raise InputError(
            f'{flag} must name a plane from 0 to {len(self) - 1}'
            f'{"" if self.stack else " or a file of the folder"}, got {word!r}'
        )

    def output(self, index: int) -> str:
        """Name of the file for the labels of a plane."""
        number = f'_{index:05}' if self.stack else ''
        return f'{self.files[index].stem}{number}{LABELS_ENDING}'


def open_film(arguments: argparse.Namespace) -> Film:
    """The planes of a folder or of one file."""
    from napari_samnet.batch.folders import find_unlabeled
    from napari_samnet.io.planes import about_axes, count_planes

    path = Path(arguments.film)
    if path.is_dir():
        masks = [_plane_and_mask(word)[1] for word in arguments.labels]
        masks += filter(None, (arguments.region, arguments.leave_out))
        frames = find_unlabeled(path, map(Path, masks))
        return Film(frames, False, arguments.channel)
    count = count_planes(path, name='FILM')
    if count < 2:
        raise InputError(
            f'FILM must be a folder of images or a file of several planes, '
            f'{path} holds one picture'
        )
    tell_notices(about_axes(path))
    return Film([path] * count, True, arguments.channel)


def like_first(first: Picture, picture: Picture) -> NDArray[Any]:
    """Pixels of a plane, gray ones as colors where the first has colors."""
    axis = first.channel_axis
    pixels: NDArray[Any] = picture.pixels
    if axis is None or pixels.ndim != 2 or first.pixels.shape[axis] != 3:
        return pixels
    return np.stack([pixels] * 3, axis)


def _plane_and_mask(word: str) -> tuple[str, str]:
    """Parts of PLANE=MASK; the plane is empty where there is none."""
    plane, equals, mask = word.partition('=')
    return (plane, mask) if equals and not Path(word).exists() else ('', word)


@dataclass(frozen=True)
class Annotations:
    """Labels that are given for planes of a film."""

    #: Labels by plane, of those that have any.
    labels: dict[int, NDArray[Any]]
    #: Files that they are from.
    files: list[Path]
    #: Planes that were named, with their files; labels may be empty there.
    named: dict[int, Path]

    def corrected(self, outputs: Sequence[Path]) -> set[int]:
        """Planes of which the result itself is given, after a correction.

        ``outputs``: files of the results of all planes.
        """
        return {
            number
            for number, file in self.named.items()
            if file.resolve() == outputs[number].resolve()
        }


def read_annotations(words: Sequence[str], film: Film) -> Annotations:
    """Labels of ``--labels``; raises InputError where they cannot be used."""
    from napari_samnet.io.label_files import read_label_picture
    from napari_samnet.io.planes import count_planes

    annotations: dict[int, NDArray[Any]] = {}
    files: list[Path] = []
    named: dict[int, Path] = {}
    for word in words:
        plane, mask = _plane_and_mask(word)
        if plane:
            number = film.number(plane, '--labels')
            made = read_label_picture(mask, name=f'labels of plane {number}')
            tell_notices(made.notices)
            labels_by_plane = {number: made.labels}
            named[number] = Path(mask)
        else:
            count = count_planes(mask, name='--labels')
            if count != len(film):
                raise InputError(
                    f'--labels must be PLANE=MASK, or a stack with a plane '
                    f'for each of the {len(film)} of FILM; {mask} has {count}'
                )
            labels_by_plane = {
                number: read_label_picture(mask, page=number).labels
                for number in range(count)
            }
        files.append(Path(mask))
        for number, labels in labels_by_plane.items():
            if not labels.any():
                continue
            if number in annotations:
                raise InputError(f'--labels names plane {number} twice')
            if labels.dtype == bool:
                labels = labels.astype(np.uint8)
            annotations[number] = labels
    return Annotations(annotations, files, named)


def read_mask(file: str | None, flag: str, length: int) -> NDArray[Any] | None:
    """A mask for all planes, or one for each; None without a file."""
    from napari_samnet.io.label_files import read_label_picture
    from napari_samnet.io.planes import count_planes

    if file is None:
        return None
    count = count_planes(file, name=flag)
    if count == 1:
        return read_label_picture(file, name=flag).labels
    if count != length:
        raise InputError(
            f'{flag} must have one plane, or one for each of the {length} of '
            f'FILM; {file} has {count}'
        )
    pages = [read_label_picture(file, page=n).labels for n in range(count)]
    return np.stack(pages)
