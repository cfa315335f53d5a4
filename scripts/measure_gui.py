"""Measure how napari's window feels while the plugin works.

Needs a display with OpenGL, such as Xvfb, and a quiet machine::

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/measure_gui.py

A timer ticks every 5 ms in the event loop; a gap is the time from one tick
to the next, during which the window answers to nothing. What napari needs by
itself, for its first progress bar and to add the layers of a run, is
measured in the same window without the plugin. With ``--trace`` the Python
stacks of all threads in the longest gaps are printed.

Gaps grow with what else the processor has to do: the last line says how many
cores other processes took meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# The preferences of whoever runs this are neither used nor changed.
os.environ['NAPARI_CONFIG'] = str(Path(tempfile.mkdtemp()) / 'settings.yaml')

import napari
import numpy as np
import psutil
from napari.utils import progress
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_samnet.plugin.contributions.commands import dock
from napari_samnet.plugin.contributions.sample_data import sample_layers
from napari_samnet.plugin.layers.results import METADATA

#: Milliseconds from one tick to the next.
TICK = 5

#: The aim, in milliseconds.
AIM = 50.0

WINDOW = (1440, 900)


class Gaps:
    """Ticks in the event loop, and remembers how late each tick was."""

    def __init__(self, *, trace: bool) -> None:
        self.gaps: list[float] = []
        self.stacks: list[tuple[float, str]] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK)
        self._timer.timeout.connect(self._on_tick)
        self._trace = trace
        self._main = threading.get_ident()

    def start(self) -> None:
        """Begin to tick."""
        self._on = True
        self._last = time.perf_counter()
        if self._trace:
            threading.Thread(target=self._watch, daemon=True).start()
        self._timer.start()

    def stop(self) -> None:
        """Stop ticking; what is late by then counts too."""
        self._on_tick()
        self._on = False
        self._timer.stop()

    @property
    def largest(self) -> float:
        """The largest gap, in milliseconds."""
        return round(max(self.gaps), 1)

    def _on_tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(1000 * (now - self._last))
        self._last = now

    def _watch(self) -> None:
        """Look at all threads while a tick is late."""
        while self._on:
            time.sleep(0.004)
            last = self._last
            late = 1000 * (time.perf_counter() - last)
            if late > AIM * 0.7:
                frames = sys._current_frames()
                text = ''.join(
                    f'{"GUI" if key == self._main else "other"}: '
                    + ''.join(traceback.format_stack(frame)[-6:])
                    for key, frame in frames.items()
                    if key != threading.get_ident()
                )
                while self._on and self._last == last:
                    time.sleep(0.001)
                self.stacks.append((1000 * (self._last - last), text))

    def summary(self) -> dict[str, float]:
        """The largest gap, the 99th percentile, and how many are too long."""
        gaps = np.array(self.gaps)
        return {
            'largest gap, ms': self.largest,
            '99 % of gaps below, ms': round(float(np.percentile(gaps, 99)), 1),
            f'gaps over {AIM:g} ms': int((gaps > AIM).sum()),
            'ticks': len(gaps),
        }


def settle(until: Callable[[], bool] = lambda: True) -> None:
    """Let the window catch up, and wait for something."""
    deadline = time.monotonic() + 300
    rounds = 0
    while rounds < 30 or not until():
        QApplication.processEvents()
        time.sleep(0.002)
        rounds += 1
        if time.monotonic() > deadline:
            raise TimeoutError('the window did not get there')


def open_pair(viewer: Any, name: str) -> None:
    """Add a sample pair."""
    for data in sample_layers(name):
        viewer.add_layer(napari.layers.Layer.create(*data))
    viewer.reset_view()
    settle()


def run_once(widget: Any, *, trace: bool) -> tuple[dict[str, Any], Gaps]:
    """Press Run, and watch the event loop until the results are made.

    Showing them is watched apart: adding a layer is one call of napari's.
    """
    texts: list[tuple[float, str]] = []
    start = time.perf_counter()
    runner = widget._tasks.runner

    def note(report: Any) -> None:
        texts.append((time.perf_counter() - start, report.text))

    runner.reported.connect(note)
    computing, showing = Gaps(trace=trace), Gaps(trace=False)

    def change(_: Any) -> None:
        computing.stop()
        showing.start()

    runner.returned.connect(change)
    computing.start()
    widget.panel.run.click()
    said = time.perf_counter() - start
    assert widget.message, 'no text after Run'
    widget.wait()
    breathe(0.5)
    showing.stop()
    runner.reported.disconnect(note)
    runner.returned.disconnect(change)
    iterations = [text for _, text in texts if text.startswith('iteration')]
    return {
        'first text after, ms': round(1000 * said, 1),
        'run, s': round(texts[-1][0], 2),
        'iterations': len(iterations),
        **computing.summary(),
        'largest gap while results are shown, ms': showing.largest,
    }, computing


def breathe(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()


def gap_of(action: Callable[[], Any]) -> float:
    """Largest gap while something is done on the GUI thread."""
    gaps = Gaps(trace=False)
    gaps.start()
    breathe(0.1)
    action()
    breathe(0.5)
    gaps.stop()
    return gaps.largest


def first_bar() -> None:
    """Show a progress bar; for the first one the status bar grows."""
    with progress(total=0):
        breathe(0.2)


def napari_alone(viewer: Any) -> dict[str, float]:
    """Add layers like those of a run, as any script does."""
    found = {}
    for layer in [x for x in viewer.layers if METADATA in x.metadata]:
        copy = napari.layers.Layer.create(*layer.as_layer_data_tuple())
        found[type(layer).__name__] = gap_of(
            partial(viewer.layers.append, copy)
        )
        viewer.layers.remove(copy)
        breathe(0.2)
    return found


def busy_elsewhere() -> tuple[float, float]:
    """Seconds of processor time of other processes, and of the clock."""
    all_ = psutil.cpu_times()
    busy = all_.user + all_.nice + all_.system
    own = psutil.Process().cpu_times()
    return busy - own.user - own.system, time.monotonic()


def cancel_once(widget: Any) -> dict[str, Any]:
    """Cancel in the middle of an iteration."""
    widget._cache.clear()
    times: list[float] = []
    runner = widget._tasks.runner

    answered: list[float] = []

    def note(report: Any) -> None:
        if report.change is not None:
            times.append(time.perf_counter())
        if report.stopped:
            answered.append(time.perf_counter())

    runner.reported.connect(note)
    widget.run()
    settle(lambda: len(times) > 2)
    iteration = float(np.diff(times).mean())
    end = time.perf_counter() + iteration / 2
    settle(lambda: time.perf_counter() > end)
    asked = time.perf_counter()
    widget.cancel()
    widget.wait()
    runner.reported.disconnect(note)
    return {
        'iteration, ms': round(1000 * iteration),
        'iterating ended after, ms': round(1000 * (answered[0] - asked)),
        'results shown after, ms': round(1000 * (time.perf_counter() - asked)),
        'said': widget.message,
    }


def tell(name: str, value: Any) -> None:
    """Print one result, at once."""
    sys.stdout.write(f'{name}: {json.dumps(value, indent=2)}\n')
    sys.stdout.flush()


def main() -> None:
    """Measure, and print what was found, one result after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pair', default='coffee', help='a sample pair')
    parser.add_argument('--size', type=int, default=256, help='working size')
    parser.add_argument('--iterations', type=int, default=10)
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--trace', action='store_true')
    arguments = parser.parse_args()

    before = busy_elsewhere()
    viewer = napari.Viewer(show=False)
    viewer.show()
    viewer.window.resize(*WINDOW)
    settle()
    open_pair(viewer, arguments.pair)
    start = time.perf_counter()
    widget = dock(viewer)
    QApplication.processEvents()
    tell('widget opens in, ms', round(1000 * (time.perf_counter() - start)))
    tell('torch imported by opening', 'torch' in sys.modules)
    settle()
    widget.set_options(
        size=arguments.size, iterations=arguments.iterations, tolerance=0.0
    )
    breathe(0.5)
    tell('napari alone shows its first progress bar, ms', gap_of(first_bar))
    watched = []
    for number in range(arguments.runs):
        widget._cache.clear()
        found, gaps = run_once(widget, trace=arguments.trace)
        tell('run' if number else 'first run, torch is loaded', found)
        watched += gaps.stacks
    alone = napari_alone(viewer)
    tell('napari alone adds such a layer, largest gap, ms', alone)
    tell('cancel', cancel_once(widget))
    widget.run(wait=True)
    labels = viewer.layers[f'{arguments.pair} labels']
    second = viewer.add_labels((np.asarray(labels.data) > 0).astype(np.uint8))
    settle()
    start = time.perf_counter()
    widget.transfer(second, wait=True)
    tell('second mask, ms', round(1000 * (time.perf_counter() - start)))
    others, clock = np.subtract(busy_elsewhere(), before)
    tell('cores that other processes took', round(others / clock, 2))
    for late, text in sorted(watched, reverse=True)[:12]:
        sys.stdout.write(f'\n--- {late:.0f} ms\n{text}')
    viewer.close()


if __name__ == '__main__':
    main()
