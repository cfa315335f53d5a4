"""Training in a process of its own: to the end, stopped, killed, refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from threading import Event

import psutil
import pytest
from skimage import data
from skimage.io import imsave

from napari_samnet.errors import InputError, TrainingError
from napari_samnet.files import HOME_VARIABLE
from napari_samnet.runtime.weights import available_weights, get_weights
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.process import Trained, train_apart
from napari_samnet.training.runs import (
    CHECKPOINT,
    Progress,
    discard_run,
    made_steps,
    read_options,
)

pytestmark = pytest.mark.slow

SMALL = TrainingOptions(
    start='samnet',
    decoder_steps=0,
    matcher_steps=400,
    pairs=2,
    iterations=1,
    # A search window of nine cells must fit.
    size=96,
    crop=32,
    matcher_batch=1,
    device='cpu',
    precision='fp32',
)

Steps = Generator[Progress | None, None, Trained]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / 'home'))
    # Children beside other work: one thread each is the quickest.
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


@pytest.fixture(scope='module')
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two photographs."""
    folder = tmp_path_factory.mktemp('photographs')
    for name in ('chelsea', 'coffee'):
        imsave(folder / f'{name}.png', getattr(data, name)()[::4, ::4])
    return folder


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    """Neither running nor waiting to be asked for its status."""
    yield
    assert children() == []


def last(steps: Steps) -> tuple[list[Progress], Trained]:
    """All steps and the result."""
    seen = []
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            return seen, end.value
        if progress is not None:
            seen.append(progress)


def until_step(steps: Steps, step: int) -> Progress:
    """Go to a step of the matching network."""
    for progress in steps:
        if progress and progress.stage == 'matcher' and progress.step >= step:
            return progress
    raise AssertionError('it ended before')


def test_stopped_it_keeps_what_was_learnt_and_goes_on(
    photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / 'run'
    stop = Event()
    steps = train_apart(photographs, out, SMALL, name='mine', stop=stop)
    seen = until_step(steps, 3)
    stop.set()
    _, trained = last(steps)
    made = made_steps(out)['matcher']
    assert not trained.finished
    assert seen.step <= made < SMALL.matcher_steps
    assert trained.held_out is not None
    assert trained.held_out.kept <= trained.held_out.before
    better = trained.held_out.kept < trained.held_out.before
    # Worse weights are not kept.
    assert bool(trained.weights) == better == ('mine' in available_weights())
    assert not list(out.glob('*.part'))
    assert not list(out.glob('.*'))
    assert read_options(out) == SMALL
    # It goes on where it was, and is measured against the first start.
    stop = Event()
    steps = train_apart(photographs, out, SMALL, name='mine', stop=stop)
    assert until_step(steps, made).step == made
    assert until_step(steps, made + 1).step == made + 1
    stop.set()
    _, again = last(steps)
    assert again.held_out is not None
    assert again.held_out.before == trained.held_out.before
    assert made_steps(out)['matcher'] > made
    discard_run(out)
    assert not out.exists()


def test_to_the_end(photographs: Path, tmp_path: Path) -> None:
    options = TrainingOptions(
        **{**vars(SMALL), 'matcher_steps': 0, 'decoder_steps': 2}
    )
    steps = train_apart(
        photographs, tmp_path / 'run', options, name='mine', stop=Event()
    )
    seen, trained = last(steps)
    assert [(p.stage, p.step) for p in seen] == [
        ('decoder', 1),
        ('decoder', 2),
    ]
    assert trained.finished
    assert trained.held_out is None
    weights = get_weights('mine')
    assert weights.path == Path(trained.weights)
    assert weights.card['images'] == 2
    assert weights.card['start'] == 'samnet'
    assert weights.card['sha256'] == weights.sha256


@pytest.mark.skipif(os.name != 'posix', reason='uses signals')
def test_a_killed_child_is_one_readable_error(
    photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / 'run'
    steps = train_apart(photographs, out, SMALL, name='mine', stop=Event())
    until_step(steps, 1)
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    with pytest.raises(TrainingError, match=r'SIGKILL.*smaller'):
        last(steps)
    assert 'mine' not in available_weights()


@pytest.mark.skipif(os.name != 'posix', reason='asks ps')
def test_a_child_without_its_parent_ends_in_good_order(
    photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / 'run'
    words = ['--option', 'start=samnet', '--option', 'decoder_steps=0']
    for name in ('pairs', 'iterations', 'size', 'crop', 'matcher_batch'):
        words += ['--option', f'{name}={getattr(SMALL, name)}']
    code = (
        'import subprocess, sys, time\n'
        'child = subprocess.Popen([sys.executable, "-m", "napari_samnet",'
        f' "train", *{[str(photographs), "--out", str(out)]!r},'
        f' "--json-lines", *{words!r}],'
        ' stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n'
        'for line in child.stdout:\n'
        '    if b"epe1" in line: break\n'
        'print(child.pid, flush=True)\n'
        'sys.stdin.read()\n'
    )
    parent = subprocess.Popen(
        [sys.executable, '-c', code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 60
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert made_steps(out)['matcher'] > 0
    assert not list(out.glob('*.part'))


def test_what_cannot_be_used_is_the_child_s_own_line(tmp_path: Path) -> None:
    steps = train_apart(
        tmp_path / 'nothing',
        tmp_path / 'run',
        SMALL,
        name='mine',
        stop=Event(),
    )
    with pytest.raises(InputError, match='neither a folder') as caught:
        last(steps)
    assert not isinstance(caught.value, TrainingError)
    assert not (tmp_path / 'run').exists()


def test_a_child_that_does_not_stop_is_ended(
    photographs: Path, tmp_path: Path
) -> None:
    steps = train_apart(
        photographs,
        tmp_path / 'run',
        SMALL,
        name='mine',
        stop=Event(),
        grace=0.0,
    )
    next(steps)
    steps.close()
    assert children() == []


def test_no_python_is_one_readable_error(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'python'))
    steps = train_apart(
        photographs, tmp_path / 'run', SMALL, name='mine', stop=Event()
    )
    with pytest.raises(TrainingError, match='cannot be started'):
        last(steps)


def test_damaged_folders_are_looked_into_without_harm(
    tmp_path: Path,
) -> None:
    (tmp_path / f'matcher{CHECKPOINT}').write_bytes(b'broken')
    assert made_steps(tmp_path) == {'matcher': 0}
    (tmp_path / 'options.json').write_text('{"steps": 3}')
    with pytest.raises(InputError, match='options of a run'):
        read_options(tmp_path)
    discard_run(tmp_path / 'nothing')


def test_the_parent_s_side_does_not_import_torch() -> None:
    code = (
        'import sys, napari_samnet.training.process\n'
        'assert not {"torch", "qtpy", "napari"} & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)


def children() -> list[int]:
    """Process ids of children that train, or that nobody waited for."""
    return [
        child.pid
        for child in psutil.Process().children()
        if child.status() == psutil.STATUS_ZOMBIE
        or 'napari_samnet' in child.cmdline()
    ]


def alive(pid: int) -> bool:
    """Whether a process that is not our child still runs."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
