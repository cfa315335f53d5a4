"""Images as the evidence for labels sees them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_samnet.arrays.types import FloatArray
from napari_samnet.images.plane import Plane
from napari_samnet.images.rgb import shrunken, working_shape

#: Longer by shorter side from which an image is looked at in its own
#: proportions, which takes another pass of the network: frames of films, but
#: not photographs of 4 to 3 or 3 to 2, which gain too little.
LONG = 1.6


def long_views(planes: Sequence[Plane], *, size: int) -> list[FloatArray]:
    """Images in their own proportions, if one of them is long.

    Squashed to a square, what a wide picture shows is narrow, and labels lose
    thin parts and small things.

    ``size``: length of the shorter sides of the result, in pixels. Returns:
    (h, w, 3): from 0 to 1; empty where squares will do.
    """
    if max(max(p.shape) / min(p.shape) for p in planes) < LONG:
        return []
    return [
        np.ascontiguousarray(shrunken(p, working_shape(p.shape, size)))
        for p in planes
    ]
