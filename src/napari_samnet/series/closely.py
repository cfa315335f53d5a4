"""Where a plane is looked at closely, after a glance at all of it.

The light network sees the whole plane in a tenth of the time of both. What it
takes for a label, and where the labels were before, is looked at closely with
some cells around; the rest is background.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_samnet.arrays.types import FloatArray
from napari_samnet.series.encode import Region

Mask = npt.NDArray[np.bool_]

#: Evidence of the glance above which a cell is looked at, and that which a
#: piece needs somewhere unless labels were there before.
LOOKED_AT, TOLD = 0.15, 0.4

#: Evidence of the glance below which a label may be anywhere.
SEEN = 0.3

#: Cells around what is looked at.
AROUND = 2

#: Regions begin at multiples of so many cells, so that the coarsest layers of
#: the networks divide them as they divide the whole plane.
GRID = 4

#: Cells by which the sides of regions differ, so that few sizes occur, and
#: how many times too large a region may be to be of the size of the last one.
STEP, TOO_LARGE = 8, 1.6


def wanted_cells(
    evidence: FloatArray, before: Mask, known: npt.NDArray[np.bool_]
) -> Mask | None:
    """Cells to look at closely.

    ``evidence`` (L, h, w): what the glance gives each label.
    ``before`` (rows, columns): where labels were in the plane before.
    ``known`` (L,): labels that may be there.
    Returns: (rows, columns); None for all of them.
    """
    if (evidence.max((1, 2))[known] < SEEN).any():
        return None
    total = evidence.sum(0)
    here = _stretched(total, before.shape)
    pieces, count = ndimage.label((here > LOOKED_AT) | before, np.ones((3, 3)))
    peaks = ndimage.maximum(
        np.where(before, 1, here), pieces, np.arange(count + 1)
    )
    kept = np.asarray(peaks) >= TOLD
    kept[0] = False
    wanted = ndimage.binary_dilation(kept[pieces], np.ones((3, 3)), AROUND)
    return np.asarray(wanted)


def region_around(wanted: Mask, last: Region | None) -> Region | None:
    """Rows and columns that hold all wanted cells; None for the whole plane.

    ``last``: the region before. It is taken again if it will do, else its
    size if that will.
    """
    spans = [np.flatnonzero(wanted.any(1 - axis)) for axis in (0, 1)]
    if not spans[0].size:
        return None
    least = [int(span[-1] - span[0]) + GRID for span in spans]
    size = [
        min(side, -(-count // STEP) * STEP)
        for count, side in zip(least, wanted.shape, strict=True)
    ]
    if last is not None:
        before = [part.stop - part.start for part in last]
        if np.prod(before) < TOO_LARGE * np.prod(size):
            if all(
                part.start <= span[0] and span[-1] < part.stop
                for part, span in zip(last, spans, strict=True)
            ):
                return last
            if all(a >= b for a, b in zip(before, least, strict=True)):
                size = before
    parts = []
    for span, count, side in zip(spans, size, wanted.shape, strict=True):
        spare = count - int(span[-1] - span[0]) - 1
        start = max(0, min(int(span[0]) - spare // 2, side - count))
        start = start // GRID * GRID
        if start + count <= span[-1]:
            start += GRID
        stop = start + count
        # What is left at the far border belongs to it.
        parts.append(slice(start, side if stop > side - GRID else stop))
    return parts[0], parts[1]


def _stretched(values: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Nearest values on a finer grid."""
    rows, columns = (
        np.arange(new) * old // new
        for new, old in zip(shape, values.shape, strict=True)
    )
    return np.asarray(values[np.ix_(rows, columns)])
