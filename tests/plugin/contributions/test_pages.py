"""The pages' code for napari's console, with a real viewer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blocks import read_blocks

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PAGES = [
    page.relative_to(ROOT).as_posix()
    for page in sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').glob('*.md')])
    if any(block.check == 'napari' for block in read_blocks(page))
]


@pytest.mark.gui
@pytest.mark.parametrize('name', PAGES)
def test_code_works(
    name: str,
    make_napari_viewer: Callable[[], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {'viewer': make_napari_viewer()}
    for block in read_blocks(ROOT / name):
        if block.check == 'napari':
            code = '\n' * (block.line - 1) + block.code
            exec(compile(code, name, 'exec'), names)
    assert len(names['viewer'].layers) > 2
