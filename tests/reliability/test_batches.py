"""Batches where nothing more can be written: pairs whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from soak.faults import can_limit_files, full_disk
from soak.images import blobs

from napari_samnet.batch.record import read_record
from napari_samnet.cli.main import main
from napari_samnet.io.image_files import write_png
from napari_samnet.outputs.written import NOTES

pytestmark = pytest.mark.slow

QUICK = [
    *('--size', '64', '--window', '5', '--iterations', '1'),
    *('--orientation', 'upright'),
    *('--device', 'cpu', '--precision', 'fp32', '--no-attributes'),
    *('--write', 'warped_labels,flow'),
]
NAMES = ['a-b', 'a-c']


@pytest.fixture
def work() -> Iterator[Path]:
    """Images and a list of two pairs, which others may read too."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        for seed, name in enumerate('abc'):
            write_png(place / f'{name}.png', blobs((70, 60), 3, seed))
        labels = np.zeros((70, 60), np.uint8)
        labels[20:50, 10:40] = 3
        write_png(place / 'labels.png', labels)
        rows = ['source,target,labels']
        rows += [f'a.png,{name}.png,labels.png' for name in 'bc']
        (place / 'pairs.csv').write_text('\n'.join(rows) + '\n')
        yield place


@pytest.fixture
def batch(work: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run it: status, output and what was said of errors."""

    def run(*more: str) -> tuple[int, str, list[str]]:
        words = ['batch', str(work / 'pairs.csv'), '--out', str(work / 'out')]
        status = main([*words, *QUICK, '--json', *more])
        out, err = capsys.readouterr()
        told = [line for line in err.splitlines() if line.startswith('napari')]
        return status, out, told

    return run


def content(folder: Path) -> dict[str, bytes]:
    """Every file of the results, and every folder, by its name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.is_file()
        else b''
        for path in sorted(folder.rglob('*'))
    }


needs_limits = pytest.mark.skipif(
    not can_limit_files(), reason='files have no limit here'
)


@needs_limits
def test_nothing_at_all_is_one_error(work: Path, batch: Any) -> None:
    """Not even the table."""
    with full_disk(0):
        status, out, told = batch()
    assert (status, out) == (2, '')
    (line,) = told
    assert 'too large' in line
    assert str(work / 'out') in line
    # All that is there may be in use by another run.
    assert [n for n in content(work / 'out') if 'unfinished' not in n] == []
    status, out, _ = batch()
    assert status == 0
    assert json.loads(out)['done'] == 2
    assert '.unfinished' not in content(work / 'out')


def without_failures(files: dict[str, bytes]) -> dict[str, bytes]:
    """Files of a folder but the list of failures, and that it was written."""
    kept = {k: v for k, v in files.items() if k != 'failures.csv'}
    listed = kept[NOTES].splitlines(keepends=True)
    lines = [line for line in listed if b'failures.csv' not in line]
    return {**kept, NOTES: b''.join(lines)}


@needs_limits
def test_a_pair_that_does_not_fit_is_listed(work: Path, batch: Any) -> None:
    assert batch()[0] == 0
    first = content(work / 'out')
    # A field of 70 x 60 pixels is larger, and all else is smaller.
    limit = len(first['a-b/flow.flo']) - 1
    with full_disk(limit):
        status, out, _ = batch('--anew')
    assert status == 2
    found = json.loads(out)
    assert [f['name'] for f in found['failures']] == NAMES
    for failure in found['failures']:
        assert 'too large' in failure['error']
        assert '\n' not in failure['error']
    # What the first run made is as it was.
    with open(work / 'out' / 'failures.csv', newline='') as file:
        assert [row['name'] for row in csv.DictReader(file)] == NAMES
    second = content(work / 'out')
    assert without_failures(second) == without_failures(first)


@pytest.mark.skipif(
    not hasattr(os, 'setresuid') or os.geteuid() != 0,
    reason='only root can become somebody else',
)
def test_without_permission_nothing_is_begun(work: Path, batch: Any) -> None:
    (work / 'out').mkdir()
    (work / 'out').chmod(0o555)
    os.setresuid(65534, 65534, 0)
    try:
        status, out, told = batch()
    finally:
        os.setresuid(0, 0, 0)
    assert (status, out) == (2, '')
    (line,) = told
    assert 'nothing may be written to the folder' in line
    assert content(work / 'out') == {}


def test_what_was_there_stays_if_it_cannot_be_replaced(
    work: Path, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert batch()[0] == 0
    first = content(work / 'out')
    replace = os.replace

    def fail(source: Path, destination: Path) -> None:
        if Path(destination).name in NAMES and not fails.pop():
            raise OSError(5, os.strerror(5))
        replace(source, destination)

    # The new one fails to come, and the old one goes back, for each pair.
    fails = [True, False, True, False]
    with monkeypatch.context() as patched:
        patched.setattr(os, 'replace', fail)
        status, out, _ = batch('--anew')
    assert status == 2
    assert not fails
    assert len(json.loads(out)['failures']) == 2
    second = content(work / 'out')
    assert without_failures(second) == without_failures(first)
    for name in NAMES:
        assert read_record(work / 'out' / name) is not None
