"""Clicks on the canvas and rows of the layer list, in a real window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPoint, Qt, QUrl
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_samnet.plugin.layers.ask import cells_of
from napari_samnet.plugin.model.capture import METADATA

pytestmark = [pytest.mark.gui, pytest.mark.slow]

WAIT = 120.0
NAME = 'napari-samnet'


@pytest.fixture
def raw(
    make_napari_viewer: Callable[..., Any],
    photos: tuple[np.ndarray, np.ndarray],
    mask: np.ndarray,
) -> Any:
    """A viewer with its private parts, which stand for the mouse."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1000, 700)
    viewer.add_image(photos[0], name='photo')
    viewer.add_image(photos[1], name='other')
    viewer.add_labels(mask, name='mask')
    return viewer


@pytest.fixture
def docked(raw: Any, fast: dict[str, Any]) -> Any:
    _, widget = raw.window.add_plugin_dock_widget(NAME, 'Semantic transfer')
    widget.set_options(**fast)
    widget.set_source('photo')
    widget.set_target('other')
    return widget


def rows_mime(viewer: Any, *names: str) -> QMimeData:
    """What napari's layer list attaches to a drag of these rows."""
    rows = viewer.window._qt_viewer.layers.model()
    # The list shows the uppermost layer first.
    top = len(viewer.layers) - 1
    numbers = [top - viewer.layers.index(name) for name in names]
    return rows.mimeData([rows.index(number, 0) for number in numbers])


def grid_of(viewer: Any) -> Any:
    """Its grid; before napari 0.8 the viewer itself had it."""
    return getattr(viewer, 'canvas', viewer).grid


def ours(viewer: Any) -> set[str]:
    return {x.name for x in viewer.layers if METADATA in x.metadata}


def test_several_rows_of_all_kinds(docked: Any, raw: Any, drop: Any) -> None:
    raw.add_points([[10.0, 20]], name='dots')
    raw.add_shapes([[10, 10], [30, 40]], shape_type='line', name='lines')
    mime = rows_mime(raw, 'mask', 'dots', 'lines')
    assert {layer.name for layer in mime.items} == {'mask', 'dots', 'lines'}
    assert drop(docked.panel.drop, mime)
    docked.wait(WAIT)
    assert ours(raw) == {'other ← mask', 'other ← dots', 'other ← lines'}
    # The dragged rows stay where they were.
    assert {'mask', 'dots', 'lines'} <= {layer.name for layer in raw.layers}


def test_an_image_row_is_refused(docked: Any, raw: Any, drop: Any) -> None:
    assert not drop(docked.panel.drop, rows_mime(raw, 'photo'))
    assert 'An Image layer is no mask' in docked.panel.drop.reason
    assert not docked.running


def test_a_mask_file_from_the_desktop(
    docked: Any, raw: Any, drop: Any, mask: np.ndarray, tmp_path: Any
) -> None:
    import tifffile

    path = tmp_path / 'cells.tif'
    tifffile.imwrite(path, mask)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    assert drop(docked.panel.drop, mime)
    docked.wait(WAIT)
    assert ours(raw) == {'other ← cells'}
    np.testing.assert_array_equal(raw.layers['cells'].data, mask)


def click(
    viewer: Any, name: str, cell_of: str = '', share: float = 0.5
) -> None:
    """Click at a share of an image's sides, in its cell or another."""
    canvas = viewer.window._qt_viewer.canvas
    layer = viewer.layers[name]
    sides = layer.data.shape[:2]
    place = layer.data_to_world([size * share for size in sides])
    box = canvas.view
    grid = grid_of(viewer)
    if grid.enabled:
        number = viewer.layers.index(cell_of or name)
        cells = cells_of(grid, viewer.layers)
        (cell,) = [at for at, inside in cells if number in inside]
        box = canvas.grid[cell]
    x, y = box.scene.transform.map([*place[::-1], 0, 1])[:2]
    at = QPoint(round(box.pos[0] + x), round(box.pos[1] + y))
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mouseMove(canvas.native, at)
    QApplication.processEvents()
    QTest.mouseClick(canvas.native, left, none, at)
    QApplication.processEvents()


@pytest.mark.parametrize('grid', [False, True])
def test_a_click_marks_the_point_in_the_other_image(
    docked: Any, raw: Any, qtbot: Any, grid: bool
) -> None:
    raw.layers.remove('mask')
    docked.set_outputs('flow')
    found = docked.run(wait=True, timeout=WAIT)
    grid_of(raw).enabled = grid
    if not grid:
        raw.layers['other'].translate = (0, 120)
    raw.reset_view()
    qtbot.wait(50)
    docked.panel.asking.setChecked(True)
    # Layers that are still to come would move the cells of the grid.
    qtbot.waitUntil(
        lambda: 'photo asked' in raw.layers and 'other asked' in raw.layers,
        timeout=10_000,
    )
    qtbot.wait(50)
    raw.layers.selection = set()
    click(raw, 'photo')
    asked, answers = raw.layers['photo asked'], raw.layers['other asked']
    np.testing.assert_allclose(asked.data[0], (40, 50), atol=2)
    there = found.warp_points(asked.data[:1])[0]
    np.testing.assert_allclose(answers.data[0], there, rtol=1e-5)
    # Marks lie on top of all, and in the grid beside their image.
    names = [layer.name for layer in raw.layers]
    if grid:
        assert names.index('other asked') == names.index('other') + 1
    else:
        assert names[-2:] == ['photo asked', 'other asked']
    qtbot.wait(50)
    click(raw, 'other')
    np.testing.assert_allclose(answers.data[1], (36, 48), atol=2)
    here = found.warp_points(answers.data[1:2], to='source')[0]
    np.testing.assert_allclose(asked.data[1], here, rtol=1e-5)
    if grid:
        # The cell of the arrows is as good as that of their image.
        qtbot.wait(50)
        click(raw, 'photo', cell_of='photo → other flow', share=0.3)
        assert len(asked.data) == 3


def test_the_preview_follows_the_buttons(
    docked: Any, raw: Any, qtbot: Any
) -> None:
    docked.panel.outputs.set({'flow'})
    left = Qt.MouseButton.LeftButton
    QTest.mouseClick(docked.panel.run, left)
    assert docked.running
    qtbot.waitUntil(lambda: not docked.running, timeout=60_000)
    docked.panel.judging.open()
    docked.panel.preview.setCurrentIndex(2)
    docked.panel.preview.activated.emit(2)
    docked.wait(WAIT)
    assert 'other over photo' in raw.layers
