"""What can be dropped, what cannot, and what is said about it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPoint, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDragLeaveEvent

from napari_samnet.plugin.widgets.dropzone import DropZone

Drop = Callable[[Any, QMimeData], bool]


@pytest.fixture
def zone(qtbot: Any, viewer: ViewerModel) -> DropZone:
    made = DropZone(viewer)
    made.heard = []
    made.layers_dropped.connect(made.heard.append)
    made.files_dropped.connect(made.heard.append)
    qtbot.addWidget(made)
    return made


def enter(zone: DropZone, mime: QMimeData) -> bool:
    event = QDragEnterEvent(
        QPoint(5, 5),
        Qt.DropAction.MoveAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    event.ignore()
    zone.dragEnterEvent(event)
    return bool(event.isAccepted())


@pytest.mark.parametrize('kind', ['labels', 'points', 'shapes'])
def test_annotations_are_taken(
    viewer: ViewerModel, zone: Any, drop: Drop, layer_mime: Any, kind: str
) -> None:
    data = {'labels': np.zeros((4, 4), int), 'points': [[1, 1]]}.get(kind)
    layer = getattr(viewer, f'add_{kind}')(data)
    assert drop(zone, layer_mime(layer))
    assert zone.heard == [[layer]]
    assert layer in viewer.layers


def test_an_image_is_refused_with_a_reason(
    viewer: ViewerModel, zone: Any, drop: Drop, layer_mime: Any
) -> None:
    image = viewer.add_image(np.zeros((4, 4)))
    assert not drop(zone, layer_mime(image))
    assert 'Image layer is no mask' in zone.reason
    assert zone.heard == []


def test_several_rows_are_taken_from_the_top_down(
    viewer: ViewerModel, zone: Any, drop: Drop, layer_mime: Any
) -> None:
    lower = viewer.add_labels(np.zeros((4, 4), int))
    upper = viewer.add_labels(np.zeros((4, 4), int))
    image = viewer.add_image(np.zeros((4, 4)))
    assert drop(zone, layer_mime(image, upper, lower))
    # What cannot be carried comes last, to be named.
    assert zone.heard == [[upper, lower, image]]


def test_files_are_taken(zone: Any, drop: Drop, tmp_path: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path / 'mask.png'))])
    assert drop(zone, mime)
    (paths,) = zone.heard
    assert [Path(p) for p in paths] == [tmp_path / 'mask.png']


def test_files_elsewhere_are_refused(zone: Any, drop: Drop) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl('https://example.org/mask.png')])
    assert not drop(zone, mime)


def test_names_alone_are_refused(zone: Any, drop: Drop) -> None:
    mime = QMimeData()
    mime.setText('Labels')
    assert not drop(zone, mime)


def test_another_program_is_refused_and_never_unpickled(
    viewer: ViewerModel, zone: Any, drop: Drop
) -> None:
    viewer.add_labels(np.zeros((4, 4), int))

    class Trap:
        def __reduce__(self) -> Any:
            return (pytest.fail, ('unpickled',))

    mime = QMimeData()
    mime.setData('application/x-list-index', pickle.dumps(Trap()))
    assert not drop(zone, mime)


def test_layers_of_another_viewer_are_refused(
    zone: Any, drop: Drop, layer_mime: Any
) -> None:
    foreign = ViewerModel().add_labels(np.zeros((4, 4), int))
    assert not drop(zone, layer_mime(foreign))


def test_highlight_comes_and_goes(
    viewer: ViewerModel, zone: Any, drop: Drop, layer_mime: Any
) -> None:
    layer = viewer.add_labels(np.zeros((4, 4), int))
    mime = layer_mime(layer)
    assert enter(zone, mime)
    assert zone.is_hot
    zone.dragLeaveEvent(QDragLeaveEvent())
    assert not zone.is_hot
    drop(zone, mime)
    assert not zone.is_hot


def test_a_reason_goes_with_the_next_drag(
    viewer: ViewerModel, zone: Any, layer_mime: Any
) -> None:
    image = viewer.add_image(np.zeros((4, 4)))
    labels = viewer.add_labels(np.zeros((4, 4), int))
    enter(zone, layer_mime(image))
    assert zone.reason
    enter(zone, layer_mime(labels))
    assert not zone.reason


@pytest.mark.parametrize('state', ['idle', 'hot', 'refused'])
def test_it_paints(
    viewer: ViewerModel, zone: Any, layer_mime: Any, state: str
) -> None:
    zone.resize(220, 70)
    if state == 'hot':
        layer = viewer.add_labels(np.zeros((4, 4), int))
        mime = layer_mime(layer)
        enter(zone, mime)
    elif state == 'refused':
        zone.refuse('A reason')
    assert not zone.grab().isNull()
