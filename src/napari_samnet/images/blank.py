"""Images that show nothing: what is found on them means nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, sqrt

import numpy as np

from napari_samnet.arrays.types import FloatArray
from napari_samnet.images.plane import SAMPLE_VALUES, Plane

#: Largest difference of colors, from 0 to 1, that is none.
NO_DIFFERENCE = 1e-6


def blank_images(
    planes: Mapping[str, Plane], small: Sequence[FloatArray]
) -> dict[str, str]:
    """Which of some images show nothing, and why.

    ``planes``: images at their own size, by name.
    ``small``: the same at working size, see :func:`why_blank`.
    Returns: a few words for each that shows nothing, by name.
    """
    said = {
        name: why_blank(plane, pixels)
        for (name, plane), pixels in zip(planes.items(), small, strict=True)
    }
    return {name: why for name, why in said.items() if why}


def why_blank(plane: Plane, small: FloatArray) -> str:
    """Say why an image shows nothing.

    ``plane``: the image at its own size.
    ``small`` (h, w, 3): the same at working size, from 0 to 1.
    Returns: a few words, such as 'one value everywhere'; empty if it shows
    something.
    """
    # Channel by channel, which takes a fraction of the time.
    if any(np.ptp(part) > NO_DIFFERENCE for part in np.moveaxis(small, -1, 0)):
        return ''
    height, width = plane.shape
    if height * width == 1:
        return 'a single pixel'
    if plane.dtype.kind == 'f':
        values = height * width * plane.channels
        step = ceil(sqrt(max(1.0, values / SAMPLE_VALUES)))
        if not np.isfinite(plane.rows(slice(0, height), step)).any():
            return 'no pixel has a finite value'
    return 'one value everywhere'
