"""What a propagation remembers: annotated planes and the last results."""

from __future__ import annotations

from bisect import bisect
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.recently_used import RecentlyUsed
from napari_samnet.arrays.types import FloatArray
from napari_samnet.series.encode import EncodedPlane
from napari_samnet.series.label_evidence import Reference, label_shares

#: Annotated planes that are asked for one plane.
ANNOTATED_ASKED = 3

#: Annotated planes whose features are held.
ANNOTATED_HELD = 6

#: Last results that are asked.
RECENT = 3

#: Evidence above which a cell counts as a label's in what is remembered.
BELIEVED = 0.43


class Memory:
    """References of a series, with bounds that do not grow with it.

    ``annotations``: Labels of the annotated planes, as places in the list of
    ids.
    """

    def __init__(
        self,
        encode: Callable[[int], EncodedPlane],
        annotations: Mapping[int, npt.NDArray[np.int32]],
        known: Mapping[int, npt.NDArray[np.bool_]],
        count: int,
    ) -> None:
        self._encode = encode
        self._annotations = annotations
        self._known = known
        self._count = count
        self._order = sorted(annotations)
        self._annotated: RecentlyUsed[Reference] = RecentlyUsed(
            count=ANNOTATED_HELD
        )
        self._recent: deque[Reference] = deque(maxlen=RECENT)

    def annotated(self, index: int) -> Reference:
        """One annotated plane; its features are encoded if need be."""
        reference = self._annotated.get(index)
        if reference is None:
            reference = self._made(
                index,
                self._encode(index),
                self._annotations[index],
                self._known[index],
                annotated=True,
            )
            self._annotated.put(index, reference)
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
        return list(reversed(self._recent))

    def remember(
        self,
        index: int,
        plane: EncodedPlane,
        labels: npt.NDArray[np.int32],
        evidence: FloatArray,
    ) -> None:
        """Take in a result.

        ``plane``: its features and pixels.
        ``labels`` (H, W): Labels that were found there, as places in the list
        of ids.
        ``evidence`` (L, rows, columns): what they were found by. Half of what
        is remembered is taken from it, so that an outline which follows a
        wrong edge is not handed on in full.
        """
        everything = np.ones(self._count, bool)
        made = self._made(index, plane, labels, everything, annotated=False)
        best = evidence.reshape(self._count, -1).T
        winner = best.max(1, keepdims=True)
        believed = (best == winner) & (best >= BELIEVED)
        half = made.shares.new_tensor(believed.astype(np.float32))
        self._recent.append(replace(made, shares=(made.shares + half) / 2))

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

        def shares(cells: tuple[int, int]) -> Any:
            values = label_shares(labels, self._count, cells)
            return torch.from_numpy(values).to(plane.glance.features.device)

        fine = shares(plane.cells)
        return Reference(
            index,
            plane.without_image(),
            labels,
            fine,
            fine
            if plane.glance.grid == plane.cells
            else shares(plane.glance.grid),
            known,
            annotated,
        )
