"""Labels of annotated planes, checked and numbered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.checks import as_array
from napari_samnet.errors import InputError
from napari_samnet.io.label_numbers import smallest_dtype


def by_plane(annotations: Any, length: int) -> dict[int, npt.NDArray[Any]]:
    """Check annotations and sort them by plane.

    ``annotations`` (T, H, W): Labels of all planes, or of some by index.
    Raises InputError if they do not fit the series, or there are none.
    """
    if isinstance(annotations, Mapping):
        drawn = {
            _plane_number(i): np.asarray(
                as_array(x, f'annotations of plane {i}')
            )
            for i, x in annotations.items()
        }
    else:
        annotations = as_array(annotations, 'annotations')
        if not annotations.ndim or len(annotations) != length:
            raise InputError(
                f'annotations must have one plane for each of the {length} '
                f'planes, or be a mapping such as {{0: labels}}, got shape '
                f'{annotations.shape}'
            )
        drawn = {i: np.asarray(annotations[i]) for i in range(length)}
    for index, labels in drawn.items():
        if not 0 <= index < length:
            raise InputError(
                f'annotations name plane {index}, there are planes 0 to '
                f'{length - 1}'
            )
        if labels.dtype.kind not in 'biu' or labels.ndim != 2:
            raise InputError(
                f'annotations of plane {index} must be 2-D whole numbers, '
                f'got {labels.dtype} of shape {labels.shape}'
            )
    drawn = {index: labels for index, labels in drawn.items() if labels.any()}
    if not drawn:
        raise InputError(
            'no plane is annotated: draw labels on at least one plane'
        )
    return drawn


def _plane_number(index: Any) -> int:
    """Number of a plane, which is whole."""
    if not isinstance(index, (int, np.integer)):
        raise InputError(
            f'annotations must be mapped from numbers of planes, as in '
            f'{{0: labels}}, got {index!r}'
        )
    return int(index)


def checked_ids(ids: Any) -> set[int]:
    """Ids to carry; raises InputError if they are no whole numbers."""
    try:
        wanted = list(ids)
    except TypeError:
        wanted = [None]
    if isinstance(ids, (str, bytes)) or not all(
        isinstance(number, (int, np.integer)) for number in wanted
    ):
        raise InputError(
            f'ids must be whole numbers, as in [1, 2], got {ids!r}'
        )
    return {int(number) for number in wanted}


def as_places(
    annotations: Mapping[int, npt.NDArray[Any]], ids: Collection[int] | None
) -> tuple[
    dict[int, npt.NDArray[np.int32]],
    npt.NDArray[Any],
    dict[int, npt.NDArray[np.bool_]],
]:
    """Number the ids of annotations.

    ``ids``: the only ids to carry; all if None.
    Returns: ``places``: Labels as places in the list of ids, from 1; 0 is none
    of them. Planes that show none are left out; ``names``: the list of ids,
    ascending; ``known``: which of the ids each plane shows.
    Raises InputError if there is none of the ids.
    """
    dtype = whole_type([*annotations.values()])
    # Whole numbers of two kinds together would be rounded to floats.
    present = {
        i: np.unique(labels).astype(dtype) for i, labels in annotations.items()
    }
    numbers = {int(name) for here in present.values() for name in here} - {0}
    there = ', '.join(map(str, sorted(numbers)))
    if ids is not None:
        numbers &= checked_ids(ids)
    names = np.array(sorted(numbers), dtype)
    if not names.size:
        raise InputError(
            'there are no labels to carry'
            + (
                ''
                if ids is None
                else f' with the ids {sorted(ids)}; there are {there}'
            )
        )
    drawn, known = {}, {}
    for index, labels in annotations.items():
        here = np.isin(names, present[index])
        if here.any():
            whole = labels.astype(dtype)
            place = np.searchsorted(names, whole).clip(0, names.size - 1)
            same = names[place] == whole
            drawn[index] = np.where(same, place + 1, 0).astype(np.int32)
            known[index] = here
    return drawn, names, known


def whole_type(labels: Sequence[npt.NDArray[Any]]) -> np.dtype[Any]:
    """A type of whole numbers that holds the ids of all planes."""
    if not labels:
        return np.dtype(np.uint8)
    dtype = np.result_type(*labels)
    if dtype.kind != 'f':
        return dtype
    lowest = min(int(plane.min()) for plane in labels)
    highest = max(int(plane.max()) for plane in labels)
    return smallest_dtype(lowest, highest)
