"""Any image a user has, as RGB in [0, 1], and back.

An image is read in bands of rows, so that one of a gigabyte that is not in
memory needs a few megabytes to be brought to working size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_samnet.arrays.resize import antialias_matrix
from napari_samnet.arrays.tiles import run_tiles
from napari_samnet.arrays.types import FloatArray
from napari_samnet.images.plane import Plane

#: Working sides must be multiples of this, in pixels.
SIDE_STEP = 16

#: Longest working side, in short ones.
LONGEST = 2.0


def check_image(
    array: Any,
    *,
    name: str = 'image',
    channel_axis: int | None = None,
) -> tuple[int, int]:
    """Check that an array is a 2-D image that can be matched.

    ``array``: see :func:`to_rgb`. No pixel is read. Raises InputError if it is
    not a 2-D image of real numbers.
    """
    return Plane.of(array, name=name, channel_axis=channel_axis).shape


def to_rgb(
    array: Any,
    *,
    name: str = 'image',
    channel_axis: int | None = None,
    contrast_limits: tuple[float, float] | None = None,
) -> FloatArray:
    """Any 2-D image as RGB.

    ``array`` (H, W): bool, integer or float, in memory or lazy. NaN and minus
    infinity become 0, infinity becomes 1. The fourth of four channels on the
    last axis is opacity if it reaches its largest value, and lays the colors
    on gray; else it is ignored.
    ``channel_axis``: axis of the channels. By default the last axis if it has
    at most 8 entries, else the first if it has at most 4.
    ``contrast_limits``: values that become 0 and 1. By default see
    :attr:`Plane.limits`.
    Returns: (H, W, 3): values from 0 to 1.
    Raises InputError if it is not a 2-D image of real numbers.
    """
    plane = Plane.of(
        array,
        name=name,
        channel_axis=channel_axis,
        contrast_limits=contrast_limits,
    )
    out = np.empty((*plane.shape, 3), np.float32)
    _ = plane.limits  # found once, before the threads ask for it

    def convert(rows: slice) -> None:
        out[rows] = plane.rgb_rows(rows)

    run_tiles(convert, plane.bands())
    return out


def to_working(
    array: Any,
    *,
    size: int,
    name: str = 'image',
    channel_axis: int | None = None,
    contrast_limits: tuple[float, float] | None = None,
) -> FloatArray:
    """Any 2-D image as RGB, squashed to the square the network works on.

    Shrinking is free of aliasing: each output pixel is the mean under a
    triangle two output pixels wide.

    ``size``: side of the square in pixels. Returns: (size, size, 3): values
    from 0 to 1. Raises InputError if it is not a 2-D image of real numbers.
    """
    plane = Plane.of(
        array,
        name=name,
        channel_axis=channel_axis,
        contrast_limits=contrast_limits,
    )
    return shrunken(plane, (size, size))


def working_shape(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Rows and columns in which the network sees a plane.

    ``size``: length of the shorter side in pixels. Returns: multiples of 16 in
    about the proportions of the plane, the longer side at most twice `size`.
    """
    ratio = max(shape) / min(shape)
    longer = round(size * min(ratio, LONGEST) / SIDE_STEP) * SIDE_STEP
    shorter = round(size / SIDE_STEP) * SIDE_STEP
    return (shorter, longer) if shape[1] >= shape[0] else (longer, shorter)


def shrunken(plane: Plane, shape: tuple[int, int]) -> FloatArray:
    """An image as RGB at another size, free of aliasing.

    Returns: (*shape, 3): values from 0 to 1.
    """
    height, width = plane.shape
    gray = plane.channels == 1
    read = plane.unit_rows if gray else plane.rgb_rows
    channels = 1 if gray else 3
    down = antialias_matrix(height, shape[0])
    tall = np.zeros((shape[0], width * channels), np.float32)
    by_column = down.tocsc()
    for rows in plane.bands():
        part = by_column[:, rows.start : rows.stop]
        if not part.nnz:
            # No output pixel looks at these rows.
            continue
        first, last = part.indices.min(), part.indices.max() + 1
        band = read(rows).reshape(rows.stop - rows.start, -1)
        tall[first:last] += part.tocsr()[first:last] @ band
    across = antialias_matrix(width, shape[1])
    columns = tall.reshape(shape[0], width, channels).swapaxes(0, 1)
    flat = across @ columns.reshape(width, -1)
    small = flat.reshape(shape[1], shape[0], channels).swapaxes(0, 1)
    out = np.broadcast_to(np.clip(small, 0, 1), (*shape, 3))
    return np.ascontiguousarray(out, np.float32)
