"""The part of the planes that labels are carried in.

Cells outside are like none: nothing is found there, and nothing there leads
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.checks import as_array, is_marked
from napari_samnet.errors import InputError
from napari_samnet.labels.similar import kept_cells
from napari_samnet.series.encode import Cells, EncodedPlane

Mask = npt.NDArray[np.bool_]

#: Pixels of a plane that count, by its place; None where all do.
Kept = Callable[[int], Mask | None]


def kept_planes(region: Any, leave_out: Any, length: int) -> Kept | None:
    """Pixels of each plane that count; None if all of all planes do.

    ``region``, ``leave_out`` (H, W) or (T, H, W): what counts, and what does
    not, where they are not 0. Raises InputError if they do not fit.
    """
    given = []
    for name, mask in (('region', region), ('leave_out', leave_out)):
        if mask is None:
            continue
        array = as_array(mask, name)
        if array.ndim != 2 and (array.ndim != 3 or len(array) != length):
            raise InputError(
                f'{name} must have the shape of a plane, or one plane for '
                f'each of the {length}, got shape {array.shape}'
            )
        given.append((array, name))
    if not given:
        return None

    def kept(index: int) -> Mask:
        parts = [
            is_marked(a if a.ndim == 2 else np.asarray(a[index]), name)
            == (name == 'region')
            for a, name in given
        ]
        mask: Mask = np.logical_and.reduce(parts)
        return mask

    return kept


def within(plane: EncodedPlane, kept: Mask | None) -> EncodedPlane:
    """A plane of which only a part counts; raises InputError if none does."""
    if kept is None:
        return plane
    if kept.shape != plane.shape:
        raise InputError(
            f'a region must have the shape of the planes, {plane.shape}, got '
            f'{kept.shape}'
        )
    if not kept.any():
        raise InputError(
            'nothing of a plane is left: its region is empty, or all of it '
            'is left out'
        )
    detail = plane.detail
    return replace(
        plane,
        glance=_counted(plane.glance, kept),
        detail=None if detail is None else _counted(detail, kept),
        kept=kept,
    )


def _counted(cells: Cells, kept: Mask) -> Cells:
    """The same cells, those that do not count without features."""
    counts = kept_cells(kept, cells.grid).reshape(-1, 1)[cells.places]
    factor = cells.features.new_tensor(counts)
    whole = cells.whole
    if whole is not None:
        whole = whole._replace(scale=whole.scale * factor)
    return replace(cells, features=cells.features * factor, whole=whole)
