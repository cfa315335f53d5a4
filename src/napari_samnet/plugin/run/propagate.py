"""Carry points and shapes from their planes through a whole stack.

Planes are matched with their neighbors, outwards from the annotated ones, so
that the difference between two matched images stays small. Errors add up
along such a chain, so every link is checked: where going there and back does
not end at the start, the plane is matched with the annotated plane directly,
and the better of the two is taken; where both fail, the chain ends there
rather than fill the rest with guesses.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.layers.products import describe, make_mask_product
from napari_samnet.plugin.model.grids import Index, at_place
from napari_samnet.plugin.model.masks import Mask
from napari_samnet.plugin.model.request import (
    Outcome,
    Product,
    Report,
    Request,
)
from napari_samnet.plugin.run.cache import CorrespondenceCache
from napari_samnet.plugin.run.job import Steps, match_pair, of_plane
from napari_samnet.series.schedule import Direction
from napari_samnet.series.verdicts import ended_before

#: Forward-backward error, as a share of the plane's side, above which a link
#: is checked against the annotated plane, and above which it is given up.
#: Neighboring sections stay below 0.02, what has nothing in common is above
#: 0.08.
WEAK_LINK, FAILED_LINK = 0.03, 0.08


def _error(correspondence: Correspondence) -> float:
    """Forward-backward error as a share of the plane's mean side."""
    error = correspondence.mean_consistency() / math.sqrt(
        math.prod(correspondence.source_shape)
    )
    return error if math.isfinite(error) else math.inf


@dataclass
class _Chain:
    """The planes carried so far."""

    request: Request
    axis: int
    #: Annotated planes, by their places on the axis.
    anchors: list[int]
    carried: list[dict[Index, Any]]
    backward: dict[Index, Correspondence]
    links: dict[Index, float]
    correspondences: dict[tuple[Index, Index], Correspondence]
    last: Correspondence | None = None

    def at(self, place: int) -> Index:
        """Index of a plane by its place on the axis."""
        return at_place(self.request.pairs[0].source, self.axis, place)

    def extend(
        self,
        start: Index,
        end: Index,
        correspondence: Correspondence,
        error: float,
    ) -> None:
        """Carry everything from one plane to another."""
        for mask, carried in zip(
            self.request.masks, self.carried, strict=True
        ):
            carried[end] = mask.carry(
                carried[start], correspondence, min_confidence=0.0
            )
        self.links[end] = error
        self.last = correspondence
        # Fields are small; pictures of all planes would fill the memory.
        self.backward[end] = replace(correspondence, transferred=None)
        self.correspondences[start, end] = self.backward[end]


def _link(
    chain: _Chain,
    origin: int,
    place: int,
    previous: int,
    planes: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    cache: CorrespondenceCache,
    stop: Event,
) -> Generator[Report, None, bool]:
    """Carry the annotation to one more plane.

    ``origin``, ``previous``, ``place``: the annotated plane that it is from,
    the last one on the way, and the one to reach. ``planes``: their images.
    """
    annotated, before, here = planes
    anchor = chain.at(origin)
    request = chain.request
    here_kept = request.kept_of_source(chain.at(place))
    # A link cut short would lead everything behind it astray.
    link = yield from match_pair(
        before,
        here,
        request,
        cache,
        stop,
        kept=(request.kept_of_source(chain.at(previous)), here_kept),
        partial=False,
    )
    if link is None or stop.is_set():
        return False
    start, error = chain.at(previous), _error(link)
    if error > WEAK_LINK and start != anchor:
        direct = yield from match_pair(
            annotated,
            here,
            request,
            cache,
            stop,
            kept=(request.kept_of_source(anchor), here_kept),
            partial=False,
        )
        if direct is None or stop.is_set():
            return False
        if _error(direct) < error:
            link, start, error = direct, anchor, _error(direct)
    if error > FAILED_LINK:
        return False
    chain.extend(start, chain.at(place), link, error)
    return True


def _ways(
    anchors: list[int], length: int, direction: Direction
) -> Iterator[tuple[int, range]]:
    """Planes to visit from each annotated one; between two, the nearer."""
    both = direction == 'both'
    for number, origin in enumerate(anchors):
        if direction != 'backwards':
            end = length
            if number + 1 < len(anchors):
                end = anchors[number + 1]
                end = (origin + end) // 2 + 1 if both else end
            yield origin, range(origin + 1, end)
        if direction != 'forwards':
            end = -1
            if number:
                end = anchors[number - 1]
                end = (origin + end) // 2 if both else end
            yield origin, range(origin - 1, end, -1)


def propagate_steps(
    request: Request,
    axis: int,
    cache: CorrespondenceCache,
    stop: Event,
    direction: Direction = 'both',
) -> Steps:
    """Carry the masks of a request through the source's own planes.

    ``request``: its first pair names the plane that is shown; its target is
    the source. Of each mask, all planes along the axis that have something
    count as annotated.
    ``cache``: correspondences of earlier runs, reused where they fit.
    ``stop``: set to stop after the current iteration, keeping the planes done.
    """
    # Planes of one stack stand alike, unless the user says otherwise.
    if request.options.orientation == 'auto':
        options = replace(request.options, orientation='upright')
        request = replace(request, options=options)
    length = request.source.grid.leading[axis]
    shown = request.pairs[0].source
    together: dict[tuple[int, ...], list[Mask]] = {}
    for mask in request.masks:
        annotated = tuple(
            place
            for place in range(length)
            if not mask.is_blank(at_place(shown, axis, place))
        )
        together.setdefault(annotated, []).append(mask)
    outcome = Outcome((), {}, cancelled=False, text='')
    for anchors, masks in together.items():
        if stop.is_set():
            return replace(outcome, cancelled=True)
        names = ', '.join(repr(mask.name) for mask in masks)
        if not anchors:
            what = f'nothing of {names} lies on these planes'
            outcome = _and_then(outcome, Outcome((), {}, False, text=what))
            continue
        one = yield from _carry_alike(
            replace(request, masks=masks),
            axis,
            [*anchors],
            cache,
            stop,
            direction,
        )
        outcome = _and_then(outcome, one)
    return outcome


def _and_then(before: Outcome, after: Outcome) -> Outcome:
    """What two parts of a run have made."""
    return replace(
        after,
        products=[*before.products, *after.products],
        correspondences={**before.correspondences, **after.correspondences},
        text='; '.join(text for text in (before.text, after.text) if text),
        last=after.last or before.last,
    )


def _carry_alike(
    request: Request,
    axis: int,
    anchors: list[int],
    cache: CorrespondenceCache,
    stop: Event,
    direction: Direction,
) -> Steps:
    """Carry masks that are annotated on the same planes."""
    started = time.perf_counter()
    stack = request.source
    chain = _Chain(
        request=request,
        axis=axis,
        anchors=anchors,
        carried=[],
        backward={},
        links={},
        correspondences={},
    )
    chain.carried += [
        {chain.at(place): mask.plane(chain.at(place)) for place in anchors}
        for mask in request.masks
    ]
    length = stack.grid.leading[axis]
    done = len(anchors)
    ends = []
    for origin, places in _ways(anchors, length, direction):
        if not places:
            continue
        first = stack.plane(chain.at(origin))
        before, previous = first, origin
        for place in places:
            if stop.is_set():
                break
            here = stack.plane(chain.at(place))
            link = _link(
                chain,
                origin,
                place,
                previous,
                (first, before, here),
                cache,
                stop,
            )
            # Several reports a plane, one unit of progress.
            steps = of_plane(link, f'plane {place}', done, length)
            going_on = yield from steps
            if not going_on:
                if not stop.is_set():
                    ends.append(place)
                break
            done += 1
            before, previous = here, place
    return Outcome(
        products=[
            _product(chain, mask, carried)
            for mask, carried in zip(request.masks, chain.carried, strict=True)
        ]
        if chain.links
        else (),
        correspondences=chain.correspondences,
        cancelled=stop.is_set(),
        text=_summary(chain, length, ends, started, stop),
        last=chain.last,
    )


def _product(chain: _Chain, mask: Mask, carried: dict[Index, Any]) -> Product:
    stack = chain.request.source
    any_match = next(iter(chain.correspondences.values()))
    about = describe(
        any_match, stack.name, stack.name, f'{mask.kind} propagated'
    )
    about['anchor'] = list(chain.at(chain.anchors[0]))
    about['annotated'] = chain.anchors
    about['link_errors'] = {
        ','.join(map(str, index)): round(error, 4)
        for index, error in sorted(chain.links.items())
    }
    return make_mask_product(
        mask,
        carried,
        stack.grid,
        key=f'propagated {mask.uid} {stack.uid}',
        name=f'{stack.name} ← {mask.name} propagated',
        owner=stack.uid,
        about=about,
        correspondences=chain.backward if mask.kind == 'labels' else {},
        # Other planes may have been reached before, along another axis.
        planes=tuple(carried),
        pair=(stack.uid, stack.uid),
    )


def _summary(
    chain: _Chain, length: int, ends: list[int], started: float, stop: Event
) -> str:
    planes = len(chain.links) + len(chain.anchors)
    if len(chain.anchors) == length:
        names = ', '.join(repr(mask.name) for mask in chain.request.masks)
        return f'Nothing to carry: {names} is on all planes already'
    seconds = time.perf_counter() - started
    start = 'Cancelled, kept' if stop.is_set() else 'Done,'
    text = f'{start} {planes} of {length} planes, {seconds:.1f} s'
    if ends:
        text += ended_before(sorted(ends))
    return text
