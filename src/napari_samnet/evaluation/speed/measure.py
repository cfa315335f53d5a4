"""``benchmark speed``: what each fast path gains, and what it costs.

All variants and the baselines run in turn, in one process, on the same pairs,
round after round, so that whatever else the machine does meets them alike.
Figures are medians over the rounds.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np
import torch

from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import (
    Answer,
    Method,
    Pair,
    Protocol,
    package_versions,
    spread,
)
from napari_samnet.evaluation.methods.base import from_fields
from napari_samnet.evaluation.methods.registry import get_methods
from napari_samnet.evaluation.speed.models import Models, Variant
from napari_samnet.evaluation.speed.processes import fresh_runs, large_labels
from napari_samnet.evaluation.speed.scaling import Scaling, exponent
from napari_samnet.evaluation.speed.statistics import (
    deviation,
    means,
    medians,
    worst,
)
from napari_samnet.evaluation.speed.variants import (
    Found,
    run_variant,
    variants,
)
from napari_samnet.images.rgb import to_working
from napari_samnet.options import MatchOptions

__all__ = ['SpeedRequest', 'measure']

#: Other packages that run on the same pairs.
BASELINES = ('tvl1', 'ilk', 'dis', 'elastix')

#: Iterations whose cost is listed.
COUNTS = (1, 3, 10)

#: Which ratio of the results is whose.
RATIOS = {
    'speedup_default': 'default',
    'speedup_correspondence_only': 'correspondence_only',
    'speedup_int8': 'default_int8',
}

Tell = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class SpeedRequest:
    """What is measured.

    Parameters
    ----------
    options : MatchOptions
        What the default is.
    protocol : Protocol
        Brings the pairs and scores them.
    repeats : int
        Rounds at least; every pair has one.
    pairs : int
        How many pairs, evenly spread over the protocol's.
    sizes : tuple of int
        Working sizes of the scaling.
    quick : bool
        A few seconds instead of minutes: fewer and smaller runs, and of the
        baselines TV-L1 alone.
    """

    options: MatchOptions
    protocol: Protocol
    repeats: int = 3
    pairs: int = 3
    sizes: tuple[int, ...] = (128, 256, 512, 1024)
    quick: bool = False


@dataclass
class _Record:
    """What the rounds found for a variant or a baseline."""

    text: str
    seconds: list[float] = field(default_factory=list)
    core_seconds: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    deviations: list[dict[str, float]] = field(default_factory=list)


def measure(request: SpeedRequest, tell: Tell) -> dict[str, Any]:
    """Measure everything.

    Parameters
    ----------
    request : SpeedRequest
        What.
    tell : callable
        Told what is done next.

    Returns
    -------
    dict
        JSON-able, see ``docs/speed.md``.
    """
    chosen = spread(len(request.protocol), request.pairs)
    pairs = [request.protocol.load(index) for index in chosen]
    models = Models()
    rounds = _Rounds(request, models, tell)
    tell('warming up')
    rounds.warm_up(pairs[0])
    for index in range(max(request.repeats, len(pairs))):
        rounds.run(pairs[index % len(pairs)], first=index < len(pairs))
    result = rounds.result()
    scaling = Scaling(
        rounds.known,
        models,
        pairs[0],
        runs=1 if request.quick else min(3, request.repeats),
        tell=tell,
    )
    result['iterations'] = scaling.iterations(
        COUNTS[:2] if request.quick else COUNTS
    )
    result['sizes'] = scaling.sizes(request.sizes)
    result['pixels_exponent'] = exponent(
        {
            int(size) ** 2: row['default']
            for size, row in result['sizes'].items()
        }
    )
    result['devices'] = scaling.devices()
    tell('fresh processes')
    result['fresh'] = fresh_runs(
        request.options, [] if request.quick else request.sizes
    )
    result['peak_mb'] = result['fresh']['peak_mb']
    tell('labels of large images')
    result['labels'] = large_labels(2048 if request.quick else 8192)
    return result | _setting(request, len(pairs))


class _Rounds:
    """Variants and baselines, one after the other, on one pair at a time."""

    def __init__(
        self, request: SpeedRequest, models: Models, tell: Tell
    ) -> None:
        self._request = request
        self._models = models
        self._tell = tell
        self._missing: dict[str, str] = {}
        self._variants = variants(request.options, self._missing)
        self._records = {
            variant.name: _Record(variant.text) for variant in self._variants
        }
        self._methods: list[Method] = []
        for name in BASELINES[:1] if request.quick else BASELINES:
            (method,) = get_methods([name], request.options)
            try:
                method.prepare()
            except InputError as error:
                self._missing[name] = str(error)
                continue
            self._methods.append(method)
        self._others = {
            method.name: _Record(method.name) for method in self._methods
        }
        self._common: list[dict[str, float]] = []

    @property
    def known(self) -> dict[str, Variant]:
        """The variants by name."""
        return {variant.name: variant for variant in self._variants}

    def warm_up(self, pair: Pair) -> None:
        """Load networks, and let the libraries choose their kernels."""
        small = self._small(pair)
        for variant in self._variants:
            once = replace(
                variant, options=replace(variant.options, iterations=1)
            )
            run_variant(self._models, once, small, pair.source)
        for method in self._methods:
            method.answer(pair)

    def _small(self, pair: Pair) -> tuple[Any, Any]:
        size = self._request.options.size
        return to_working(pair.source, size=size), to_working(
            pair.target, size=size
        )

    def run(self, pair: Pair, *, first: bool) -> None:
        """One round; a pair is scored the first time."""
        start = time.perf_counter()
        small = self._small(pair)
        shrunk = time.perf_counter() - start
        reference: Found | None = None
        answer = None
        for variant in self._variants:
            self._tell(f'{pair.name}: {variant.text}')
            found = run_variant(self._models, variant, small, pair.source)
            record = self._records[variant.name]
            record.seconds.append(found.seconds)
            record.core_seconds.append(found.core_seconds)
            record.stages.append(found.stages)
            record.iterations.append(found.iterations)
            answer = _answer(pair, found)
            reference = reference or found
            if first:
                record.scores.append(
                    self._request.protocol.score(pair, answer)
                )
                record.deviations.append(
                    deviation(found, reference, self._request.options.size)
                )
        if answer is not None:
            rows, columns = pair.source.shape[:2]
            labels = np.zeros((rows, columns), np.int32)
            labels[rows // 4 : -rows // 4, columns // 4 : -columns // 4] = 1
            start = time.perf_counter()
            answer.correspondence.warp_labels(labels)
            self._common.append(
                {'resize': shrunk, 'labels': time.perf_counter() - start}
            )
        for method in self._methods:
            self._tell(f'{pair.name}: {method.name}')
            start = time.perf_counter()
            other = method.answer(pair)
            # They answer both directions.
            seconds = (time.perf_counter() - start) / 2
            self._others[method.name].seconds.append(seconds)
            if first:
                self._others[method.name].scores.append(
                    self._request.protocol.score(pair, other)
                )

    def result(self) -> dict[str, Any]:
        """Medians, ratios and deviations."""
        records = self._records
        seconds = {name: median(r.seconds) for name, r in records.items()}
        literal = seconds['reference']
        base = means(records['reference'].scores)
        stages = medians(records['default'].stages)
        found: dict[str, Any] = {
            key: round(literal / seconds[name], 2)
            for key, name in RATIOS.items()
            if name in seconds
        }
        found['seconds'] = {
            name: round(value, 5) for name, value in seconds.items()
        }
        found['speedup'] = {
            name: round(literal / value, 2) for name, value in seconds.items()
        }
        cores = {name: median(r.core_seconds) for name, r in records.items()}
        found['core_seconds'] = {
            name: round(value, 5) for name, value in cores.items()
        }
        found['core_speedup'] = {
            name: round(cores['reference'] / value, 2)
            for name, value in cores.items()
        }
        found['texts'] = {name: r.text for name, r in records.items()}
        found['iterations_used'] = {
            name: round(float(np.mean(r.iterations)), 2)
            for name, r in records.items()
        }
        found['stages'] = {
            name: medians(record.stages) for name, record in records.items()
        }
        common = medians(self._common)
        found['stages_default'] = {
            'resize': common['resize'],
            **stages,
            'labels': common['labels'],
        }
        found['deviation'] = {
            name: {
                **worst(record.deviations),
                **{
                    f'{key}_change': round(value - base[key], 5)
                    for key, value in means(record.scores).items()
                },
            }
            for name, record in records.items()
            if name != 'reference'
        }
        found['accuracy'] = {
            name: means(record.scores) for name, record in records.items()
        }
        found['baselines'] = {
            name: {
                'seconds': round(median(record.seconds), 5),
                'against_default': round(
                    median(record.seconds) / seconds['default'], 2
                ),
                **means(record.scores),
            }
            for name, record in self._others.items()
        }
        found['not_measured'] = dict(self._missing)
        return found


def _answer(pair: Pair, found: Found) -> Answer:
    """What one direction says, as a correspondence."""
    return Answer(
        from_fields(pair, found.forward, found.forward, found.transferred)
    )


def _setting(request: SpeedRequest, pairs: int) -> dict[str, Any]:
    """What a reader must know to compare the figures."""
    return {
        'settings': {
            'size': request.options.size,
            'iterations': request.options.iterations,
            'weights': os.path.basename(request.options.weights),
            'pairs': pairs,
            'rounds': max(request.repeats, pairs),
            'protocol': request.protocol.name,
            'quick': request.quick,
            **request.protocol.settings(),
        },
        'machine': {
            'processor': platform.machine(),
            'system': platform.system(),
            'cores': os.cpu_count(),
            'torch_threads': torch.get_num_threads(),
        },
        'versions': {
            'python': platform.python_version(),
            **package_versions(
                ('napari-samnet', 'torch', 'numpy', 'openvino', 'nncf')
            ),
        },
    }
