"""Evidence after the field was bent by hand."""

from __future__ import annotations

import numpy as np

from napari_samnet.arrays.resize import center_grid
from napari_samnet.arrays.types import FloatArray
from napari_samnet.labels.evidence import Evidence
from napari_samnet.warping.boundaries import sample_displacement

#: Cells by which the field must have moved, and by which the evidence must
#: lie elsewhere, for the field to be believed instead.
MOVED, APART = 0.5, 2.5


def follow_field(
    evidence: Evidence, before: FloatArray, after: FloatArray
) -> Evidence:
    """Evidence that does not contradict a field bent to landmarks.

    ``evidence``: of the source's cells for each cell of the target.
    ``before``, ``after`` (h2, w2, 2): normalized displacement from target to
    source, before and after it was bent.
    Returns: where the field has moved and the evidence lies elsewhere, the
    cell that the field now leads to alone; unchanged elsewhere, and where
    there are several annotated images.
    """
    if len(evidence.reference_cells) != 1:
        return evidence
    cells = np.asarray(evidence.reference_cells[0], int)
    grid = center_grid(evidence.shape)
    at = np.moveaxis(grid, -1, 0)
    # The fields may be finer than the evidence.
    old, new = (
        np.moveaxis(sample_displacement(field, at), 0, -1)
        for field in (before, after)
    )
    led_to = (grid + new) * cells - 0.5
    shift = np.linalg.norm((new - old) * cells, axis=-1)
    index = np.asarray(evidence.index, np.int64)
    weight = np.asarray(evidence.weight, np.float64)
    places = np.stack(np.divmod(index, cells[1]), -1)
    mean = (weight[..., None] * places).sum(2)
    apart = np.linalg.norm(mean - led_to, axis=-1)
    replaced = (shift > MOVED) & (apart > APART)
    nearest = np.rint(led_to).astype(np.int64).clip(0, cells - 1)
    flat = nearest[..., 0] * cells[1] + nearest[..., 1]
    index = np.where(replaced[..., None], flat[..., None], index)
    alone = np.zeros(weight.shape[2])
    alone[0] = 1
    weight = np.where(replaced[..., None], alone, weight)
    confirmed = evidence.confirmed
    if confirmed is not None:
        confirmed = confirmed * (shift <= MOVED)
    return Evidence(
        index.astype(evidence.index.dtype),
        weight.astype(evidence.weight.dtype),
        evidence.similarity,
        evidence.reference_cells,
        confirmed,
    )
