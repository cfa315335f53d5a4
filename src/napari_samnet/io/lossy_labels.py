"""Labels that went through a compression for photographs, or smoothing.

Inside an object such a file is nearly flat, and at its edges it mixes what
lies on both sides. So the values of flat places are the ids, and a pixel at
an edge belongs to the nearest flat place, not to the nearest value: between
0 and 200 there is no ring of 100.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_samnet.io.color_codes import (
    codes_of,
    colors_of,
    lookup,
    present_codes,
)

#: Rows that are looked at together, and those that two bands share.
_BAND, _OVERLAP = 1024, 64

#: Values that may differ in a flat place, and that two ids must be apart.
_FLAT, _APART = 10, 25

#: Gray of a solid part that differs more than this is another id. Colors are
#: kept less exactly.
_EXACT = 5

#: Values by which a mixed color may miss the line between two others.
_ROUNDED = 3

#: Share of pixels that must be flat, and that must lie near an id.
_MOSTLY = 0.5

#: More ids than this do not survive.
_MAX_LEVELS = 32

#: Fewer ids than this are not looked at; a mask may hold a few thin ones.
_SUSPICIOUS = 12

#: Side of the part of a large map that is looked at.
_LOOKED_AT = 2048

_AROUND = np.ones((3, 3), bool)


def repaired(
    values: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Find the values that stand out, and the one that each pixel belongs to.

    ``values`` (H, W, C): what the file holds.
    Returns: ``index``: (H, W): which of the levels each pixel belongs to;
    ``levels``: (N, C): values that stand out, in increasing order; None as a
    whole if there are none, or too many.
    """
    channels = values.shape[2]
    flat = _flat(values)
    if flat.mean() < _MOSTLY:
        return None
    codes = codes_of(values)
    present, counts = present_codes(codes, flat)
    table = colors_of(present, channels)
    levels = _levels(table, counts)
    if levels is None:
        return None
    distance = np.abs(
        table.astype(np.int16)[:, None] - levels.astype(np.int16)
    ).max(axis=-1)
    apart = distance.min(axis=1)
    near = apart <= _APART // 2
    if counts[near].sum() < 0.9 * counts.sum():
        return None
    exact = _EXACT if channels == 1 else _APART // 2
    if _has_solid_part(lookup(codes, present, apart > exact) & flat):
        # An object whose id is too near to another one to be told from it.
        return None
    nearest = distance.argmin(axis=1).astype(np.uint8)
    index = lookup(codes, present, nearest)
    _spread(index, lookup(codes, present, near) & flat)
    return index, levels


def _has_solid_part(where: NDArray[np.bool_]) -> bool:
    """Whether some square of five pixels a side is all within."""
    solid = ndimage.minimum_filter(where, 5, mode='constant', cval=False)
    return bool(solid.any())


def _spread(index: NDArray[np.uint8], certain: NDArray[np.bool_]) -> None:
    """Give pixels that are not sure the index of the nearest one that is.

    In bands that overlap, as what is not sure is as wide as an edge.
    """
    given = index.copy()
    for start in range(0, len(index), _BAND):
        first = max(0, start - _OVERLAP)
        rows = slice(first, start + _BAND + _OVERLAP)
        band = certain[rows]
        if band.all() or not band.any():
            continue
        nearest = ndimage.distance_transform_edt(
            ~band, return_distances=False, return_indices=True
        )
        inner = slice(start - first, start - first + _BAND)
        index[start : start + _BAND] = given[rows][tuple(nearest)][inner]


def unsolid_ids(
    labels: NDArray[Any], share: float = 0.5
) -> tuple[int, int] | None:
    """Tell whether most ids have no solid part, as after smoothing.

    ``labels`` (H, W): one id for each pixel.
    ``share``: ids without a solid part, of all ids, from which on they are
    told.
    Returns: how many ids have no pixel whose neighbors all have the same id,
    and how many ids there are; None if they are few, or mostly solid.
    """
    if labels.dtype == bool:
        return None
    labels = _middle(labels)
    present = np.unique(labels)
    if len(present) < _SUSPICIOUS:
        return None
    solid = _solid_ids(labels)
    thin = len(present) - len(solid)
    return (thin, len(present)) if thin > len(present) * share else None


def _middle(labels: NDArray[Any]) -> NDArray[Any]:
    """Middle of a large map, which tells as much as all of it."""
    part = tuple(
        slice(max(0, (side - _LOOKED_AT) // 2), (side + _LOOKED_AT) // 2)
        for side in labels.shape
    )
    return np.ascontiguousarray(labels[part])


def _solid_ids(labels: NDArray[Any]) -> NDArray[Any]:
    """Ids of those pixels whose neighbors all have the same one."""
    high = ndimage.maximum_filter(labels, footprint=_AROUND, mode='nearest')
    low = ndimage.minimum_filter(labels, footprint=_AROUND, mode='nearest')
    return np.unique(labels[high == low])


def has_mixed_edges(codes: NDArray[Any]) -> bool:
    """Tell whether few painted colors have edges that are mixed of them.

    ``codes`` (H, W): colors as :func:`~napari_samnet.io.color_codes.codes_of`
    gives them.
    Returns: True if a color without a solid part lies between two solid
    colors, as a color and in the picture.
    """
    middle = _middle(codes)
    present = np.unique(middle[middle >= 0])
    if not 3 <= len(present) < _SUSPICIOUS:
        return False
    solid = np.intersect1d(_solid_ids(middle), present)
    thin = np.setdiff1d(present, solid)
    colors = dict(
        zip(present, colors_of(present, 3).astype(float), strict=True)
    )
    beside = {
        color: ndimage.maximum_filter(middle == color, footprint=_AROUND)
        for color in solid
    }
    for color in thin:
        where = middle == color
        for one, other in combinations(solid, 2):
            way = colors[other] - colors[one]
            share = (colors[color] - colors[one]) @ way / (way @ way)
            apart = np.abs(colors[one] + share * way - colors[color]).max()
            if (
                0 < share < 1
                and apart <= _ROUNDED
                and (beside[one] & beside[other])[where].mean() > _MOSTLY
            ):
                return True
    return False


def _flat(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels whose neighborhood hardly changes."""
    flat = np.ones(values.shape[:2], bool)
    for k in range(values.shape[2]):
        channel = values[..., k]
        high = ndimage.maximum_filter(channel, 3, mode='nearest')
        high -= ndimage.minimum_filter(channel, 3, mode='nearest')
        flat &= high <= _FLAT
    return flat


def _levels(
    table: NDArray[np.uint8], counts: NDArray[np.int64]
) -> NDArray[np.uint8] | None:
    """Values around which the others gather, none near another."""
    levels: list[NDArray[np.int16]] = []
    left = np.ones(len(table), bool)
    signed = table.astype(np.int16)
    least = max(4, int(counts.sum()) // 20_000)
    while left.any():
        best = int(np.where(left, counts, 0).argmax())
        apart = np.abs(signed - signed[best]).max(axis=1)
        near = apart <= _APART // 2
        if counts[near & left].sum() < least:
            left &= ~near
            continue
        levels.append(signed[best])
        if len(levels) > _MAX_LEVELS:
            return None
        left &= apart > _APART
    if not levels:
        return None
    chosen = np.array(levels, np.uint8)
    return chosen[np.lexsort(chosen.T[::-1])]
