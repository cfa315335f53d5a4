"""Who does the pairs: this process, processes beside it, other computers."""

from __future__ import annotations

import logging
import os
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
from napari_samnet.batch.work import Done, Settings, do_pair
from napari_samnet.errors import InputError

__all__ = ['Alone', 'Crew', 'Hand', 'open_crew']

#: Pairs that a worker has before it, so that it never waits for one.
AHEAD = 2

#: Seconds to wait for a scheduler and its first worker.
PATIENCE = 30


@dataclass(frozen=True)
class Hand:
    """A worker.

    Parameters
    ----------
    host : str
        Its computer.
    cores : int
        Of that computer.
    at_once : int
        Pairs that it does at a time.
    threads : int
        That it uses for each.
    peak_mb : float or None
        Its largest memory so far, millions of bytes.
    version : str
        Of this package.
    """

    host: str
    cores: int
    at_once: int
    threads: int
    peak_mb: float | None
    version: str


class Crew(Protocol):
    """Those who do the pairs."""

    def hands(self) -> list[Hand]:
        """Who belongs to it now."""

    def work(self, pairs: Iterable[BatchPair]) -> Iterator[Done]:
        """Do pairs, in any order."""

    def work_alone(self, pair: BatchPair) -> Done:
        """Do one pair on all cores of one computer, while all others wait."""


def describe() -> Hand:
    """Describe this process as a worker.

    Returns
    -------
    Hand
    """
    import torch

    from napari_samnet.runtime.memory import peak_mb

    # What the computer has, whatever this process was told to use.
    count = os.cpu_count() or 1
    if hasattr(os, 'sched_getaffinity'):
        count = len(os.sched_getaffinity(0))
    peak = peak_mb()
    return Hand(
        platform.node(),
        count,
        1,
        torch.get_num_threads(),
        None if peak is None else round(peak, 1),
        version('napari-samnet'),
    )


class Alone:
    """This process, one pair after another.

    Parameters
    ----------
    settings : Settings
        Of the batch.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def hands(self) -> list[Hand]:
        """Describe this process."""
        return [describe()]

    def work(self, pairs: Iterable[BatchPair]) -> Iterator[Done]:
        """Do pairs in their order.

        Parameters
        ----------
        pairs : iterable of BatchPair
            The pairs.

        Yields
        ------
        Done
        """
        for pair in pairs:
            yield do_pair(pair, self._settings)

    def work_alone(self, pair: BatchPair) -> Done:
        """Do one pair.

        Parameters
        ----------
        pair : BatchPair
            The pair.

        Returns
        -------
        Done
        """
        return do_pair(pair, self._settings)


class _Distributed:
    """Workers of a dask scheduler."""

    def __init__(self, client: Any, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._run = uuid4().hex

    def hands(self) -> list[Hand]:
        """Describe all workers."""
        at_once = self._client.nthreads()
        return [
            Hand(**{**vars(hand), 'at_once': at_once.get(address, 1)})
            for address, hand in self._described().items()
        ]

    def _described(self) -> dict[str, Hand]:
        """Each worker by its address, but those that end meanwhile."""
        found = self._client.run(describe, on_error='return')
        for answer in found.values():
            if isinstance(answer, ImportError):
                raise answer
        return {
            address: answer
            for address, answer in found.items()
            if isinstance(answer, Hand)
        }

    def _submit(self, pair: BatchPair, **how: Any) -> Any:
        return self._client.submit(
            do_pair,
            pair,
            self._settings,
            how.pop('threads', None),
            key=f'{pair.name}-{self._run}',
            pure=False,
            **how,
        )

    def _ended(self, *futures: Any) -> Any:
        """Futures as they end; more may be added."""
        from distributed import as_completed

        return as_completed(futures, loop=self._client.loop)

    def work(self, pairs: Iterable[BatchPair]) -> Iterator[Done]:
        """Do pairs, never more than a few ahead of the workers.

        Parameters
        ----------
        pairs : iterable of BatchPair
            The pairs.

        Yields
        ------
        Done
            In the order in which they end.
        """
        todo = iter(pairs)
        waiting: dict[Any, BatchPair] = {}
        ended = self._ended()
        while True:
            # Workers may come and go.
            room = AHEAD * sum(self._client.nthreads().values()) or 1
            for pair in islice(todo, max(0, room - len(waiting))):
                future = self._submit(pair)
                waiting[future] = pair
                ended.add(future)
            if not waiting:
                return
            future = next(ended)
            yield self._result(future, waiting.pop(future))
            future.release()

    def work_alone(self, pair: BatchPair) -> Done:
        """Do one pair on one worker, with all cores of its computer.

        Parameters
        ----------
        pair : BatchPair
            The pair.

        Returns
        -------
        Done
        """
        place = {}
        for address, hand in self._described().items():
            place = {
                'threads': hand.cores,
                'workers': [address],
                'allow_other_workers': True,
            }
        future = self._submit(pair, **place)
        return self._result(next(self._ended(future)), pair)

    def _result(self, future: Any, pair: BatchPair) -> Done:
        if self._client.status != 'running' or future.cancelled():
            raise InputError(
                'the connection to the scheduler is lost; give the same '
                'command again to go on'
            )
        error = future.exception()
        if error is None:
            done: Done = future.result()
            return done
        kind = type(error).__name__
        reason = ' '.join(str(error).split())
        if kind == 'KilledWorker':
            reason = 'the worker was killed each time, perhaps for memory'
        return Done(pair, f'{kind}: {reason}')


@contextmanager
def open_crew(
    settings: Settings, *, workers: int, scheduler: str | None
) -> Iterator[Crew]:
    """Call those who do the pairs, and send them home at the end.

    Parameters
    ----------
    settings : Settings
        Of the batch.
    workers : int
        Processes on this computer; up to 1, this process itself.
    scheduler : str or None
        Address of a dask scheduler whose workers do it instead.

    Yields
    ------
    Crew

    Raises
    ------
    InputError
        If they cannot be had.
    """
    if scheduler is None and workers < 2:
        yield Alone(settings)
        return
    if find_spec('distributed') is None:
        raise InputError(
            'more than one worker needs dask.distributed: pip install '
            "'napari-samnet[batch]'"
        )
    from distributed import Client, LocalCluster

    logging.getLogger('distributed').setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        if scheduler is None:
            # As many threads as leave none of them waiting for a core.
            threads = max(1, cores() // workers)
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
                    env={
                        name: str(threads)
                        for name in (
                            'OMP_NUM_THREADS',
                            'MKL_NUM_THREADS',
                            'OPENBLAS_NUM_THREADS',
                        )
                    },
                )
            )
        else:
            place = scheduler
        try:
            # As the default, even one that finds nobody would be given all
            # that dask computes in this process from then on.
            client = stack.enter_context(
                Client(place, timeout=PATIENCE, set_as_default=False)
            )
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TimeoutError, ValueError, TypeError) as error:
            raise InputError(
                f'no scheduler with workers at {scheduler}: '
                f'{" ".join(str(error).split()) or type(error).__name__}'
            ) from error
        crew = _Distributed(client, settings)
        if scheduler is not None:
            _check_versions(crew)
        yield crew


def _check_versions(crew: _Distributed) -> None:
    """Refuse workers that would not do the same."""
    own = version('napari-samnet')
    try:
        found = {hand.version for hand in crew.hands()}
    except ImportError as error:
        raise InputError(
            f'the workers have no napari-samnet {own}: {error}'
        ) from error
    if found != {own}:
        raise InputError(
            f'the workers must have napari-samnet {own}, as here, got '
            f'{", ".join(sorted(found - {own}))}'
        )
