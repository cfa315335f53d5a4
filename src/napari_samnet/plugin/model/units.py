"""Units of coordinates, as pint and napari know them.

Where the units of two layers cannot be converted, such as pixels and µm, the
numbers are compared as they are, which is what napari shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pint import PintError

#: Units of pint, one for each axis of the world; None if they are not known.
Units = Sequence[Any] | None


def unit_factors(have: Units, want: Units, ndim: int) -> NDArray[np.float64]:
    """Numbers that take coordinates from some units to others.

    Returns: (ndim,): 1 everywhere if units are not known or one of them cannot
    be converted.
    """
    factors = np.ones(ndim)
    if have is None or want is None:
        return factors
    pairs = list(zip(reversed(have), reversed(want), strict=False))[:ndim]
    for back, (one, other) in enumerate(pairs):
        if one.dimensionality != other.dimensionality:
            return np.ones(ndim)
        factors[ndim - 1 - back] = (1.0 * one).to(other).magnitude
    return factors


def pixel_micrometers(
    scale: Sequence[float], units: Sequence[Any]
) -> float | None:
    """Side of a pixel in micrometers.

    ``scale``, ``units``: of rows and columns.
    Returns: None where the units are no lengths, or pixels are not square.
    """
    try:
        rows, columns = (
            float((abs(step) * unit).to('micrometer').magnitude)
            for step, unit in zip(scale, units, strict=True)
        )
    except PintError:
        return None
    return rows if np.isclose(rows, columns, rtol=1e-3) else None


def world_units(viewer: Any) -> Units:
    """Units of the world coordinates of a viewer.

    ``viewer`` (napari.components.ViewerModel): a viewer; its sliders and
    clicks are in these units.
    Returns: None where those of its layers cannot be converted, so that napari
    leaves them out of account.
    """
    units: Units = getattr(viewer.layers.extent, 'units', None)
    return units
