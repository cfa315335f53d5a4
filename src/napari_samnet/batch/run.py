"""A batch from its list to its tables: what is left, and how it ended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_samnet.batch.pairs import BatchPair
from napari_samnet.batch.record import is_current, read_record
from napari_samnet.batch.work import (
    UNFINISHED,
    BatchSettings,
    PairResult,
    inputs_of,
)
from napari_samnet.batch.workers import WorkerInfo, WorkerPool
from napari_samnet.errors import InputError, cannot
from napari_samnet.files import write_text
from napari_samnet.io.csv_lines import csv_text
from napari_samnet.outputs.verdict import LEVELS
from napari_samnet.outputs.written import WrittenFiles

FAILURES = 'failures.csv'
SUMMARY = 'summary.csv'

_COLUMNS = (
    'name',
    'source',
    'target',
    'verdict',
    'reason',
    'iterations_used',
    'mean_consistency_px',
    'mean_confidence',
    'seconds',
    'notices',
)

#: Verdicts on pairs, the worst first.
VERDICTS = tuple(reversed([*LEVELS]))


class Batch:
    """Pairs, and what has become of them.

    ``on_result``: called with the result of each pair as it ends.
    """

    def __init__(
        self,
        pairs: Sequence[BatchPair],
        settings: BatchSettings,
        on_result: Callable[[PairResult], object],
    ) -> None:
        self._pairs = pairs
        self._settings = settings
        self._on_result = on_result
        self.failed: list[PairResult] = []
        self.done = 0
        self.encoded = 0
        self.seconds = 0.0
        self.workers: list[WorkerInfo] = []

    def check_tables(self) -> WrittenFiles:
        """Refuse to overwrite a table that no run has left so.

        Returns: what runs have written. Raises InputError if there is such a
        table, as one that somebody has put notes into.
        """
        ours = WrittenFiles(self._settings.out)
        ours.check((SUMMARY, FAILURES))
        return ours

    def pending(self, *, anew: bool = False) -> list[BatchPair]:
        """Pairs whose folder is not there, or from other input."""
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

    @property
    def pairs_per_second(self) -> float | None:
        """Pairs done over the time that all of them took together."""
        return self.done / self.seconds if self.seconds else None

    def process(self, pairs: Sequence[BatchPair], pool: WorkerPool) -> None:
        """Match pairs, and keep count of what becomes of them.

        ``pool``: where they are matched.
        """
        start = time.perf_counter()
        self.workers = pool.workers()
        for result in pool.process(pairs):
            if result.error:
                self.failed.append(result)
            else:
                self.done += 1
                self.encoded += result.encoded
            self.seconds = time.perf_counter() - start
            self._on_result(result)
        self.workers = pool.workers() or self.workers

    def write_tables(self) -> dict[str, str]:
        """Write the lists of what failed and of what is there.

        Returns: path of each table; no failures, no table of them.
        Raises InputError if a table was changed during the run.
        """
        ours = self.check_tables()
        write_table(
            ours,
            SUMMARY,
            _COLUMNS,
            (row for pair in self._pairs if (row := self._row(pair))),
        )
        tables = {'summary': str(ours.folder / SUMMARY)}
        if self.failed:
            write_table(
                ours,
                FAILURES,
                ('name', 'source', 'target', 'error'),
                (
                    (r.pair.name, r.pair.source, r.pair.target, r.error)
                    for r in self.failed
                ),
            )
            tables['failures'] = str(ours.folder / FAILURES)
        else:
            ours.drop(FAILURES)
        return tables

    def _row(self, pair: BatchPair) -> tuple[Any, ...] | None:
        record = read_record(self._settings.out / pair.name)
        if record is None:
            return None
        figures = {**record, **record.get('figures', {})}
        figures['notices'] = '; '.join(figures.get('notices', ()))
        files = (str(pair.source), str(pair.target))
        return (pair.name, *files, *(figures.get(key) for key in _COLUMNS[3:]))

    def verdicts(self) -> dict[str, dict[str, str]]:
        """What was said of the pairs that are there.

        Returns: by verdict, the worst first, the names of its pairs and why.
        Pairs of earlier versions of the program have none.
        """
        said: dict[str, dict[str, str]] = {level: {} for level in VERDICTS}
        for pair in self._pairs:
            record = read_record(self._settings.out / pair.name) or {}
            figures = record.get('figures', {})
            if figures.get('verdict') in said:
                why = str(figures.get('reason', ''))
                said[figures['verdict']][pair.name] = why
        return said


def write_table(
    ours: WrittenFiles,
    name: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Write a CSV file, whole or not at all."""
    write_text(ours.folder / name, csv_text([columns, *rows]))
    ours.note(name)


@contextmanager
def locked_folder(out: Path) -> Iterator[None]:
    """Keep a folder for this run, and clear what an earlier one left.

    ``out``: folder of the results, made if it is not there. Raises InputError
    if another run is at work there, or nothing can be written.
    """
    unfinished = out / UNFINISHED
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        with open(unfinished / 'lock', 'w', encoding='utf-8') as lock:
            _lock(lock.fileno(), out)
            for leftover in unfinished.iterdir():
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
            try:
                yield
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise cannot(f'write to {out}', error) from error


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
