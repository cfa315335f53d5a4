"""Labels of other programs, dropped onto the dock."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QUrl

from napari_samnet.io.formats.names import FORMATS
from napari_samnet.io.formats.registry import write_label_format

WAIT = 60.0


@pytest.mark.parametrize('kind', FORMATS)
def test_a_drop_keeps_ids_names_and_colors(
    shared_matches: None,
    ready: Any,
    drop: Any,
    tmp_path: Path,
    mask: np.ndarray,
    kind: str,
) -> None:
    path = tmp_path / f'cells{FORMATS[kind]}'
    write_label_format(
        path,
        mask,
        kind,
        image='photo.png',
        names={} if kind == 'yolo' else {70_000: 'nucleus'},
        colors={3: (255, 0, 0), 70_000: (0, 0, 255)},
    )
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    assert drop(ready.panel.drop, mime)
    ready.wait(WAIT)
    layers = ready.viewer.layers
    made = layers[path.stem]
    np.testing.assert_array_equal(made.data, mask)
    carried = layers[f'other ← {path.stem}']
    assert {*np.unique(carried.data)} <= {0, 3, 70_000}
    if kind != 'yolo':
        names = carried.features.set_index('index')['name']
        assert names[70_000] == 'nucleus'
    if kind not in ('yolo', 'labelme'):
        red = np.allclose(made.get_color(3), (1, 0, 0, 1))
        # napari fails to draw such colors of ids as large as these.
        assert red or not find_spec('numba')


def test_colors_of_ids_that_napari_can_show(
    shared_matches: None, ready: Any, tmp_path: Path, mask: np.ndarray
) -> None:
    path = tmp_path / 'cells.geojson'
    write_label_format(
        path, mask % 50, 'geojson', image='a', colors={3: (255, 0, 0)}
    )
    ready.transfer_file(str(path), wait=True, timeout=WAIT)
    made = ready.viewer.layers['cells']
    np.testing.assert_allclose(made.get_color(3), (1, 0, 0, 1))
