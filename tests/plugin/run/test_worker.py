"""Whatever happens in the worker, the button comes back."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Generator
from threading import Event
from typing import Any

import pytest
from napari.resources import LOADING_GIF_PATH
from napari.utils.progress import progress
from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QMovie
from qtpy.QtWidgets import QApplication, QLabel, QMainWindow

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.request import Report
from napari_samnet.plugin.run.busy_sign import CALM, OWN
from napari_samnet.plugin.run.switch_interval import SHORT
from napari_samnet.plugin.run.worker import Failure, Runner, explain
from napari_samnet.plugin.widgets.parts import Footer

Make = Callable[[Event], Generator[Report, None, Any]]


@pytest.fixture
def runner(qapp: Any) -> Runner:
    parent = QObject()
    made = Runner(parent)
    made.keep = parent
    made.heard = []
    made.returned.connect(lambda x: made.heard.append(('returned', x)))
    made.failed.connect(lambda x: made.heard.append(('failed', x.message)))
    made.reported.connect(lambda x: made.heard.append(('reported', x.text)))
    return made


def run(qtbot: Any, runner: Runner, make: Make) -> list[Any]:
    with qtbot.waitSignal(runner.finished, timeout=10_000):
        runner.start(make, 'Test')
    return runner.heard


def test_reports_and_result_arrive_in_order(
    qtbot: Any, runner: Runner
) -> None:
    def make(stop: Event) -> Any:
        yield Report(1, 2, 'one')
        yield Report(2, 2, 'two')
        return 'done'

    heard = run(qtbot, runner, make)
    assert heard == [
        ('reported', 'one'),
        ('reported', 'two'),
        ('returned', 'done'),
    ]
    assert not runner.running


@pytest.mark.parametrize('strict', [True, False])
@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('shapes do not fit'),
        NotImplementedError('no such operator'),
        ValueError('odd'),
        MemoryError(),
    ],
)
def test_no_error_is_lost(
    qtbot: Any, runner: Runner, error: Exception, strict: bool
) -> None:
    def make(stop: Event) -> Any:
        yield Report(0, 0, 'begun')
        raise error

    with warnings.catch_warnings():
        # Errors from warnings hide what superqt does with RuntimeError.
        warnings.simplefilter('error' if strict else 'default')
        heard = run(qtbot, runner, make)
    assert heard[1:] == [('failed', explain(error))]
    assert not runner.running


def test_out_of_memory_names_the_remedy(qtbot: Any, runner: Runner) -> None:
    torch = pytest.importorskip('torch')

    def make(stop: Event) -> Any:
        yield Report(0, 0, 'begun')
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to …')

    with warnings.catch_warnings():
        warnings.simplefilter('default')
        heard = run(qtbot, runner, make)
    assert heard[-1] == (
        'failed',
        'Out of memory: choose a smaller Detail (px), or the CPU as the '
        'device',
    )
    assert not runner.running


def test_memory_is_freed_by_the_thread_of_the_window(
    qtbot: Any, runner: Runner
) -> None:
    class Node:
        pass

    freed_by = []

    def make(stop: Event) -> Any:
        yield Report(0, 0, 'begun')
        node = Node()
        # Only the collector finds it.
        node.itself = node  # type: ignore[attr-defined]
        weakref.finalize(
            node, lambda: freed_by.append(threading.current_thread())
        )
        del node
        raise MemoryError

    gc.disable()
    try:
        run(qtbot, runner, make)
    finally:
        gc.enable()
    assert freed_by == [threading.main_thread()]


def test_errors_before_the_first_step_are_not_lost(
    qtbot: Any, runner: Runner
) -> None:
    def make(stop: Event) -> Any:
        raise RuntimeError('at once')
        yield

    heard = run(qtbot, runner, make)
    assert heard == [('failed', 'RuntimeError: at once')]


def test_input_errors_speak_for_themselves() -> None:
    assert explain(InputError('size must be whole')) == 'size must be whole'


def test_other_errors_are_one_line() -> None:
    assert explain(KeyError()) == 'KeyError'
    assert explain(OSError('first\nsecond')) == 'OSError: first'


def test_failures_hold_no_frames(
    qtbot: Any, runner: Runner, monkeypatch: Any
) -> None:
    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []
    failures: list[Failure] = []
    runner.failed.connect(failures.append)
    # The test's own log capture would hold the frames.
    logger = logging.getLogger('napari_samnet.plugin.run.worker')
    monkeypatch.setattr(logger, 'disabled', True)

    def make(stop: Event) -> Any:
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        yield Report(0, 0, 'begun')
        raise RuntimeError('out of memory')

    run(qtbot, runner, make)
    qtbot.wait(50)
    gc.collect()
    assert failures
    assert held[0]() is None


def test_cancel_asks_and_keeps_what_is_done(
    qtbot: Any, runner: Runner
) -> None:
    gate = threading.Event()

    def make(stop: Event) -> Any:
        yield Report(1, 9, 'one')
        gate.wait(5)
        return 'kept' if stop.is_set() else 'all'

    runner.start(make, 'Test')
    qtbot.waitUntil(lambda: bool(runner.heard))
    runner.cancel()
    assert runner.canceling
    with qtbot.waitSignal(runner.finished, timeout=10_000):
        gate.set()
    assert runner.heard[-1] == ('returned', 'kept')
    assert not runner.canceling


def test_one_at_a_time(qtbot: Any, runner: Runner) -> None:
    gate = threading.Event()

    def make(stop: Event) -> Any:
        yield Report(0, 0, 'begun')
        gate.wait(5)

    runner.start(make, 'Test')
    with pytest.raises(RuntimeError, match='under way'):
        runner.start(make, 'Test')
    with qtbot.waitSignal(runner.finished, timeout=10_000):
        gate.set()


def test_the_bar_of_the_activity_dock_counts_and_goes(
    qtbot: Any, runner: Runner
) -> None:
    seen = []

    def look(report: Report) -> None:
        runner.reported.disconnect(look)
        (bar,) = progress._all_instances
        for change in (bar.events.description, bar.events.value):
            change.connect(lambda _: seen.append((bar.desc, bar.n, bar.total)))

    runner.reported.connect(look)

    def make(stop: Event) -> Any:
        yield Report(0, 0, 'loading')
        yield Report(1, 3, 'iteration 1')
        yield Report(3, 3, 'iteration 3')

    run(qtbot, runner, make)
    qtbot.waitUntil(lambda: not progress._all_instances)
    assert seen == [
        ('Test, loading: ', 0, 0),
        ('Test, iteration 1: ', 0, 3),
        ('Test, iteration 1: ', 1, 3),
        ('Test, iteration 3: ', 1, 3),
        ('Test, iteration 3: ', 3, 3),
    ]


def test_the_window_has_its_turn_soon_while_something_runs(
    qtbot: Any, runner: Runner
) -> None:
    before = sys.getswitchinterval()
    other = Runner(runner.parent())
    seen = []
    go = Event()

    def short(stop: Event) -> Any:
        yield Report(1, 1, 'one')
        seen.append(sys.getswitchinterval())
        return 'done'

    def long(stop: Event) -> Any:
        yield Report(1, 1, 'one')
        go.wait(10)
        seen.append(sys.getswitchinterval())
        raise ValueError('odd')

    with qtbot.waitSignal(other.reported, timeout=10_000):
        other.start(long, 'Test')
    run(qtbot, runner, short)
    with qtbot.waitSignal(other.finished, timeout=10_000):
        go.set()
    assert seen == pytest.approx([SHORT, SHORT])
    assert sys.getswitchinterval() == before


def test_a_later_report_has_the_last_word(qtbot: Any, runner: Runner) -> None:
    texts = []

    def note(report: Report) -> None:
        for bar in progress._all_instances:
            bar.events.description.connect(lambda e: texts.append(e.value))
            # As napari's bar does, which lets the window live.
            bar.events.description.connect(
                lambda _: QApplication.processEvents()
            )
        runner.reported.disconnect(note)

    def make(stop: Event) -> Any:
        for index in range(1, 30):
            yield Report(index, 29, f'step {index}')

    runner.reported.connect(note)
    heard = run(qtbot, runner, make)
    reported = [text for kind, text in heard if kind == 'reported']
    assert reported == [f'step {index}' for index in range(1, 30)]
    numbers = [int(text.split()[-1]) for text in texts]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 29


def test_the_sign_of_activity_turns_slowly_meanwhile(qtbot: Any) -> None:
    window = QMainWindow()
    qtbot.addWidget(window)
    sign, movie = QLabel(), QMovie(LOADING_GIF_PATH)
    sign.setMovie(movie)
    window.statusBar().addPermanentWidget(sign)
    runner, other = Runner(window), Runner(window)
    go = Event()
    paces = []

    def make(stop: Event) -> Any:
        yield Report(1, 1, 'one')
        go.wait(10)

    runner.reported.connect(lambda _: paces.append(movie.speed()))
    with qtbot.waitSignals([runner.reported, other.reported], timeout=10_000):
        runner.start(make, 'Test')
        other.start(one_report, 'Test')
    qtbot.waitUntil(lambda: not other.running)
    assert movie.speed() == CALM
    with qtbot.waitSignal(runner.finished, timeout=10_000):
        go.set()
    assert paces == [CALM]
    assert movie.speed() == OWN


def one_report(stop: Event) -> Generator[Report, None, None]:
    yield Report(1, 1, 'one')


def test_a_report_draws_the_footer_once_with_all_that_changed(
    qtbot: Any,
) -> None:
    footer = Footer('Run', 'Starts', 'Stops')
    qtbot.addWidget(footer)
    with qtbot.waitExposed(footer):
        footer.show()
    footer.show_steps(0, 10)
    QApplication.processEvents()
    with Paints(footer.bar) as paints:
        footer.show_steps(4, 10)
        assert paints.count == 0
        qtbot.waitUntil(lambda: paints.count > 0)
        drawn = paints.count
        footer.show_steps(4, 10)
        QApplication.processEvents()
    assert (footer.bar.value(), footer.bar.maximum()) == (4, 10)
    assert paints.count == drawn == 1


class Paints(QObject):
    """Counts how often a widget is drawn."""

    def __init__(self, widget: Any) -> None:
        super().__init__()
        self.widget, self.count = widget, 0

    def __enter__(self) -> Paints:
        self.widget.installEventFilter(self)
        return self

    def __exit__(self, *_: Any) -> None:
        self.widget.removeEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        self.count += event.type() == QEvent.Type.Paint
        return False


ENDS = """
import atexit
from qtpy.QtWidgets import QApplication

# Called after all that napari and the plugin do at the end, and right before
# PyQt takes apart what is left, which crashes now and then for a window.
atexit.register(lambda: print('left:', QApplication.topLevelWidgets()))

import napari
from napari_samnet.datasets.samples import load_sample

pair = load_sample('coffee')
viewer = napari.Viewer()
viewer.add_image(pair.source)
viewer.add_labels(pair.labels)
viewer.add_image(pair.target)
_, dock = viewer.window.add_plugin_dock_widget(
    'napari-samnet', 'Semantic transfer'
)
"""

RUNS = """
dock.set_options(size=96, iterations=1, device='cpu')
dock.run(wait=True)
dock.run()
"""

FLOATS = """
dock.parent().setFloating(True)
"""


@pytest.mark.slow
@pytest.mark.parametrize('last', ['', RUNS, FLOATS])
def test_a_script_may_end_with_an_open_window(last: str) -> None:
    # It has no loop of napari, and closes no window.
    ended = subprocess.run(
        [sys.executable, '-c', ENDS + last],
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == 'left: []'
