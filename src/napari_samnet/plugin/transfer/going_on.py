"""Correct a plane of a propagated result, and go on from there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.edits import (
    about_layer,
    digests_written,
    plane_digest,
    planes_drawn,
)
from napari_samnet.plugin.layers.label_writes import Written, update_labels
from napari_samnet.plugin.layers.series_memory import ROLE, remember
from napari_samnet.plugin.model.capture import METADATA
from napari_samnet.plugin.model.grids import (
    Grid,
    Index,
    at_place,
    grid_of,
    index_key,
    sizes,
)
from napari_samnet.plugin.model.request import Product
from napari_samnet.plugin.model.resampled import same_pixels
from napari_samnet.plugin.run.series import Course
from napari_samnet.plugin.transfer.annotated_since import (
    NOTHING,
    AnnotatedSince,
)
from napari_samnet.plugin.transfer.series_reopened import is_named_result
from napari_samnet.series.schedule import DIRECTIONS, Direction


def find_propagated(viewer: Any, source: Any, grid: Grid) -> Any:
    """Find the propagated result that is meant.

    ``source`` (napari.layers.Image): the stack. ``grid``: where it lies.
    Returns: the active layer if it is one, else the uppermost, also one that
    was saved and opened again. Raises InputError if there is none on this
    stack.
    """
    active = viewer.layers.selection.active
    first = [] if active is None else [active]
    layers = [*first, *reversed(list(viewer.layers))]
    for layer in layers:
        about = about_layer(layer)
        if (
            about.get('role') == ROLE
            and about.get('on') == source.unique_id
            and layer.data.shape == grid.shape
        ):
            return getattr(layer, '__wrapped__', layer)
    for layer in layers:
        if is_named_result(layer, grid):
            return getattr(layer, '__wrapped__', layer)
    raise InputError(
        'there is no propagated result to go on from: propagate labels '
        'first; one that was opened from a file is taken if its planes or '
        'its name, which ends with "propagated", are those of a result and '
        'it lies on the stack, with its scale'
    )


def is_known(layer: Any) -> bool:
    """Whether it is known what was changed in a propagated result.

    A file keeps labels without what was said of them.
    """
    return 'digests' in about_layer(layer)


def check_place(layer: Any, source: Any, grid: Grid) -> None:
    """Refuse a result that does not lie on its stack, or on another one.

    ``source`` (napari.layers.Image): the stack. ``grid``: where it lies.
    Raises InputError with what to do.
    """
    if layer.data.shape != grid.shape:
        raise InputError(
            f'{layer.name!r} has {sizes(layer.data.shape)} pixels, the stack '
            f'{sizes(grid.shape)}: choose the stack that it was made of'
        )
    if not same_pixels(grid_of(layer), grid):
        raise InputError(
            f'{layer.name!r} does not lie on the planes of {source.name!r}: '
            f'give it the same scale, translation and units'
        )


def axis_of(layer: Any, axis: int) -> int:
    """Axis that a result was propagated along.

    ``axis``: what to take where that is not known.
    """
    return int(about_layer(layer).get('axis', axis))


def _corrected(
    layer: Any, axis: int, at: Index, captured: Mapping[int, str]
) -> set[int]:
    """Planes along an axis that were painted on since they were written.

    ``captured``: hash of each plane as it is now.
    """
    known = about_layer(layer).get('digests', {})
    changed = set()
    for place, now in captured.items():
        index = at_place(at, axis, place)
        written = known.get(index_key(index), ())
        if now not in written and (written or np.any(layer.data[index])):
            changed.add(place)
    return changed


def plan_course(
    layer: Any,
    at: Index,
    axis: int,
    *,
    direction: Direction = 'both',
    ids: Collection[int] | None = None,
    since: AnnotatedSince = NOTHING,
) -> Course:
    """Plan to go on from a plane of a propagated result.

    ``at``: plane to go on from, which counts as annotated from now on.
    ``axis``: that it was propagated along.
    ``ids``: the only labels to carry again. By default all are.
    ``since``: what the annotation says of the planes by now.
    Returns: all planes that were annotated or corrected are kept, and so are
    those that are locked. Of a result that was opened from a file it is not
    known which were corrected.
    Raises InputError if the plane has no labels, or there is no such
    direction.
    """
    if direction not in DIRECTIONS:
        raise InputError(
            f'direction must be one of {", ".join(DIRECTIONS)}, got '
            f'{direction!r}'
        )
    about = about_layer(layer)
    if at[axis] not in since.drawn and not np.asarray(layer.data[at]).any():
        raise InputError(
            f'{layer.name!r} has no labels on plane {at[axis]} to go on from'
        )
    captured = {
        place: plane_digest(layer.data[at_place(at, axis, place)])
        for place in range(layer.data.shape[axis])
    }
    corrected = set()
    if is_known(layer):
        corrected = _corrected(layer, axis, at, captured)
    locked = frozenset(map(int, about.get('locked', ())))
    taken = {p: x for p, x in since.drawn.items() if p not in locked}
    # Along the other axes of the stack, other planes were annotated.
    drawn = set(about.get('drawn', ()))
    annotated = {
        place
        for place in captured
        if index_key(at_place(at, axis, place)) in drawn
    }
    annotated |= {at[axis]} | corrected | since.kept | taken.keys()
    # Where all was erased, nothing is to be seen and led on.
    erased = {
        place
        for place in corrected - taken.keys()
        if not np.any(layer.data[at_place(at, axis, place)])
    }
    return Course(
        start=at[axis],
        direction=direction,
        ids=None if ids is None else frozenset(map(int, ids)),
        annotated=frozenset(annotated),
        skip=locked | erased,
        taken=frozenset(taken),
        corrected=frozenset(corrected - taken.keys()),
        captured=captured,
    )


def lock_planes(layer: Any, planes: Iterable[int], *, locked: bool) -> None:
    """Protect planes of a propagated result from further runs, or not."""
    about = dict(about_layer(layer))
    before = set(map(int, about.get('locked', ())))
    after = before | set(planes) if locked else before - set(planes)
    about['locked'] = sorted(after)
    layer.metadata = {**layer.metadata, METADATA: about}
    remember(layer)


def locked_planes(layer: Any, axis: int) -> frozenset[int]:
    """Planes of a propagated result that are protected.

    ``layer`` (napari.layers.Labels or None): the result, if there is one.
    Returns: their places; none if the result was made along another axis.
    """
    about = {} if layer is None else about_layer(layer)
    if about.get('axis') != axis:
        return frozenset()
    return frozenset(map(int, about.get('locked', ())))


def painted_since(
    layer: Any, product: Product, course: Course
) -> frozenset[int]:
    """Planes that were painted on while others were carried.

    Returns: their places on the axis; none if the layer has another shape now.
    """
    axis = int(product.about['axis'])
    if layer.data.shape != product.data.shape:
        return frozenset()
    return frozenset(
        plane[axis]
        for plane in product.planes or ()
        if plane_digest(layer.data[plane]) != course.captured[plane[axis]]
    )


def write_back(
    layer: Any,
    product: Product,
    course: Course,
    spared: frozenset[int] = frozenset(),
) -> Written | None:
    """Write what was carried into the result that was corrected.

    ``spared``: planes that stay as they are, besides those of the course and
    those that are locked by now.
    Returns: what changed, as one step of undo; None if the layer has another
    shape or type of number now.
    """
    axis = int(product.about['axis'])
    annotated = course.annotated or frozenset()
    kept = (annotated - course.taken) | course.skip | spared
    kept |= {int(place) for place in about_layer(layer).get('locked', ())}
    planes = [p for p in product.planes or () if p[axis] not in kept]
    anchor = product.about['anchor']
    written = update_labels(layer, product.data, planes, course.ids)
    if written is None:
        return None
    about = dict(about_layer(layer))
    if not is_known(layer):
        # From now on it is.
        for key in ('role', 'axis', 'anchor', 'source', 'target'):
            about[key] = product.about[key]
        about['on'] = product.owner
        planes = [
            at_place(anchor, axis, place)
            for place in range(layer.data.shape[axis])
            if place not in spared | annotated - course.taken
        ]
    reports = {plane['index']: plane for plane in about.get('planes', ())}
    for plane in product.about['planes']:
        if plane['index'] not in kept:
            reports[plane['index']] = plane
    annotated |= spared
    drawn = [index_key(at_place(anchor, axis, each)) for each in annotated]
    for place in annotated:
        reports.pop(place, None)
    about |= {
        'digests': digests_written(layer, planes),
        'planes': [reports[place] for place in sorted(reports)],
        'annotated': sorted(annotated),
        'drawn': planes_drawn(layer, planes, drawn),
        'corrected': sorted(
            {
                *about.get('corrected', ()),
                *(
                    index_key(at_place(anchor, axis, place))
                    for place in course.corrected | spared
                ),
            }
        ),
        'verdict': product.about.get('verdict'),
    }
    layer.metadata = {**layer.metadata, METADATA: about}
    remember(layer)
    return written
