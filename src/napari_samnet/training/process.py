"""Training in a process of its own, for programs that must stay alive.

Software OpenGL and torch's compiler, which optimizers import, end a process
that holds both, so napari never trains in its own. The child is
``napari-samnet train --json-lines``: it writes one JSON object per line and
stops in good order, with everything written, when its standard input ends,
as it does when whoever started it is gone. Torch is not imported here
outside the child.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import IO, TYPE_CHECKING, Any

from napari_samnet.errors import InputError, TrainingError, in_one_line
from napari_samnet.training.keeping import (
    HeldOut,
    keep_network,
    read_held_out,
    read_pairs,
)
from napari_samnet.training.options import TRAINING_DEFAULTS, TrainingOptions
from napari_samnet.training.runs import Progress, made_steps

if TYPE_CHECKING:
    from napari_samnet.datasets.image_lists import ImageList

logger = logging.getLogger(__name__)

#: Seconds that a child has to finish its step and to write what it learnt.
GRACE = 60.0
#: Seconds between two looks at the flag that asks for a stop.
BEAT = 0.1


@dataclass(frozen=True)
class Trained:
    """What a run has brought."""

    #: Whether all steps were made.
    finished: bool
    #: The weights file among the user's own; empty if nothing better than the
    #: start was found, or no name was given.
    weights: str
    #: Errors on held-out warps of the images, where they were measured.
    held_out: HeldOut | None
    #: Errors on held-out pairs of images, likewise.
    pairs: HeldOut | None = None


# The child.


class _Stopped(Exception):  # noqa: N818
    """Stop between two steps."""


def run_child(
    images: ImageList,
    folder: Path,
    options: TrainingOptions,
    *,
    name: str = '',
) -> int:
    """Train, one JSON object per line, until standard input ends.

    ``name``: under which the network is kept among the user's own, if not
    empty. Returns: exit code 0.
    """
    from napari_samnet.training.recipe import train_steps

    stop = Event()
    Thread(target=_listen, args=(stop,), daemon=True).start()
    if hasattr(os, 'nice'):
        # The window that waits for us comes first.
        os.nice(5)

    def write(message: Any) -> None:
        if stop.is_set() and isinstance(message, Progress):
            raise _Stopped
        kind = type(message).__name__
        try:
            sys.stdout.write(json.dumps({kind: asdict(message)}) + '\n')
            sys.stdout.flush()
        except BrokenPipeError:
            # Nobody listens any more; what was learnt is written all the
            # same, and the interpreter must not try again at its end.
            stop.set()
            sys.stdout = open(os.devnull, 'w')  # noqa: SIM115

    steps = train_steps(images, folder, options, watch=write)
    finished = False
    try:
        for progress in steps:
            write(progress)
        finished = True
    except _Stopped:
        steps.close()
    except InputError:
        # Such as images without pairs of a similar view; what was learnt
        # before is kept.
        if name and made_steps(folder):
            keep_network(folder, name, options, images=len(images))
        raise
    kept = None
    if name:
        kept = keep_network(folder, name, options, images=len(images))
    write(
        Trained(
            finished,
            '' if kept is None else str(kept),
            read_held_out(folder),
            read_pairs(folder),
        )
    )
    return 0


def _listen(stop: Event) -> None:
    """Wait for the end of standard input."""
    try:
        # Without Python's buffer, whose lock would trouble the exit.
        while os.read(0, 1024):
            pass
    except OSError:
        pass
    stop.set()


# The parent.


def train_apart(
    images: Path,
    folder: Path,
    options: TrainingOptions,
    *,
    name: str,
    stop: Event,
    grace: float = GRACE,
) -> Generator[Progress | None, None, Trained]:
    """Train in another process; closing the generator ends it.

    ``images``: a folder of images, or a CSV file.
    ``folder``: of the run, which goes on if it was begun before.
    ``name``: under which the network is kept among the user's own.
    ``stop``: set to stop after the current step.
    ``grace``: seconds that the child has to stop in good order.
    Yields: steps as they are made; None now and then in between, so that
    whoever waits is never stuck.
    Returns: what the run has brought, stopped or not.
    Raises InputError if images, options or folder cannot be used.
    Raises TrainingError if the child ended in any other way.
    """
    command = [sys.executable, '-P', '-m', 'napari_samnet', 'train']
    command += [str(images), '--out', str(folder), '--json-lines']
    command += ['--name', name, *_option_words(options)]
    child = _start(command)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    lines: Queue[str | None] = Queue()
    stderr_tail: deque[str] = deque(maxlen=50)
    readers = [
        Thread(target=_pass_on, args=(child.stdout, lines), daemon=True),
        Thread(target=stderr_tail.extend, args=(child.stderr,), daemon=True),
    ]
    for reader in readers:
        reader.start()
    trained: Trained | None = None
    deadline: float | None = None
    try:
        while True:
            if stop.is_set() and deadline is None:
                child.stdin.close()
                deadline = time.monotonic() + grace
            if deadline is not None and time.monotonic() > deadline:
                child.kill()
            try:
                line = lines.get(timeout=BEAT)
            except Empty:
                yield None
                continue
            if line is None:
                break
            message = _parse_message(line)
            if isinstance(message, Trained):
                trained = message
            else:
                yield message
    finally:
        _end(child, grace)
        for reader in readers:
            reader.join(timeout=5)
        child.stdout.close()
        child.stderr.close()
    if child.returncode or trained is None:
        raise _error(child.returncode, stderr_tail)
    return trained


def _option_words(options: TrainingOptions) -> list[str]:
    words = []
    for field in fields(options):
        value = getattr(options, field.name)
        if value != getattr(TRAINING_DEFAULTS, field.name):
            words += ['--option', f'{field.name}={value}']
    return words


def _start(command: list[str]) -> subprocess.Popen[str]:
    """Start the child where no key of a terminal and no window reaches it."""
    detached: dict[str, Any] = {'start_new_session': True}
    if sys.platform == 'win32':
        detached = {
            'creationflags': subprocess.CREATE_NO_WINDOW
            | subprocess.CREATE_NEW_PROCESS_GROUP
        }
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding='utf-8',
            errors='replace',
            env={**os.environ, 'PYTHONIOENCODING': 'utf-8'},
            **detached,
        )
    except OSError as error:
        raise TrainingError(
            f'{sys.executable} cannot be started for training: '
            f'{in_one_line(error)}'
        ) from error


def _pass_on(stream: IO[str], lines: Queue[str | None]) -> None:
    """Put lines into a queue, and None at the end."""
    for line in stream:
        lines.put(line)
    lines.put(None)


def _parse_message(line: str) -> Progress | Trained | None:
    """Message of a line; None if it is something else, such as a warning."""
    try:
        ((kind, values),) = json.loads(line).items()
        if kind == 'Progress':
            return Progress(**values)
        for name in ('held_out', 'pairs'):
            if values[name] is not None:
                values[name] = HeldOut(**values[name])
        return Trained(**values)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _end(child: subprocess.Popen[str], grace: float) -> None:
    """Have the child stop in good order, or else at once."""
    assert child.stdin is not None
    # It may have gone already.
    with suppress(OSError):
        child.stdin.close()
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _error(code: int, stderr_tail: Iterable[str]) -> InputError:
    """What a child's end means to the user."""
    text = [line.strip() for line in stderr_tail if line.strip()]
    last = text[-1] if text else 'it said nothing'
    if code == 2:
        return InputError(last.removeprefix('napari-samnet: '))
    logger.error('training process ended with %d:\n%s', code, '\n'.join(text))
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        return TrainingError(
            f'the training process was ended from outside ({name}); if '
            f'memory ran out, choose a smaller Detail (px) or fewer pairs'
        )
    return TrainingError(f'the training process failed: {last}')
