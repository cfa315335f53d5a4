"""``benchmark speed``: how long a match takes, and what takes the time.

Everything is :func:`napari_samnet.match` itself with other options, so that
what is measured is what users run. The reference, the variants and
the baselines run in turn, in one process, on the same pairs, round after
round, so that whatever else the machine does meets them alike.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from typing import Any

import numpy as np
import torch

from napari_samnet.arrays.resize import resized
from napari_samnet.arrays.tiles import cores
from napari_samnet.correspondence import Correspondence
from napari_samnet.datasets.metrics import psnr
from napari_samnet.errors import DeviceError, InputError
from napari_samnet.evaluation.benchmark import spread
from napari_samnet.evaluation.interfaces import Answer, Method, Pair
from napari_samnet.evaluation.methods.registry import get_methods
from napari_samnet.evaluation.speed.many import batch_rate, series_rate
from napari_samnet.evaluation.speed.processes import fresh_runs, large_labels
from napari_samnet.evaluation.speed.runs import (
    SpeedRequest,
    Tell,
    Variant,
    timed_run,
)
from napari_samnet.evaluation.speed.scaling import scaling
from napari_samnet.images.rgb import to_rgb
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.devices import resolve_execution_target
from napari_samnet.runtime.versions import installed_versions

#: Other packages that run on the same pairs.
BASELINES = ('tvl1', 'ilk', 'dis', 'elastix')

#: Which ratio of the results belongs to which variant.
RATIOS = {
    'speedup_default': 'default',
    'speedup_correspondence_only': 'correspondence_only',
    'speedup_int8': 'default_int8',
}


@dataclass
class _Record:
    """Runs of one variant or baseline."""

    seconds: list[float] = field(default_factory=list)
    core_seconds: list[float] = field(default_factory=list)
    stages: list[Mapping[str, float]] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    scores: list[Mapping[str, float]] = field(default_factory=list)
    deviations: list[Mapping[str, float]] = field(default_factory=list)


def variants(
    options: MatchOptions, *, quick: bool = False
) -> tuple[list[Variant], dict[str, str]]:
    """List what can run here.

    ``quick``: leave out the precisions, each of which loads a network of its
    own.
    Returns: the reference first; names of those that cannot run here,
    and why.
    """
    alone = replace(options, attributes=False)
    known = [
        Variant(
            'reference',
            'reference operators',
            replace(options, reference=True),
        ),
        Variant('default', 'default', options),
        Variant('default_cached', 'default, features kept', options, True),
        Variant(
            'default_fields',
            'default, no transferred image',
            options,
            transferred=False,
        ),
        Variant(
            'default_labels',
            'default, four labels carried',
            options,
            labeled=True,
        ),
        Variant(
            'labels_only',
            'the same, no transferred image',
            options,
            transferred=False,
            labeled=True,
        ),
        Variant('correspondence_only', 'correspondence only', alone),
        Variant(
            'no_early_stop', 'no early stop', replace(options, tolerance=0.0)
        ),
        Variant(
            'image_feedback',
            'every image decoded and encoded again',
            replace(options, feedback='image'),
        ),
    ]
    missing = {}
    for precision in () if quick else ('fp32', 'bf16', 'int8'):
        for name, text, base in (
            ('default', 'default', options),
            ('correspondence_only', 'correspondence only', alone),
        ):
            title = f'{name}_{precision}'
            chosen = replace(base, precision=precision, backend='auto')
            try:
                resolve_execution_target(chosen.device, precision, 'auto')
            except DeviceError as error:
                missing[title] = str(error)
                continue
            known.append(Variant(title, f'{text} in {precision}', chosen))
    return known, missing


def measure(request: SpeedRequest, tell: Tell) -> dict[str, Any]:
    """Measure everything.

    Returns: as JSON can hold it, see ``docs/speed.md``. Raises InputError if a
    pair, weights or the device cannot be used.
    """
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
    chosen = spread(len(request.protocol), request.pairs)
    pairs = [request.protocol.load(index) for index in chosen]
    rounds = _Rounds(request, tell)
    rounds.warm_up(pairs[0])
    for index in range(max(request.repeats, len(pairs))):
        rounds.run(pairs[index % len(pairs)], first=index < len(pairs))
    result = rounds.result()
    result |= scaling(request, pairs[0], tell)
    tell('fresh processes')
    result['fresh'] = fresh_runs(
        request.options, [] if request.quick else request.sizes
    )
    result['peak_mb'] = result['fresh']['peak_mb']
    tell('a batch: one source, many targets')
    result['batch'] = batch_rate(request.options, 4 if request.quick else 24)
    tell('a batch: a process for each core')
    if not request.quick:
        result['batch_workers'] = batch_rate(
            request.options, 96, workers=cores()
        )
    tell('a film')
    frames = 3 if request.quick else 100
    result['series'] = series_rate(request.options, frames)
    if not request.quick:
        result['series_labels'] = series_rate(request.options, 25, labels=4)
    tell('labels of large images')
    result['labels'] = large_labels(2048 if request.quick else 8192)
    return result | _setting(request, len(pairs), load)


class _Rounds:
    """Variants and baselines, one after the other, on one pair at a time."""

    def __init__(self, request: SpeedRequest, tell: Tell) -> None:
        self._request = request
        self._tell = tell
        self._variants, self._missing = variants(
            request.options, quick=request.quick
        )
        self._records = {v.name: _Record() for v in self._variants}
        self._methods: list[Method] = []
        for name in BASELINES[:1] if request.quick else BASELINES:
            (method,) = get_methods([name], request.options)
            try:
                method.prepare()
            except InputError as error:
                self._missing[name] = str(error)
                continue
            self._methods.append(method)
        self._others = {method.name: _Record() for method in self._methods}

    def warm_up(self, pair: Pair) -> None:
        """Load networks, and let the libraries choose their kernels."""
        self._tell('warming up')
        for variant in self._variants:
            once = replace(variant.options, iterations=1)
            timed_run(variant._replace(options=once), pair)
        for method in self._methods:
            method.answer(pair)

    def run(self, pair: Pair, *, first: bool) -> None:
        """Run everything on a pair, which is scored the first time."""
        reference: Correspondence | None = None
        score = self._request.protocol.score
        for variant in self._variants:
            self._tell(f'{pair.name}: {variant.text}')
            run, record = timed_run(variant, pair), self._records[variant.name]
            reference = reference or run.match
            record.seconds.append(run.seconds)
            record.core_seconds.append(run.core_seconds)
            record.stages.append(run.match.metadata['stages'])
            record.iterations.append(run.match.metadata['iterations_used'])
            if first:
                record.scores.append(score(pair, Answer(run.match)))
                record.deviations.append(
                    _deviation(run.match, reference, self._request.options)
                )
        for method in self._methods:
            self._tell(f'{pair.name}: {method.name}')
            start = time.perf_counter()
            answer = method.answer(pair)
            record = self._others[method.name]
            record.seconds.append(time.perf_counter() - start)
            if first:
                record.scores.append(score(pair, answer))

    def result(self) -> dict[str, Any]:
        """Medians, ratios and deviations."""
        records = self._records
        seconds = {name: median(r.seconds) for name, r in records.items()}
        cores = {name: median(r.core_seconds) for name, r in records.items()}
        base = _combined(records['reference'].scores, fmean)
        accuracy = {
            name: _combined(record.scores, fmean)
            for name, record in records.items()
        }
        return {
            **{
                key: round(seconds['reference'] / seconds[name], 2)
                for key, name in RATIOS.items()
                if name in seconds
            },
            'texts': {v.name: v.text for v in self._variants},
            'seconds': {n: round(value, 5) for n, value in seconds.items()},
            'core_seconds': {n: round(value, 5) for n, value in cores.items()},
            'iterations_used': {
                name: round(fmean(record.iterations), 2)
                for name, record in records.items()
            },
            'stages': {
                name: _combined(record.stages, median)
                for name, record in records.items()
            },
            'deviation': {
                name: {
                    **_combined(record.deviations, fmean),
                    **{
                        f'{key}_change': round(value - base[key], 5)
                        for key, value in accuracy[name].items()
                    },
                }
                for name, record in records.items()
                if name != 'reference'
            },
            'accuracy': accuracy,
            'baselines': {
                name: {
                    'seconds': round(median(record.seconds), 5),
                    **_combined(record.scores, fmean),
                }
                for name, record in self._others.items()
            },
            'not_measured': dict(self._missing),
        }


def _deviation(
    match: Correspondence, reference: Correspondence, options: MatchOptions
) -> dict[str, float]:
    """How far a field and an image are from the reference's."""
    # Fields that were refined are finer than the reference's cells.
    rows, columns = reference.forward.shape[:2]
    apart = resized(match.forward, rows, columns) - reference.forward
    distance = np.linalg.norm(apart, axis=-1) * options.size
    values = {
        'max_px': float(distance.max()),
        'mean_px': float(distance.mean()),
    }
    if match.transferred is not None and reference.transferred is not None:
        images = [to_rgb(m.transferred) for m in (match, reference)]
        everywhere = np.ones(images[0].shape[:2], bool)
        values['psnr_db'] = psnr(images[0], images[1], everywhere)
    return values


def _combined(
    rows: Sequence[Mapping[str, float]],
    combine: Callable[[Sequence[float]], float],
) -> dict[str, float]:
    """Mean or median of every entry over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: round(combine([row[name] for row in rows if name in row]), 5)
        for name in names
    }


def _setting(
    request: SpeedRequest, pairs: int, load: float | None
) -> dict[str, Any]:
    """What a reader must know to compare the figures.

    ``load``: processes that ran or waited for a core before, if known.
    """
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
            'load_before': None if load is None else round(load, 1),
        },
        'versions': {
            'python': platform.python_version(),
            **installed_versions(
                ('napari-samnet', 'torch', 'numpy', 'openvino', 'nncf')
            ),
        },
    }
