"""One task after another, and waiting for them from a script."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

from qtpy.QtCore import QEventLoop, QObject, QTimer, Signal

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.request import Outcome
from napari_samnet.plugin.run.worker import Failure, Runner, as_failure


@dataclass(frozen=True)
class Task:
    """Something to run in the background."""

    #: What the activity dock shows.
    title: str
    #: Takes the flag that asks for a stop, returns the generator.
    make: Callable[[Event], Generator[Any, None, Outcome]]
    #: Takes the outcome on the GUI thread, and shows it in steps between which
    #: the window can breathe.
    done: Callable[[Outcome], Iterator[Any]]
    #: Whether it ends without a word.
    quiet: bool = False
    #: Names of the images that it is about.
    pair: str = ''
    #: Tells whether these are the ones on the screen.
    is_shown: Callable[[], bool] = lambda: True


class TaskQueue(QObject):
    """Runs tasks one at a time."""

    #: A task began: Task.
    started = Signal(object)
    #: A task returned, and what it made is about to be shown.
    showing = Signal()
    #: A task returned, and what it made is on screen: Task, Outcome.
    succeeded = Signal(object, object)
    #: A task went wrong: Task, Failure.
    failed = Signal(object, object)
    #: Nothing runs and nothing waits.
    idle = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.runner = Runner(self)
        self._waiting: deque[Task] = deque()
        self._task: Task | None = None
        self._failure: Failure | None = None
        self._outcome: Outcome | None = None
        self._showing: Iterator[Any] = iter(())
        # Ends with its owner, so that nothing is shown in a closed window.
        self._breath = QTimer(self, singleShot=True)
        self._breath.timeout.connect(self._show_next)
        #: Whether a script waits, which then gets failures as exceptions.
        self.watched = False
        self.runner.returned.connect(self._on_returned)
        self.runner.failed.connect(self._on_failed)
        self.runner.finished.connect(self._on_finished)

    @property
    def busy(self) -> bool:
        """Whether a task runs."""
        return self._task is not None

    def add(self, task: Task) -> None:
        """Run a task, now or when those before it are done."""
        self._waiting.append(task)
        if not self.busy:
            self._next()

    def cancel(self) -> None:
        """Stop the task that runs, and forget those that wait."""
        self._waiting.clear()
        self.runner.cancel()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until nothing runs, with the window alive.

        ``timeout``: seconds after which to give up; by default never.
        Raises InputError if a task was refused its input.
        Raises RuntimeError if a task went wrong in any other way.
        Raises TimeoutError if it takes too long. The task goes on.
        """
        if self.busy:
            loop = QEventLoop()
            self.idle.connect(loop.quit)
            if timeout is not None:
                QTimer.singleShot(round(1000 * timeout), loop.quit)
            self.watched = True
            try:
                loop.exec()
            finally:
                self.watched = False
                self.idle.disconnect(loop.quit)
        if self.busy:
            raise TimeoutError(f'not done after {timeout} s')
        failure, self._failure = self._failure, None
        if failure is None:
            return
        if isinstance(failure.error, InputError):
            raise failure.error
        raise RuntimeError(failure.message) from failure.error

    def _next(self) -> None:
        if self._waiting:
            self._task = self._waiting.popleft()
            self._failure = None
            self.started.emit(self._task)
            try:
                self.runner.start(self._task.make, self._task.title)
            except Exception as error:  # noqa: BLE001
                # There is no worker yet that would hand it over.
                self._on_failed(as_failure(error))
                self._end()

    def _on_returned(self, outcome: Outcome) -> None:
        assert self._task is not None
        self._outcome = outcome
        self.showing.emit()
        self._showing = iter(self._task.done(outcome))
        self._breath.start(0)

    def _show_next(self) -> None:
        """Show one more part of what a task made."""
        task, outcome = self._task, self._outcome
        try:
            next(self._showing)
        except StopIteration:
            self._outcome = None
            self.succeeded.emit(task, outcome)
        except Exception as error:  # noqa: BLE001
            # Such as labels that cannot hold the ids that were found; what
            # is raised in a handler of Qt ends the process.
            self._outcome = None
            self._on_failed(as_failure(error))
        else:
            self._breath.start(0)
            return
        self._end()

    def _on_failed(self, failure: Failure) -> None:
        self._failure = failure
        self._waiting.clear()
        self.failed.emit(self._task, failure)

    def _on_finished(self) -> None:
        """The worker is done, but perhaps not the window."""
        self._end()

    def _end(self) -> None:
        if self.runner.running or self._outcome is not None:
            return
        self._task = None
        self._next()
        if not self.busy:
            self.idle.emit()
