"""Running methods over the pairs of a protocol, and what comes out.

A :class:`Method` answers a pair of images with a correspondence; a
:class:`Protocol` brings the pairs and scores an answer. Every protocol is
written once and every method runs under all of them.
"""

from __future__ import annotations

import math
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError

__all__ = [
    'Answer',
    'IterativeMethod',
    'Method',
    'Outcome',
    'Pair',
    'Protocol',
    'package_versions',
    'run',
    'spread',
]

#: Float RGB image, (H, W, 3), in [0, 1].
Image = NDArray[np.float32]
Scores = dict[str, float]
Panel = tuple[str, Image]


@dataclass(frozen=True)
class Pair:
    """Two images with what is known about them."""

    name: str
    group: str
    source: Image
    target: Image
    truth: Any


@dataclass(frozen=True)
class Answer:
    """What a method found for a pair.

    Parameters
    ----------
    correspondence : Correspondence
        Both fields, and the transferred image if the method makes one.
    partial : mapping of int to Correspondence
        State after so many iterations, for methods that iterate and were
        asked for them.
    masks : pair of ndarray of bool, optional
        Cosegmentation of source and target, for methods that make one.
    paused : float
        Seconds that were spent on `partial`, which are not the method's.
    """

    correspondence: Correspondence
    partial: Mapping[int, Correspondence] = field(default_factory=dict)
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None
    paused: float = 0.0


class Method(ABC):
    """Anything that finds correspondence between two images."""

    name: str
    #: Distributions that the figures depend on.
    packages: tuple[str, ...] = ()

    def prepare(self) -> None:  # noqa: B027
        """Import and load what is needed, once and outside the clock."""

    def details(self) -> dict[str, Any]:
        """Return what else distinguishes the figures, JSON-able."""
        return {}

    @abstractmethod
    def answer(self, pair: Pair) -> Answer:
        """Correspondence of a pair; only its two images may be looked at."""


class IterativeMethod(Method):
    """A method whose states in between can be scored as well."""

    @abstractmethod
    def trace(self, pair: Pair, iterations: Sequence[int]) -> Answer:
        """Answer with the states after so many iterations."""


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
        """Read one pair."""

    @abstractmethod
    def score(self, pair: Pair, answer: Answer) -> Scores:
        """Scores of one pair."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What a reader must know to compare the figures."""

    def summary(
        self, scores: Sequence[Scores], groups: Sequence[str]
    ) -> dict[str, Any]:
        """Means over the pairs, and per group where pairs have one."""
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
        """Pictures of one pair for the report, each with its title."""
        found = answer.correspondence
        panels: list[Panel] = [
            ('source', pair.source),
            ('target', pair.target),
            ('target on source', found.warp_image(pair.target, to='source')),
            ('source on target', found.warp_image(pair.source, to='target')),
        ]
        return panels


@dataclass(frozen=True)
class Outcome:
    """Scores of every method on every pair.

    Parameters
    ----------
    result : dict
        JSON-able: protocol, number of pairs, settings, versions, and per
        method the mean scores, the groups and the seconds per pair.
    pairs : sequence of str
        Names of the pairs.
    indices : sequence of int
        Their places in the protocol.
    scores : mapping of str to sequence of dict
        Per method, the scores of every pair.
    """

    result: dict[str, Any]
    pairs: Sequence[str]
    indices: Sequence[int]
    scores: Mapping[str, Sequence[Scores]]


def spread(count: int, limit: int | None) -> list[int]:
    """Indices of at most `limit` of `count` items, evenly spread.

    Parameters
    ----------
    count : int
        Number of items.
    limit : int, optional
        How many to take, all by default.

    Returns
    -------
    list of int
        Ascending, starting with the first item.

    Raises
    ------
    InputError
        If `limit` is below 1.
    """
    if limit is None or limit >= count:
        return list(range(count))
    if limit < 1:
        raise InputError(f'limit must be at least 1, got {limit}')
    return [index * count // limit for index in range(limit)]


def package_versions(names: Sequence[str]) -> dict[str, str]:
    """Installed versions of distributions, the missing ones left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def run(
    protocol: Protocol,
    methods: Sequence[Method],
    *,
    limit: int | None = None,
    on_pair: Callable[[int, int, str], None] | None = None,
) -> Outcome:
    """Score methods on the pairs of a protocol.

    Parameters
    ----------
    protocol : Protocol
        Brings the pairs.
    methods : sequence of Method
        All run on the same pairs, in the same direction.
    limit : int, optional
        Take only so many pairs, evenly spread over the list.
    on_pair : callable, optional
        Told the number of pairs done, their total, and the pair's name.

    Returns
    -------
    Outcome
        The means and the scores of every pair.

    Raises
    ------
    InputError
        If a method or a pair cannot be used.
    """
    for method in methods:
        method.prepare()
    chosen = spread(len(protocol), limit)
    scores: dict[str, list[Scores]] = {method.name: [] for method in methods}
    seconds = dict.fromkeys(scores, 0.0)
    names, groups = [], []
    for done, index in enumerate(chosen):
        pair = protocol.load(index)
        names.append(pair.name)
        groups.append(pair.group)
        if on_pair is not None:
            on_pair(done, len(chosen), pair.name)
        for method in methods:
            start = time.perf_counter()
            if isinstance(method, IterativeMethod) and protocol.iterations:
                answer = method.trace(pair, protocol.iterations)
            else:
                answer = method.answer(pair)
            seconds[method.name] += time.perf_counter() - start - answer.paused
            scores[method.name].append(protocol.score(pair, answer))
    if on_pair is not None:
        on_pair(len(chosen), len(chosen), '')
    result = {
        'protocol': protocol.name,
        'pairs': len(chosen),
        'methods': {
            method.name: {
                **protocol.summary(scores[method.name], groups),
                'seconds_per_pair': round(
                    seconds[method.name] / len(chosen), 4
                ),
                'versions': package_versions(method.packages),
                **method.details(),
            }
            for method in methods
        },
        'settings': protocol.settings(),
        'versions': {
            'python': platform.python_version(),
            **package_versions(('napari-samnet', 'numpy', 'scikit-image')),
        },
    }
    return Outcome(result, names, chosen, scores)


def _means(scores: Sequence[Scores]) -> dict[str, Any]:
    """Mean of every score over the pairs where it is defined."""
    result: dict[str, Any] = {}
    for name in dict.fromkeys(key for score in scores for key in score):
        values = [score[name] for score in scores if name in score]
        finite = [value for value in values if math.isfinite(value)]
        # JSON knows no NaN, and a score that no pair has is unknown.
        result[name] = round(float(np.mean(finite)), 5) if finite else None
    return result
