"""Films with a mask of every frame, as DAVIS distributes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_samnet.errors import InputError

#: Folders of the frames and of the masks, one folder per sequence in each.
LAYOUTS = (
    ('eval/davis16', 'eval/davis16'),
    ('JPEGImages/480p', 'Annotations/480p'),
    ('DAVIS/JPEGImages/480p', 'DAVIS/Annotations/480p'),
)


@dataclass(frozen=True)
class Film:
    """Frames of a film in order, and the mask of each."""

    #: Name of the sequence.
    name: str
    #: Images, the annotated first frame at the start.
    frames: Sequence[Path]
    #: Mask of the object in each frame, as many as frames.
    masks: Sequence[Path]
    #: Folder of the frames, for messages.
    where: str = ''


def read_sequences(root: Path) -> list[Film]:
    """Find the films below a folder.

    ``root``: folder that holds ``eval/davis16``, or ``JPEGImages/480p`` and
    ``Annotations/480p``, also below ``DAVIS``; or that itself holds a folder
    per film with ``*.jpg`` and ``*.png`` of the same names.
    Returns: films by name. Frames without a mask are left out.
    Raises InputError if there is no film of at least two frames with masks.
    """
    for images, masks in (*LAYOUTS, ('.', '.')):
        films = [
            film
            for folder in sorted((root / images).glob('*'))
            if (film := _film(folder, root / masks / folder.name))
        ]
        if films:
            return films
    raise InputError(
        f'{root} does not hold films: expected a folder per film with frames '
        f'*.jpg and masks *.png of the same names, in one of '
        f'{", ".join(images for images, _ in LAYOUTS)}'
    )


def _film(frames: Path, masks: Path) -> Film | None:
    pairs = [
        (frame, masks / f'{frame.stem}.png')
        for frame in sorted(frames.glob('*.jpg'))
        if (masks / f'{frame.stem}.png').is_file()
    ]
    if len(pairs) < 2:
        return None
    images, labels = zip(*pairs, strict=True)
    return Film(frames.name, images, labels, str(frames))
