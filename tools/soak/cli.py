"""``python -m soak soak``: random runs for some time, leaks measured."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError
from soak.leaks import Meter, memory_growth, own_temporaries

#: Runs until every kind of network and trial has been there, about.
WARM = 100

#: Runs between two looks at memory, threads and files.
EVERY = 5


@dataclass
class SoakReport:
    """What came of the runs."""

    #: ``runs``, ``faults``: runs made, and those of them in which something
    #: was wrong.
    runs: int = 0
    faults: int = 0
    #: Runs by what was tried.
    trials: Counter[str] = field(default_factory=Counter)
    #: Promises that were broken, with the number of the run.
    failures: list[str] = field(default_factory=list)
    #: What the process holds more of than before.
    leaks: list[str] = field(default_factory=list)
    #: ``growth``, ``slope``: of the memory: bytes over the runs counted, and
    #: per run.
    growth: float = 0.0
    slope: float = 0.0
    #: How long it took.
    seconds: float = 0.0

    def lines(self) -> list[str]:
        """Say it for people."""
        out = [
            f'{name.replace("_", " "):<16} {count:>6}'
            for name, count in sorted(self.trials.items())
        ]
        out += [
            f'{self.runs} runs in {self.seconds:.0f} s, {self.faults} with a '
            f'fault, {len(self.failures)} not as promised',
            f'memory: {self.growth / 2**20:+.1f} MB over the runs counted, '
            f'{self.slope / 1024:+.1f} kB per run',
            f'leaks: {len(self.leaks) or "none"}',
        ]
        return out + self.leaks + self.failures


def soak(
    *,
    seconds: float = np.inf,
    runs: float = np.inf,
    seed: int = 0,
    faults: bool = True,
    progress: Any = None,
) -> SoakReport:
    """Make random runs, one after another.

    ``seed``: of all random numbers: a run is the same wherever it is made.
    ``progress``: called with the report after every run.
    """
    from soak.trials import TRIALS, nothing_wrong

    chosen = TRIALS if faults else {nothing_wrong: 1.0}
    kinds = list(chosen)
    shares = np.array(list(chosen.values()), float)
    report = SoakReport()
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as name,
        own_temporaries() as folder,
        _without_threads_of_dask(),
    ):
        meter = Meter(folder, WARM)
        while report.runs < runs and report.seconds < seconds:
            # Each run has its own, so that one can be made again alone.
            rng = np.random.default_rng((seed, report.runs))
            trial = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
            title = trial.__name__
            try:
                trial(rng, Path(name))
            except Exception:  # noqa: BLE001
                report.failures.append(
                    f'run {report.runs}, {title}: {traceback.format_exc()}'
                )
            report.runs += 1
            report.trials[title] += 1
            report.faults += trial is not nothing_wrong
            if report.runs % EVERY == 0:
                meter.sample(report.runs)
            report.seconds = time.perf_counter() - began
            if progress is not None:
                progress(report)
        meter.sample(report.runs)
        report.leaks = meter.leaks()
        report.growth, report.slope = memory_growth(meter.samples, WARM)
    return report


def _without_threads_of_dask() -> AbstractContextManager[Any]:
    """Lazy images are computed in the caller's thread.

    dask keeps its pools, and some memory for every thread that has asked.
    """
    if find_spec('dask') is None:
        return nullcontext()
    from dask import config

    context: AbstractContextManager[Any] = config.set(scheduler='synchronous')
    return context


def add_parser(subparsers: Any) -> None:
    """Add the command ``soak``.

    ``subparsers`` (argparse subparsers): where the command is added to the
    program.
    """
    parser = subparsers.add_parser(
        'soak',
        help='run random pairs while things go wrong (for maintainers)',
        description='Match random pairs with random settings, with faults '
        'injected, and measure memory, threads, files and temporary files. '
        'Status 1 if a promise was broken or something leaks.',
    )
    parser.add_argument(
        '--minutes', metavar='N', type=float, default=5.0, help='by default 5'
    )
    parser.add_argument(
        '--runs', metavar='N', type=int, help='stop after so many runs'
    )
    parser.add_argument('--seed', metavar='N', type=int, default=0)
    parser.add_argument(
        '--no-faults', action='store_true', help='let nothing go wrong'
    )
    parser.add_argument(
        '--json', action='store_true', help='print one JSON object'
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns: 0 if nothing was found, else 1.
    """
    if not arguments.minutes > 0 or arguments.seed < 0:
        raise InputError(
            f'minutes must be positive and seed not negative, got '
            f'{arguments.minutes:g} and {arguments.seed}'
        )
    if arguments.runs is not None and arguments.runs < 1:
        raise InputError(f'runs must be at least 1, got {arguments.runs}')
    from tqdm import tqdm

    with tqdm(file=sys.stderr, desc='soak', unit=' runs') as bar:

        def show(report: SoakReport) -> None:
            bar.set_postfix(failures=len(report.failures), refresh=False)
            bar.update()

        report = soak(
            seconds=60 * arguments.minutes,
            runs=np.inf if arguments.runs is None else arguments.runs,
            seed=arguments.seed,
            faults=not arguments.no_faults,
            progress=show,
        )
    if arguments.json:
        facts = {
            'runs': report.runs,
            'faults': report.faults,
            'trials': dict(report.trials),
            'failures': report.failures,
            'leaks': report.leaks,
            'memory_growth_bytes': round(report.growth),
            'memory_bytes_per_run': round(report.slope),
            'seconds': round(report.seconds, 1),
        }
        sys.stdout.write(json.dumps(facts, indent=2) + '\n')
    else:
        sys.stdout.write('\n'.join(report.lines()) + '\n')
    return 1 if report.failures or report.leaks else 0
