"""A run, in the worker: match planes one by one, and make products.

Everything here is a generator of :class:`Report` that returns an
:class:`Outcome`, knows neither napari nor Qt, and looks at a flag between
iterations and between planes. Whatever is done by then is kept.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from threading import Event
from typing import Any, TypeVar

from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.matching.region import Kept
from napari_samnet.outputs.verdict import Verdict, judge
from napari_samnet.plugin.layers.products import Collector
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.request import (
    Outcome,
    Product,
    Report,
    Request,
)
from napari_samnet.plugin.run.bending import (
    bent_to_landmarks,
    started_again,
)
from napari_samnet.plugin.run.cache import CorrespondenceCache, pair_key
from napari_samnet.plugin.run.loading import load_torch
from napari_samnet.plugin.run.pictures import RunPictures, picture_of
from napari_samnet.runtime.weights import get_weights

#: Levels of a verdict from good to bad.
RANKS = {'good': 0, 'look': 1, 'bad': 2}

Steps = Generator[Report, None, Outcome]
Result = TypeVar('Result')


def match_pair(
    source: NDArray[Any],
    target: NDArray[Any],
    request: Request,
    cache: CorrespondenceCache,
    stop: Event,
    *,
    labels: NDArray[Any] | None = None,
    kept: Kept = (None, None),
    partial: bool = True,
) -> Generator[Report, None, Correspondence | None]:
    """Match two planes, or recall what was found for them.

    ``cache``: where complete correspondences are kept.
    ``stop``: set to stop after the current iteration.
    ``labels``: Labels of the source, whose motions are hypotheses of the
    match.
    ``kept``: pixels of both planes that are matched, all where None.
    Returns: what was found so far if it was stopped; None if that is nothing.
    """
    weights = get_weights(request.options.weights).sha256
    pair = source, target, request.options, weights
    key = pair_key(*pair, labels, kept)
    of_any_labels = pair_key(*pair, kept=kept)
    known = cache.get(key)
    if known is None and request.any_match:
        known = cache.get(of_any_labels)
    if known is not None:
        return known
    # The first text is on screen before torch is imported.
    yield Report(0, 0, 'loading the network', first=True)
    load_torch()
    from napari_samnet.matching.match import match_steps

    steps = match_steps(
        source,
        target,
        request.options,
        labels=labels,
        region=kept,
        source_channel_axis=request.source.channel_axis,
        target_channel_axis=request.target.channel_axis,
    )
    pictures = RunPictures(live=request.live)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            correspondence: Correspondence = end.value
            cache.put(key, correspondence, of_any_labels)
            if request.live:
                # The result is always shown, even if its picture is slow.
                yield Report(
                    step.index,
                    step.total,
                    'done',
                    picture=picture_of(correspondence),
                )
            return correspondence
        yield Report(
            step.index,
            step.total,
            step.text,
            change=step.change,
            picture=pictures.of(step.index, step.snapshot),
        )
        if stop.is_set():
            result = None
            if partial and step.snapshot is not None:
                text = f'stopped after iteration {step.index}, making results'
                yield Report(step.index, step.total, text, stopped=True)
                result = step.snapshot(final=True)
            steps.close()
            return result


def run_steps(
    request: Request,
    cache: CorrespondenceCache,
    stop: Event,
    *,
    known: Mapping[tuple[Index, Index], Correspondence] | None = None,
) -> Steps:
    """Carry out a run.

    ``cache``: correspondences of earlier runs, reused where they fit.
    ``stop``: set to stop after the current iteration, keeping what is done.
    ``known``: what was found for pairs of planes, which are then not matched
    but only bent to their landmarks.
    """
    started = time.perf_counter()
    collector = Collector(request)
    correspondences: dict[tuple[Index, Index], Correspondence] = {}
    unbent: dict[tuple[Index, Index], Correspondence] = {}
    count = len(request.pairs)
    for number, pair in enumerate(request.pairs):
        if stop.is_set():
            break
        source = request.source.plane(pair.source)
        target = request.target.plane(pair.target)
        landmarks = request.landmarks.get(pair.planes)
        match = (known or {}).get(pair.planes)
        if match is None:
            # Of several planes only whole ones count, or a plane that an
            # earlier run matched would be replaced by one half done.
            steps = match_pair(
                source,
                target,
                request,
                cache,
                stop,
                labels=_labels_of(request, pair.source),
                kept=request.kept(pair),
                partial=count == 1,
            )
            if count > 1:
                name = f'plane {number + 1}/{count}'
                steps = of_plane(steps, name, number, count)
            match = yield from steps
            if match is None:
                break
            match = yield from started_again(
                match,
                landmarks,
                (source, target, request.kept(pair)[0]),
                request,
                stop,
            )
        result = bent_to_landmarks(match, landmarks, source, target, request)
        collector.add(pair, target, result)
        # Pictures of a whole stack are in the products already.
        if count > 1:
            result = replace(result, transferred=None)
            match = replace(match, transferred=None)
        correspondences[pair.planes] = result
        unbent[pair.planes] = match
        if count > 1:
            yield Report(number + 1, count, f'plane {number + 1}/{count} done')
    cancelled = stop.is_set()
    last = next(reversed(correspondences.values()), None)
    verdict, judged = _verdict(request, correspondences)
    return Outcome(
        products=with_verdict(collector.products(), verdict)
        if correspondences
        else (),
        correspondences=correspondences,
        cancelled=cancelled,
        text=_summary(
            last,
            len(correspondences),
            count,
            time.perf_counter() - started,
            cancelled,
        ),
        last=last,
        partial=cancelled and count == 1,
        verdict=verdict,
        judged=judged,
        unbent=unbent,
    )


def _labels_of(request: Request, index: Index) -> NDArray[Any] | None:
    """Labels of a plane that the match is given, if there are any."""
    for mask in request.masks:
        if mask.kind == 'labels':
            plane: NDArray[Any] = mask.plane(index)
            return plane if plane.any() else None
    return None


def _verdict(
    request: Request,
    correspondences: Mapping[tuple[Index, Index], Correspondence],
) -> tuple[Verdict | None, tuple[Index, Index] | None]:
    """The worst verdict on the pairs of planes, and on which it is."""
    worst: Verdict | None = None
    judged: tuple[Index, Index] | None = None
    by_kind = {mask.kind: mask for mask in reversed(request.masks)}
    labels, points = by_kind.get('labels'), by_kind.get('points')
    for pair, correspondence in correspondences.items():
        verdict = judge(
            correspondence,
            None if labels is None else labels.plane(pair[0]),
            points=None if points is None else points.plane(pair[0]).coords[0],
        )
        if worst is None or RANKS[verdict.level] > RANKS[worst.level]:
            worst, judged = verdict, pair
    return worst, judged


def with_verdict(
    products: Sequence[Product], verdict: Verdict | None
) -> list[Product]:
    """Products whose layers tell the verdict in their metadata."""
    if verdict is None:
        return list(products)
    about = verdict.as_dict()
    return [
        replace(product, about={**product.about, 'verdict': about})
        for product in products
    ]


def of_plane(
    steps: Generator[Report, None, Result], name: str, done: int, total: int
) -> Generator[Report, None, Result]:
    """Count planes instead of iterations where there are several.

    ``name``: of the plane, before what is going on.
    """
    while True:
        try:
            report = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        text = f'{name}, {report.text}'
        yield replace(report, index=done, total=total, text=text)


def _summary(
    last: Correspondence | None,
    planes: int,
    count: int,
    seconds: float,
    cancelled: bool,
) -> str:
    """One line on how a run ended."""
    if last is None:
        return 'Cancelled before the first iteration; nothing was added'
    about = last.metadata
    used = about.get('iterations_used')
    device = about.get('device', 'cpu')
    if count > 1:
        done = f'{planes} of {count} planes'
    else:
        done = f'{used} iteration' + ('' if used == 1 else 's')
    start = f'Cancelled, kept {done}' if cancelled else f'Done, {done}'
    turned = about.get('orientation', {}).get('text')
    end = f', target {turned}' if turned and count == 1 else ''
    return f'{start}, {seconds:.1f} s on {device}{end}'
