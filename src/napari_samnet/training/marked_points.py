"""Points that a user marked on images, as napari saves them, to learn from.

Beside each image, or in a folder of their own, lies a CSV file with the
image's name: the points layer of that image. Which points of two images are
the same one is told by a column `label` or `name`, else by their order.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from napari_samnet.datasets.image_lists import is_image_file
from napari_samnet.errors import InputError
from napari_samnet.io.points_csv import PointTable, read_point_table
from napari_samnet.training.annotated import FEWEST_POINTS, AnnotatedImage

#: Columns that tell which point it is.
NAMED_BY = ('label', 'name')


def marked_files(images: Path, points: Path) -> dict[Path, Path]:
    """File of points of each image that has one.

    ``images``: folder, searched with its subfolders.
    ``points``: folder of the CSV files, with the same subfolders. It may be
    that of the images.
    """
    found = {}
    for image in sorted(images.rglob('*')):
        if is_image_file(image):
            inside = image.relative_to(images)
            table = (points / inside).with_suffix('.csv')
            if table.is_file():
                found[image] = table
    return found


def read_marked_images(images: Path, points: Path) -> list[AnnotatedImage]:
    """Read points that were marked on images of one kind of thing.

    ``images``: folder, searched with its subfolders. ``points``: see
    :func:`marked_files`.
    Raises InputError if fewer than two images have points, or a file cannot
    be read or names a point twice.
    """
    tables = {
        image: _named(read_point_table(table), table)
        for image, table in marked_files(images, points).items()
    }
    if len(tables) < 2:
        raise InputError(
            f'points must lie in {points}, for two images of {images} at '
            f'least, each in a CSV file that is named like its image, got '
            f'those of {len(tables)}'
        )
    names = list(dict.fromkeys(name for t in tables.values() for name in t))
    if len(names) < FEWEST_POINTS:
        raise InputError(
            f'each image must have at least {FEWEST_POINTS} points in '
            f'{points}, got {len(names)}'
        )
    return [_annotated(image, table, names) for image, table in tables.items()]


def _named(table: PointTable, file: Path) -> dict[str, np.ndarray]:
    """Points by their names, or by their number."""
    header = [column.strip().lower() for column in table.columns]
    names: Iterable[str] = map(str, range(len(table.points)))
    for wanted in NAMED_BY:
        if wanted in header:
            place = header.index(wanted)
            names = [row[place].strip() for row in table.rows]
            break
    named = dict(zip(names, table.points, strict=True))
    if len(named) != len(table.points):
        raise InputError(f'{file} names a point twice')
    return named


def _annotated(
    image: Path, named: dict[str, np.ndarray], names: list[str]
) -> AnnotatedImage:
    points = np.zeros((len(names), 2))
    for index, name in enumerate(names):
        if name in named:
            points[index] = named[name][::-1]
    visible = np.array([name in named for name in names])
    seen = points[visible]
    side = float(np.ptp(seen, axis=0).max()) if len(seen) else 0.0
    return AnnotatedImage(image, '', points, visible, side)
