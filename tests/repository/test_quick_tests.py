"""Every package has tests that are quick, and none of them opens a window."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import napari_samnet

TESTS = Path(__file__).parents[1]
SOURCE = Path(napari_samnet.__file__).parent

#: Quick tests that a package has at least.
LEAST = 4

PACKAGES = sorted(
    str(folder.relative_to(SOURCE))
    for folder in (*SOURCE.iterdir(), *(SOURCE / 'plugin').iterdir())
    if (folder / '__init__.py').is_file()
)

Definition = ast.FunctionDef | ast.ClassDef


def marks(nodes: list[ast.expr]) -> str:
    """Text of decorators, or of what ``pytestmark`` is set to."""
    return ' '.join(ast.unparse(node) for node in nodes)


@cache
def marked_tests(path: Path) -> list[tuple[str, str]]:
    """Name of each test of a file with all marks that it has."""
    return list(_marked_tests(path))


def _marked_tests(path: Path) -> Iterator[tuple[str, str]]:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    of_module = marks(
        [
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == 'pytestmark'
        ]
    )
    parts: list[tuple[ast.stmt, str]] = [(n, of_module) for n in tree.body]
    while parts:
        node, outer = parts.pop()
        if isinstance(node, Definition):
            inner = f'{outer} {marks(node.decorator_list)}'
            if isinstance(node, ast.ClassDef):
                parts += [(part, inner) for part in node.body]
            elif node.name.startswith('test_'):
                yield f'{path.relative_to(TESTS)}: {node.name}', inner


@pytest.mark.parametrize('package', PACKAGES)
def test_every_package_has_quick_tests(package: str) -> None:
    quick = [
        name
        for path in (TESTS / package).rglob('test_*.py')
        for name, mark in marked_tests(path)
        if 'mark.slow' not in mark
    ]
    assert len(quick) >= LEAST


def test_what_opens_a_window_is_slow() -> None:
    """Software OpenGL and torch's compiler cannot live in one process."""
    wrong = [
        name
        for path in TESTS.rglob('test_*.py')
        for name, mark in marked_tests(path)
        if 'mark.gui' in mark and 'mark.slow' not in mark
    ]
    assert wrong == []
