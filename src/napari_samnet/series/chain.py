"""One run through a series: how a plane gets its labels, and what is said."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import (
    DeviceError,
    InputError,
    WeightsError,
    in_one_line,
)
from napari_samnet.runtime.side_by_side import has_room, side_by_side
from napari_samnet.series.encode import EncodedPlane
from napari_samnet.series.following import follow_labels
from napari_samnet.series.held_planes import HeldPlanes
from napari_samnet.series.label_evidence import (
    Reference,
    carried_back,
    label_shares,
    likeness,
)
from napari_samnet.series.memory import Memory
from napari_samnet.series.outlines import labels_from_evidence
from napari_samnet.series.pieces import drop_far_pieces
from napari_samnet.series.positions import shared_by_position
from napari_samnet.series.schedule import Chain
from napari_samnet.series.verdicts import PlaneReport, State


class _Likeness(NamedTuple):
    """How alike planes are by one kind of features."""

    #: Planes that are less alike than this do not belong to one shot.
    same_shot: float
    #: References less like a plane than this are not asked.
    asked: float


#: Among the stored frames of eight films of DAVIS 2016, 5 to 16 frames apart,
#: neighbors are at .753 or more, and 95 % of frames of different films below
#: .75; by the light network's features at .598, and below .573.
LIKENESS, LIGHT_LIKENESS = _Likeness(0.75, 0.6), _Likeness(0.58, 0.45)

#: A plane with less than this share of the sharpness is blurred.
BLURRED = 0.5

#: Labels of which less than this share is found again are to be looked at.
WEAK_QUALITY = 0.5

#: Evidence that a label needs in its best cell to be seen at all.
LEAST_PEAK = 0.5

#: Planes behind an unlike one that are looked at before a chain ends there.
LOOK_AHEAD = 2

#: How much less a reference is believed, in cosine per likeness, for being
#: less like the plane than the one most like it.
LIKENESS_BIAS = 0.2


@dataclass(eq=False)
class _Compared:
    """A plane beside all that is remembered."""

    plane: EncodedPlane
    references: list[Reference]
    likenesses: list[float]
    #: Likeness with the most similar reference or plane before.
    best: float


class Propagation:
    """One run: what is known, what is remembered, and how a plane is done.

    ``outlines``: whether outlines are moved to the edges of each plane.
    """

    def __init__(
        self,
        planes: HeldPlanes,
        memory: Memory,
        ids: npt.NDArray[Any],
        *,
        outlines: bool = True,
    ) -> None:
        self._limits = LIGHT_LIKENESS if planes.glances else LIKENESS
        self._planes = planes
        self._memory = memory
        self._ids = ids
        self._outlines = outlines
        self._before: EncodedPlane | None = None

    def chain(
        self, chain: Chain
    ) -> Generator[tuple[npt.NDArray[Any] | None, PlaneReport], None, None]:
        """Visit the planes of a chain, one after the other.

        Yields: ``labels``: ids of the plane; None where the plane cannot be
        used; ``report``: how it went.
        """
        self._memory.start()
        self._before = None
        for place, index in enumerate(chain.planes):
            problem = self._unusable(index)
            if problem:
                yield None, self._left_out(index, chain, problem)
                continue
            compared = self._compared(index)
            if compared.best < self._limits.same_shot:
                ahead = chain.planes[place + 1 : place + 1 + LOOK_AHEAD]
                if self._goes_on(ahead):
                    reason = (
                        'unlike the planes before and behind it (blank or '
                        'damaged?); left out'
                    )
                    yield (
                        None,
                        self._left_out(index, chain, reason, compared.best),
                    )
                    continue
                for behind in chain.planes[place:]:
                    report = self._ended(behind, chain, compared)
                    if behind != index:
                        reason = f'behind the cut at plane {index}'
                        report = replace(report, reason=reason, similarity=0.0)
                    yield None, report
                return
            self._before = compared.plane.without_image()
            rest = chain.planes[place + 1 :]
            yield self._carry(
                index, chain, compared, rest[0] if rest else None
            )

    def _compared(self, index: int) -> _Compared:
        """Compare a plane with all that is remembered."""
        plane = self._planes(index)
        references = [*self._memory.around(index), *self._memory.recent]
        likenesses = [likeness(plane, r.plane) for r in references]
        best = max(likenesses)
        if self._before is not None:
            best = max(best, likeness(plane, self._before))
        return _Compared(plane, references, likenesses, best)

    def _goes_on(self, ahead: Sequence[int]) -> bool:
        """Whether a plane further on looks like those before again."""
        return any(
            self._compared(p).best >= self._limits.same_shot
            for p in ahead
            if not self._unusable(p)
        )

    def _unusable(self, index: int) -> str:
        """Why a plane cannot be read; empty if it can.

        One damaged frame among thousands does not end the others.
        """
        try:
            self._planes(index)
        except (DeviceError, WeightsError):
            raise
        except InputError as error:
            return in_one_line(error)
        return ''

    def _left_out(
        self, index: int, chain: Chain, reason: str, similarity: float = 0.0
    ) -> PlaneReport:
        """A plane that gets no labels, while others do."""
        return PlaneReport(
            index,
            'skipped',
            reason,
            similarity=similarity,
            missing=tuple(self._ids.tolist()),
            source=chain.source,
        )

    def _ended(
        self, index: int, chain: Chain, compared: _Compared
    ) -> PlaneReport:
        """The plane from which on there are no labels."""
        return PlaneReport(
            index,
            'ended',
            'the picture changes here (a cut?); no labels from here on',
            similarity=compared.best,
            missing=tuple(self._ids.tolist()),
            source=chain.source,
        )

    def _carry(
        self,
        index: int,
        chain: Chain,
        compared: _Compared,
        following: int | None,
    ) -> tuple[npt.NDArray[Any], PlaneReport]:
        """Find the labels of one plane; meanwhile look at the one after it."""
        plane = compared.plane
        top = max(compared.likenesses)
        asked = [
            (reference, LIKENESS_BIAS * (alike - top))
            for reference, alike in zip(
                compared.references, compared.likenesses, strict=True
            )
            if alike >= min(self._limits.asked, top)
        ]
        references = [reference for reference, _ in asked]
        drawn = [r for r in references if r.annotated][:1]
        latest = self._memory.recent[:1] or drawn or references[:1]
        plane, evidence = self._planes.decided(
            index, plane, references, [bias for _, bias in asked], latest[0]
        )
        finish = partial(
            self._painted, plane, evidence, references, latest[0], drawn
        )
        if following is not None and has_room(self._planes.device):
            _, (places, evidence, quality) = side_by_side(
                partial(self._planes.look_ahead, following), finish
            )
        else:
            places, evidence, quality = finish()
        area = np.bincount(places.ravel(), minlength=len(self._ids) + 1)[1:]
        missing = self._ids[area == 0]
        sharp = [r.plane.sharpness for r in references if r.annotated]
        blurred = bool(sharp) and plane.sharpness < BLURRED * min(sharp)
        if not blurred and area.any():
            self._memory.remember(index, plane, places, evidence)
        everything = np.concatenate([np.zeros(1, self._ids.dtype), self._ids])
        state, reason = self._verdict(quality, missing, blurred=blurred)
        return everything[places], PlaneReport(
            index,
            state,
            reason,
            quality=quality,
            similarity=compared.best,
            missing=tuple(missing.tolist()),
            source=chain.source,
        )

    def _painted(
        self,
        plane: EncodedPlane,
        evidence: FloatArray,
        references: Sequence[Reference],
        latest: Reference,
        drawn: Sequence[Reference],
    ) -> tuple[npt.NDArray[np.int32], FloatArray, float]:
        """Labels from evidence, the evidence that was believed, and quality.

        ``references``: that were asked. ``latest``: the plane before.
        ``drawn``: the nearest annotated plane.
        """
        count = len(self._ids)
        before = latest.shares.float().cpu().numpy()
        evidence = shared_by_position(evidence, before)
        assert plane.image is not None
        seen = evidence.reshape(len(evidence), -1).max(1) >= LEAST_PEAK
        evidence[~seen] = 0
        places = labels_from_evidence(
            evidence, plane.image, outlines=self._outlines
        )
        follow_labels(plane, [*drawn, *self._memory.recent[:1]], places, count)
        if drawn:
            drop_far_pieces(places, latest.labels, drawn[0].labels, count)
        if plane.kept is not None:
            places[~plane.kept] = 0
        quality = _quality(references, plane, places, count)
        return places, evidence, quality

    def _verdict(
        self, quality: float, missing: npt.NDArray[Any], *, blurred: bool
    ) -> tuple[State, str]:
        """State of a plane, and in one line why."""
        if len(missing) == len(self._ids):
            return 'empty', 'nothing that was annotated is seen here'
        if blurred:
            return 'look', 'blurred'
        if quality < WEAK_QUALITY:
            return (
                'look',
                'carried back, the labels do not meet the annotated ones',
            )
        if len(missing):
            names = ', '.join(map(str, missing[:8]))
            return 'look', f'not seen here: id {names}'
        return 'good', ''


def _quality(
    references: Sequence[Reference],
    plane: EncodedPlane,
    places: npt.NDArray[np.int32],
    count: int,
) -> float:
    """Share of the annotated labels that is found again, over labels."""
    shares = label_shares(places, count, plane.cells)
    again = [
        carried_back(reference, plane, shares)
        for reference in references
        if reference.annotated
    ]
    if not again:
        return 0.0
    values = np.stack(again)[:, shares.sum(0) > 0]
    if not np.isfinite(values).any():
        return 0.0
    best = np.nanmax(np.where(np.isfinite(values), values, -1), 0)
    return float(best[best >= 0].mean()) if (best >= 0).any() else 0.0
