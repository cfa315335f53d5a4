"""Measurements that need a process of their own: memory, and the first run.

The largest memory of a process only ever grows, and whatever has been
imported or run before makes the next run faster. So each of these starts
Python anew and reports one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.memory import peak_mb, reset_peak

#: Side of the mask that a user adds to a finished match.
SECOND_MASK = 1024

#: Rows and columns of the frames of a film, and over how many pixels the
#: camera moves to and fro.
FRAME, SWAY = (480, 854), 60


def fresh_runs(options: MatchOptions, sizes: Sequence[int]) -> dict[str, Any]:
    """First run, warm run and memory of a default match.

    Returns: times of the match at its own size: ``start_s``, from the start of
    the process until all but torch is imported; ``import_torch_s``;
    ``first_s``, with loading the network; ``warm_s`` and ``again_s``, with
    other images and with the same; ``total_s``, from the start of the process
    to the first result; ``peak_mb`` on top of importing torch.
    ``peak_mb_by_size`` for the sizes.
    """
    figures = run_job('match', asdict(options))
    figures['peak_mb_by_size'] = {
        str(size): (
            figures
            if size == options.size
            else run_job('match', asdict(replace(options, size=size)))
        )['peak_mb']
        for size in sizes
    }
    return figures


def large_labels(side: int) -> dict[str, Any]:
    """Seconds and memory of carrying labels over, once the match is there.

    Returns: median and first ``seconds``, and ``peak_mb`` of labels and result
    together, by what was warped.
    """
    jobs = [('mask', SECOND_MASK, 'array', lines) for lines in (False, True)]
    kinds = ('array', 'memmap', 'dask')
    jobs += [('labels', side, kind, False) for kind in kinds]
    jobs.append(('labels', side, 'array', True))
    with tempfile.TemporaryDirectory(prefix='napari-samnet-') as folder:
        return {
            f'{name} {size} {kind}{", outlines" if outlines else ""}': run_job(
                'labels',
                {
                    'side': size,
                    'kind': kind,
                    'outlines': outlines,
                    'few': name == 'mask',
                    'folder': folder,
                },
            )
            for name, size, kind, outlines in jobs
        }


def run_job(job: str, given: dict[str, Any]) -> dict[str, Any]:
    """Run a job of this module in a new Python.

    Raises InputError if it failed, with its last line.
    """
    now = repr(time.time())
    return run_module(job, __spec__.name, job, json.dumps(given), now)


def run_module(job: str, *words: str) -> dict[str, Any]:
    """Run a module in a new Python, and read what it prints.

    ``job``: what is said to have failed. ``*words``: the module, and what
    its command line says. Raises InputError if it failed, with its last line.
    """
    done = subprocess.run(
        [sys.executable, '-m', *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ['no reason given']
        raise InputError(f'measuring {job} failed: {lines[-1]}')
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _grown(before: float | None) -> float | None:
    after = peak_mb()
    if before is None or after is None:
        return None
    return round(after - before, 1)


def _clock(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 4)


def _match(given: dict[str, Any], started: float) -> dict[str, Any]:
    """A match of two photographs, its first and later runs."""
    from napari_samnet.datasets.samples import load_sample
    from napari_samnet.matching.match import match

    start = time.time() - started
    torch = _clock(lambda: __import__('torch'))
    pair = load_sample('coffee')
    reset_peak()
    before = peak_mb()
    seconds = []
    # Mirrored, they are other images of the same kind.
    for step in (1, -1, -1):
        images = [image[:, ::step] for image in (pair.source, pair.target)]
        seconds.append(_clock(partial(match, *images, **given)))
        if len(seconds) == 1:
            peak = _grown(before)
    return {
        'start_s': round(start, 4),
        'import_torch_s': torch,
        'first_s': seconds[0],
        'total_s': round(start + torch + seconds[0], 4),
        'warm_s': seconds[1],
        'again_s': seconds[2],
        'peak_mb': peak,
    }


def _labels(given: dict[str, Any], started: float) -> dict[str, Any]:  # noqa: ARG001
    """One label image through a smooth field."""
    from napari_samnet.correspondence import Correspondence
    from napari_samnet.labels.evidence import Evidence

    side = given['side']
    angle = np.linspace(0, 3, 32)
    wave = np.sin(angle)[:, None] * np.cos(angle)
    field = (0.1 * np.stack([wave, wave.T], axis=-1)).astype(np.float32)
    confidence = np.ones(field.shape[:2], np.float32)
    # Evidence is off by a cell, so that it contests all outlines.
    cells = np.roll(np.arange(32 * 32), -1).reshape(32, 32, 1)
    evidence = Evidence(
        cells,
        np.ones(cells.shape, np.float16),
        np.ones(cells.shape[:2], np.float16),
        np.array([[32, 32]]),
    )
    match = Correspondence(
        forward=field,
        backward=field,
        forward_cell_confidence=confidence,
        backward_cell_confidence=confidence,
        evidence=evidence,
        source_shape=(side, side),
        target_shape=(side, side),
    )
    path = Path(given['folder']) / f'{side}.npy'
    if not path.exists():
        _write_labels(path, side, few=given['few'])
    if given['kind'] == 'dask':
        import dask.array as da
    image = _photograph(side) if given['outlines'] else None
    reset_peak()
    before = peak_mb()
    labels: Any = np.load(path, mmap_mode='r')
    if given['kind'] == 'array':
        labels = np.array(labels)
    elif given['kind'] == 'dask':
        # Without a name dask would read everything to find one.
        labels = da.from_array(labels, chunks=1024, name=False)
    work = partial(match.warp_labels, labels, image=image)
    first = _clock(work)
    later = [_clock(work) for _ in range(3)]
    return {
        'first_s': first,
        'seconds': sorted(later)[1],
        'peak_mb': _grown(before),
    }


def _series(given: dict[str, Any], started: float) -> dict[str, Any]:  # noqa: ARG001
    """Labels of the first frame carried through a film."""
    from napari_samnet.series.propagate import propagate

    film = _Film(given['frames'] + 1)
    first = film.first_labels()
    # The last one is the smallest.
    ids = np.unique(first[first != 0])[-given['labels'] :]
    labels = {0: np.where(np.isin(first, ids), first, 0)}
    options = {
        key: given['options'][key]
        for key in ('device', 'precision', 'backend', 'weights', 'outlines')
    }
    # The network is loaded, and kernels chosen, by a few frames.
    propagate(_Film(4), labels, **options)
    reset_peak()
    before = peak_mb()
    seconds = _clock(lambda: propagate(film, labels, **options))
    return {
        'frames': given['frames'],
        'labels': given['labels'],
        'shape': list(FRAME),
        'seconds': seconds,
        'frames_per_second': round(given['frames'] / seconds, 3),
        'peak_mb': _grown(before),
    }


class _Film:
    """A film of a photograph over which the camera moves, made as it is read.

    ``count``: number of its frames.
    """

    def __init__(self, count: int) -> None:
        from napari_samnet.arrays.resize import resized
        from napari_samnet.datasets.samples import load_sample

        self._count = count
        pair = load_sample('coffee')
        # Larger than a frame, for the way there and back.
        rows, columns = (side + SWAY for side in FRAME)
        picture = resized(pair.source.astype(np.float32), rows, columns)
        self._picture = picture.round().clip(0, 255).astype(np.uint8)
        near = np.ix_(
            np.arange(rows) * pair.labels.shape[0] // rows,
            np.arange(columns) * pair.labels.shape[1] // columns,
        )
        self._labels = pair.labels[near]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.ndarray:
        return np.ascontiguousarray(self._picture[self._part(index)])

    def first_labels(self) -> np.ndarray:
        """Labels of the first frame."""
        return np.ascontiguousarray(self._labels[self._part(0)])

    def _part(self, index: int) -> tuple[slice, slice]:
        at = abs((2 * index + SWAY) % (2 * SWAY) - SWAY)
        return slice(at, at + FRAME[0]), slice(at, at + FRAME[1])


def _photograph(side: int) -> np.ndarray:
    """A photograph repeated to fill a square, uint8."""
    from napari_samnet.datasets.samples import load_sample

    image = load_sample('coffee').source
    rows, columns = (np.arange(side) % n for n in image.shape[:2])
    return np.ascontiguousarray(image[rows[:, None], columns])


def _write_labels(path: Path, side: int, *, few: bool) -> None:
    """Squares with a number each, large on the left; band by band.

    ``few``: five disks in place of the squares.
    """
    out = np.lib.format.open_memmap(path, 'w+', np.int32, (side, side))
    if few:
        rows, columns = np.ogrid[:side, :side]
        places = ((0.3, 0.3), (0.3, 0.7), (0.7, 0.3), (0.7, 0.7), (0.5, 0.5))
        for number, (row, column) in enumerate(places, start=1):
            apart = (rows - row * side) ** 2 + (columns - column * side) ** 2
            out[apart < (side / (6 + number)) ** 2] = number
        out.flush()
        return
    columns = np.arange(side)
    square = np.where(columns < side // 2, side // 4, 32)
    for top in range(0, side, 256):
        rows = np.arange(top, min(top + 256, side))[:, None]
        out[top : top + 256] = rows // square * 1000 + columns // square
    out.flush()


#: What can be measured in a process of its own.
JOBS = {'match': _match, 'labels': _labels, 'series': _series}


def main() -> None:
    """Run the job that the command line names, and print what it gives."""
    job, given, started = sys.argv[1:]
    result = JOBS[job](json.loads(given), float(started))
    sys.stdout.write(json.dumps(result) + '\n')


if __name__ == '__main__':
    main()
