"""Labels of annotated images, as the cells of a target see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.types import FloatArray, Labels, Shape
from napari_samnet.labels.evidence import Evidence, label_shares
from napari_samnet.labels.grids import GRID_SIDE
from napari_samnet.labels.pieces import widest_gaps

#: A label takes part if this share of its area is in cells that it fills by
#: more than half.
RESOLVED_SHARE = 0.5

#: Scores that are held at most, over all labels. Beyond, the smallest labels
#: follow the field.
MOST_SCORES = 1 << 25


@dataclass(frozen=True, eq=False)
class LabelField:
    """What carries labels of a source to the grid of its target."""

    #: ``source_shape``, ``target_shape``: rows and columns of the two images.
    source_shape: Shape
    target_shape: Shape
    #: (h2, w2, 2): normalized displacement (row, column) from target to
    #: source.
    backward: FloatArray
    #: (h2, w2): of `backward`, in [0, 1].
    confidence: FloatArray
    #: Cells of the source that the target's cells look like; None where they
    #: were not looked for.
    evidence: Evidence | None


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Labels of all annotated images, as the target's cells see them."""

    #: (L,): all labels in ascending order, 0 among them if any image has it.
    values: Labels
    #: (L,): which labels the cells resolve.
    resolved: npt.NDArray[np.bool_]
    #: (h2 * w2, L): evidence for each label at the target's cells.
    shares: Any
    #: Rows and columns of those cells.
    cells: Shape
    #: (h2, w2): of each cell to the most similar one of the annotated images.
    similarity: FloatArray | None = None
    #: (L,): how far apart the pieces of each label lie, see
    #: :func:`.widest_gap`. Specks farther away are then dropped.
    gaps: FloatArray | None = None

    @property
    def background(self) -> npt.NDArray[np.bool_]:
        """Which of the values is 0."""
        return np.asarray(self.values == 0)


def table_of_source(
    values: Labels, places: npt.NDArray[np.intp], field: LabelField
) -> LabelTable:
    """Labels of one source, and their evidence at the target's cells."""
    if field.evidence is None:
        rows, columns = field.backward.shape[:2]
        return LabelTable(
            values, np.ones(len(values), bool), None, (rows, columns)
        )
    rows, columns = field.evidence.reference_cells[0]
    shares = label_shares(places, len(values), (int(rows), int(columns)))
    return LabelTable(
        values,
        resolved_labels(shares, values == 0),
        field.evidence.matrix() @ shares,
        field.evidence.shape,
        field.evidence.similarity.astype(np.float32),
        widest_gaps(places, len(values)),
    )


def resolved_labels(
    shares: Any, background: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which labels the cells of annotated images resolve.

    ``shares`` (cells, L): shares of the labels per cell, see
    :func:`.label_shares`.
    ``background`` (L,): which label is none.
    Returns: (L,): Labels with most of their area in cells that they fill by
    more than half; the largest of them, if memory does not allow for all.
    """
    areas = np.asarray(shares.sum(0)).ravel()
    filled = shares.copy()
    filled.data *= filled.data > 0.5
    inside = np.asarray(filled.sum(0)).ravel()
    resolved = inside > RESOLVED_SHARE * areas
    most = MOST_SCORES // (GRID_SIDE * GRID_SIDE)
    if (resolved & ~background).sum() > most:
        order = np.argsort(-areas * (resolved & ~background))
        resolved[order[most:]] = False
    return np.asarray(resolved)
