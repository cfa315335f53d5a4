"""Small pieces far from the rest of a label are taken for other things.

Evidence comes from everywhere, so a second thing that looks like the labeled
one gets its label too. Where the annotated label is in one piece, or in
pieces that lie close together, a small piece far away is none of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ['drop_far_pieces']

Labels = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

#: A piece is far if the gap between it and the largest one exceeds that of
#: the annotated pieces by this share of the largest one's side, which is that
#: of a square of its area.
FAR = 0.2

#: A piece is small below this share of the largest one's area.
SMALL = 0.35

_CORNERS = np.ones((3, 3), bool)


def drop_far_pieces(
    places: Labels, before: Labels, annotated: Labels, count: int
) -> None:
    """Remove small pieces of labels that lie far from the largest piece.

    Parameters
    ----------
    places : ndarray of int32, shape (H, W)
        Labels that were found, as places in the list of ids from 1; changed
        in place.
    before : ndarray of int32, shape (H, W)
        Labels of the plane before: of two pieces, the one that overlaps with
        these counts as three times as large.
    annotated : ndarray of int32, shape (H, W)
        Labels of an annotated plane, which show how far apart the pieces of
        a label may lie.
    count : int
        Length of the list of ids.
    """
    boxes = ndimage.find_objects(places, max_label=count)
    drawn = ndimage.find_objects(annotated, max_label=count)
    for label, (box, known) in enumerate(
        zip(boxes, drawn, strict=True), start=1
    ):
        if box is None:
            continue
        pieces, number = ndimage.label(places[box] == label, _CORNERS)
        if number < 2:
            continue
        index = np.arange(1, number + 1)
        areas = np.bincount(pieces.ravel(), minlength=number + 1)[1:]
        overlap = np.bincount(
            pieces[before[box] == label], minlength=number + 1
        )[1:]
        largest = int((areas + 2 * overlap).argmax())
        gaps = ndimage.minimum(
            ndimage.distance_transform_edt(pieces != largest + 1),
            pieces,
            index,
        )
        allowed = FAR
        if known is not None:
            allowed += _widest_gap(annotated[known] == label)
        far = gaps > allowed * np.sqrt(areas[largest])
        dropped = far & (areas < SMALL * areas[largest])
        if dropped.any():
            gone = np.concatenate([[False], dropped])[pieces]
            places[box][gone] = 0


def _widest_gap(mask: Mask) -> float:
    """Farthest piece from the largest, by the side of a square of its area."""
    pieces, number = ndimage.label(mask, _CORNERS)
    if number < 2:
        return 0.0
    areas = np.bincount(pieces.ravel())[1:]
    largest = int(areas.argmax())
    gaps = ndimage.minimum(
        ndimage.distance_transform_edt(pieces != largest + 1),
        pieces,
        np.arange(1, number + 1),
    )
    return float(np.max(gaps) / np.sqrt(areas[largest]))
