"""Running methods over the pairs of a protocol, and what comes out."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_samnet.datasets.calibration import calibration
from napari_samnet.errors import InputError
from napari_samnet.evaluation.interfaces import (
    IterativeMethod,
    JudgedPoints,
    Method,
    Protocol,
    Scores,
)
from napari_samnet.runtime.versions import installed_versions


@dataclass(frozen=True)
class BenchmarkRun:
    """Scores of every method on every pair."""

    #: JSON-able: protocol, number of pairs, settings, versions, and per method
    #: the mean scores, the groups and the seconds per pair.
    result: dict[str, Any]
    #: Names of the pairs.
    pairs: Sequence[str]
    #: Their places in the protocol.
    indices: Sequence[int]
    #: Per method, the scores of every pair.
    scores: Mapping[str, Sequence[Scores]]


def spread(count: int, limit: int | None) -> list[int]:
    """Indices of at most `limit` of `count` items, evenly spread.

    Raises InputError if `limit` is below 1.
    """
    if limit is None or limit >= count:
        return list(range(count))
    if limit < 1:
        raise InputError(f'limit must be at least 1, got {limit}')
    return [index * count // limit for index in range(limit)]


def run_benchmark(
    protocol: Protocol,
    methods: Sequence[Method],
    *,
    limit: int | None = None,
    on_pair: Callable[[int, int, str], None] | None = None,
) -> BenchmarkRun:
    """Score methods on the pairs of a protocol.

    ``methods``: all run on the same pairs, in the same direction.
    ``limit``: take only so many pairs, evenly spread over the list.
    ``on_pair``: told the number of pairs done, their total, and the pair's
    name.
    Raises InputError if a method or a pair cannot be used.
    """
    for method in methods:
        method.prepare()
    chosen = spread(len(protocol), limit)
    scores: dict[str, list[Scores]] = {method.name: [] for method in methods}
    judged: dict[str, list[JudgedPoints]] = {name: [] for name in scores}
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
            if pair.frames:
                answer = method.follow(pair)
            elif isinstance(method, IterativeMethod) and protocol.iterations:
                answer = method.trace(pair, protocol.iterations)
            else:
                answer = method.answer(pair)
            seconds[method.name] += time.perf_counter() - start - answer.paused
            scores[method.name].append(protocol.score(pair, answer))
            points = protocol.judge(pair, answer)
            if points is not None:
                judged[method.name].append(points)
    if on_pair is not None:
        on_pair(len(chosen), len(chosen), '')
    result = {
        'protocol': protocol.name,
        'pairs': len(chosen),
        'methods': {
            method.name: {
                **protocol.summary(scores[method.name], groups),
                **_calibration(judged[method.name]),
                'seconds_per_pair': round(
                    seconds[method.name] / len(chosen), 4
                ),
                'versions': installed_versions(method.packages),
                **method.details(),
            }
            for method in methods
        },
        'settings': protocol.settings(),
        'versions': {
            'python': platform.python_version(),
            **installed_versions(('napari-samnet', 'numpy', 'scikit-image')),
        },
    }
    return BenchmarkRun(result, names, chosen, scores)


def _calibration(judged: Sequence[JudgedPoints]) -> dict[str, Any]:
    """How true the confidence is, over the points of all pairs."""
    if not judged:
        return {}
    confidence, right = map(np.concatenate, zip(*judged, strict=True))
    return calibration(confidence, right)
