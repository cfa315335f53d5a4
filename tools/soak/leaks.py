"""Memory, threads, open files and temporary files over a long run."""

from __future__ import annotations

import ctypes
import gc
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError

#: Growth of memory, over all runs counted, that is taken for a leak.
LARGEST_GROWTH = 24 * 2**20

#: Runs at the beginning that do not count: caches fill.
WARM_SHARE = 0.25


#: glibc's number for the largest number of arenas.
_ARENA_MAX = -8

#: Where torch keeps compiled code, made once by importing its optimizers.
_TORCH_CACHE = 'torchinductor'


@dataclass(frozen=True)
class Sample:
    """What the process holds."""

    #: Number of runs done before.
    run: int
    #: Resident memory in bytes.
    memory: int
    #: ``threads``, ``files``: threads of Python, and open file descriptors.
    threads: int
    files: int
    #: Names in the folder for temporary files.
    temporary: tuple[str, ...]


@dataclass
class Meter:
    """Takes samples, and judges them at the end."""

    #: Where temporary files go meanwhile.
    folder: Path
    #: Runs at the beginning that do not count, but at least a quarter of all.
    warm: int = 0
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._process = _process()
        self._trim = _trimmer()

    def sample(self, run: int) -> Sample:
        """Look at the process, with everything given back that can be."""
        gc.collect()
        self._trim()
        made = Sample(
            run=run,
            memory=self._process.memory_info().rss,
            threads=threading.active_count(),
            files=_open_files(self._process),
            temporary=tuple(
                sorted(
                    path.name
                    for path in self.folder.iterdir()
                    if not path.name.startswith(_TORCH_CACHE)
                )
            ),
        )
        self.samples.append(made)
        return made

    def leaks(self) -> list[str]:
        """Say what grew; nothing if nothing did."""
        first = _counted(self.samples, self.warm)[0]
        last = self.samples[-1]
        leaks = []
        growth, slope = memory_growth(self.samples, self.warm)
        if growth > LARGEST_GROWTH:
            leaks.append(
                f'memory grew by {growth / 2**20:.0f} MB, {slope / 1024:.0f} '
                f'kB per run'
            )
        for name in ('threads', 'files'):
            before, after = getattr(first, name), getattr(last, name)
            if after > before:
                leaks.append(f'{name}: {before} before, {after} after')
        if last.temporary:
            leaks.append(f'temporary files: {", ".join(last.temporary)}')
        return leaks


def _counted(samples: list[Sample], warm: int) -> list[Sample]:
    """Those after warming up; the last one at least."""
    rest = samples[int(len(samples) * WARM_SHARE) :]
    return [sample for sample in rest if sample.run > warm] or rest[-1:]


def memory_growth(samples: list[Sample], warm: int = 0) -> tuple[float, float]:
    """Fit a line to the memory of the runs after warming up.

    ``samples``: samples in order, at least two.
    ``warm``: runs at the beginning that do not count.
    Returns: ``growth``: bytes over the runs counted; ``slope``: bytes per run.
    """
    counted = _counted(samples, warm)
    runs = np.array([sample.run for sample in counted], float)
    memory = np.array([sample.memory for sample in counted], float)
    if len(counted) < 3 or np.ptp(runs) == 0:
        return 0.0, 0.0
    slope = float(np.polyfit(runs, memory, 1)[0])
    return slope * float(np.ptp(runs)), slope


def peak_memory() -> int:
    """Most bytes that were resident so far; 0 where that is not known."""
    try:
        import resource
    except ImportError:
        # Windows has none.
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else 1024 * peak


@contextmanager
def own_temporaries() -> Iterator[Path]:
    """Send all temporary files to a folder of their own."""
    with tempfile.TemporaryDirectory() as name:
        before, tempfile.tempdir = tempfile.tempdir, name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before


def _process() -> Any:
    try:
        import psutil
    except ImportError:
        raise InputError(
            'this needs psutil: pip install "napari-samnet[test]"'
        ) from None
    return psutil.Process()


def _open_files(process: Any) -> int:
    """Descriptors, or handles on Windows."""
    if hasattr(process, 'num_fds'):
        return int(process.num_fds())
    return int(process.num_handles())


def _trimmer() -> Any:
    """Give freed memory back, so that what is left is held."""
    if sys.platform == 'linux':
        library = ctypes.CDLL(None)
        if hasattr(library, 'malloc_trim'):
            # Every thread would have its own arena, with holes in each.
            library.mallopt(_ARENA_MAX, 1)
            return lambda: library.malloc_trim(0)
    return lambda: None
