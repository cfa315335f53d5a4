"""Planes of an annotation that a propagated result does not have yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.edits import about_layer, plane_digest
from napari_samnet.plugin.layers.into import id_range
from napari_samnet.plugin.layers.label_writes import is_one_of
from napari_samnet.plugin.model.grids import Index, at_place, index_key
from napari_samnet.plugin.model.masks import LabelsMask
from napari_samnet.plugin.model.request import Request


@dataclass(frozen=True)
class AnnotatedSince:
    """What an annotation says of the planes of a result by now."""

    #: Labels that were drawn since the result was made, by place.
    drawn: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    #: Further planes that are annotated, and stay as the result has them.
    kept: frozenset[int] = frozenset()

    def put_on(self, request: Request, at: Index, axis: int) -> Request:
        """Lead from what was drawn since, too.

        ``request``: its only mask is the result that is gone on from.
        """
        (mask,) = request.masks
        if not self.drawn or not isinstance(mask, LabelsMask):
            return request
        data = np.array(mask.data)
        for place, labels in self.drawn.items():
            data[at_place(at, axis, place)] = labels
        return replace(request, masks=[replace(mask, data=data)])


#: Nothing is known of an annotation.
NOTHING = AnnotatedSince()


def find_annotation(viewer: Any, result: Any, chosen: Any) -> Any:
    """Find the layer that a result was propagated from.

    ``chosen`` (napari.layers.Labels or None): what to take for it where that
    is not known.
    Returns: None if it is gone, or is no array of the result's shape.
    """
    about = about_layer(result)
    layer = chosen
    if 'of' in about:
        there = {each.unique_id: each for each in viewer.layers}
        layer = there.get(about['of'])
    elif chosen is not None and chosen.name != about.get(
        'annotation', chosen.name
    ):
        # Of another day it is known by its name.
        layer = None
    if layer is None or layer is result or about_layer(layer):
        return None
    fits = isinstance(layer.data, np.ndarray)
    return layer if fits and layer.data.shape == result.data.shape else None


def annotated_since(
    result: Any, annotation: Any, at: Index, axis: int
) -> AnnotatedSince:
    """Compare a propagated result with its annotation as it is now.

    ``annotation`` (napari.layers.Labels or None): see
    :func:`find_annotation`.
    Where a plane was drawn on in both, the result counts: it was corrected.
    So it does where it is not known what was, as in one that was opened from
    a file.
    Raises InputError if the result cannot hold what was drawn.
    """
    if annotation is None:
        return NOTHING
    written = about_layer(result).get('digests')
    ids = about_layer(result).get('ids')
    drawn, kept = {}, set()
    for place in range(result.data.shape[axis]):
        index = at_place(at, axis, place)
        labels, there = annotation.data[index], result.data[index]
        if ids is not None:
            labels = np.where(is_one_of(labels, ids), labels, 0)
        if not labels.any():
            continue
        labels = _held_by(result, labels, annotation.name, place)
        if ids is not None:
            others = np.where(is_one_of(there, ids), 0, there)
            labels = np.where(labels != 0, labels, others)
        is_ours = not there.any()
        if written is not None:
            ours = written.get(index_key(index), ())
            is_ours |= plane_digest(there) in ours
        if is_ours and not np.array_equal(labels, there):
            drawn[place] = labels
        else:
            kept.add(place)
    return AnnotatedSince(drawn, frozenset(kept))


def _held_by(
    result: Any, labels: NDArray[Any], name: str, place: int
) -> NDArray[Any]:
    """Labels in the type of a result; raises InputError if it is too small."""
    dtype = result.data.dtype
    lowest, highest = id_range(labels)
    limits = 0, 1
    if dtype.kind != 'b':
        limits = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if lowest < limits[0] or highest > limits[1]:
        raise InputError(
            f'{result.name!r} holds ids from {limits[0]} to {limits[1]} '
            f'({dtype}), {name!r} has {max(highest, -lowest)} on plane '
            f'{place}: propagate it anew with Run'
        )
    return labels.astype(dtype)
