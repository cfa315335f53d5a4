"""What a run is refused for, before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.capture import data_of, is_loaded
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.masks import Mask

#: Values of labels that are looked through for whether there are any.
MOST_LOOKED_AT = 1 << 26


def check_annotated(layer: Any, index: Index) -> None:
    """Refuse to propagate nothing, where looking costs little.

    Raises InputError if there is no label.
    """
    data = data_of(layer)
    if not is_loaded(data) or data.size > MOST_LOOKED_AT or data.any():
        return
    if data.ndim > 2:
        raise InputError(f'{layer.name!r} has no labels on any plane')
    at = ', '.join(map(str, index))
    raise InputError(f'{layer.name!r} has no label on the current plane, {at}')


def check_content(mask: Mask, planes: Sequence[Index]) -> None:
    """Refuse an annotation with nothing on any of some planes.

    Only what is looked through in little time is.

    Raises InputError if it is empty on all of them.
    """
    data = getattr(mask, 'data', None)
    if data is not None and (
        not is_loaded(data) or data.size > MOST_LOOKED_AT
    ):
        return
    if not all(mask.is_empty(mask.plane(index)) for index in planes):
        return
    what = {'labels': 'label', 'points': 'point'}.get(mask.kind, 'shape')
    where = f'no {what} on the source'
    if len(planes) > 1:
        where = f'no {what}s on any plane'
    elif planes[0]:
        at = ', '.join(map(str, planes[0]))
        where = f'no {what} on the current plane, {at}'
    ids = getattr(mask, 'ids', None)
    if ids == frozenset():
        raise InputError('no label is chosen: 0 is the background')
    if ids is not None:
        where += f', of the ids {", ".join(map(str, sorted(ids)))}'
    raise InputError(f'{mask.name!r} has {where}')


def check_axes(dims: Any) -> None:
    """Refuse to take another plane than the one on the screen.

    Raises InputError if others than the last two are shown.
    """
    if dims.ndisplay == 2 and min(dims.displayed) < dims.ndim - 2:
        names = ' and '.join(
            dims.axis_labels[axis] for axis in sorted(dims.displayed)
        )
        raise InputError(
            f'the viewer shows the axes {names}, and planes are of the '
            'last two: roll the axes back (Ctrl+E)'
        )
