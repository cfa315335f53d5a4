"""What was found for each pair of planes, and how to make more of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, replace

from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.layers.products import mask_role, result_key
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.request import Outcome, PlanePair, Request

#: Identities of source and target, and the plane of each.
PairKey = tuple[Hashable, Hashable, Index, Index]


@dataclass(frozen=True)
class Matched:
    """A pair of planes that was matched."""

    #: What was found, bent to the landmarks there are.
    match: Correspondence
    #: The same without landmarks.
    unbent: Correspondence
    #: How it was found, for this pair of planes alone, with all that was
    #: carried and made of it; None for planes on the way of a propagation.
    request: Request | None

    def request_again(self, exists: Callable[[str], bool]) -> Request | None:
        """Ask for the results that are there, to be made anew.

        Returns: without annotations and outputs whose layers were removed;
        None if nothing can be made anew.
        """
        request = self.request
        if request is None:
            return None

        def is_there(role: str) -> bool:
            return exists(result_key(request, role))

        return replace(
            request,
            masks=[x for x in request.masks if is_there(mask_role(x))],
            outputs=frozenset(filter(is_there, request.outputs)),
        )


class Matches:
    """Keeps what was found while its images are in the viewer."""

    def __init__(self) -> None:
        self._held: dict[PairKey, Matched] = {}

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: PairKey) -> Matched | None:
        """What was found for a pair of planes."""
        return self._held.get(key)

    def of(self, request: Request) -> dict[tuple[Index, Index], Matched]:
        """What was found for the pairs of planes of a request."""
        return {
            pair.planes: matched
            for pair in request.pairs
            if (matched := self.get((*request.images, *pair.planes)))
        }

    def has_pair(self, pair: tuple[Hashable, Hashable]) -> bool:
        """Whether any planes of two images were matched."""
        return any(key[:2] == pair for key in self._held)

    def forget_others(self, present: Collection[Hashable]) -> None:
        """Let go of pairs whose images are gone."""
        for key in [k for k in self._held if not {*k[:2]} <= {*present}]:
            del self._held[key]

    def take(self, request: Request, outcome: Outcome) -> None:
        """Keep what a run has found.

        ``outcome``: what it found. A match that was cut short does not stand
        in for a whole one.
        """
        pairs = {pair.planes: pair for pair in request.pairs}
        for planes, match in outcome.correspondences.items():
            key = *request.images, *planes
            before = self._held.get(key)
            if outcome.partial and before is not None:
                continue
            self._held[key] = Matched(
                match,
                outcome.unbent.get(planes, match),
                _of_one(request, pairs.get(planes), before),
            )


def _of_one(
    request: Request, pair: PlanePair | None, before: Matched | None
) -> Request | None:
    """A request for one pair of planes, with what was made of it before."""
    if pair is None:
        return None
    one = replace(
        request,
        pairs=[pair],
        several=request.has_planes,
        live=False,
        landmarks={},
    )
    earlier = None if before is None else before.request
    if earlier is None or earlier.has_planes != one.has_planes:
        return one
    masks = {mask_role(mask): mask for mask in (*earlier.masks, *one.masks)}
    return replace(
        one,
        masks=list(masks.values()),
        outputs=earlier.outputs | one.outputs,
    )
