"""Reading the images, label maps and flows that a list names."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_rgb
from napari_samnet.io import image_files
from napari_samnet.io.flo import read_flo
from napari_samnet.io.label_files import read_label_picture
from napari_samnet.io.npz import read_member

#: A .flo file marks an unknown flow with a larger value.
KNOWN_BELOW = 1e9

#: flow32 counts in units of 1/32 pixel and marks an unknown flow so.
PER_PIXEL = 32
UNKNOWN = -32768


# Lists pair every image with many others; the neighbors in a list stay in
# memory, few enough for large slides.
@lru_cache(maxsize=16)
def read_image(path: Path) -> NDArray[np.float32]:
    """Float RGB image in [0, 1] of a file, read-only.

    Raises InputError if the file is not a 2-D image.
    """
    pixels, axis = image_files.read_image(path, name='image')
    image = to_rgb(pixels, name=str(path), channel_axis=axis)
    image.flags.writeable = False
    return image


@lru_cache(maxsize=16)
def read_labels(path: Path) -> NDArray[Any]:
    """Mask or label map of a file, read-only.

    One-bit images are masks, and so are 8-bit gray images that reach 255,
    whose foreground is above half. Other gray images, palette images and
    painted ones hold labels.

    Raises InputError if the file is not an image of whole numbers with one
    channel.
    """
    read = read_label_picture(path)
    labels = read.labels
    palette = read.colors is not None
    if labels.dtype == np.uint8 and labels.max(initial=0) == 255:
        labels = labels if palette else labels > 127
    labels.flags.writeable = False
    return labels


def read_flow(path: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """True flow of a file and where it is known.

    ``path``: middlebury ``.flo``, or ``.npz`` whose ``flow32`` holds
    ``(u, v) x 32`` as int16, -32768 where it is unknown.
    Returns: ``flow``: rows and columns, in pixels; 0 where it is unknown;
    ``valid``: where it is known.
    Raises InputError if the file is missing or is something else.
    """
    if path.suffix == '.flo':
        flow = read_flo(path)
        valid = np.abs(flow).max(axis=-1) < KNOWN_BELOW
        return np.where(valid[..., None], flow, 0), valid
    packed = read_member(path, 'flow32')
    if packed.ndim != 3 or packed.shape[2] != 2:
        raise InputError(
            f'{path}: flow32 must be (height, width, 2), got {packed.shape}'
        )
    valid = (packed != UNKNOWN).all(axis=-1)
    flow = packed[..., ::-1].astype(np.float32) / np.float32(PER_PIXEL)
    return np.where(valid[..., None], flow, 0), valid
