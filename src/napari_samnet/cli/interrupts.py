"""Ctrl-C while something is imported waits until that is done.

Libraries in C++ import Python's modules while they are loaded, and do not
expect an exception there: torch ends the process with a message of its own,
others report that they are broken.
"""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds after which to look again.
PAUSE = 0.02


def _imports(frame: FrameType | None) -> bool:
    """Whether something is imported where a program was interrupted."""
    while frame is not None:
        if frame.f_globals.get('__name__') == 'importlib._bootstrap':
            return True
        frame = frame.f_back
    return False


@contextmanager
def after_imports() -> Iterator[None]:
    """Let Ctrl-C interrupt what is done, but nothing that is imported.

    Where somebody else sees to Ctrl-C it stays so.
    """
    mine = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not mine or before is not signal.default_int_handler:
        yield
        return
    ended = threading.Event()

    def press_again() -> None:
        time.sleep(PAUSE)
        if not ended.is_set():
            _thread.interrupt_main()

    def press(_: int, frame: FrameType | None) -> None:
        if not _imports(frame):
            raise KeyboardInterrupt
        # Not a `Thread`: importing may hold the locks that it needs.
        _thread.start_new_thread(press_again, ())

    signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        ended.set()
        signal.signal(signal.SIGINT, before)
