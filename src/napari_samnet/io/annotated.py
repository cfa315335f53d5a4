"""An image file with the files of what is drawn on it.

Used wherever a source is read from files, so that labels and points are
brought together with their image by the same rules.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.checks import check_labels
from napari_samnet.images.rgb import check_image
from napari_samnet.io.formats.registry import format_of, read_label_format
from napari_samnet.io.image_files import read_picture
from napari_samnet.io.label_files import read_label_picture
from napari_samnet.io.picture import LabelPicture, Picture, upright
from napari_samnet.io.pixel_size import read_pixel_size
from napari_samnet.io.points_csv import (
    PointTable,
    about_places,
    read_point_table,
)

#: What an EXIF orientation does, for people.
_TURNED = {
    2: 'mirrored',
    3: 'turned by 180 degrees',
    4: 'mirrored upside down',
    5: 'turned and mirrored',
    6: 'turned by 90 degrees',
    7: 'turned and mirrored',
    8: 'turned by 90 degrees',
}


@dataclass(frozen=True, eq=False, kw_only=True)
class AnnotatedImage:
    """An image, with labels and points on its grid."""

    #: File of the image.
    picture: Picture
    #: Labels of the image's rows and columns.
    labels: LabelPicture | None = None
    #: Points, with what their file says of each.
    table: PointTable | None = None

    @property
    def points(self) -> NDArray[np.float64] | None:
        """Row and column of each point, (N, 2)."""
        return None if self.table is None else self.table.points

    @property
    def notices(self) -> tuple[str, ...]:
        """What the readers decided that a person may want to know."""
        labels = () if self.labels is None else self.labels.notices
        return (*self.picture.notices, *labels)


def read_annotated(
    path: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    points: str | os.PathLike[str] | None = None,
    name: str = 'source',
    page: int | str | None = None,
    channel: int | None = None,
    pixel_size: float | None = None,
    label_unit: str = '',
) -> AnnotatedImage:
    """Read an image, its labels, and its points.

    ``labels``: its labels: a picture, see
    :func:`~napari_samnet.io.label_files.read_label_picture`, or a file of
    another program, see :mod:`napari_samnet.io.formats.registry`.
    ``page``: which plane of a stack, of the labels as of the image.
    ``pixel_size``: side of a pixel in micrometers, for GeoJSON; by default
    what the image's file says.
    ``label_unit``: 'px' or 'um', the unit of GeoJSON; by default told apart.
    Raises InputError if a file cannot be read, or the labels are not of the
    image's size.
    """
    picture = read_picture(path, name=name, page=page, channel=channel)
    shape = check_image(
        picture.pixels, name=name, channel_axis=picture.channel_axis
    )
    read = None
    chosen = page if isinstance(page, int) else None
    if labels is not None and format_of(Path(labels)):
        read = read_label_format(
            Path(labels),
            shape,
            image=Path(path).name,
            page=chosen,
            pixel_size=pixel_size or read_pixel_size(path),
            unit=label_unit,
        )
        check_labels(f'labels of {Path(labels).name}', read.labels, shape)
    elif labels is not None:
        read = read_label_picture(labels, page=chosen)
        read = align_orientation(
            read,
            picture,
            shape,
            names=(Path(labels).name, Path(path).name),
        )
        check_labels(f'labels of {Path(labels).name}', read.labels, shape)
    if read is not None and not read.labels.any():
        empty = f'{Path(str(labels)).name} holds no label: all pixels are 0'
        read = replace(read, notices=(*read.notices, empty))
    placed = None if points is None else read_point_table(points, chosen)
    told = (
        ()
        if placed is None
        else about_places(
            placed.points, shape, Path(str(points)).name, Path(path).name
        )
    )
    if placed is not None and picture.orientation != 1:
        notice = _turned(Path(path).name, picture.orientation)
        picture = replace(
            picture,
            notices=(
                *picture.notices,
                f'{notice}; points are taken as placed on the upright picture',
            ),
        )
    picture = replace(picture, notices=(*picture.notices, *told))
    return AnnotatedImage(picture=picture, labels=read, table=placed)


def about_files(source: AnnotatedImage, target: Picture) -> dict[str, Any]:
    """What a result's metadata keep of the files that it was made from.

    Returns: the notices, and colors and names of the ids where the label file
    has some; fit for JSON.
    """
    about: dict[str, Any] = {
        'notices': list(dict.fromkeys((*source.notices, *target.notices)))
    }
    if source.labels is not None:
        for key in ('colors', 'names'):
            table = getattr(source.labels, key)
            if table:
                about[f'label_{key}'] = {
                    str(number): list(value) if key == 'colors' else value
                    for number, value in table.items()
                }
    return about


def align_orientation(
    labels: LabelPicture,
    picture: Picture,
    shape: tuple[int, int],
    *,
    names: tuple[str, str] = ('the labels', 'the image'),
) -> LabelPicture:
    """Bring labels to the orientation of their image.

    A camera stores a picture as the sensor lay, and writes beside it how to
    turn it. Some programs that draw masks look at that, others do not, and
    masks mostly do not say.

    Returns: turned like the image where only that fits, with a notice; as they
    were elsewhere, with a notice where both would fit.
    """
    orientation = picture.orientation
    if orientation == labels.orientation:
        return labels
    mask, image = names
    if orientation == 1:
        notice = (
            f'{_turned(mask, labels.orientation)}, {image} is not: look '
            f'whether they lie on each other'
        )
    elif labels.orientation != 1:
        notice = (
            f'{mask} and {image} are turned differently by their EXIF '
            f'orientations ({labels.orientation} and {orientation}): look '
            f'whether they lie on each other'
        )
    else:
        stored = shape[::-1] if orientation >= 5 else shape
        if labels.labels.shape == stored != shape:
            return replace(
                labels,
                labels=upright(labels.labels, orientation),
                orientation=orientation,
                notices=(
                    *labels.notices,
                    f'{_turned(image, orientation)}; {mask} was drawn '
                    f'without that and is turned alike',
                ),
            )
        if stored != shape:
            return labels
        notice = (
            f'{_turned(image, orientation)}; {mask} does not say and is '
            f'taken as drawn on the upright picture'
        )
    return replace(labels, notices=(*labels.notices, notice))


def _turned(name: str, orientation: int) -> str:
    how = _TURNED.get(orientation, 'not turned')
    return f'{name} is {how} by its EXIF orientation {orientation}'
