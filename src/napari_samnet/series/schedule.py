"""In which order planes are visited, and where their labels come from."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from napari_samnet.errors import InputError

Direction = Literal['both', 'forwards', 'backwards']

#: Ways to go, see :func:`plan_chains`.
DIRECTIONS: tuple[str, ...] = get_args(Direction)


@dataclass(frozen=True)
class Chain:
    """Planes visited one after the other, away from an annotated one."""

    #: Annotated plane at which it begins.
    source: int
    #: Planes without annotation, in the order of the visit.
    planes: tuple[int, ...]


def plan_chains(
    length: int,
    annotated: Collection[int],
    *,
    start: int | None = None,
    direction: Direction = 'both',
    skip: Collection[int] = (),
) -> list[Chain]:
    """Divide a series into chains.

    Each plane is reached from the nearest annotated plane on a side that is
    allowed. Between two annotated planes the chains from both sides meet
    half-way.

    ``annotated``: planes that have labels and are not visited.
    ``start``: annotated plane to go out from: forwards to the planes behind
    it, backwards to those before it. By default all planes are visited.
    ``direction``: whether labels go to later planes, to earlier ones, or to
    both.
    ``skip``: further planes that are not visited, such as locked ones.
    Returns: those nearest to `start` first, later planes before earlier ones.
    Raises InputError if no plane is annotated, `start` is not, or there is no
    such direction.
    """
    if direction not in DIRECTIONS:
        raise InputError(
            f'direction must be one of {", ".join(DIRECTIONS)}, got '
            f'{direction!r}'
        )
    drawn = sorted(set(annotated))
    if not drawn:
        raise InputError(
            'no plane is annotated: draw labels on at least one plane'
        )
    if start is not None and start not in drawn:
        raise InputError(
            f'plane {start} has no labels to begin with; planes with labels '
            f'are {_listed(drawn)}'
        )
    planes: dict[tuple[int, bool], list[int]] = {}
    left_out = {*drawn, *skip}
    for plane in range(length):
        if plane in left_out or not _is_wanted(plane, start, direction):
            continue
        place = bisect(drawn, plane)
        sources = []
        if place and direction != 'backwards':
            sources.append(drawn[place - 1])
        if place < len(drawn) and direction != 'forwards':
            sources.append(drawn[place])
        if sources:
            source = min(sources, key=lambda s: abs(s - plane))
            planes.setdefault((source, source < plane), []).append(plane)
    chains = [
        Chain(source, tuple(sorted(some, reverse=not later)))
        for (source, later), some in planes.items()
    ]
    first = drawn[0] if start is None else start
    return sorted(
        chains,
        key=lambda chain: (
            abs(chain.source - first),
            chain.planes[0] < chain.source,
        ),
    )


def _is_wanted(plane: int, start: int | None, direction: Direction) -> bool:
    """Whether a plane lies on the side of the start that is asked for."""
    if start is None or direction == 'both':
        return True
    return plane > start if direction == 'forwards' else plane < start


def _listed(planes: Sequence[int]) -> str:
    """A few planes by number."""
    shown = ', '.join(map(str, planes[:6]))
    return f'{shown}, …' if len(planes) > 6 else shown
