"""Questions and landmarks of a pair of planes, with undo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from napari_samnet.io.landmarks_csv import Landmarks

#: Row and column in pixels of a plane.
Spot = tuple[float, float]


@dataclass(frozen=True)
class PointPair:
    """A point of the source and one of the target."""

    #: ``source``, ``target``: row and column in pixels; None as long as an end
    #: was not placed.
    source: Spot | None
    target: Spot | None
    #: Whether somebody said that the two belong together. Otherwise it is a
    #: question and its answer.
    landmark: bool = False
    #: Whether the landmark is used.
    active: bool = True

    @property
    def is_used(self) -> bool:
        """Whether the field is bent to it."""
        return self.landmark and self.active


class LandmarkPairs:
    """All pairs of points that were placed in two planes, by number."""

    def __init__(self, pairs: Mapping[int, PointPair] | None = None) -> None:
        self._pairs: dict[int, PointPair] = {**(pairs or {})}
        self._history: list[dict[int, PointPair]] = []

    @property
    def pairs(self) -> Mapping[int, PointPair]:
        """Questions and landmarks by number."""
        return self._pairs

    @property
    def landmarks(self) -> Mapping[int, PointPair]:
        """Landmarks alone, by number."""
        return {n: pair for n, pair in self._pairs.items() if pair.landmark}

    @property
    def used(self) -> Landmarks:
        """Pairs that the field is bent to."""
        return _as_arrays(x for x in self._pairs.values() if x.is_used)

    @property
    def saved(self) -> Landmarks:
        """All landmarks, those that are switched off included."""
        return _as_arrays(self.landmarks.values())

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._history)

    def ask(self, source: Spot | None, target: Spot | None) -> int:
        """Add a question with its answer, or the first end of a pair.

        ``source``, ``target``: row and column in each image; None for an end
        that is missing.
        """
        number = max(self._pairs, default=0) + 1
        self._pairs = {**self._pairs, number: PointPair(source, target)}
        return number

    def place(self, number: int, side: str, at: Spot) -> None:
        """Move an end of a pair, which becomes a landmark with it.

        ``number``: number of the pair, which need not be there yet.
        """
        pair = self._pairs.get(number, PointPair(None, None))
        source = at if side == 'source' else pair.source
        target = at if side == 'target' else pair.target
        complete = source is not None and target is not None
        placed = PointPair(source, target, complete, pair.active)
        self._set({**self._pairs, number: placed})

    def remove(self, numbers: Iterable[int]) -> None:
        """Take away some pairs."""
        gone = set(numbers)
        self._set({n: x for n, x in self._pairs.items() if n not in gone})

    def switch(self, number: int, active: bool) -> None:
        """Use a landmark, or leave it out."""
        pair = replace(self._pairs[number], active=active)
        self._set({**self._pairs, number: pair})

    def replace(self, landmarks: Landmarks) -> None:
        """Put other landmarks in the place of those there are.

        ``landmarks``: pairs of points, of which some may be switched off.
        """
        rows = zip(
            landmarks.source.tolist(),
            landmarks.target.tolist(),
            landmarks.active.tolist(),
            strict=True,
        )
        self._set(
            {
                number: PointPair(
                    (one[0], one[1]), (other[0], other[1]), True, active
                )
                for number, (one, other, active) in enumerate(rows, 1)
            }
        )

    def undo(self) -> None:
        """Take back the last change of the landmarks."""
        if not self._history:
            return
        before = self._history.pop()
        asked = {
            number: pair
            for number, pair in self._pairs.items()
            if not pair.landmark and number not in before
        }
        self._pairs = {**before, **asked}

    def _set(self, pairs: dict[int, PointPair]) -> None:
        self._history.append(self._pairs)
        self._pairs = pairs


def _as_arrays(pairs: Iterable[PointPair]) -> Landmarks:
    """Points of complete pairs as arrays."""
    rows = list(pairs)
    return Landmarks(
        np.array([x.source for x in rows], float).reshape(-1, 2),
        np.array([x.target for x in rows], float).reshape(-1, 2),
        np.array([x.active for x in rows], bool),
    )
