"""What a propagation remembers: annotated planes and the last results."""

from __future__ import annotations

from bisect import bisect
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.series.encode import EncodedPlane
from napari_samnet.series.evidence import Reference, label_shares

__all__ = ['Memory']

#: Annotated planes that are asked for one plane.
ANNOTATED_ASKED = 3

#: Annotated planes whose features are held.
ANNOTATED_HELD = 6

#: Last results that are asked.
RECENT = 2


class Memory:
    """References of a series, with bounds that do not grow with it.

    Parameters
    ----------
    encode : callable
        Takes the index of a plane, returns its :class:`EncodedPlane`.
    annotations : mapping of int to ndarray
        Labels of the annotated planes, as places in the list of ids.
    known : mapping of int to ndarray of bool
        Which ids each annotated plane tells of.
    count : int
        Number of ids that are carried.
    recent : int
        How many of the last results are remembered.
    """

    def __init__(
        self,
        encode: Callable[[int], EncodedPlane],
        annotations: Mapping[int, npt.NDArray[np.int32]],
        known: Mapping[int, npt.NDArray[np.bool_]],
        count: int,
        *,
        recent: int = RECENT,
    ) -> None:
        self._encode = encode
        self._annotations = annotations
        self._known = known
        self._count = count
        self._order = sorted(annotations)
        self._held: OrderedDict[int, Reference] = OrderedDict()
        self._recent: deque[Reference] = deque(maxlen=max(1, recent))
        self._use_recent = recent > 0

    def annotated(self, index: int) -> Reference:
        """One annotated plane; its features are encoded if need be."""
        if index in self._held:
            self._held.move_to_end(index)
            return self._held[index]
        reference = self._made(
            index,
            self._encode(index),
            self._annotations[index],
            self._known[index],
            annotated=True,
        )
        self._held[index] = reference
        while len(self._held) > ANNOTATED_HELD:
            self._held.popitem(last=False)
        return reference

    def around(self, index: int) -> list[Reference]:
        """Annotated planes to ask for a plane, the nearest first.

        The nearest on each side, and the next nearest of the rest.
        """
        place = bisect(self._order, index)
        sides = [self._order[:place][::-1], self._order[place:]]
        nearest = [side.pop(0) for side in map(list, sides) if side]
        rest = sorted(
            set(self._order) - set(nearest), key=lambda p: abs(p - index)
        )
        chosen = sorted(nearest, key=lambda p: abs(p - index)) + rest
        return [self.annotated(p) for p in chosen[:ANNOTATED_ASKED]]

    def start(self) -> None:
        """Forget the last results, since a new chain begins."""
        self._recent.clear()

    @property
    def recent(self) -> list[Reference]:
        """The last results, the latest first."""
        return list(reversed(self._recent)) if self._use_recent else []

    def remember(
        self, index: int, plane: EncodedPlane, labels: npt.NDArray[np.int32]
    ) -> None:
        """Take in a result."""
        everything = np.ones(self._count, bool)
        self._recent.append(
            self._made(index, plane, labels, everything, annotated=False)
        )

    def _made(
        self,
        index: int,
        plane: EncodedPlane,
        labels: npt.NDArray[np.int32],
        known: npt.NDArray[np.bool_],
        *,
        annotated: bool,
    ) -> Reference:
        import torch

        shares: Any = torch.from_numpy(
            label_shares(labels, self._count, plane.cells)
        ).to(plane.features.device)
        return Reference(index, plane, labels, shares, known, annotated)
