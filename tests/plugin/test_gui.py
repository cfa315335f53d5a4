"""In a real window, under a real X server."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

import napari_samnet
from napari_samnet.plugin.model.capture import METADATA

pytestmark = [pytest.mark.gui, pytest.mark.slow]

WAIT = 60.0
NAME = 'napari-samnet'
DOCK = 'Semantic transfer'


@pytest.fixture
def window(make_napari_viewer_proxy: Callable[..., Any]) -> Any:
    return make_napari_viewer_proxy()


@pytest.fixture
def docked(
    window: Any,
    photos: tuple[np.ndarray, np.ndarray],
    mask: np.ndarray,
    fast: dict[str, Any],
    qtbot: Any,
) -> Iterator[Any]:
    window.add_image(photos[0], name='photo')
    window.add_labels(mask, name='mask')
    window.add_image(photos[1], name='other', translate=(0, 110))
    _, widget = window.window.add_plugin_dock_widget(NAME, DOCK)
    widget.set_source('photo')
    widget.set_target('other')
    widget.set_options(**fast)
    yield widget
    try:
        widget.cancel()
        qtbot.waitUntil(lambda: not widget.running, timeout=60_000)
    except RuntimeError:
        # The window was closed in the test, and the dock with it.
        pass


def results(viewer: Any) -> dict[str, Any]:
    """Our layers by role."""
    return {
        layer.metadata[METADATA]['role']: layer
        for layer in viewer.layers
        if METADATA in layer.metadata
    }


def test_a_run_shows_three_layers(docked: Any, window: Any) -> None:
    camera = getattr(window, 'scene', window).camera
    # Both images are in view already, so the camera stays.
    window.reset_view()
    before = camera.zoom, tuple(camera.center)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        docked.run(wait=True, timeout=WAIT)
    made = results(window)
    assert set(made) == {'flow', 'labels', 'transferred'}
    assert (camera.zoom, tuple(camera.center)) == before
    assert docked.panel.run.isEnabled()


def test_script_and_menu_open_the_same_dock(docked: Any, window: Any) -> None:
    _, again = window.window.add_plugin_dock_widget(NAME, DOCK)
    assert again is docked
    assert f'{DOCK} ({NAME})' in window.window.dock_widgets


def test_commands_work_from_the_selection(
    docked: Any,
    window: Any,
    npe2pm: Any,
    photos: Any,
    mask: np.ndarray,
    fast: dict[str, Any],
) -> None:
    layers = window.layers
    layers.selection = {layers['photo'], layers['other'], layers['mask']}
    commands = npe2pm.commands
    commands.execute(f'{NAME}.run', kwargs={'viewer': window})
    assert docked.running
    docked.wait(WAIT)
    made = results(window)
    assert set(made) == {'flow', 'labels', 'transferred'}
    found = napari_samnet.match(*photos, labels=mask, **fast)
    np.testing.assert_array_equal(made['labels'].data, found.warped_labels)
    np.testing.assert_array_equal(made['transferred'].data, found.transferred)
    second = window.add_labels((mask > 0).astype(np.uint8), name='two')
    layers.selection = {second}
    commands.execute(f'{NAME}.transfer', kwargs={'viewer': window})
    docked.wait(WAIT)
    assert 'other ← two' in layers


def test_what_was_opened_last_is_the_pair_that_the_dock_holds(
    docked: Any, window: Any, npe2pm: Any
) -> None:
    layers, run = window.layers, f'{NAME}.run'
    for chosen in ({'other'}, {'photo', 'other'}):
        docked.set_source('photo')
        layers.selection = {layers[name] for name in chosen}
        npe2pm.commands.execute(run, kwargs={'viewer': window})
        docked.wait(WAIT)
        assert (docked.source.name, docked.target.name) == ('photo', 'other')
        # The other way round, as the user has put it.
        docked.set_labels(None)
        docked.set_source('other')
        npe2pm.commands.execute(run, kwargs={'viewer': window})
        docked.wait(WAIT)
        assert (docked.source.name, docked.target.name) == ('other', 'photo')


def test_commands_say_what_is_missing(
    docked: Any, window: Any, npe2pm: Any, monkeypatch: Any
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        'napari_samnet.plugin.contributions.commands.show_error', said.append
    )
    window.layers.selection = set()
    kwargs = {'viewer': window}
    npe2pm.commands.execute(f'{NAME}.transfer', kwargs=kwargs)
    window.add_image(np.zeros((9, 9)))
    window.layers.selection = {x for x in window.layers if x.name != 'mask'}
    npe2pm.commands.execute(f'{NAME}.run', kwargs=kwargs)
    window.layers.selection = {window.layers[-1]}
    npe2pm.commands.execute(f'{NAME}.run', kwargs=kwargs)
    assert said == [
        'Select Labels, Points or Shapes to transfer',
        'Select two images, not 3',
        'Select two images, not 1',
    ]
    assert docked.source.name == 'photo'


def test_a_row_of_the_layer_list_is_dropped(
    docked: Any, window: Any, drop: Any, layer_mime: Any
) -> None:
    assert drop(docked.panel.drop, layer_mime(window.layers['mask']))
    docked.wait(WAIT)
    assert 'other ← mask' in window.layers
    assert not drop(docked.panel.drop, layer_mime(window.layers['photo']))
    assert 'no mask' in docked.panel.drop.reason


def test_the_layer_list_s_own_drag_is_understood(
    make_napari_viewer: Callable[..., Any],
    photos: Any,
    mask: np.ndarray,
    drop: Any,
    fast: dict[str, Any],
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(photos[0], name='photo')
    viewer.add_image(photos[1], name='other')
    viewer.add_labels(mask, name='mask')
    _, widget = viewer.window.add_plugin_dock_widget(NAME, DOCK)
    widget.set_options(**fast)
    rows = viewer.window._qt_viewer.layers.model()
    # The list shows the uppermost layer first.
    of_mask, of_image = rows.index(0, 0), rows.index(1, 0)
    assert not drop(widget.panel.drop, rows.mimeData([of_image]))
    assert drop(widget.panel.drop, rows.mimeData([of_mask]))
    widget.wait(WAIT)
    assert 'other ← mask' in viewer.layers


def test_the_menu_opens_the_dock(docked: Any, window: Any) -> None:
    from napari._app_model import get_app_model

    app = get_app_model()
    titles = {
        menu: [
            item.command.title
            for item in app.menus.get_menu(f'napari/layers/{menu}')
            if hasattr(item, 'command')
        ]
        for menu in ('register', 'segment')
    }
    assert f'{DOCK} ({NAME})' in titles['register']
    assert any('Match the selected' in x for x in titles['register'])
    assert any('Transfer the selected' in x for x in titles['segment'])
    before = list(window.window.dock_widgets)
    app.commands.execute_command(f'{NAME}.open').result()
    # It found the dock of the script instead of opening another.
    assert list(window.window.dock_widgets) == before


def test_commands_are_in_the_palette(docked: Any) -> None:
    from app_model.types import MenuItem
    from napari._app_model import get_app_model

    menus = get_app_model().menus
    found = {
        item.command.id
        for item in menus.get_menu(menus.COMMAND_PALETTE_ID)
        if isinstance(item, MenuItem)
    }
    wanted = {f'{NAME}.{x}' for x in ('open', 'run', 'transfer')}
    assert wanted <= found


def test_a_second_mask_is_instant(
    docked: Any, window: Any, drop: Any, layer_mime: Any, mask: np.ndarray
) -> None:
    docked.run(wait=True, timeout=WAIT)
    second = window.add_labels((mask > 0).astype(np.uint8), name='two')
    start = time.perf_counter()
    assert drop(docked.panel.drop, layer_mime(second))
    docked.wait(WAIT)
    assert time.perf_counter() - start < 1.5
    assert 'other ← two' in window.layers


def fail(name: str) -> Exception:
    """An error as torch raises it; both are RuntimeErrors."""
    torch = pytest.importorskip('torch')
    if name == 'memory':
        return torch.OutOfMemoryError('CUDA out of memory. Tried to …')
    return RuntimeError('The size of tensor a must match\nsecond line')


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('memory', 'Out of memory: choose a smaller Detail (px), or the CPU'),
        ('shapes', 'RuntimeError: The size of tensor a must match'),
    ],
)
def test_an_error_is_one_notification_and_run_comes_back(
    docked: Any, window: Any, qtbot: Any, name: str, text: str
) -> None:
    from napari.utils.notifications import notification_manager
    from napari.utils.progress import progress

    def get(key: str) -> Any:
        raise fail(name)

    kept, docked._cache.get = docked._cache.get, get
    notification_manager.records.clear()
    with warnings.catch_warnings():
        # Errors from warnings hide what superqt does with RuntimeError.
        warnings.simplefilter('default')
        docked.panel.run.click()
        qtbot.waitUntil(lambda: not docked.running, timeout=60_000)
    qtbot.waitUntil(lambda: not progress._all_instances)
    (record,) = notification_manager.records
    assert record.message.startswith(text)
    assert '\n' not in record.message
    assert docked.panel.run.isEnabled()
    notification_manager.records.clear()
    docked._cache.get = kept
    docked.run(wait=True, timeout=WAIT)
    assert results(window)


@pytest.mark.parametrize('when', ['dock', 'window'])
def test_closing_during_a_run_is_silent(
    docked: Any, window: Any, qtbot: Any, when: str
) -> None:
    from napari.qt.threading import GeneratorWorker

    docked.set_options(iterations=20, tolerance=0.0)
    docked.run()
    qtbot.waitUntil(lambda: len(docked.panel.plot.changes) > 0, timeout=60_000)
    if when == 'dock':
        docked.parent().close()
        docked.cancel()
        docked.wait(WAIT)
    else:
        window.close()
    qtbot.waitUntil(lambda: not GeneratorWorker._worker_set, timeout=60_000)
    gc.collect()


def test_undo_in_the_window(docked: Any, window: Any) -> None:
    layer = window.add_labels(np.zeros((72, 96), np.int32), name='mine')
    docked.transfer('mask', into=layer, wait=True, timeout=WAIT)
    assert layer.data.any()
    layer.undo()
    assert not layer.data.any()


def test_units_are_kept_for_all_layers(
    window: Any, photos: Any, fast: dict[str, Any]
) -> None:
    common = {'scale': (0.5, 0.5), 'units': ('um', 'um')}
    for photo in photos:
        window.add_image(photo, **common)
    _, widget = window.window.add_plugin_dock_widget(NAME, DOCK)
    widget.set_options(**fast)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        widget.run(wait=True, timeout=WAIT)
    units = {str(unit) for unit in window.layers.extent.units}
    assert units == {'micrometer'}


def test_the_window_stays_alive_during_a_run(docked: Any, qtbot: Any) -> None:
    # The first run imports torch, which holds Python's lock for a while.
    docked.run(wait=True, timeout=WAIT)
    docked._cache.clear()
    docked.set_options(size=256, window=9, iterations=3)
    gaps, last = [], time.perf_counter()

    def tick() -> None:
        nonlocal last
        now = time.perf_counter()
        gaps.append(now - last)
        last = now

    timer = QTimer()
    timer.timeout.connect(tick)
    docked._tasks.runner.returned.connect(timer.stop)
    last = time.perf_counter()
    timer.start(0)
    docked.run(wait=True, timeout=WAIT)
    assert len(gaps) > 100
    # 50 ms is the aim on an idle machine; tests share theirs.
    assert np.percentile(gaps, 99) < 0.05
    assert max(gaps) < 0.5


def test_first_text_comes_at_once(docked: Any) -> None:
    start = time.perf_counter()
    docked.run()
    QApplication.processEvents()
    assert time.perf_counter() - start < 0.3
    assert docked.message
    assert docked.panel.bar.isVisibleTo(docked)


def test_the_demonstration_opens_and_runs(
    make_napari_viewer: Callable[..., Any], monkeypatch: Any, qtbot: Any
) -> None:
    from napari_samnet.plugin import open_demo
    from napari_samnet.plugin.transfer import settings

    values = settings.load_settings() | {'size': 64, 'window': 5}
    monkeypatch.setattr(
        'napari_samnet.plugin.transfer.widget.load_settings', lambda: values
    )
    viewer = open_demo(make_napari_viewer(), 'cat')
    widget = viewer.window.dock_widgets[f'{DOCK} ({NAME})']
    assert widget.running
    widget.wait(WAIT)
    assert set(results(viewer)) == {'flow', 'labels', 'transferred'}
