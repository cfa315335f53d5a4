"""Tables of points are dropped like masks, as other programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Points
from qtpy.QtCore import QMimeData, QUrl

WAIT = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures('shared_matches'),
]


@pytest.fixture
def give(ready: Any, drop: Any) -> Any:
    def do(*paths: Path) -> str:
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        assert drop(ready.panel.drop, mime)
        ready.wait(WAIT)
        return str(ready.panel.drop.reason)

    return do


def table(path: Path, text: str, coding: str = 'utf-8') -> Path:
    path.write_bytes(text.encode(coding))
    return path


@pytest.mark.binding
@pytest.mark.parametrize(
    ('text', 'coding'),
    [
        ('index,axis-0,axis-1,name,n\n0,30.5,40,é,1\n1,50,60,b,2\n', 'utf-8'),
        ('Row;Column;name;n\r\n30,5;40;é;1\r\n50;60;b;2\r\n', 'utf-8-sig'),
        ('x\ty\tname\tn\n40\t30.5\té\t1\n60\t50\tb\t2\n', 'utf-16'),
    ],
)
def test_points_are_carried(
    ready: Any, give: Any, tmp_path: Path, text: str, coding: str
) -> None:
    layers = ready.viewer.layers
    layers['photo'].scale = layers['mask'].scale = (2, 2)
    dots = table(tmp_path / 'dots.csv', text, coding)
    assert give(dots) == ''
    np.testing.assert_array_equal(layers['dots'].data, [[30.5, 40], [50, 60]])
    np.testing.assert_array_equal(layers['dots'].scale, (2, 2))
    carried = layers['other ← dots']
    assert isinstance(carried, Points)
    assert list(carried.features['name']) == ['é', 'b']
    assert list(carried.features['n']) == [1, 2]
    # The labels that were chosen stay so.
    assert ready.labels is layers['mask']
    # The same file again is not opened twice; moved points stay beside it.
    names = [layer.name for layer in layers]
    assert give(dots) == ''
    assert [layer.name for layer in layers] == names
    moved = layers['dots'].data + 1
    layers['dots'].data = moved
    assert give(dots) == ''
    np.testing.assert_array_equal(layers['dots'].data, moved)
    assert len(layers) == len(names) + 2


def test_among_masks_and_what_cannot_be_read(
    ready: Any, give: Any, tmp_path: Path, mask: np.ndarray
) -> None:
    np.save(tmp_path / 'cells.npy', mask)
    bad = table(tmp_path / 'bad.csv', 'row,column\n1,two\n')
    shapes = table(
        tmp_path / 'box.csv',
        'index,shape-type,vertex-index,axis-0,axis-1\n0,polygon,0,1,2\n',
    )
    none = table(tmp_path / 'none.csv', 'row,column\n')
    dots = table(tmp_path / 'dots.csv', 'row,column\n30,40\n')
    said = give(bad, tmp_path / 'cells.npy', shapes, dots, none)
    assert "bad.csv must be finite numbers; line 2 has 'two'" in said
    assert 'box.csv holds shapes: open it with File › Open' in said
    assert str(tmp_path) not in said
    layers = ready.viewer.layers
    assert len(layers['other ← dots'].data) == 1
    assert (layers['other ← cells'].data == 70_000).any()
    assert ready.labels is layers['cells']


def test_points_of_a_stack_are_for_napari_to_open(
    viewer: Any, photos: Any, make_widget: Any, tmp_path: Path
) -> None:
    viewer.add_image(np.stack([photos[0]] * 3), name='stack', rgb=True)
    viewer.add_image(photos[1], name='other')
    widget = make_widget(viewer)
    dots = table(tmp_path / 'dots.csv', 'axis-0,axis-1,axis-2\n1,30,40\n')
    with pytest.raises(ValueError, match='for napari to tell: open it with'):
        widget.transfer_file(str(dots))
    assert len(viewer.layers) == 2


def test_a_script_carries_them_too(ready: Any, tmp_path: Path) -> None:
    dots = table(tmp_path / 'dots.csv', 'row,column\n30,40\n500,2\n')
    ready.transfer_file(str(dots), wait=True, timeout=WAIT)
    assert len(ready.viewer.layers['other ← dots'].data) == 2
