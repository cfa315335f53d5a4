"""Where pairs are matched: here, in processes beside it, elsewhere."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from typing import Any, Protocol
from uuid import uuid4

from napari_samnet.arrays.tiles import cores
from napari_samnet.batch.pairs import BatchPair
from napari_samnet.batch.work import BatchSettings, PairResult, process_pair
from napari_samnet.errors import InputError, in_one_line

#: Pairs per worker that are handed out, so that it never waits for one.
PAIRS_AHEAD = 2

#: Seconds to wait for a scheduler and its first worker.
CONNECT_TIMEOUT = 30


#: What libraries that compute read how many threads to use from.
THREAD_LIMITS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')

#: Setting of dask: the environment that workers start with.
BEFORE_START = 'distributed.nanny.pre-spawn-environ'

#: Dask has workers give memory back at once, so that the arrays of each pair
#: are new to the system: matching then takes two to three times as long.
KEPT_MEMORY = {
    'MALLOC_TRIM_THRESHOLD_': str(1 << 28),
    'MALLOC_MMAP_THRESHOLD_': str(1 << 25),
}


@dataclass(frozen=True)
class WorkerInfo:
    """Description of a process that matches pairs."""

    #: Name of its computer.
    host: str
    #: Threads that it uses for each pair.
    threads: int
    #: Its largest memory so far in millions of bytes; None where the system
    #: does not tell.
    peak_mb: float | None
    #: Version of this package.
    version: str


class WorkerPool(Protocol):
    """A set of processes that match pairs."""

    def workers(self) -> list[WorkerInfo]:
        """Describe the processes that belong to it now."""

    def process(self, pairs: Iterable[BatchPair]) -> Iterator[PairResult]:
        """Match pairs and write their folders, in any order."""


def describe() -> WorkerInfo:
    """Describe this process as a worker."""
    import torch

    from napari_samnet.runtime.memory import peak_mb

    peak = peak_mb()
    return WorkerInfo(
        platform.node(),
        torch.get_num_threads(),
        None if peak is None else round(peak, 1),
        version('napari-samnet'),
    )


class LocalPool:
    """This process, one pair after another."""

    def __init__(self, settings: BatchSettings) -> None:
        self._settings = settings

    def workers(self) -> list[WorkerInfo]:
        """Describe this process."""
        return [describe()]

    def process(self, pairs: Iterable[BatchPair]) -> Iterator[PairResult]:
        """Match pairs in their order."""
        for pair in pairs:
            yield process_pair(pair, self._settings)


class _DaskPool:
    """Workers of a dask scheduler."""

    def __init__(self, client: Any, settings: BatchSettings) -> None:
        self._client = client
        self._settings = settings
        self._run = uuid4().hex

    def workers(self) -> list[WorkerInfo]:
        """Describe all workers, but those that end meanwhile."""
        answers = self._client.run(describe, on_error='return').values()
        for answer in answers:
            if isinstance(answer, ImportError):
                raise answer
        return [a for a in answers if isinstance(a, WorkerInfo)]

    def _submit(self, pair: BatchPair) -> Any:
        return self._client.submit(
            process_pair,
            pair,
            self._settings,
            key=f'{pair.name}-{self._run}',
            pure=False,
        )

    def process(self, pairs: Iterable[BatchPair]) -> Iterator[PairResult]:
        """Match pairs, never more than a few ahead of the workers."""
        from distributed import as_completed

        todo = iter(pairs)
        waiting: dict[Any, BatchPair] = {}
        ended = as_completed(loop=self._client.loop)
        while True:
            # Workers may come and go.
            room = PAIRS_AHEAD * sum(self._client.nthreads().values()) or 1
            for pair in islice(todo, max(0, room - len(waiting))):
                future = self._submit(pair)
                waiting[future] = pair
                ended.add(future)
            if not waiting:
                return
            future = next(ended)
            yield self._result(future, waiting.pop(future))
            future.release()

    def _result(self, future: Any, pair: BatchPair) -> PairResult:
        if self._client.status != 'running' or future.cancelled():
            raise InputError(
                'the connection to the scheduler is lost; give the same '
                'command again to go on'
            )
        error = future.exception()
        if error is None:
            result: PairResult = future.result()
            return result
        kind = type(error).__name__
        reason = in_one_line(error)
        if kind == 'KilledWorker':
            reason = 'the worker was killed each time, perhaps for memory'
        return PairResult(pair, f'{kind}: {reason}')


@contextmanager
def open_pool(
    settings: BatchSettings, *, workers: int, scheduler: str | None
) -> Iterator[WorkerPool]:
    """Call those who do the pairs, and send them home at the end.

    ``workers``: processes on this computer; up to 1, this process itself.
    ``scheduler``: address of a dask scheduler whose workers do it instead.
    Raises InputError if there is no dask, no scheduler at the address, no
    worker within 30 seconds, or one of another version.
    """
    if scheduler is None and workers < 2:
        yield LocalPool(settings)
        return
    if find_spec('distributed') is None:
        raise InputError(
            'more than one worker needs dask.distributed: pip install '
            "'napari-samnet[batch]'"
        )
    from dask import config as dask_config
    from distributed import Client, LocalCluster

    logging.getLogger('distributed').setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        if scheduler is None:
            # As many threads as leave none of them waiting for a core.
            threads = max(1, cores() // workers)
            limits = dict.fromkeys(THREAD_LIMITS, str(threads))
            # Not as the cluster's `env`, which comes too late for memory.
            stack.enter_context(
                dask_config.set({BEFORE_START: limits | KEPT_MEMORY})
            )
            place: Any = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    # One pair at a time needs no more than that pair; dask
                    # would halt workers for what torch keeps.
                    memory_limit=0,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            )
        else:
            place = scheduler
        try:
            # Not as dask's default client: all that dask computes in this
            # process would be sent to it, even without any worker.
            client = stack.enter_context(
                Client(place, timeout=CONNECT_TIMEOUT, set_as_default=False)
            )
            client.wait_for_workers(1, timeout=CONNECT_TIMEOUT)
        except (OSError, TimeoutError, ValueError, TypeError) as error:
            raise InputError(
                f'no scheduler with workers at {scheduler}: '
                f'{in_one_line(error)}'
            ) from error
        pool = _DaskPool(client, settings)
        if scheduler is not None:
            _check_versions(pool)
        yield pool


def _check_versions(pool: _DaskPool) -> None:
    """Refuse workers that would not do the same."""
    here = version('napari-samnet')
    try:
        versions = {worker.version for worker in pool.workers()}
    except ImportError as error:
        raise InputError(
            f'the workers have no napari-samnet {here}: {in_one_line(error)}'
        ) from error
    if versions != {here}:
        raise InputError(
            f'the workers must have napari-samnet {here}, as here, got '
            f'{", ".join(sorted(versions - {here}))}'
        )
