"""Viewers without a window, small pairs, and known correspondences."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip('napari')
pytest.importorskip('qtpy')

from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from napari_samnet.correspondence import Correspondence
from napari_samnet.files import HOME_VARIABLE
from napari_samnet.plugin.run.cache import CorrespondenceCache

#: Options of a run that takes a second.
FAST: dict[str, Any] = {
    'size': 64,
    'iterations': 2,
    'window': 5,
    'device': 'cpu',
    'tolerance': 0.0,
    # Which way up is tested elsewhere, and takes as long as the rest.
    'orientation': 'upright',
}


@pytest.fixture(scope='session')
def fast() -> dict[str, Any]:
    """Options of a quick run."""
    return dict(FAST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item,
) -> Generator[None, object, object]:
    """Free closed windows at once, and in the thread that they live in.

    The next collection may run in the thread of a worker, and an OpenGL
    context that is freed there crashes the next window that goes.
    """
    result = yield
    if item.get_closest_marker('gui'):
        gc.collect()
    return result


@pytest.fixture(autouse=True)
def _own_settings(request: pytest.FixtureRequest, npe2pm: Any) -> None:
    """Keep the user's preferences out, with our manifest registered."""
    import napari.settings
    from npe2 import PluginManifest

    if hasattr(napari.settings, 'get_plugin_settings'):
        # From napari 0.9.
        request.getfixturevalue('plugin_settings')
    manifest = PluginManifest.from_distribution('napari-samnet')
    npe2pm.register(manifest)


@pytest.fixture(autouse=True)
def own_home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder for what is noted of the user's results."""
    home = tmp_path_factory.mktemp('home')
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    return home


@pytest.fixture
def viewer() -> ViewerModel:
    """A viewer without window and OpenGL."""
    return ViewerModel()


@pytest.fixture
def photos() -> tuple[np.ndarray, np.ndarray]:
    """Two RGB images of different sizes that show something alike."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:80, :100]
    texture = rng.integers(0, 60, (80, 100, 3))
    source = texture + 60
    source[(rows - 35) ** 2 + (cols - 45) ** 2 < 22**2] += 120
    source = np.clip(source, 0, 255).astype(np.uint8)
    target = np.roll(source, (6, -8), (0, 1))[:72, :96]
    return source, np.ascontiguousarray(255 - target // 2)


@pytest.fixture
def mask() -> np.ndarray:
    """Labels of the first photo, with ids that need 32 bits."""
    rows, cols = np.mgrid[:80, :100]
    labels = np.zeros((80, 100), np.int32)
    labels[(rows - 35) ** 2 + (cols - 45) ** 2 < 22**2] = 70_000
    labels[10:16, 10:20] = 3
    return labels


@pytest.fixture
def make_found() -> Callable[..., Correspondence]:
    """Correspondences that move everything by one displacement."""

    def make(
        source_shape: tuple[int, int] = (80, 100),
        target_shape: tuple[int, int] = (72, 96),
        move: tuple[float, float] = (0.0, 0.0),
        *,
        confidence: Any = 0.9,
        transferred: Any = None,
    ) -> Correspondence:
        cells = (8, 8)
        forward = np.zeros((*cells, 2), np.float32) + np.float32(move)
        sure = np.broadcast_to(np.float32(confidence), cells).copy()
        return Correspondence(
            forward=forward,
            backward=-forward,
            forward_cell_confidence=sure,
            backward_cell_confidence=sure,
            source_shape=source_shape,
            target_shape=target_shape,
            transferred=transferred,
            metadata={'iterations_used': 2, 'device': 'cpu'},
        )

    return make


class SharedCache(CorrespondenceCache):
    """Matches of all tests of a process, for those that are about others."""

    store: ClassVar[dict[str, Correspondence]] = {}

    def get(self, key: str) -> Correspondence | None:
        return super().get(key) or self.store.get(key)

    def put(
        self, key: str, found: Correspondence, other_name: str = ''
    ) -> None:
        super().put(key, found, other_name)
        self.store[key] = found


@pytest.fixture
def shared_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Match each pair once, for tests of what is done with a match."""
    where = 'napari_samnet.plugin.transfer.widget.CorrespondenceCache'
    monkeypatch.setattr(where, SharedCache)


@pytest.fixture
def unmatched(shared_matches: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Know no match of other tests, for those that are about matching."""
    monkeypatch.setattr(SharedCache, 'store', {})


@pytest.fixture
def held(unmatched: None, ready: Any) -> Iterator[Any]:
    """A run that waits in its first iteration until released."""
    gate = threading.Event()
    inner = ready._cache.get

    def slow(key: str) -> Any:
        gate.wait(30)
        return inner(key)

    ready._cache.get = slow
    ready.release = gate.set
    ready.run()
    yield ready
    gate.set()


@pytest.fixture
def make_widget(qtbot: Any) -> Iterator[Callable[..., Any]]:
    """Shown widgets of a viewer, waited for at the end."""
    from napari_samnet.plugin.transfer.widget import SemanticTransfer

    made = []

    def make(viewer: Any, **options: Any) -> Any:
        widget = SemanticTransfer(viewer)
        widget.show()
        widget.set_options(**{**FAST, **options})
        made.append(widget)
        return widget

    yield make
    # Not left to qtbot, which deletes widgets before fixtures are done.
    for widget in made:
        widget.cancel()
        qtbot.waitUntil(lambda w=widget: not w.running, timeout=60_000)
        widget.close()
        widget.deleteLater()


@pytest.fixture
def ready(
    viewer: ViewerModel,
    photos: tuple[np.ndarray, np.ndarray],
    mask: np.ndarray,
    make_widget: Callable[..., Any],
) -> Any:
    """A widget on a viewer with two photos and labels of the first."""
    viewer.add_image(photos[0], name='photo')
    viewer.add_labels(mask, name='mask')
    viewer.add_image(photos[1], name='other')
    widget = make_widget(viewer)
    widget.set_source('photo')
    widget.set_target('other')
    widget.set_labels('mask')
    return widget


class LayerMime(QMimeData):
    """What napari's layer list attaches to a drag."""

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        self.items = [getattr(x, '__wrapped__', x) for x in layers]
        self.setData('application/x-list-index', b'')


@pytest.fixture
def layer_mime() -> type[LayerMime]:
    """Mime data of dragged layers."""
    return LayerMime


@pytest.fixture
def drop() -> Callable[[Any, QMimeData], bool]:
    """Drag mime data over a shown widget and drop it; tells if it was taken.

    The events go through Qt, as those of the mouse do.
    """

    def do(widget: Any, mime: QMimeData) -> bool:
        rest = (
            Qt.DropAction.MoveAction,
            mime,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        enter = QDragEnterEvent(QPoint(5, 5), *rest)
        enter.ignore()
        QApplication.sendEvent(widget, enter)
        if not enter.isAccepted():
            # The cursor says no, and the mouse cannot drop.
            return False
        event = QDropEvent(QPointF(5, 5), *rest)
        event.ignore()
        QApplication.sendEvent(widget, event)
        return bool(event.isAccepted())

    return do
