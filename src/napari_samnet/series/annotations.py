"""Labels of annotated planes, checked and numbered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.errors import InputError
from napari_samnet.io.label_numbers import smallest_dtype


def by_plane(annotations: Any, length: int) -> dict[int, npt.NDArray[Any]]:
    """Check annotations and sort them by plane.

    ``annotations`` (T, H, W): Labels of all planes, or of some by index.
    Raises InputError if they do not fit the series, or there are none.
    """
    if isinstance(annotations, Mapping):
        drawn = {int(i): np.asarray(x) for i, x in annotations.items()}
    else:
        if len(annotations) != length:
            raise InputError(
                f'annotations must have one plane for each of the {length} '
                f'planes, got {len(annotations)}'
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
    if ids is not None:
        numbers &= {int(number) for number in ids}
    names = np.array(sorted(numbers), dtype)
    if not names.size:
        raise InputError(
            'there are no labels to carry'
            + ('' if ids is None else f' with the ids {sorted(ids)}')
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
