"""Labels whose pixels are found again, put exactly there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.series.encode import EncodedPlane
from napari_samnet.series.label_evidence import Reference
from napari_samnet.series.rigid import Followed, follow_label

#: Cells around the evidence in which the pixels of a label are looked for.
MARGIN = 2


def follow_labels(
    plane: EncodedPlane,
    references: Sequence[Reference],
    places: npt.NDArray[np.int32],
    count: int,
) -> None:
    """Move labels exactly whose pixels are found again.

    ``references``: planes that the labels are looked for from, in this order.
    ``places`` (H, W): Labels by their evidence, as places in the list of ids;
    changed in place.
    """
    after = plane.picture
    shape = after.shape[:2]
    here = _on_grid(places, shape)
    margin = MARGIN * after.shape[0] // plane.cells[0]
    befores = [(r, _on_grid(r.labels, shape)) for r in references]
    followed: dict[int, Followed] = {}
    for label in range(1, count + 1):
        around = here == label
        for reference, before in befores:
            if not reference.annotated:
                around = around | (before == label)
        for reference, before in befores:
            result = follow_label(
                reference.plane.picture,
                before == label,
                after,
                around,
                margin=margin,
            )
            if result is not None:
                followed[label] = result
                break
    for label in followed:
        places[places == label] = 0
    for label in sorted(followed, key=lambda key: followed[key].fit):
        places[_on_grid(followed[label].mask, plane.shape)] = label


def _on_grid(
    values: npt.NDArray[Any], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Nearest values on another grid."""
    if values.shape == tuple(shape):
        return values
    rows, columns = (
        (np.arange(new) + 0.5) * old // new
        for old, new in zip(values.shape, shape, strict=True)
    )
    return values[np.ix_(rows.astype(np.intp), columns.astype(np.intp))]
