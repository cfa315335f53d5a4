"""Small pieces far from the rest of a label are taken for other things.

Evidence comes from everywhere, so what looks a little like the labeled thing
gets specks of its label. Where the annotated label is in one piece, or in
pieces that lie close together, a small piece far away is none of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.types import FloatArray

Mask = npt.NDArray[np.bool_]

#: A piece is far if the gap between it and the largest one exceeds that of
#: the annotated pieces by this share of the largest one's side, which is that
#: of a square of its area.
FAR = 0.2

#: A piece of which this share is known to be right stays.
KEPT = 0.5

_CORNERS = np.ones((3, 3), bool)


def far_pieces(
    mask: Mask, *, small: float, gap: float = 0.0, known: Mask | None = None
) -> Mask | None:
    """Small pieces of a label that lie far from its largest piece.

    ``mask`` (H, W): where the label is.
    ``small``: share of the largest piece's area below which a piece is small.
    ``known`` (H, W): where the label is known to be by other means. A piece
    that lies there stays, and what lies there counts threefold in which piece
    is the largest.
    Returns: (H, W): the pixels of these pieces; None if there are none.
    """
    # Imported here, since it takes a third of the import of `matching`.
    from scipy import ndimage

    pieces, count = ndimage.label(mask, _CORNERS)
    if count < 2:
        return None
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    overlap = np.zeros(count, np.intp)
    if known is not None:
        overlap = np.bincount(pieces[known], minlength=count + 1)[1:]
    largest = int((areas + 2 * overlap).argmax())
    dropped = areas < small * areas[largest]
    dropped &= overlap < KEPT * areas
    if not dropped.any():
        return None
    allowed = (gap + FAR) * np.sqrt(areas[largest])
    dropped &= _gaps(pieces, count, largest) > allowed
    if not dropped.any():
        return None
    return np.asarray(np.concatenate([[False], dropped])[pieces])


def widest_gap(mask: Mask) -> float:
    """How far the pieces of a label lie from its largest one.

    ``mask`` (H, W): where the label is.
    Returns: the farthest piece's gap, as a share of the side of a square that
    has the area of the largest piece; 0 for a label in one piece.
    """
    from scipy import ndimage

    pieces, count = ndimage.label(mask, _CORNERS)
    if count < 2:
        return 0.0
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    largest = int(areas.argmax())
    gaps = _gaps(pieces, count, largest)
    return float(gaps.max() / np.sqrt(areas[largest]))


def widest_gaps(places: npt.NDArray[Any], count: int) -> FloatArray:
    """The same of every label of a map.

    ``places`` (H, W): which of `count` labels each pixel has.
    ``count``: number of labels that the map may have, from 0 on.
    Returns: (count,): see :func:`widest_gap`; 0 for labels that are not there.
    """
    from scipy import ndimage

    gaps = np.zeros(count, np.float32)
    scattered = np.flatnonzero(_piece_counts(places, count) > 1)
    if not scattered.size:
        return gaps
    # Ids by the hundred thousand are mostly in one piece each.
    boxes = ndimage.find_objects(places + 1, max_label=count)
    for label in scattered:
        gaps[label] = widest_gap(places[boxes[label]] == label)
    return gaps


def _piece_counts(
    places: npt.NDArray[Any], count: int
) -> npt.NDArray[np.intp]:
    """How many pieces each label of a map is in, all labels at once."""
    from scipy import sparse

    number = np.arange(places.size).reshape(places.shape)
    ends = []
    for one, other in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[1:, :-1], np.s_[:-1, 1:]),
    ):
        same = places[one] == places[other]
        ends.append((number[one][same], number[other][same]))
    here, there = map(np.concatenate, zip(*ends, strict=True))
    graph = sparse.coo_array(
        (np.ones(here.size, bool), (here, there)), shape=(places.size,) * 2
    )
    pieces, piece = sparse.csgraph.connected_components(graph, directed=False)
    label = np.empty(pieces, np.intp)
    label[piece] = places.ravel()
    return np.bincount(label, minlength=count)


def _gaps(
    pieces: npt.NDArray[Any], count: int, largest: int
) -> npt.NDArray[np.float64]:
    """Distance of each piece from the largest one, in pixels."""
    from scipy import ndimage

    away = ndimage.distance_transform_edt(pieces != largest + 1)
    return np.asarray(ndimage.minimum(away, pieces, np.arange(1, count + 1)))
