"""One picture of an array whose axes have no names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_samnet.io.picture import (
    ALL_PAGES,
    Stored,
    check_page,
    one_picture,
)


def plane_of_array(
    array: NDArray[Any], page: int | str | None, name: str, file: Path
) -> Stored:
    """One plane of an array whose axes have no names.

    ``array``: with rows and columns; 3 or 4 numbers on a last axis are colors.
    ``page``: which plane, from 0; 'all' for the first of three axes as
    channels.
    ``file``: where it was read from.
    Returns: the plane, or the whole array where no page is chosen.
    Raises InputError if there is no such plane.
    """
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if page is None or page == ALL_PAGES:
        axis = 0 if page == ALL_PAGES and array.ndim == 3 else None
        space = 'gray' if array.ndim == 2 else 'array'
        return Stored(pixels=array, space=space, channel_axis=axis)
    color = array.ndim > 2 and array.shape[-1] in (3, 4)
    leading = array.shape[: -3 if color else -2]
    if not leading:
        space = 'gray' if array.ndim == 2 else 'array'
        notices = one_picture(file, int(page))
        return Stored(pixels=array, space=space, notices=notices)
    planes = array.reshape(-1, *array.shape[len(leading) :])
    number = check_page(int(page), len(planes), 'plane', name=name, file=file)
    space = 'gray' if planes.ndim == 3 else 'array'
    return Stored(pixels=planes[number], space=space)
