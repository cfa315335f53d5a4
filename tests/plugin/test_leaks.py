"""A dock that is opened and closed many times leaves nothing behind."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.qt.threading import GeneratorWorker
from napari.utils.progress import progress
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_samnet.plugin.run.worker import explain
from napari_samnet.plugin.transfer import widget as module
from napari_samnet.plugin.transfer.widget import SemanticTransfer

pytestmark = [pytest.mark.slow, pytest.mark.binding]

TIMES = 50


def callbacks(viewer: ViewerModel) -> Counter[str]:
    """How many listen to each event of the viewer and its layers."""
    groups = {
        'layers': viewer.layers.events,
        'selection': viewer.layers.selection.events,
        'dims': viewer.dims.events,
        **{f'layer {layer.name}': layer.events for layer in viewer.layers},
    }
    found = Counter(
        {
            f'{group} {name}': len(emitter.callbacks)
            for group, events in groups.items()
            for name, emitter in events.emitters.items()
        }
    )
    for name in ('mouse_drag_callbacks', 'mouse_move_callbacks'):
        found[name] = len(getattr(viewer, name))
        for layer in viewer.layers:
            found[f'{layer.name} {name}'] = len(getattr(layer, name))
    found['keys'] = len(viewer.keymap)
    return found


def bury() -> None:
    """Have Qt and Python delete what is to be deleted."""
    application = QApplication.instance()
    assert application is not None
    for _ in range(2):
        application.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        application.processEvents()
        gc.collect()


def close(widget: SemanticTransfer) -> None:
    widget.close()
    widget.deleteLater()


@pytest.mark.parametrize('ran', [False, True])
def test_50_docks_leave_no_thread_and_no_callback(
    qtbot: Any,
    viewer: ViewerModel,
    photos: tuple[np.ndarray, np.ndarray],
    fast: dict[str, Any],
    ran: bool,
) -> None:
    viewer.add_image(photos[0], name='photo')
    viewer.add_image(photos[1], name='other')

    def open_and_close() -> weakref.ref[SemanticTransfer]:
        widget = SemanticTransfer(viewer)
        widget.show()
        widget.set_source('photo')
        widget.set_target('other')
        widget.set_options(**{**fast, 'iterations': 1})
        if ran:
            widget.run(wait=True, timeout=60)
        close(widget)
        return weakref.ref(widget)

    # The first one fills what is kept for good, such as the thread pool.
    open_and_close()
    bury()
    before = callbacks(viewer)
    threads = {thread.ident for thread in threading.enumerate()}
    widgets = len(QApplication.allWidgets())
    held = [open_and_close() for _ in range(TIMES if not ran else 5)]
    bury()
    qtbot.waitUntil(lambda: not GeneratorWorker._worker_set, timeout=60_000)
    bury()
    assert callbacks(viewer) == before
    left = [t for t in threading.enumerate() if t.ident not in threads]
    # Qt's pool keeps its threads; Python sees them as dummies.
    assert [t for t in left if not isinstance(t, threading._DummyThread)] == []
    assert len(QApplication.allWidgets()) <= widgets
    assert not progress._all_instances
    assert sum(reference() is not None for reference in held) <= 1


@pytest.mark.parametrize(
    'error',
    [
        KeyError('x'),
        AttributeError('no such'),
        OSError(28, 'No space left on device'),
        RecursionError('too deep'),
        AssertionError(),
        UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'odd'),
        StopIteration('early'),
        type('OddError', (Exception,), {})('two\nlines'),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_error_in_the_worker_gives_the_button_back(
    qtbot: Any,
    ready: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error
        yield

    monkeypatch.setattr(module, 'run_steps', fail)
    layers = list(ready.viewer.layers)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        ready.run(wait=True, timeout=60)
    told = str(caught.value)
    assert '\n' not in told
    # Python turns what would end a generator into a RuntimeError.
    assert explain(error) in told or 'StopIteration' in told
    assert ready.panel.run.isEnabled()
    assert list(ready.viewer.layers) == layers
    monkeypatch.undo()
    ready.run(wait=True, timeout=60)
    assert len(ready.viewer.layers) > len(layers)


def test_an_error_before_the_worker_gives_the_button_back(
    ready: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError('x')

    monkeypatch.setattr(module, 'run_steps', fail)
    with pytest.raises(RuntimeError, match='KeyError'):
        ready.run(wait=True, timeout=60)
    assert not ready.running
    assert ready.panel.run.isEnabled()
    monkeypatch.undo()
    ready.run(wait=True, timeout=60)


class TestDataReplacedDuringARun:
    @pytest.fixture
    def paused(self, qtbot: Any, ready: Any) -> Any:
        """A run that waits, having the layers' arrays, until released."""
        gate, inner = threading.Event(), ready._cache.get

        def slow(key: str) -> Any:
            gate.wait(30)
            return inner(key)

        ready._cache.get = slow
        ready.release = gate.set
        yield ready
        gate.set()

    @pytest.mark.parametrize('change', ['same shape', 'other shape'])
    def test_what_was_there_is_matched(
        self, qtbot: Any, paused: Any, viewer: ViewerModel, change: str
    ) -> None:
        shape = (80, 100, 3) if change == 'same shape' else (33, 44, 3)
        paused.run()
        viewer.layers['photo'].data = np.zeros(shape, np.uint8)
        viewer.layers['mask'].data = np.zeros(shape[:2], np.int32)
        paused.release()
        qtbot.waitUntil(lambda: not paused.running, timeout=60_000)
        assert paused.panel.run.isEnabled() or change == 'other shape'
        made = [x for x in viewer.layers if x.data.shape[:2] == (72, 96)]
        labels = [x for x in made if x._type_string == 'labels']
        assert [bool(x.data.any()) for x in labels] == [True]

    def test_painting_meanwhile_is_safe(
        self, qtbot: Any, paused: Any, viewer: ViewerModel
    ) -> None:
        paused.run()
        viewer.layers['mask'].paint((40, 40), 9)
        paused.release()
        qtbot.waitUntil(lambda: not paused.running, timeout=60_000)
        (found,) = (
            x
            for x in viewer.layers
            if x._type_string == 'labels' and x.name != 'mask'
        )
        assert {*np.unique(found.data)} <= {0, 3, 9, 70_000}
