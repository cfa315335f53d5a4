"""Files appear whole or not at all, whatever happens while they are made."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from soak.faults import can_limit_files, full_disk
from soak.formats import _run, some_correspondence
from soak.images import blobs

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.evaluation import benchmark
from napari_samnet.evaluation.methods.registry import get_methods
from napari_samnet.evaluation.protocols.registry import (
    PairRequest,
    open_protocol,
)
from napari_samnet.evaluation.report import check_folder, write_report
from napari_samnet.files import atomic_write, write_text
from napari_samnet.io.flo import write_flo
from napari_samnet.io.image_files import write_png, write_tiff
from napari_samnet.options import DEFAULTS
from napari_samnet.outputs.folder import Products, write_results
from napari_samnet.runtime.weights import save_model
from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.network import SAMNet

pytestmark = pytest.mark.slow

Write = Callable[[Path, int], Any]

NETWORK = SAMNet(
    SAMNetConfig(matching_layers=('relu4_1',), width=2, decoder_depth=1)
)


def checkpoint(path: Path, seed: int) -> None:
    run = _run(path.parent)
    run.stage, run.step = path.name.partition('.')[0], seed
    run.save()


def found(seed: int) -> Correspondence:
    """Of the same shapes whatever the seed, so that files are as large."""
    about = {'iterations_used': 2, 'seconds': 1.0}
    about |= {'device': 'cpu', 'precision': 'fp32'}
    made = some_correspondence(np.random.default_rng(1))
    return replace(made, metadata={**about, 'seed': seed})


def results(path: Path, seed: int) -> None:
    result = found(seed)
    images = {
        'source': np.zeros(result.source_shape, np.uint8),
        'target': np.zeros(result.target_shape, np.uint8),
    }
    labels = np.ones(result.source_shape, np.uint8)
    write_results(path, Products(result=result, labels=labels, **images))


@cache
def benchmarked() -> tuple[Any, ...]:
    """A benchmark of one pair."""
    protocol = open_protocol('synthetic', PairRequest(), None)
    methods = get_methods(['identity'], DEFAULTS)
    return (
        protocol,
        methods,
        benchmark.run_benchmark(protocol, methods, limit=1),
    )


def report(path: Path, seed: int) -> None:
    protocol, methods, outcome = benchmarked()
    outcome.result['seed'] = seed
    check_folder(path)
    write_report(path, protocol, methods, outcome)


#: Every file that the package writes, by its name.
WRITERS: dict[str, Write] = {
    'a.flo': lambda path, seed: write_flo(
        path, np.random.default_rng(seed).normal(size=(40, 30, 2))
    ),
    'a.npz': lambda path, seed: found(seed).save(path),
    'a.tif': lambda path, seed: write_tiff(
        path, blobs((90, 80), 1, seed)[..., 0]
    ),
    'a.png': lambda path, seed: write_png(path, blobs((90, 80), 3, seed)),
    'a.safetensors': lambda path, _: save_model(NETWORK, path),
    'a.checkpoint.safetensors': checkpoint,
    'a.json': lambda path, seed: write_text(path, str(seed) * 99),
    'results': results,
    'report': report,
}


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nothing be written to a folder, not even by root."""
    places = [folder, *(p for p in folder.rglob('*') if p.is_dir())]
    root = os.geteuid() == 0
    for place in places:
        place.chmod(0o555)
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for place in places:
            place.chmod(0o755)


@pytest.mark.skipif(not can_limit_files(), reason='files have no limit here')
@pytest.mark.parametrize('name', WRITERS)
def test_on_a_full_disk(tmp_path: Path, name: str) -> None:
    write = WRITERS[name]
    write(tmp_path / name, 1)
    first = content(tmp_path)
    largest = max(map(len, first.values()))
    for share in (0.0, 0.3, 0.99):
        with full_disk(int(share * largest)):
            # The old file stays.
            with pytest.raises(
                InputError, match=r'too large|cannot write'
            ) as e:
                write(tmp_path / name, 2)
            assert '\n' not in str(e.value)
            assert content(tmp_path) == first
            # Where there was none, there is none.
            new = tmp_path / 'new'
            new.mkdir()
            with pytest.raises(InputError):
                write(new / name, 2)
            assert content(new) == {}
            for path in sorted(new.rglob('*'), reverse=True):
                path.rmdir()
            new.rmdir()
    write(tmp_path / name, 2)
    assert content(tmp_path).keys() == first.keys()


#: As the system says it, or we, where it is known before.
DENIED = 'ermission|nothing may be written to'


@pytest.mark.skipif(
    not hasattr(os, 'seteuid'), reason='nobody can be locked out here'
)
@pytest.mark.parametrize('name', WRITERS)
def test_without_permission(name: str) -> None:
    import tempfile

    # Folders above pytest's own are open to their owner alone.
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        WRITERS[name](place / name, 1)
        first = content(place)
        with read_only(place):
            with pytest.raises(InputError, match=DENIED) as caught:
                WRITERS[name](place / name, 2)
            assert '\n' not in str(caught.value)
        assert content(place) == first


@pytest.mark.parametrize('code', [errno.EIO])
@pytest.mark.parametrize('step', ['fsync', 'replace'])
@pytest.mark.parametrize('name', WRITERS)
def test_at_the_last_moment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    step: str,
    code: int,
) -> None:
    WRITERS[name](tmp_path / name, 1)
    first = content(tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fail)
        with pytest.raises(InputError, match=os.strerror(code)):
            WRITERS[name](tmp_path / name, 2)
    assert content(tmp_path) == first


@pytest.mark.parametrize('error', [KeyboardInterrupt, MemoryError, SystemExit])
def test_whatever_ends_the_writing(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / 'file'
    path.write_text('old')

    def write() -> None:
        with atomic_write(path) as file:
            file.write(b'new')
            raise error

    with pytest.raises(error):
        write()
    assert content(tmp_path) == {'file': b'old'}


@pytest.mark.skipif(
    not hasattr(signal, 'SIGKILL'), reason='there is no such signal here'
)
def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / 'file.bin'
    path.write_text('old')
    code = (
        'import os, signal, sys\n'
        'from napari_samnet.files import atomic_write\n'
        'with atomic_write(sys.argv[1]) as file:\n'
        '    file.write(bytes(100_000))\n'
        '    file.flush()\n'
        '    os.kill(os.getpid(), signal.SIGKILL)\n'
    )
    ended = subprocess.run(
        [sys.executable, '-c', code, str(path)], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == 'old'


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / 'file.bin'
    with atomic_write(path) as one, atomic_write(path) as other:
        one.write(b'1' * 10)
        other.write(b'2' * 20)
        one.write(b'1' * 10)
    assert content(tmp_path) == {'file.bin': b'1' * 20}


def test_a_link_leads_to_the_file_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / 'there').mkdir()
    real, link = tmp_path / 'there' / 'real.bin', tmp_path / 'link.bin'
    real.write_text('old')
    link.symlink_to(real)
    with atomic_write(link) as file:
        file.write(b'new')
    assert link.is_symlink()
    assert real.read_text() == 'new'
