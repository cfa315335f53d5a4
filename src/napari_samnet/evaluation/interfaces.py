"""What a benchmark is made of: pairs, answers, methods and protocols.

A :class:`Method` answers a pair of images with a correspondence; a
:class:`Protocol` brings the pairs and scores an answer. Every protocol is
written once and every method runs under all of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence

#: Float RGB image, (H, W, 3), in [0, 1].
Image = NDArray[np.float32]
Scores = dict[str, float]
Panel = tuple[str, Image]


class Reference(NamedTuple):
    """An annotated image."""

    #: (H, W, 3): RGB from 0 to 1.
    image: Image
    #: (H, W): annotation, as large as the image.
    labels: NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """Two images with what is known about them."""

    #: Name in the list of scores.
    name: str
    #: What the pair is averaged with, '' for all.
    group: str
    #: ``source``, ``target``: (H, W, 3): the images, which is all that most
    #: methods may look at.
    source: Image
    target: Image
    #: What the protocol scores with; never shown to a method.
    truth: Any
    #: Where labels are carried: the annotated images, the source first. A
    #: method may use all of them.
    references: tuple[Reference, ...] = ()
    #: Where a film is followed: all of it, the annotated source first and the
    #: target last.
    frames: Sequence[Image] = ()
    #: (Hs, Ws): Labels of the source, each of which moves as one, for methods
    #: that are told so.
    regions: NDArray[Any] | None = None
    #: (K, 2) each: points of the source and where they lie in the target, row
    #: and column in pixels. The answer is corrected by them.
    landmarks: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None


class JudgedPoints(NamedTuple):
    """Points, the confidence they were given, and whether they are right."""

    #: (N,): what the method said, from 0 to 1.
    confidence: NDArray[np.floating]
    #: (N,): what the truth says.
    right: NDArray[np.bool_]


@dataclass(frozen=True)
class Answer:
    """What a method says of a pair."""

    #: Both fields, and the transferred image if the method makes one.
    correspondence: Correspondence
    #: Labels on the target's grid, of a method that carries them by more than
    #: the correspondence. By default the correspondence warps the annotation
    #: of the source.
    labels: NDArray[Any] | None = None
    #: Where a film is followed: labels of every frame but the first.
    series: Sequence[NDArray[Any]] = ()
    #: The method's own estimate of the labels' IoU, from 0 to 1.
    quality: float | None = None
    #: State after so many iterations, for methods that iterate and were asked
    #: for them.
    partial: Mapping[int, Correspondence] = field(default_factory=dict)
    #: The answer of a method that does more with landmarks than to bend its
    #: fields to them.
    corrected: Correspondence | None = None
    #: Cosegmentation of source and target, for methods that make one.
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None
    #: Seconds that were spent on `partial`, which are not the method's.
    paused: float = 0.0

    def carried_labels(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Labels of the source on the target's grid.

        ``labels`` (Hs, Ws): annotation of the source. Returns: (Ht, Wt): what
        the method carried itself, else `labels` warped by the correspondence.
        """
        if self.labels is not None:
            return self.labels
        return np.asarray(self.correspondence.warp_labels(labels))


class Method(ABC):
    """Anything that finds correspondence between two images.

    A method may look at the two images of a pair, and at its references.
    """

    name: str
    #: Distributions that the figures depend on.
    packages: tuple[str, ...] = ()

    def prepare(self) -> None:  # noqa: B027
        """Import and load what is needed, once and outside the clock."""

    def details(self) -> dict[str, Any]:
        """Say what else distinguishes the figures.

        Returns: options, weights and the like, as JSON can hold them.
        """
        return {}

    @abstractmethod
    def answer(self, pair: Pair) -> Answer:
        """Correspondence of a pair, from its images and references alone.

        ``pair``: the images; its truth is not looked at. Returns: fields in
        both directions, with what else the method makes.
        """

    def follow(self, pair: Pair) -> Answer:
        """Carry the labels of a film's first frame through all of it.

        By default every frame is answered on its own, as a pair with the
        first one.

        Returns: the answer for the last frame, with the labels of all as
        `series`.
        """
        (reference,) = pair.references
        series = []
        for frame in islice(pair.frames, 1, None):
            answer = self.answer(replace(pair, target=frame, frames=()))
            series.append(answer.carried_labels(reference.labels))
        return replace(answer, series=series)


class IterativeMethod(Method):
    """A method whose states in between can be scored as well."""

    @abstractmethod
    def trace(self, pair: Pair, iterations: Sequence[int]) -> Answer:
        """Answer with the states in between.

        Returns: the answer with an entry of `partial` for each of these
        numbers.
        """


class Protocol(ABC):
    """Pairs with ground truth, and how an answer is scored."""

    #: Name on the command line.
    name: ClassVar[str]
    #: Score that ranks the pairs in the report.
    ranking: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    #: States in between that are scored as well.
    iterations: ClassVar[tuple[int, ...]] = ()
    #: Methods that run when none are named.
    default_methods: ClassVar[tuple[str, ...]] = ('samnet', 'identity')

    @abstractmethod
    def __len__(self) -> int:
        """Number of pairs."""

    @abstractmethod
    def load(self, index: int) -> Pair:
        """Read one pair.

        Raises InputError if a file cannot be read or does not fit the others.
        """

    @abstractmethod
    def score(self, pair: Pair, answer: Answer) -> Scores:
        """Score an answer.

        Returns: scores by the name of the measure; one that is undefined for
        this pair is left out or NaN.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Say what a reader must know to compare the figures."""

    def judge(
        self,
        pair: Pair,  # noqa: ARG002
        answer: Answer,  # noqa: ARG002
    ) -> JudgedPoints | None:
        """Compare the confidence of an answer with the truth.

        Returns: one entry per point of the pair; None where the protocol has
        no points to ask about.
        """
        return None

    def summary(
        self, scores: Sequence[Scores], groups: Sequence[str]
    ) -> dict[str, Any]:
        """Average over the pairs, and over those of each group.

        ``scores``: of :meth:`score`, one per pair.
        ``groups``: group of each pair, '' where it has none.
        Returns: mean of every score; under ``groups`` the same of each group,
        with its number of pairs.
        """
        result: dict[str, Any] = _means(scores)
        names = sorted({group for group in groups if group})
        if names:
            result['groups'] = {
                name: {
                    **_means(
                        [
                            score
                            for score, group in zip(
                                scores, groups, strict=True
                            )
                            if group == name
                        ]
                    ),
                    'pairs': groups.count(name),
                }
                for name in names
            }
        return result

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        """Draw one pair for the report."""
        match = answer.correspondence
        panels: list[Panel] = [
            ('source', pair.source),
            ('target', pair.target),
            ('target on source', match.warp_image(pair.target, to='source')),
            ('source on target', match.warp_image(pair.source, to='target')),
        ]
        return panels


def _means(scores: Sequence[Scores]) -> dict[str, Any]:
    """Mean of every score over the pairs where it is defined."""
    result: dict[str, Any] = {}
    for name in dict.fromkeys(key for score in scores for key in score):
        values = [score[name] for score in scores if name in score]
        finite = [value for value in values if math.isfinite(value)]
        # JSON knows no NaN, and a score that no pair has is unknown.
        result[name] = round(float(np.mean(finite)), 5) if finite else None
    return result
