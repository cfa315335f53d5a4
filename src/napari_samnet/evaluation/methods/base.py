"""What all methods share, and those that need nothing else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.evaluation.interfaces import (
    Answer,
    IterativeMethod,
    Method,
    Pair,
)
from napari_samnet.images.plane import Plane
from napari_samnet.labels.carried import carried_labels
from napari_samnet.labels.quality import image_quality
from napari_samnet.options import DEFAULTS, MatchOptions

if TYPE_CHECKING:
    from napari_samnet.matching.carry import LabelCarrier
    from napari_samnet.matching.describe import Describer

Field = NDArray[np.floating]


def from_fields(
    pair: Pair,
    forward: Field,
    backward: Field,
    transferred: NDArray[np.float32] | None = None,
) -> Correspondence:
    """Correspondence of two fields in normalized units, fully confident."""
    return Correspondence(
        forward=np.asarray(forward, np.float32),
        backward=np.asarray(backward, np.float32),
        forward_cell_confidence=np.ones(forward.shape[:2], np.float32),
        backward_cell_confidence=np.ones(backward.shape[:2], np.float32),
        source_shape=(pair.source.shape[0], pair.source.shape[1]),
        target_shape=(pair.target.shape[0], pair.target.shape[1]),
        transferred=transferred,
        metadata={},
    )


class Identity(Method):
    """No warp: normalized coordinates are kept, and the source's colors."""

    name = 'identity'

    def answer(self, pair: Pair) -> Answer:
        still = np.zeros((32, 32, 2), np.float32)
        return Answer(from_fields(pair, still, still, np.array(pair.source)))


class Samnet(IterativeMethod):
    """The network with given options."""

    packages = ('torch', 'safetensors')

    def __init__(
        self,
        name: str = 'samnet',
        options: MatchOptions = DEFAULTS,
        *,
        fast: bool = False,
    ) -> None:
        self.name = name
        self.options = options
        self._fast = fast
        self._describer: Describer | None = None

    def prepare(self) -> None:
        from napari_samnet.runtime.weights import get_weights

        self._weights = get_weights(self.options.weights)
        # The first run loads the network and lets torch choose its kernels.
        gray = np.full((32, 32, 3), 0.5, np.float32)
        self.answer(Pair('', '', gray, gray, None))

    def details(self) -> dict[str, Any]:
        return {
            'weights': {
                'name': self._weights.name,
                'sha256': self._weights.sha256,
            },
            'options': asdict(self.options),
        }

    def regions(self, pair: Pair) -> NDArray[Any] | None:  # noqa: ARG002
        """Labels that the match is told of: none."""
        return None

    def answer(self, pair: Pair) -> Answer:
        return self.trace(pair, ())

    def follow(self, pair: Pair) -> Answer:
        from napari_samnet.series.propagate import propagate_steps

        (reference,) = pair.references
        labels = reference.labels
        steps = propagate_steps(
            pair.frames.__getitem__,
            len(pair.frames),
            {0: labels.astype(np.uint8) if labels.dtype == bool else labels},
            self.options,
            fast=self._fast,
        )
        by_frame = {step.report.index: step.labels for step in steps}
        series = [
            by_frame[frame].astype(labels.dtype)
            for frame in range(1, len(pair.frames))
        ]
        return replace(Identity().answer(pair), series=series)

    def trace(self, pair: Pair, iterations: Sequence[int]) -> Answer:
        from napari_samnet.matching.match import match_steps

        steps = match_steps(
            pair.source,
            pair.target,
            self.options,
            labels=self.regions(pair),
        )
        partial: dict[int, Correspondence] = {}
        paused = 0.0
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                result: Correspondence = end.value
                break
            if step.snapshot is not None and step.index in iterations:
                start = time.perf_counter()
                partial[step.index] = step.snapshot()
                paused += time.perf_counter() - start
        # A run that has converged would not move any more.
        for count in iterations:
            partial.setdefault(count, result)
        labels = quality = corrected = None
        if pair.landmarks is not None:
            corrected = self._corrected(pair, result)
        if len(pair.references) > 1:
            carried = self._carrier(pair)(pair.target)
            labels, quality = carried.labels, carried.predicted_iou
        elif pair.references:
            labels, estimates = carried_labels(
                result.label_field(),
                pair.references[0].labels,
                Plane.of(pair.target) if self.options.outlines else None,
            )
            quality = image_quality(estimates)
        return Answer(
            result,
            labels=labels,
            quality=None if quality is None or isnan(quality) else quality,
            partial=partial,
            corrected=corrected,
            paused=paused,
        )

    def _corrected(
        self, pair: Pair, correspondence: Correspondence
    ) -> Correspondence:
        """A match that was given the landmarks of its pair."""
        from napari_samnet.matching.landmarks import match_from_landmarks
        from napari_samnet.matching.match import match

        assert pair.landmarks is not None
        options = asdict(replace(self.options, orientation='upright'))
        return match_from_landmarks(
            correspondence,
            pair.target,
            pair.landmarks,
            lambda nearer: match(
                pair.source, nearer, transferred=False, **options
            ),
        )

    def _carrier(self, pair: Pair) -> LabelCarrier:
        """All annotated images of a pair; features are kept between pairs."""
        from napari_samnet.matching.carry import LabelCarrier
        from napari_samnet.matching.describe import Describer

        if self._describer is None:
            self._describer = Describer(self.options)
        return LabelCarrier(
            pair.references,
            self.options,
            best=len(pair.references),
            describer=self._describer,
        )


class WithLabels(Samnet):
    """The network told which regions of the source move as one each."""

    def __init__(self, options: MatchOptions) -> None:
        super().__init__('with-labels', options)

    def regions(self, pair: Pair) -> NDArray[Any] | None:
        if pair.regions is None and pair.references:
            return pair.references[0].labels
        return pair.regions


class Pairwise(Samnet):
    """Follows films by matching each frame with the first one alone."""

    def __init__(self, options: MatchOptions) -> None:
        super().__init__('pairwise', options)

    def follow(self, pair: Pair) -> Answer:
        return Method.follow(self, pair)


class PlainWarp(Samnet):
    """The network's field with the target's own pixels as its image."""

    def __init__(self, options: MatchOptions) -> None:
        super().__init__('warp', options)

    def answer(self, pair: Pair) -> Answer:
        match = super().answer(pair).correspondence
        return Answer(replace(match, transferred=None))
