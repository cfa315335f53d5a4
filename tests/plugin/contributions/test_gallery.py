"""The gallery's examples that open a viewer."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = sorted((Path(__file__).parents[3] / 'examples').glob('napari_*.py'))


@pytest.mark.gui
@pytest.mark.parametrize('path', EXAMPLES, ids=lambda path: path.stem)
def test_runs(
    path: Path,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(path), run_name='example')
    viewer = names['viewer']
    given = {'jug', 'other jug', 'by day', 'by night', 'sections'}
    results = [layer for layer in viewer.layers if '←' in layer.name]
    assert given & {layer.name for layer in viewer.layers}
    assert results
    assert all(len(layer.data) for layer in results)
    viewer.close()
