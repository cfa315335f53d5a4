"""The same mask file is dropped again, as it is or after changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from npe2 import PluginManifest
from qtpy.QtCore import QMimeData, QUrl

WAIT = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures('shared_matches'),
]


@pytest.fixture
def cells(tmp_path: Path, mask: np.ndarray) -> Path:
    path = tmp_path / 'cells.tif'
    tifffile.imwrite(path, mask)
    return path


@pytest.fixture
def give(ready: Any, drop: Any) -> Any:
    def do(*paths: Path) -> list[str]:
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        assert drop(ready.panel.drop, mime)
        ready.wait(WAIT)
        return [layer.name for layer in ready.viewer.layers]

    return do


def test_what_did_not_change_is_used_again(
    ready: Any, give: Any, cells: Path
) -> None:
    names = give(cells)
    layer = ready.viewer.layers['cells']
    ready.panel.labels.choose(ready.viewer.layers['mask'])
    assert give(cells) == names
    assert ready.labels is layer
    assert give(cells, cells) == names
    # Such as by Save, which makes the file what the layer is.
    layer.data[50:60, 20:40] = 8
    tifffile.imwrite(cells, layer.data)
    assert give(cells) == names
    assert layer.data[50, 20] == 8
    assert 8 in ready.viewer.layers['other ← cells'].data


def test_edits_stay_beside_what_is_read_again(
    ready: Any, give: Any, cells: Path, mask: np.ndarray
) -> None:
    give(cells)
    layer = ready.viewer.layers['cells']
    layer.data[50:60, 20:40] = 8
    edited = layer.data.copy()
    names = give(cells)
    assert {'cells', 'cells, read again'} < set(names)
    np.testing.assert_array_equal(layer.data, edited)
    again = ready.viewer.layers['cells, read again']
    np.testing.assert_array_equal(again.data, mask)
    assert ready.labels is again
    assert give(cells) == names


def test_a_changed_file_does_not_replace_what_was_read(
    ready: Any, give: Any, cells: Path, mask: np.ndarray
) -> None:
    give(cells)
    tifffile.imwrite(cells, np.where(mask == 3, 5, mask))
    names = give(cells)
    assert {'cells', 'cells, read again'} < set(names)
    np.testing.assert_array_equal(ready.viewer.layers['cells'].data, mask)
    assert 5 in ready.viewer.layers['cells, read again'].data


def test_a_layer_that_is_gone_is_made_anew(
    ready: Any, give: Any, cells: Path
) -> None:
    give(cells)
    ready.viewer.layers.remove('cells')
    assert 'cells' in give(cells)
    assert ready.labels is ready.viewer.layers['cells']


def test_what_napari_has_opened_is_used(
    ready: Any, give: Any, cells: Path, npe2pm: Any
) -> None:
    npe2pm.register(PluginManifest.from_distribution('napari'))
    (opened,) = ready.viewer.open(
        str(cells), layer_type='labels', plugin='napari'
    )
    names = give(cells)
    assert ready.labels is opened
    assert 'cells [1]' not in names
    assert 'other ← cells' in names
    opened.data[50:60, 20:40] = 8
    assert 'cells, read again' in give(cells)
    assert opened.data[50, 20] == 8


def test_a_layer_that_lies_elsewhere_is_not_meant(
    ready: Any, give: Any, cells: Path
) -> None:
    give(cells)
    ready.viewer.layers['cells'].translate = (0, 500)
    assert 'cells [1]' in give(cells)
    assert ready.labels is ready.viewer.layers['cells [1]']
