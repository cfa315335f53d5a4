"""Two parts of a match that do not need each other, at the same time.

Each of them is a long row of small operations, of which two cores share a
single one badly, and a part each well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Condition, Thread
from typing import Any, Generic, Protocol, TypeVar

from napari_samnet.arrays.tiles import cores

A = TypeVar('A')
B = TypeVar('B')
C = TypeVar('C', covariant=True)

#: How many threads torch had before they were shared, while they are.
_before: list[int] = []


def all_threads() -> int:
    """Threads of torch, those of both parts where two are done at once.

    For libraries that keep to threads of their own: what they are given at
    such a time stays with them.
    """
    import torch

    return _before[0] if _before else torch.get_num_threads()


def has_room(device: str) -> bool:
    """Whether two things are done at once by :func:`side_by_side`.

    ``device``: where both would compute.
    """
    import torch

    threads = min(torch.get_num_threads(), cores())
    return device == 'cpu' and threads >= 2


class Result(Protocol[C]):
    """What comes of something that was put off."""

    def result(self) -> C:
        """What it returned, once it is done; what it raised is raised."""


class Later(Protocol):
    """A way to put something off, until it is asked for or done beside."""

    def __call__(
        self, work: Callable[[], A], /, *, soon: bool = False
    ) -> Result[A]:
        """Put it off. It runs in another thread, or when it is asked for.

        ``soon``: before all that can wait longer, none of which is begun
        before something that is wanted soon.
        """


class PutOff(Generic[A]):
    """Something that is done when it is asked for, and not if it never is."""

    def __init__(
        self,
        work: Callable[[], A],
        *,
        soon: bool = False,  # noqa: ARG002
    ) -> None:
        self._work = work

    def result(self) -> A:
        """Do it."""
        return self._work()


class _Beside(Generic[A]):
    """Something that another thread does, if it comes to it in time."""

    def __init__(
        self,
        work: Callable[[], A],
        waiting: Callable[[], _Beside[Any] | None],
    ) -> None:
        self._work = work
        self._waiting = waiting
        self._future: Future[A] = Future()

    def do(self) -> None:
        """Do it, unless that was begun elsewhere."""
        if not self._future.set_running_or_notify_cancel():
            return
        try:
            self._future.set_result(self._work())
        except BaseException as error:  # noqa: BLE001
            self._future.set_exception(error)

    def result(self) -> A:
        """What it returned; done here where it has not been begun.

        While the other thread is at it, this one does what else is put off.
        """
        if self._future.cancel():
            return self._work()
        while not self._future.done() and (other := self._waiting()):
            other.do()
        return self._future.result()


class _SecondThread:
    """Does what it is given, what is wanted soon before all else."""

    def __init__(self) -> None:
        self._soon: deque[_Beside[Any]] = deque()
        self._other: deque[_Beside[Any]] = deque()
        # Set once something was wanted soon, and at the end.
        self._begun = self._ends = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name='beside')
        self._thread.start()

    def __call__(
        self, work: Callable[[], A], /, *, soon: bool = False
    ) -> Result[A]:
        beside = _Beside(work, self._waiting)
        with self._changed:
            (self._soon if soon else self._other).append(beside)
            self._begun |= soon
            self._changed.notify()
        return beside

    def _waiting(self) -> _Beside[Any] | None:
        """What is to be done next, if there is anything."""
        with self._changed:
            if self._soon:
                return self._soon.popleft()
            return self._other.popleft() if self._other else None

    def end(self) -> None:
        """Wait until all is done."""
        with self._changed:
            self._begun = self._ends = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work.do()

    def _next(self) -> _Beside[Any] | None:
        with self._changed:
            while True:
                if self._soon:
                    return self._soon.popleft()
                if self._begun and self._other:
                    return self._other.popleft()
                if self._ends:
                    return None
                self._changed.wait()


@contextmanager
def beside(device: str) -> Iterator[Later]:
    """Have things done on a second core, one after the other.

    What the second core has not come to is done when it is asked for, and so
    is all on another device than the CPU, and where there is one core.

    ``device``: where all parts compute.

    Within, each of the two threads has half of the cores. It ends when all is
    done that was put off.
    """
    import torch

    if not has_room(device):
        yield PutOff
        return
    threads = torch.get_num_threads()
    # Threads that begin now take this number over.
    _before.append(threads)
    torch.set_num_threads(threads // 2)
    second = _SecondThread()
    try:
        yield second
    finally:
        second.end()
        torch.set_num_threads(threads)
        _before.remove(threads)


def side_by_side(
    first: Callable[[], A], second: Callable[[], B], *, device: str = 'cpu'
) -> tuple[A, B]:
    """Do two things, on two cores where there are two.

    ``first``: done in a thread of its own. Modes of torch that belong to a
    thread, such as that of inference, are not those of the caller there.
    ``second``: done in the thread of the caller.
    ``device``: where both compute; on another than the CPU, one after the
    other.
    Returns: what both return. What either raises is raised, when both have
    come to an end.
    """
    if not has_room(device):
        return first(), second()
    with beside(device) as later:
        other = later(first, soon=True)
        result = second()
        return other.result(), result


def on_all_cores(
    part: Callable[[int], A], count: int, *, device: str = 'cpu'
) -> list[A]:
    """Do alike parts, two at a time where there are two cores.

    ``part``: takes the number of a part. ``count``: how many there are.
    Returns: what the parts return, in their order.
    """

    def some(first: int) -> list[A]:
        return [part(number) for number in range(first, count, 2)]

    odd, even = side_by_side(lambda: some(1), lambda: some(0), device=device)
    return [(even, odd)[number % 2][number // 2] for number in range(count)]
