"""``napari-samnet fuzz``: damaged files for every reader.

A reader may return, since much damage does no harm, or raise InputError in
one line that names the file. Anything else is found, and so is a reader that
takes long or much memory. The files are small, and the same for a seed.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.io.segments import ALWAYS
from soak.damage import damaged
from soak.formats import Format, formats
from soak.leaks import peak_memory

#: What reading one file may take. Decoders hold a picture up to three times.
SECONDS = 20.0
MEMORY = 3 * ALWAYS

#: The process ends with a trace if one file takes longer.
HANGS_AFTER = 120.0


@dataclass
class FuzzReport:
    """What came of the files."""

    #: ``read``, ``refused``: number of files of each format that were read, or
    #: refused in one line.
    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    #: What should not have happened, with the number of the file.
    failures: list[str] = field(default_factory=list)
    #: Seconds for one file.
    slowest: float = 0.0

    @property
    def files(self) -> int:
        """Files in all."""
        return self.read.total() + self.refused.total() + len(self.failures)

    def lines(self) -> list[str]:
        """Say it for people."""
        out = [f'{"format":<16} {"read":>8} {"refused":>8}']
        for name in sorted({*self.read, *self.refused}):
            out.append(
                f'{name:<16} {self.read[name]:>8} {self.refused[name]:>8}'
            )
        out.append(
            f'{self.files} files, {self.read.total()} read, '
            f'{self.refused.total()} refused in one line, '
            f'{len(self.failures)} not as promised; the slowest took '
            f'{self.slowest:.2f} s'
        )
        return out + self.failures


def fuzz(files: int, *, seed: int = 0, keep: Path | None = None) -> FuzzReport:
    """Have the readers read damaged files.

    ``keep``: folder for the files that were not read as promised.
    """
    report = FuzzReport()
    kinds = formats()
    shares = np.array([kind.share for kind in kinds])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(files):
            # Each file has its own, so that one can be made again alone.
            rng = np.random.default_rng((seed, number))
            kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
            path = folder / f'file-{number}{kind.suffix}'
            kind.make(path, rng)
            path.write_bytes(damaged(path.read_bytes(), rng))
            problem = _try(kind, path, report)
            if problem is not None:
                report.failures.append(
                    f'file {number}, {kind.name}: {problem}'
                )
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / path.name).write_bytes(path.read_bytes())
            path.unlink()
    return report


def _try(kind: Format, path: Path, report: FuzzReport) -> str | None:
    """Read one file; what was wrong about how it went."""
    start, before = time.perf_counter(), peak_memory()
    faulthandler.dump_traceback_later(
        HANGS_AFTER, exit=True, file=sys.__stderr__ or sys.stderr
    )
    message = None
    try:
        kind.read(path)
    except InputError as error:
        message = str(error)
    except Exception:  # noqa: BLE001
        return traceback.format_exc()
    finally:
        faulthandler.cancel_dump_traceback_later()
    seconds, taken = time.perf_counter() - start, peak_memory() - before
    report.slowest = max(report.slowest, seconds)
    if seconds > SECONDS:
        return f'took {seconds:.1f} s'
    if taken > MEMORY:
        return f'took {taken / 2**20:.0f} MB'
    if message is None:
        report.read[kind.name] += 1
        return None
    if '\n' in message:
        return f'more than one line: {message!r}'
    if path.stem.split('.')[0] not in message and 'fuzzed' not in message:
        return f'does not name the file: {message!r}'
    report.refused[kind.name] += 1
    return None


def add_parser(subparsers: Any) -> None:
    """Add the command ``fuzz``.

    ``subparsers`` (argparse subparsers): where the command is added to the
    program.
    """
    parser = subparsers.add_parser(
        'fuzz',
        help='have the readers read damaged files (for maintainers)',
        description='Damage small files of every format at random and read '
        'them. Each is read or refused in one line; status 1 if any is not.',
    )
    parser.add_argument('--files', metavar='N', type=int, default=2000)
    parser.add_argument('--seed', metavar='N', type=int, default=0)
    parser.add_argument(
        '--keep', metavar='DIR', type=Path, help='where to put what is found'
    )
    parser.add_argument(
        '--json', action='store_true', help='print one JSON object'
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns: 0 if all went as promised, else 1.
    """
    if arguments.files < 1 or arguments.seed < 0:
        raise InputError(
            f'files must be at least 1 and seed not negative, got '
            f'{arguments.files} and {arguments.seed}'
        )
    report = fuzz(arguments.files, seed=arguments.seed, keep=arguments.keep)
    if arguments.json:
        facts = {
            'files': report.files,
            'read': dict(report.read),
            'refused': dict(report.refused),
            'failures': report.failures,
            'slowest_seconds': round(report.slowest, 3),
        }
        sys.stdout.write(json.dumps(facts, indent=2) + '\n')
    else:
        sys.stdout.write('\n'.join(report.lines()) + '\n')
    return 1 if report.failures else 0
