"""Ranges of the values of images, and conversion between dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.errors import InputError

#: Floats from 0 to less than this are not meant as light from 0 to 1.
DIM = 0.1


def check_limits(limits: tuple[float, float], name: str) -> Any:
    """Contrast limits as two floats.

    ``limits``: values that become 0 and 1. Raises InputError if they are not
    two finite numbers in increasing order.
    """
    try:
        low, high = (float(value) for value in limits)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite(high - low) and low < high):
        raise InputError(
            f'contrast limits of {name} must be two finite numbers in '
            f'increasing order, got {limits!r}'
        )
    return low, high


def value_range(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Values of a sample that become 0 and 1."""
    if values.dtype.kind == 'f':
        values = values[np.isfinite(values)]
        if not values.size:
            return 0.0, 1.0
    # Clipped, so that their difference stays finite.
    low, high = (
        float(np.clip(float(value), -1e300, 1e300))
        for value in (values.min(), values.max())
    )
    if values.dtype.kind == 'f' and low >= 0 and high <= 1:
        # Heights in meters, or counts over the largest of their type, use so
        # little of it that nothing would be seen. Less than rounding is none.
        dim = high < DIM and high - low > 1e-6 * high
        if not dim:
            return 0.0, 1.0
    if low == high:
        half = max(0.5, abs(low) * 1e-6)
        return low - half, high + half
    inner = values.ravel()[:: max(1, values.size >> 20)].astype(np.float64)
    inner_low, inner_high = np.percentile(inner, [0.1, 99.9]).tolist()
    if 0 < inner_high - inner_low < (high - low) / 2:
        return float(inner_low), float(inner_high)
    return float(low), float(high)


def as_dtype(
    values: npt.NDArray[np.floating[Any]], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Numbers in another dtype: rounded, and clipped to what it can hold.

    ``values``: free of NaN unless `dtype` is a float.
    ``dtype``: bool (half and above is True), integer or float.
    Returns: rounded where the type is whole, and clipped to its range.
    """
    if dtype.kind == 'b':
        return values >= 0.5
    if dtype.kind == 'f':
        limit = min(np.finfo(dtype).max, np.finfo(values.dtype).max)
        return np.asarray(np.clip(values, -limit, limit), dtype)
    info = np.iinfo(dtype)
    high = float(info.max)
    if high > info.max:
        high = float(np.nextafter(high, 0))
    whole = np.rint(values)
    np.clip(whole, float(info.min), high, out=whole)
    return np.asarray(whole, dtype)
