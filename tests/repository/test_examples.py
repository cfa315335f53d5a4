"""The gallery's examples that need no viewer."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / 'examples'
ALL = sorted(EXAMPLES.glob('*.py'))
HEADLESS = [path for path in ALL if not path.stem.startswith('napari_')]

#: What some leave behind.
FILES = {
    'borrow_look': ['yellow-jug.png'],
    'carry_mask': ['carried.tif'],
    'follow_series': ['brain-labels.tif'],
    'judge_result': ['cat.png', 'rocket.png'],
}


@pytest.mark.parametrize('path', ALL, ids=lambda path: path.stem)
def test_says_what_it_is(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text('utf-8'))) or ''
    title, _, story = text.partition('\n')
    assert title.endswith('.')
    assert story.strip()


@pytest.mark.slow
@pytest.mark.parametrize('path', HEADLESS, ids=lambda path: path.stem)
def test_runs(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name='__main__')
    made = sorted(file.name for file in tmp_path.iterdir())
    assert made == FILES.get(path.stem, [])
    assert made or capsys.readouterr().out
