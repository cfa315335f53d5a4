"""Whole numbers of any kind as labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError

#: Largest whole number up to which a float tells all whole numbers apart.
_EXACT = {2: 1 << 11, 4: 1 << 24, 8: 1 << 53}


def whole(
    values: NDArray[Any], name: str, file: Path | str
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Numbers of any kind as labels.

    ``values``: bool, integer, or float with whole values; NaN is background.
    ``file``: where they are from.
    Returns: ``labels``: native byte order; floats in the smallest type that
    holds them; ``notices``: what was decided, one line each.
    Raises InputError if they are not whole.
    """
    if values.dtype.kind in 'biu':
        return values.astype(values.dtype.newbyteorder('='), copy=False), ()
    if values.dtype.kind != 'f':
        raise InputError(
            f'{name} must be whole numbers, got {values.dtype} in {file}'
        )
    empty = np.isnan(values)
    filled = np.where(empty, 0, values)
    bad = ~np.isfinite(filled) | (np.rint(filled) != filled)
    if bad.any():
        raise InputError(
            f'{name} must be whole numbers, got {values.dtype} with values '
            f'such as {float(filled[bad][0]):g} in {file}: round them, or '
            f'save one id per pixel'
        )
    notices = []
    if empty.any():
        notices.append(f'{Path(file).name}: NaN is taken as background')
    low, high = float(filled.min()), float(filled.max())
    limit = _EXACT.get(values.dtype.itemsize, 1 << 53)
    if max(-low, high) > limit:
        notices.append(
            f'{Path(file).name}: ids above {limit:,} may have been rounded, '
            f'as they are {values.dtype}'
        )
    if max(-low, high) >= 2**63:
        raise InputError(
            f'{name} must fit into 64 bits, got {high:g} in {file}'
        )
    dtype = smallest_dtype(int(low), int(high))
    return filled.astype(dtype), tuple(notices)


def smallest_dtype(low: int, high: int) -> np.dtype[Any]:
    """Smallest integer type that holds ids.

    Returns: unsigned where no id is negative.
    """
    kinds = 'iiii' if low < 0 else 'uuuu'
    for kind, size in zip(kinds, (1, 2, 4, 8), strict=True):
        dtype = np.dtype(f'{kind}{size}')
        info = np.iinfo(dtype)
        if info.min <= low and high <= info.max:
            return dtype
    raise InputError(f'ids must fit into 64 bits, got {low} to {high}')
