"""Python's lock changes hands sooner while something is computed.

To react to a click the window needs the lock a dozen times, and each time a
worker that runs Python keeps it for up to five milliseconds by default. The
first run, which imports torch, would hold the window up noticeably.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

#: Seconds that a thread may keep the lock when another one wants it.
SHORT = 0.001


class _SwitchInterval:
    """A short interval for as long as anybody wants it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._wanted = 0
        self._before = SHORT

    def begin(self) -> None:
        """Ask for the short interval."""
        with self._lock:
            if not self._wanted:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(SHORT, self._before))
            self._wanted += 1

    def end(self) -> None:
        """Ask for it no longer; the last one restores the interval."""
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                sys.setswitchinterval(self._before)


_switch_interval = _SwitchInterval()


@contextmanager
def short_switch_interval() -> Iterator[None]:
    """Let other threads run soon meanwhile."""
    _switch_interval.begin()
    try:
        yield
    finally:
        _switch_interval.end()
