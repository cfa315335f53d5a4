"""At which size the network sees the planes of a series."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.options import SIZE_STEP
from napari_samnet.samnet.config import STRIDE

#: Cells that a label shall have across.
CELLS_ACROSS = 20

#: No larger size is chosen: time grows with its square, memory with its
#: fourth power.
LARGEST = 384


def working_size(
    annotations: Iterable[npt.NDArray[Any]], *, least: int
) -> int:
    """Choose a working size by the shape of the planes and of the labels.

    ``annotations`` (H, W): Labels of the annotated planes.
    ``least``: smallest size to choose, in pixels.
    Returns: shorter side in pixels, a multiple of 32: large enough that the
    median label is about 20 cells across, but at most 384 and at least
    `least`. A label is as far across as a square of its area.
    """
    needed = []
    for labels in annotations:
        areas = np.unique(labels[labels != 0], return_counts=True)[1]
        across = np.sqrt(areas) / min(labels.shape)
        needed += (CELLS_ACROSS * STRIDE / across).tolist()
    if not needed:
        return least
    wanted = round(float(np.median(needed)) / SIZE_STEP) * SIZE_STEP
    return max(least, min(LARGEST, wanted))
