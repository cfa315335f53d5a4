"""Carry an annotation from its plane through a whole stack.

Planes are matched with their neighbors, outwards from the annotated one, so
that the difference between two matched images stays small. Errors add up
along such a chain, so every link is checked: where going there and back does
not end at the start, the plane is matched with the annotated plane directly,
and the better of the two is taken; where both fail, the chain ends there
rather than fill the rest with guesses.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.layers.products import describe, make_mask_product
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.masks import Mask
from napari_samnet.plugin.model.request import (
    Outcome,
    Product,
    Report,
    Request,
)
from napari_samnet.plugin.run.cache import CorrespondenceCache
from napari_samnet.plugin.run.job import Steps, match_pair, of_plane
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
    anchor: Index
    carried: list[dict[Index, Any]]
    backward: dict[Index, Correspondence]
    links: dict[Index, float]
    correspondences: dict[tuple[Index, Index], Correspondence]
    last: Correspondence | None = None

    def at(self, place: int) -> Index:
        """Index of a plane by its place on the axis."""
        index = list(self.anchor)
        index[self.axis] = place
        return tuple(index)

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
    place: int,
    previous: int,
    planes: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    cache: CorrespondenceCache,
    stop: Event,
) -> Generator[Report, None, bool]:
    """Carry the annotation to one more plane."""
    anchor, before, here = planes
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
    if error > WEAK_LINK and start != chain.anchor:
        direct = yield from match_pair(
            anchor,
            here,
            request,
            cache,
            stop,
            kept=(request.kept_of_source(chain.anchor), here_kept),
            partial=False,
        )
        if direct is None or stop.is_set():
            return False
        if _error(direct) < error:
            link, start, error = direct, chain.anchor, _error(direct)
    if error > FAILED_LINK:
        return False
    chain.extend(start, chain.at(place), link, error)
    return True


def propagate_steps(
    request: Request,
    axis: int,
    cache: CorrespondenceCache,
    stop: Event,
) -> Steps:
    """Carry the masks of a request through the source's own planes.

    ``request``: its first pair names the annotated plane; its target is the
    source.
    ``cache``: correspondences of earlier runs, reused where they fit.
    ``stop``: set to stop after the current iteration, keeping the planes done.
    """
    started = time.perf_counter()
    # Planes of one stack stand alike, unless the user says otherwise.
    if request.options.orientation == 'auto':
        options = replace(request.options, orientation='upright')
        request = replace(request, options=options)
    stack = request.source
    anchor = request.pairs[0].source
    chain = _Chain(
        request=request,
        axis=axis,
        anchor=anchor,
        carried=[{anchor: mask.plane(anchor)} for mask in request.masks],
        backward={},
        links={},
        correspondences={},
    )
    length = stack.grid.leading[axis]
    origin = anchor[axis]
    first = stack.plane(anchor)
    done = 1
    ends = []
    # Upwards to the end of the stack, then downwards from the start.
    for places in (range(origin + 1, length), range(origin - 1, -1, -1)):
        before, previous = first, origin
        for place in places:
            if stop.is_set():
                break
            here = stack.plane(chain.at(place))
            link = _link(
                chain, place, previous, (first, before, here), cache, stop
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
    about['anchor'] = list(chain.anchor)
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
    planes = len(chain.links) + 1
    seconds = time.perf_counter() - started
    start = 'Cancelled, kept' if stop.is_set() else 'Done,'
    text = f'{start} {planes} of {length} planes, {seconds:.1f} s'
    if ends:
        text += ended_before(sorted(ends))
    return text
