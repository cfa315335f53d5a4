"""Running in the background without ever freezing or losing the button.

Whatever goes wrong in the worker comes back as a value, a :class:`Failure`:
an exception that leaves a generator worker is lost altogether if it is a
RuntimeError (every torch error is), and reported twice on PySide6 otherwise.
"""

from __future__ import annotations

import atexit
import gc
import logging
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeVar
from weakref import WeakSet

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import (
    QCoreApplication,
    QEvent,
    QObject,
    QThreadPool,
    Signal,
)
from qtpy.QtWidgets import QApplication

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.request import Report
from napari_samnet.plugin.run.busy_sign import CALM, OWN, pace_sign, top_of
from napari_samnet.plugin.run.switch_interval import short_switch_interval

logger = logging.getLogger(__name__)
Yielded = TypeVar('Yielded')
Result = TypeVar('Result')


@dataclass(frozen=True)
class Failure:
    """A run that went wrong."""

    #: One line for the user.
    message: str
    #: What was raised, free of its frames.
    error: Exception


def explain(error: Exception) -> str:
    """Say in one line what went wrong and what helps.

    Returns: one line: for input errors their own text, for want of memory the
    remedy, for anything else its type and first line.
    """
    if isinstance(error, InputError):
        return str(error)
    if _is_memory(error):
        return (
            'Out of memory: choose a smaller Detail (px), or the CPU as '
            'the device'
        )
    text = str(error).strip().split('\n')[0]
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out; torch's own error is a RuntimeError."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return (
        isinstance(error, MemoryError)
        or 'OutOfMemoryError' in names
        or 'out of memory' in str(error).lower()
    )


def _free_memory() -> None:
    """Give back what the device still holds; torch is not imported here.

    Only in the thread of the window: garbage may hold the OpenGL context of
    a viewer that was closed, and one that is freed in another thread stays
    the current one of its own, which crashes when the next window goes.
    """
    gc.collect()
    torch: Any = sys.modules.get('torch')
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _without_frames(error: Exception) -> Exception:
    """Drop the frames of an exception, which keep its tensors alive."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def as_failure(error: Exception) -> Failure:
    """Log an error and make it a value.

    Returns: its explanation, and the error without its frames.
    """
    message = explain(error)
    if isinstance(error, InputError):
        logger.info('run refused: %s', message)
    else:
        logger.error('run failed', exc_info=error)
    return Failure(message, _without_frames(error))


def guarded(
    steps: Generator[Yielded, None, Result],
) -> Generator[Yielded, None, Result | Failure]:
    """Run a generator and never raise out of it.

    Returns: what the work returns, or what went wrong.
    """
    try:
        return (yield from steps)
    except Exception as error:  # noqa: BLE001
        return as_failure(error)


class _Stop:
    """Asks the current run to stop, whichever it is."""

    def __init__(self) -> None:
        self.event = Event()

    def ask(self, *_: Any) -> None:
        """Ask for it; takes what Qt's signals give."""
        self.event.set()


#: What is under way in any window.
_RUNNING: WeakSet[_Stop] = WeakSet()

#: Milliseconds that a program which ends waits for the current iteration.
LAST_WAIT = 20_000


@atexit.register
def _end_all() -> None:
    """Let runs and windows end before the interpreter does.

    A script that ends without the loop of napari closes no window, and both
    would crash. A run would go on below the interpreter's feet.
    """
    stops = [*_RUNNING]
    for stop in stops:
        stop.ask()
    if stops:
        QThreadPool.globalInstance().waitForDone(LAST_WAIT)
    _close_windows()


def _close_windows() -> None:
    """Close the windows with something of ours, as a person does.

    PyQt would delete them while it goes through its table of all objects.
    What listens to objects that go adds some to that table, which moves when
    it is full, and PyQt reads on where it was. Nothing is added once a window
    is gone.
    """
    if QApplication.instance() is None:
        return
    for window in QApplication.topLevelWidgets():
        if window.parent() is None and window.findChildren(Runner):
            window.close()
            # One that was never shown is not told to close.
            window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


class _Worker(GeneratorWorker):
    """Ends its work when the window is closed, where napari only leaves it.

    What the work holds, such as a process, is let go in this thread.
    """

    steps: Generator[Any, None, Any] | None = None

    def work(self) -> Any:
        """Do the work."""
        with short_switch_interval():
            try:
                return super().work()
            finally:
                if self.steps is not None:
                    self.steps.close()


class Runner(QObject):
    """Runs one generator at a time in a napari worker."""

    #: A run began; its title.
    started = Signal(str)
    #: A step is done: Report.
    reported = Signal(object)
    #: Whatever the generator returned.
    returned = Signal(object)
    #: It went wrong: Failure.
    failed = Signal(object)
    #: It is over, whichever way; comes last.
    finished = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._worker: Any = None
        self._title = ''
        self._latest: Report | None = None
        self._stop = _Stop()
        # Without its owner nobody waits for a run.
        self.destroyed.connect(self._stop.ask)

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._worker is not None

    @property
    def canceling(self) -> bool:
        """Whether the run was asked to stop."""
        return self.running and self._stop.event.is_set()

    def start(
        self,
        make: Callable[[Event], Generator[Any, None, Any]],
        title: str,
    ) -> None:
        """Start a run.

        ``make``: takes the flag that asks for a stop, returns the generator.
        """
        if self.running:
            raise RuntimeError('a run is under way already')
        self._stop.event = Event()
        # A total of 0 shows at once, as a bar without an end; the first
        # report then says how many steps there are.
        steps = make(self._stop.event)
        worker = create_worker(
            guarded,
            steps,
            _start_thread=False,
            _progress={'total': 0, 'desc': title},
            _worker_class=_Worker,
        )
        worker.steps = steps
        worker.yielded.connect(self._on_yielded)
        worker.returned.connect(self._on_returned)
        worker.finished.connect(self._on_finished)
        self._worker, self._title = worker, title
        _RUNNING.add(self._stop)
        self._pace_sign()
        self.started.emit(title)
        worker.start()

    def cancel(self) -> None:
        """Ask for a stop after the current iteration."""
        self._stop.ask()

    def _on_yielded(self, report: Report) -> None:
        self._latest = report
        self.reported.emit(report)
        # Last, because napari's bar lets the window draw: all at once, and
        # perhaps with a later report, which then has the last word.
        bar = getattr(self._worker, 'pbar', None)
        if bar is None or report is not self._latest:
            return
        if report.total and bar.total != report.total:
            bar.total = report.total
        bar.set_description(f'{self._title}, {report.text}')
        if report.index > bar.n:
            bar.update(report.index - bar.n)

    def _on_returned(self, result: Any) -> None:
        if isinstance(result, Failure):
            if _is_memory(result.error):
                _free_memory()
            self.failed.emit(result)
        else:
            self.returned.emit(result)

    def _on_finished(self) -> None:
        self._worker = None
        _RUNNING.discard(self._stop)
        self._pace_sign()
        self.finished.emit()

    def _pace_sign(self) -> None:
        window = top_of(self)
        busy = any(runner.running for runner in window.findChildren(Runner))
        pace_sign(window, CALM if busy else OWN)
