"""How long an event loop of Qt answers to nothing, and what it does then."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType

from qtpy.QtCore import Qt, QTimer

#: Milliseconds from one tick to the next.
TICK = 5

#: Seconds from one look at the main thread to the next.
LOOK = 0.003

#: The aim, in milliseconds.
AIM = 50.0

#: Whose code the main thread runs, by a part of the file's path.
OWNERS = {'napari_samnet': 'plugin', 'napari': 'napari', 'vispy': 'napari'}

#: What is drawn or waited for outside of Python.
QT = 'Qt'


@dataclass
class Gap:
    """From one tick to the next, during which the window stands still."""

    #: How long, in milliseconds.
    length: float
    #: How often the main thread was seen in whose code.
    owners: Counter[str] = field(default_factory=Counter)
    #: What it was seen to do, as lines of code.
    lines: Counter[str] = field(default_factory=Counter)

    def share(self, owner: str) -> float:
        """Milliseconds that were spent in somebody's code."""
        seen = sum(self.owners.values())
        return self.length * self.owners[owner] / seen if seen else 0.0


class Watch:
    """Ticks in the event loop, and remembers how late each tick was."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self._now = Gap(0.0)
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK)
        self._timer.timeout.connect(self._on_tick)
        self._main = threading.get_ident()
        self._on = True
        threading.Thread(target=self._look, daemon=True).start()
        self._timer.start()

    def stop(self) -> None:
        """Stop ticking; what is late by then counts too."""
        self._on_tick()
        self._on = False
        self._timer.stop()

    @property
    def longest(self) -> Gap:
        """The longest gap."""
        return max(self.gaps, key=lambda gap: gap.length)

    @property
    def too_long(self) -> int:
        """How many gaps are longer than the aim."""
        return sum(gap.length > AIM for gap in self.gaps)

    def _on_tick(self) -> None:
        now = time.perf_counter()
        self._now.length = 1000 * (now - self._last)
        self.gaps.append(self._now)
        self._last, self._now = now, Gap(0.0)

    def _look(self) -> None:
        """Note what the main thread does while a tick is late."""
        while self._on:
            time.sleep(LOOK)
            if time.perf_counter() - self._last < 3 * TICK / 1000:
                continue
            frame = sys._current_frames().get(self._main)
            gap = self._now
            gap.owners[_owner(frame)] += 1
            gap.lines[_lines(frame)] += 1


def _owner(frame: FrameType | None) -> str:
    """In whose code a thread is, whatever library that calls."""
    while frame is not None:
        parts = frame.f_code.co_filename.replace('\\', '/').split('/')
        for part, owner in OWNERS.items():
            if part in parts[:-1]:
                return owner
        frame = frame.f_back
    return QT


def _lines(frame: FrameType | None) -> str:
    """The last lines of a thread, those of this package among them."""
    stack = traceback.extract_stack(frame)
    near = [
        one
        for place, one in enumerate(stack)
        if place >= len(stack) - 3 or 'napari_samnet' in one.filename
    ]
    return '\n'.join(
        f'    {"/".join(one.filename.split("/")[-3:])}:{one.lineno} {one.name}'
        for one in near[-9:]
    )
