"""Layers of labels made of what is none, or of another resolution."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.io.picture import LabelPicture
from napari_samnet.plugin.model.capture import data_of
from napari_samnet.plugin.model.grids import Grid, Index, grid_of

#: Largest id that napari has colors of one's own for without numba.
LARGEST_COLORED = 2**16


def label_table(picture: LabelPicture) -> dict[str, Any]:
    """Keywords of a layer of labels with the colors and names of a file.

    Returns: names are features of the labels; what has no color while others
    have one is transparent. Empty if the file has neither.
    """
    table: dict[str, Any] = {}
    if picture.names:
        table['features'] = {
            'index': list(picture.names),
            'name': list(picture.names.values()),
        }
    return table | _color_table(picture)


def displayable(picture: LabelPicture) -> LabelPicture:
    """Labels with what napari can show of their colors.

    Without numba it has no colors of one's own for large ids, and fails when
    they are drawn. Returns: without colors then, and a notice of that.
    """
    numbers = [abs(number) for number in picture.colors or {}]
    factor = 2 if any(number < 0 for number in picture.colors or {}) else 1
    if factor * max(numbers, default=0) <= LARGEST_COLORED or find_spec(
        'numba'
    ):
        return picture
    notice = (
        f'napari colors ids above {LARGEST_COLORED:,} by itself: colors of '
        'the file need the package numba'
    )
    return replace(picture, colors=None, notices=(*picture.notices, notice))


def _color_table(picture: LabelPicture) -> dict[str, Any]:
    """Colors alone."""
    if not picture.colors:
        return {}
    colors: dict[int | None, Any] = {None: 'transparent', 0: 'transparent'}
    for number, color in picture.colors.items():
        if number:
            colors[number] = (*(value / 255 for value in color), 1.0)
    return {'colormap': colors}


def labels_of_image(layer: Any) -> tuple[Labels, tuple[str, ...]]:
    """Take an image for labels, by the rules that files are read by.

    ``layer`` (napari.layers.Image): a mask that was opened as an image. Where
    its file is still there, that is read, since napari shows a palette as
    colors.
    Returns: ``layer``: at the same place; not in any viewer; ``notices``: what
    was decided, one line each.
    Raises InputError if it does not hold labels.
    """
    picture = _of_file(layer)
    if picture is None:
        picture = _of_pixels(layer)
    picture = displayable(picture)
    data = picture.labels
    if data.dtype == bool:
        # napari's labels hold numbers.
        data = data.astype(np.uint8)
    made = Labels(
        data,
        name=f'{layer.name} labels',
        **label_table(picture),
        **grid_of(layer).spatial,
    )
    return made, picture.notices


def _of_file(layer: Any) -> LabelPicture | None:
    """Labels of the file that an image was opened from, if it fits."""
    from napari_samnet.io.label_files import read_label_picture

    path = getattr(getattr(layer, 'source', None), 'path', None)
    if not path or not Path(path).is_file():
        return None
    try:
        picture = read_label_picture(path)
    except InputError:
        # Its pixels are what is on screen, and tell what is wrong.
        return None
    fits = picture.labels.shape == grid_of(layer).shape
    # napari does not turn photographs upright.
    return picture if fits and picture.orientation == 1 else None


def _of_pixels(layer: Any) -> LabelPicture:
    from napari_samnet.io.label_files import labels_of_pixels

    pixels = np.asarray(data_of(layer))
    shape = grid_of(layer).shape
    # Planes below each other, so that an id is the same on all of them.
    rows = int(np.prod(shape[:-1]))
    flat = pixels.reshape((rows, shape[-1], *pixels.shape[len(shape) :]))
    picture = labels_of_pixels(
        flat, layer.name, channel_axis=2 if layer.rgb else None
    )
    return LabelPicture(
        labels=picture.labels.reshape(shape),
        notices=picture.notices,
        colors=picture.colors,
    )


def stretched(labels: Any, shape: tuple[int, int]) -> NDArray[Any]:
    """Labels with other numbers of rows and columns, nearest neighbor.

    ``labels`` (..., r, c): one id per pixel, in memory or not.
    ``shape``: rows and columns of the result, which covers the same.
    Returns: (..., rows, columns): ids are kept, and so is the type.
    """
    rows, cols = (
        ((2 * np.arange(after) + 1) * before) // (2 * after)
        for before, after in zip(labels.shape[-2:], shape, strict=True)
    )
    made = np.empty((*labels.shape[:-2], *shape), labels.dtype)
    for index in np.ndindex(labels.shape[:-2]):
        made[index] = np.asarray(labels[index])[np.ix_(rows, cols)]
    return made


def resampled_labels(layer: Any, image: Grid, shown: Index) -> Labels:
    """Copy labels of another resolution to the pixels of an image.

    ``image``: where they shall lie.
    ``shown``: plane of the labels that is meant where they have other planes
    than the image.
    Returns: a layer with the same ids, colors and features; not in any viewer.
    """
    data = data_of(layer)
    if data.ndim > 2 and data.shape[:-2] != image.leading:
        data = data[tuple(shown[: data.ndim - 2])]
    grid = image if data.ndim == len(image.shape) else image.plane()
    return Labels(
        stretched(data, image.plane_shape),
        name=f'{layer.name} resampled',
        features=layer.features.copy(),
        colormap=layer.colormap,
        **grid.spatial,
    )
