"""Gray or color of every pixel as one number, for maps of any size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.lazy import new_array
from napari_samnet.arrays.tiles import tiles

#: Pixels whose numbers are sorted at once.
COUNTED_PIXELS = 1 << 20


def bands_of(array: NDArray[Any]) -> Iterator[slice]:
    """Rows of an array, as many at once as keep temporaries small.

    ``array`` (H, W) or (H, W, C): a map of any size, which is looked at in
    bands.
    """
    for rows, _ in tiles((array.shape[0], max(1, array.shape[1]))):
        yield rows


def codes_of(values: NDArray[np.uint8]) -> NDArray[Any]:
    """Make one number of each pixel.

    ``values`` (H, W, 1) or (H, W, 3): gray, or red, green and blue. Returns:
    (H, W): the gray, or ``red << 16 | green << 8 | blue``.
    """
    if values.shape[2] == 1:
        return values[..., 0]
    codes = new_array(values.shape[:2], np.int32)
    for rows in bands_of(values):
        band = values[rows].astype(np.int32)
        codes[rows] = band[..., 0] << 16 | band[..., 1] << 8 | band[..., 2]
    return codes


def colors_of(codes: NDArray[Any], channels: int) -> NDArray[np.uint8]:
    """Make gray or colors of numbers again.

    ``codes`` (N,): as :func:`codes_of` gives them. ``channels``: 1 for gray, 3
    for colors. Returns: (N, channels): what the numbers stand for.
    """
    if channels == 1:
        return codes[:, None].astype(np.uint8)
    parts = [codes >> 16, codes >> 8, codes]
    return (np.stack(parts, axis=-1) & 255).astype(np.uint8)


def present_codes(
    codes: NDArray[Any], where: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Numbers that occur, and how often.

    ``codes`` (H, W): as :func:`codes_of` gives them; negative ones are not
    counted.
    ``where`` (H, W): pixels that are looked at, by default all.
    Returns: ``present``: (N,): in increasing order; ``counts``: (N,): number
    of pixels that each of them has.
    """
    present, counts = np.zeros(0, np.intp), np.zeros(0, np.int64)
    step = max(1, COUNTED_PIXELS // max(1, codes.shape[1]))
    for start in range(0, len(codes), step):
        band = codes[start : start + step]
        if where is not None:
            band = band[where[start : start + step]]
        if band.dtype == np.uint8:
            times = np.bincount(band.ravel(), minlength=256)
            codes_here = np.flatnonzero(times)
            times = times[codes_here]
        else:
            codes_here, times = np.unique(band[band >= 0], return_counts=True)
        both = np.concatenate([present, codes_here])
        present, place = np.unique(both, return_inverse=True)
        weights = np.concatenate([counts, times])
        counts = np.zeros(len(present), np.int64)
        np.add.at(counts, place, weights)
    return present, counts


def lookup(
    codes: NDArray[Any],
    present: NDArray[Any],
    values: NDArray[Any],
) -> NDArray[Any]:
    """Replace numbers by values, those without one by 0.

    ``codes`` (H, W): as :func:`codes_of` gives them.
    ``present`` (N,): numbers that have a value.
    ``values`` (N,): what each of them is replaced by.
    Returns: (H, W): in the dtype of `values`.
    """
    size = 1 << (8 if codes.dtype == np.uint8 else 24)
    table = np.zeros(size + 1, values.dtype)
    table[present] = values
    out = new_array(codes.shape, values.dtype)
    for rows in bands_of(codes):
        # Number -1 is the last of the table.
        out[rows] = table[codes[rows]]
    return out
