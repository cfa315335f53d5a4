"""Labels that a field brings, and how much they count beside evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.types import FloatArray, Labels, Shape
from napari_samnet.labels.grids import grid_shape, on_grid
from napari_samnet.labels.tables import LabelField
from napari_samnet.warping.fields import Mapping

#: Weight of the label that the field brings, where its confidence is 1,
#: beside evidence that sums to 1.
FIELD_WEIGHT = 0.25

#: Further weight where the pixels have confirmed the field, and how far they
#: must have done so for its label to stay, whatever the evidence says.
EXACT_WEIGHT, EXACT = 2.0, 0.3


@dataclass(frozen=True, eq=False)
class BroughtLabels:
    """What a field brings, on the grid of the scores."""

    #: (n, m): places of labels in the table; its length where the target shows
    #: what is outside of the source.
    places: npt.NDArray[np.intp]
    #: (n, m): what the field's label has in advance.
    weight: FloatArray
    #: (n, m): where the field is right to the pixel: there its label stays.
    exact: npt.NDArray[np.bool_] | None = None
    #: (n, m): how sure the field is, from 0 to 1; None if that is not known.
    confidence: FloatArray | None = None


def field_labels(
    values: Labels, places: npt.NDArray[np.intp], field: LabelField
) -> BroughtLabels:
    """Labels that the field brings to the grid of the scores.

    ``values`` (L,): Labels in ascending order. ``places`` (n, m): which of
    them each sample of the source has.
    """
    grid = grid_shape(field.target_shape)
    brought = _brought(places, field.backward, grid, outside=len(values))
    sure = on_grid(field.confidence, grid)
    weight = FIELD_WEIGHT * sure
    if field.evidence is None or field.evidence.confirmed is None:
        return BroughtLabels(brought, weight, confidence=sure)
    confirmed = on_grid(field.evidence.confirmed.astype(np.float32), grid)
    exact = (confirmed > EXACT) & (brought < len(values))
    return BroughtLabels(
        brought, weight + EXACT_WEIGHT * confirmed, exact, sure
    )


def _brought(
    places: npt.NDArray[np.intp],
    backward: FloatArray,
    grid: Shape,
    *,
    outside: int,
) -> npt.NDArray[np.intp]:
    """Labels that the field leads to, on a grid; `outside` beyond it."""
    at = Mapping(backward, grid, places.shape).positions(slice(0, grid[0]))
    framed = np.pad(places, 1, constant_values=outside)
    row, column = (
        (np.rint(where).astype(np.intp) + 1).clip(0, side + 1)
        for where, side in zip(at, places.shape, strict=True)
    )
    return framed[row, column]
