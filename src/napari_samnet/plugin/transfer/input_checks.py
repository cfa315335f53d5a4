"""What a run is refused for, before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.capture import data_of, is_loaded
from napari_samnet.plugin.model.channels import PLANES, Channels
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.masks import Mask
from napari_samnet.plugin.model.remedies import (
    CHANNELS,
    RefusalError,
    Remedy,
)

#: Values of labels that are sorted to see which there are.
MOST_SORTED = 1 << 22

#: Labels that are missing are named if they are no more than this.
MOST_NAMED = 8

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
    if not all(mask.is_blank(index) for index in planes):
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


def remarks_on(
    mask: Mask, shape: tuple[int, int], planes: Sequence[Index]
) -> list[InputError]:
    """What of an annotation will not be carried as it seems.

    ``shape``: rows and columns of the image. ``planes``: those that are read.
    Returns: points or shapes that lie off the image, and chosen labels that
    are not there; the rest is carried.
    """
    if mask.kind != 'labels':
        parts = [x for index in planes for x in mask.plane(index).coords]
        rows = np.concatenate([np.empty((0, 2)), *parts])
        off = ((rows < -0.5) | (rows > np.array(shape) - 0.5)).any(axis=1)
        if not off.any():
            return []
        what = 'points' if mask.kind == 'points' else 'corners'
        return [
            InputError(
                f'{off.sum()} of {len(rows)} {what} of {mask.name!r} lie off '
                'the source, and go where its edge goes'
            )
        ]
    data: Any = getattr(mask, 'data', None)
    ids = getattr(mask, 'ids', None)
    if ids is None or not is_loaded(data) or data.size > MOST_SORTED:
        return []
    there = {
        number
        for index in planes
        for number in pd.unique(mask.plane(index).ravel()).tolist()
    }
    missing = sorted(ids - there)
    if not missing or len(missing) > MOST_NAMED:
        return []
    told = ', '.join(map(str, missing))
    return [InputError(f'{mask.name!r} has no label {told} on the source')]


def check_channels(layer: Any, channels: Channels) -> None:
    """Refuse an image whose channels stand between its planes and rows.

    ``layer`` (napari.layers.Image or None): as it is chosen.
    Raises InputError if labels of its planes would lie along its channels.
    """
    axis = PLANES if layer is None else channels.chosen(layer)
    if isinstance(axis, int) and axis:
        raise RefusalError(
            f'the channels of {layer.name!r} are on axis '
            f'{layer.axis_labels[axis]}, between its planes and its rows, '
            f'where napari lays no labels on its planes: put them first',
            Remedy(CHANNELS, layer),
        )


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
