"""Things that go wrong on purpose, and are right again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def can_limit_files() -> bool:
    """Whether this system can limit the size of files."""
    try:
        import resource
    except ImportError:
        # Windows has none.
        return False
    return hasattr(resource, 'RLIMIT_FSIZE')


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size.

    The system itself then refuses to write, as it does on a full disk.

    ``limit``: bytes that may still be written.
    """
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Where it is not ignored already, the signal ends the process.
    handler = signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def without_memory(at: int) -> Iterator[None]:
    """Have one call of torch in this thread fail for want of memory.

    ``at``: which call, counted from 0.
    """
    import torch

    def fail(number: int) -> None:
        if number == at:
            raise torch.OutOfMemoryError(
                'CUDA out of memory.\nTried to allocate 20.00 MiB.'
            )

    with _watching(fail):
        yield


def torch_calls(work: Callable[[], Any]) -> int:
    """Count the calls of torch that some work makes in this thread."""
    counted = 0

    def count(number: int) -> None:
        nonlocal counted
        counted = number + 1

    with _watching(count):
        work()
    return counted


@contextmanager
def _watching(told: Callable[[int], None]) -> Iterator[None]:
    """Tell the number of every call of torch before it is made."""
    from torch.overrides import TorchFunctionMode

    class Watch(TorchFunctionMode):
        def __init__(self) -> None:
            super().__init__()
            self.number = -1

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.number += 1
            told(self.number)
            return func(*args, **(kwargs or {}))

    with Watch():
        yield
