"""Of labels that look alike, the one that was here before is meant.

Evidence comes from everywhere, so the left half of something symmetric finds
its answers in the right half as well. How much evidence a cell has for any
label stays as it is; between the labels it is shared out by how near each of
them was in the plane before.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_samnet.arrays.types import FloatArray

#: Distance at which a label counts 0.6 as much as one that was here, as a
#: share of the shorter side, and the distance, in these, beyond which all are
#: equally far.
NEAR = 0.06
FARTHEST = 3.0

#: Share of a cell from which a label was there.
THERE = 0.3


def shared_by_position(evidence: FloatArray, before: FloatArray) -> FloatArray:
    """Share the evidence of each cell out between the labels.

    ``evidence`` (L, rows, columns): for each label, without the background.
    ``before`` (rows * columns, L): shares of the labels in the cells of the
    plane before.
    Returns: (L, rows, columns): with the same sum over the labels in each
    cell.
    """
    if len(evidence) < 2:
        return evidence
    rows, columns = evidence.shape[1:]
    width = NEAR * min(rows, columns)
    weight = np.full(evidence.shape, np.exp(-(FARTHEST**2) / 2), np.float32)
    for label, there in enumerate(before.T.reshape(-1, rows, columns)):
        if (there >= THERE).any():
            far = distance_transform_edt(there < THERE) / width
            weight[label] = np.exp(-(np.minimum(far, FARTHEST) ** 2) / 2)
    weighted = weight * evidence
    total = weighted.sum(0)
    share = evidence.sum(0) / np.maximum(total, 1e-9)
    return np.asarray(weighted * share, np.float32)
