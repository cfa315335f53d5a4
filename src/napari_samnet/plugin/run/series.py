"""Labels through a stack, in the worker: planes read, results collected.

The work itself is that of :mod:`napari_samnet.series`, which knows neither
napari nor layers. Points and shapes have no place in it: they are carried
from plane to plane by fields, see :mod:`.propagate`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from threading import Event
from typing import Any

from numpy.typing import NDArray

from napari_samnet.outputs.verdict import judge_planes
from napari_samnet.plugin.layers.products import make_mask_product
from napari_samnet.plugin.model.capture import Stack
from napari_samnet.plugin.model.grids import Index, index_key
from napari_samnet.plugin.model.masks import Mask
from napari_samnet.plugin.model.request import (
    Outcome,
    Product,
    Report,
    Request,
)
from napari_samnet.plugin.run.cache import CorrespondenceCache
from napari_samnet.plugin.run.job import Steps, with_verdict
from napari_samnet.plugin.run.loading import load_torch
from napari_samnet.plugin.run.propagate import propagate_steps
from napari_samnet.runtime.weights import get_weights
from napari_samnet.series.schedule import Direction
from napari_samnet.series.verdicts import PlaneReport, summarize


@dataclass(frozen=True)
class Course:
    """Which planes a propagation visits, and what it starts from."""

    #: Annotated plane to go out from, by its place on the axis. By default all
    #: annotated planes are.
    start: int | None = None
    #: Whether labels go to later planes, to earlier ones, or to both.
    direction: Direction = 'both'
    #: The only labels to carry; all if None.
    ids: frozenset[int] | None = None
    #: Planes whose labels count as drawn. By default all that have some.
    annotated: frozenset[int] | None = None
    #: Planes that are not visited, such as locked ones.
    skip: frozenset[int] = frozenset()
    #: Annotated planes that the result to go on from does not have yet.
    taken: frozenset[int] = frozenset()
    #: Planes of that result that the user has corrected since.
    corrected: frozenset[int] = frozenset()
    #: Hash of each plane of the result to go on from, when it was captured.
    captured: Mapping[int, str] = field(default_factory=dict, compare=False)


@dataclass
class _Carried:
    """Labels of one mask, plane by plane."""

    mask: Mask
    drawn: dict[int, NDArray[Any]]
    planes: dict[int, NDArray[Any]] = field(default_factory=dict)
    reports: dict[int, PlaneReport] = field(default_factory=dict)


def series_steps(
    request: Request,
    axis: int,
    cache: CorrespondenceCache,
    stop: Event,
    *,
    course: Course = Course(),
) -> Steps:
    """Carry the masks of a request through the source's own planes.

    ``request``: its first pair names the current plane; its target is the
    source. Of labels, all planes that have some count as annotated.
    ``cache``: correspondences that were made before, for points and shapes.
    ``stop``: set to stop after the current plane, keeping the planes done.
    """
    started = time.perf_counter()
    labels = [mask for mask in request.masks if mask.kind == 'labels']
    others = [mask for mask in request.masks if mask.kind != 'labels']
    products: list[Product] = []
    text = ''
    reports: list[PlaneReport] = []
    for mask in labels:
        carried = yield from _carry(request, mask, axis, stop, course)
        if carried.planes or course.taken:
            products.append(_product(request, axis, carried))
        reports += carried.reports.values()
        text = summarize(
            carried.reports.values(),
            len(carried.planes) + len(carried.drawn),
            request.source.grid.leading[axis],
            time.perf_counter() - started,
            cancelled=stop.is_set(),
        )
        if not carried.reports and not stop.is_set():
            text = (
                f'Nothing to carry: all planes have labels of {mask.name!r} '
                f'already, or are locked'
            )
    verdict = judge_planes(reports) if reports else None
    outcome = Outcome(
        with_verdict(products, verdict),
        {},
        stop.is_set(),
        text,
        verdict=verdict,
        worst_planes=[
            _at(request, axis, report.index)
            for report in sorted(reports, key=lambda r: r.quality)
            if report.state in ('look', 'empty', 'skipped', 'ended')
        ],
    )
    if not others or stop.is_set():
        return outcome
    rest = yield from propagate_steps(
        replace(request, masks=others), axis, cache, stop, course.direction
    )
    return replace(
        rest,
        products=[*outcome.products, *rest.products],
        text='; '.join(part for part in (text, rest.text) if part),
        verdict=verdict,
        worst_planes=outcome.worst_planes,
    )


def _at(request: Request, axis: int, place: int) -> Index:
    """Index of a plane by its place on the axis."""
    index = list(request.pairs[0].source)
    index[axis] = place
    return tuple(index)


def _carry(
    request: Request, mask: Any, axis: int, stop: Event, course: Course
) -> Generator[Report, None, _Carried]:
    """Carry one mask as far as it goes, or until it is stopped.

    Yields: a report after each plane.
    """
    yield Report(0, 0, 'loading the network', first=True)
    load_torch()
    from napari_samnet.series.propagate import propagate_steps as carry_steps

    stack = request.source
    length = stack.grid.leading[axis]
    flat = len(mask.data.shape) == 2
    current = request.pairs[0].source[axis]
    drawn = {}
    places = range(length) if course.annotated is None else course.annotated
    for place in [current] if flat else sorted(places):
        plane = mask.plane(_at(request, axis, place))
        if plane.any():
            drawn[place] = plane
    carried = _Carried(mask, drawn)
    steps = carry_steps(
        lambda place: stack.plane(_at(request, axis, place)),
        length,
        drawn,
        request.options,
        ids=mask.ids if course.ids is None else course.ids,
        start=course.start,
        direction=course.direction,
        skip=course.skip,
        channel_axis=stack.channel_axis,
        kept=lambda place: request.kept_of_source(_at(request, axis, place)),
    )
    for result in steps:
        report = result.report
        carried.reports[report.index] = report
        if report.is_labeled:
            carried.planes[report.index] = result.labels
        yield Report(
            result.done,
            result.total,
            f'plane {report.index}, {result.done} of {result.total} done',
        )
        if stop.is_set():
            steps.close()
            break
    return carried


def series_key(mask: Mask, stack: Stack) -> str:
    """Name under which the labels of a series are found again."""
    return f'propagated {mask.uid} {stack.uid}'


def _product(request: Request, axis: int, carried: _Carried) -> Product:
    """The layer to be."""
    stack, mask = request.source, carried.mask
    weights = get_weights(request.options.weights)
    options = asdict(request.options)
    ids = getattr(mask, 'ids', None)
    about: dict[str, Any] = {
        'role': 'labels propagated',
        'source': stack.name,
        'target': stack.name,
        'version': version('napari-samnet'),
        'options': options,
        'weights': {'name': weights.name, 'sha256': weights.sha256},
        'axis': axis,
        'anchor': list(_at(request, axis, min(carried.drawn))),
        'annotated': sorted(carried.drawn),
        'drawn': [
            index_key(_at(request, axis, place)) for place in carried.drawn
        ],
        'of': mask.uid,
        'annotation': mask.name,
        'ids': None if ids is None else sorted(ids),
        'planes': [
            carried.reports[place].as_dict()
            for place in sorted(carried.reports)
        ],
        'link_errors': {
            ','.join(map(str, _at(request, axis, place))): round(
                1 - carried.reports[place].quality, 4
            )
            for place in sorted(carried.planes)
        },
    }
    planes = {
        _at(request, axis, place): plane
        for place, plane in {**carried.drawn, **carried.planes}.items()
    }
    name = f'{stack.name} ← {mask.name} propagated'
    if re.search(r' propagated(, run \d+)?$', mask.name):
        # What was gone on from keeps its name.
        name = mask.name
    return make_mask_product(
        mask,
        planes,
        stack.grid,
        key=series_key(mask, stack),
        name=name,
        owner=stack.uid,
        about=about,
        correspondences={},
        # Other planes may have been reached before, along another axis.
        planes=tuple(planes),
        pair=(stack.uid, stack.uid),
    )
