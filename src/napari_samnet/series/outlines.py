"""From evidence per cell to labels per pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import Upsampler

__all__ = ['labels_from_evidence']

FloatArray = npt.NDArray[np.float32]

#: Evidence below this is none.
LEAST_EVIDENCE = 1e-3


def labels_from_evidence(
    evidence: FloatArray, shape: tuple[int, int]
) -> npt.NDArray[np.int32]:
    """The label with most evidence in each pixel.

    Parameters
    ----------
    evidence : ndarray of float32, shape (L, rows, columns)
        For each label, without the background.
    shape : tuple of int
        Rows and columns wanted.

    Returns
    -------
    ndarray of int32, shape (H, W)
        Places in the list of labels, from 1; 0 where the background has
        more evidence than every label.
    """
    best = np.zeros(shape, np.float32)
    total = np.zeros(shape, np.float32)
    labels = np.zeros(shape, np.int32)
    for place, values in enumerate(evidence, start=1):
        seen = values > LEAST_EVIDENCE
        if not seen.any():
            continue
        rows, columns = (
            _pixels_around(seen.any(1 - axis), shape[axis])
            for axis in range(2)
        )
        fine = Upsampler(values, shape, columns=columns).rows(rows)[0]
        box = rows, columns
        total[box] += fine
        better = fine > best[box]
        best[box][better] = fine[better]
        labels[box][better] = place
    labels[1 - total >= best] = 0
    return labels


def _pixels_around(seen: npt.NDArray[np.bool_], side: int) -> slice:
    """Pixels that bilinear values of some cells reach."""
    cells = np.flatnonzero(seen)
    scale = side / seen.size
    return slice(
        max(0, int((cells[0] - 1) * scale)),
        min(side, int(np.ceil((cells[-1] + 2) * scale))),
    )
