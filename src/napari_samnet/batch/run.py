"""A batch from its list to its tables: what is left to do, and the doing."""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from napari_samnet.batch.pairs import BatchPair
from napari_samnet.batch.record import is_current, read_record
from napari_samnet.batch.work import UNFINISHED, Done, Settings, inputs_of
from napari_samnet.batch.workers import Crew, Hand
from napari_samnet.errors import InputError

__all__ = ['Batch', 'Speed', 'claimed']

FAILURES = 'failures.csv'
SUMMARY = 'summary.csv'

_COLUMNS = (
    'name',
    'source',
    'target',
    'iterations_used',
    'mean_consistency_px',
    'mean_confidence',
    'seconds',
)


@dataclass
class Speed:
    """How fast the pairs were done.

    Parameters
    ----------
    hands : list of Hand
        Who did them.
    pairs : int
        Pairs done while all worked, after each had done its first.
    seconds : float
        That they took.
    single : float or None
        Seconds of one pair on all cores of a computer that had done another
        before; None for want of pairs.
    """

    hands: list[Hand] = field(default_factory=list)
    pairs: int = 0
    seconds: float = 0.0
    single: float | None = None

    @property
    def cores(self) -> int:
        """Cores that were used: threads, but no more than are there."""
        threads: dict[str, int] = {}
        limit: dict[str, int] = {}
        for hand in self.hands:
            used = hand.at_once * hand.threads
            threads[hand.host] = threads.get(hand.host, 0) + used
            limit[hand.host] = hand.cores
        return sum(min(used, limit[host]) for host, used in threads.items())

    @property
    def per_core(self) -> float | None:
        """Pairs per second and core."""
        if not self.pairs or not self.seconds:
            return None
        return self.pairs / self.seconds / self.cores

    @property
    def single_per_core(self) -> float | None:
        """The same of the single pair, which had all cores of a computer."""
        if not self.single or not self.hands:
            return None
        hand = self.hands[0]
        used = hand.threads if len(self.hands) == 1 else hand.cores
        return 1 / self.single / used


class Batch:
    """Pairs, and what has become of them.

    Parameters
    ----------
    pairs : sequence of BatchPair
        All pairs of the list.
    settings : Settings
        What they have in common.
    tell : callable
        Called with every pair that has ended.
    """

    def __init__(
        self,
        pairs: Sequence[BatchPair],
        settings: Settings,
        tell: Callable[[Done], object],
    ) -> None:
        self._pairs = pairs
        self._settings = settings
        self._tell = tell
        self.failed: list[Done] = []
        self.done = 0
        self.encoded = 0
        self.speed = Speed()

    def pending(self, *, anew: bool = False) -> list[BatchPair]:
        """Pairs whose folder is not there, or from other input.

        Parameters
        ----------
        anew : bool
            All of them.

        Returns
        -------
        list of BatchPair
        """
        if anew:
            return list(self._pairs)
        wanted = self._settings.as_record()
        left = []
        for pair in self._pairs:
            folder = self._settings.out / pair.name
            record = read_record(folder)
            if record is None or not is_current(
                folder, record, wanted, inputs_of(pair)
            ):
                left.append(pair)
        return left

    def do(self, pairs: Sequence[BatchPair], crew: Crew) -> None:
        """Do pairs; each worker's first, one alone, and then the rest.

        Parameters
        ----------
        pairs : sequence of BatchPair
            Of :meth:`pending`.
        crew : Crew
            Who does them.
        """
        todo = iter(pairs)
        self.speed.hands = crew.hands()
        slots = sum(hand.at_once for hand in self.speed.hands)
        # With fewer pairs the single one would hold up the others.
        if len(pairs) > 2 * slots:
            for done in crew.work(islice(todo, slots)):
                self._note(done)
            alone = crew.work_alone(next(todo))
            self.speed.single = alone.seconds or None
            self._note(alone)
        start = time.perf_counter()
        for done in crew.work(todo):
            self._note(done)
            self.speed.pairs += not done.error
        self.speed.seconds = time.perf_counter() - start
        self.speed.hands = crew.hands() or self.speed.hands

    def _note(self, done: Done) -> None:
        if done.error:
            self.failed.append(done)
        else:
            self.done += 1
            self.encoded += done.encoded
        self._tell(done)

    def write_tables(self) -> dict[str, str]:
        """Write the lists of what failed and of what is there.

        Returns
        -------
        dict of str to str
            Path of each table; no failures, no table of them.
        """
        out = self._settings.out
        _table(
            out / SUMMARY,
            _COLUMNS,
            (row for pair in self._pairs if (row := self._row(pair))),
        )
        tables = {'summary': str(out / SUMMARY)}
        if self.failed:
            _table(
                out / FAILURES,
                ('name', 'source', 'target', 'error'),
                (
                    (d.pair.name, d.pair.source, d.pair.target, d.error)
                    for d in self.failed
                ),
            )
            tables['failures'] = str(out / FAILURES)
        else:
            (out / FAILURES).unlink(missing_ok=True)
        return tables

    def _row(self, pair: BatchPair) -> tuple[Any, ...] | None:
        record = read_record(self._settings.out / pair.name)
        if record is None:
            return None
        found = {**record, **record.get('found', {})}
        files = (str(pair.source), str(pair.target))
        return (pair.name, *files, *(found.get(key) for key in _COLUMNS[3:]))


def _table(
    path: Path, columns: Sequence[str], rows: Iterator[Sequence[Any]]
) -> None:
    from napari_samnet.files import atomic_write

    text = io.StringIO(newline='')
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Keep a folder for this run, and clear what an earlier one left.

    Parameters
    ----------
    out : Path
        Folder of the results, made if it is not there.

    Yields
    ------
    None

    Raises
    ------
    InputError
        If another run is at work there, or nothing can be written.
    """
    unfinished = out / UNFINISHED
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        with open(unfinished / 'lock', 'w', encoding='utf-8') as lock:
            _lock(lock.fileno(), out)
            for leftover in unfinished.iterdir():
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
            yield
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f'cannot write to {out}: {error.strerror or error}'
        ) from error


def _lock(file: int, out: Path) -> None:
    """Hold a lock that ends with this process, where there are such."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f'another batch is writing to {out}: wait for it, or choose '
            f'another folder'
        ) from None
