"""A second thing that looks like the labeled one is not labeled too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_samnet.labels.pieces import far_pieces, widest_gap

Labels = npt.NDArray[np.int32]

#: A piece is small below this share of the largest one's area.
SMALL = 0.35


def drop_far_pieces(
    places: Labels, before: Labels, annotated: Labels, count: int
) -> None:
    """Remove small pieces of labels that lie far from the largest piece.

    ``places`` (H, W): Labels that were found, as places in the list of ids
    from 1; changed in place.
    ``before`` (H, W): Labels of the plane before. A piece that lies where they
    were stays.
    ``annotated`` (H, W): Labels of an annotated plane, which show how far
    apart the pieces of a label may lie.
    """
    boxes = ndimage.find_objects(places, max_label=count)
    drawn = ndimage.find_objects(annotated, max_label=count)
    for label, (box, known) in enumerate(
        zip(boxes, drawn, strict=True), start=1
    ):
        if box is None:
            continue
        gap = 0.0
        if known is not None:
            gap = widest_gap(annotated[known] == label)
        dropped = far_pieces(
            places[box] == label,
            small=SMALL,
            gap=gap,
            known=before[box] == label,
        )
        if dropped is not None:
            places[box][dropped] = 0
