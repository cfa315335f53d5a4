"""Labels that went through a compression for photographs, or smoothing.

Inside an object such a file is nearly flat, and at its edges it mixes what
lies on both sides. So the values of flat places are the ids, and a pixel at
an edge belongs to the nearest flat place, not to the nearest value: between
0 and 200 there is no ring of 100.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ['repaired', 'unsolid_ids']

#: Values that may differ in a flat place, and that two ids must be apart.
_FLAT, _APART = 10, 25

#: Gray of a solid part that differs more than this is another id. Colors are
#: kept less exactly.
_EXACT = 5

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
) -> tuple[NDArray[np.intp], NDArray[np.uint8]] | None:
    """Find the values that stand out, and the one that each pixel belongs to.

    Parameters
    ----------
    values : ndarray of uint8, shape (H, W, C)
        What the file holds.

    Returns
    -------
    index : ndarray of int, shape (H, W)
        Which of the levels each pixel belongs to.
    levels : ndarray of uint8, shape (N, C)
        Values that stand out, in increasing order; None as a whole if there
        are none, or too many.
    """
    gray = values.shape[2] == 1
    flat = _flat(values)
    if flat.mean() < _MOSTLY:
        return None
    levels = _levels(values[flat])
    if levels is None:
        return None
    distance = np.abs(
        values[flat].astype(np.int16)[:, None] - levels.astype(np.int16)
    ).max(axis=-1)
    near = distance.min(axis=1) <= _APART // 2
    if near.mean() < 0.9:
        return None
    sure = np.zeros(flat.shape, bool)
    sure[flat] = near
    away = np.zeros(flat.shape, bool)
    away[flat] = distance.min(axis=1) > (_EXACT if gray else _APART // 2)
    if ndimage.binary_erosion(away, _AROUND, iterations=2).any():
        # An object whose id is too near to another one to be told from it.
        return None
    index = np.zeros(flat.shape, np.intp)
    index[flat] = distance.argmin(axis=1)
    if not sure.all():
        nearest = ndimage.distance_transform_edt(
            ~sure, return_distances=False, return_indices=True
        )
        index = index[tuple(nearest)]
    return index, levels


def unsolid_ids(
    labels: NDArray[Any], share: float = 0.5
) -> tuple[int, int] | None:
    """Tell whether most ids have no solid part, as after smoothing.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        One id for each pixel.
    share : float
        Ids without a solid part, of all ids, from which on they are told.

    Returns
    -------
    tuple of int or None
        How many ids have no pixel whose neighbors all have the same id, and
        how many ids there are; None if they are few, or mostly solid.
    """
    if labels.dtype == bool:
        return None
    # The middle of a large map tells as much as all of it.
    middle = tuple(
        slice(max(0, (side - _LOOKED_AT) // 2), (side + _LOOKED_AT) // 2)
        for side in labels.shape
    )
    labels = np.ascontiguousarray(labels[middle])
    present = np.unique(labels)
    if len(present) < _SUSPICIOUS:
        return None
    high = ndimage.maximum_filter(labels, footprint=_AROUND, mode='nearest')
    low = ndimage.minimum_filter(labels, footprint=_AROUND, mode='nearest')
    solid = np.unique(labels[high == low])
    thin = len(present) - len(solid)
    return (thin, len(present)) if thin > len(present) * share else None


def _flat(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels whose neighborhood hardly changes."""
    flat = np.ones(values.shape[:2], bool)
    for k in range(values.shape[2]):
        channel = values[..., k]
        high = ndimage.maximum_filter(channel, 3, mode='nearest')
        low = ndimage.minimum_filter(channel, 3, mode='nearest')
        flat &= high.astype(np.int16) - low <= _FLAT
    return flat


def _levels(values: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Values around which the others gather, none near another."""
    present, counts = np.unique(values, axis=0, return_counts=True)
    levels: list[NDArray[np.int16]] = []
    left = np.ones(len(present), bool)
    table = present.astype(np.int16)
    least = max(4, len(values) // 20_000)
    while left.any():
        best = int(np.where(left, counts, 0).argmax())
        apart = np.abs(table - table[best]).max(axis=1)
        near = apart <= _APART // 2
        if counts[near & left].sum() < least:
            left &= ~near
            continue
        levels.append(table[best])
        if len(levels) > _MAX_LEVELS:
            return None
        left &= apart > _APART
    if not levels:
        return None
    found = np.array(levels, np.uint8)
    return found[np.lexsort(found.T[::-1])]
