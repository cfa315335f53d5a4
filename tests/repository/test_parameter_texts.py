"""Docstrings say what a value means, not only that there is one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString

import napari_samnet

SOURCE = Path(napari_samnet.__file__).parent
TOOLS = SOURCE.parents[1] / 'tools'

#: Texts of so many words say no more than the name does.
SHORT = 3


#: A parameter or result of a docstring without sections.
PLAIN = re.compile(
    r'^(``.+?``[^:\n]*|Returns|Yields): (.*(?:\n(?!``|[A-Z]\w+:|\n).+)*)', re.M
)


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Every docstring of a module with the name of what it describes."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    for node in ast.walk(tree):
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ):
            text = ast.get_docstring(node)
            if text:
                yield node.name, text


def gaps(path: Path) -> Iterator[str]:
    """Parameters with hardly a text, and results with none."""
    for name, text in docstrings(path):
        for entry, said in PLAIN.findall(text):
            if len(said.split()) <= SHORT:
                yield f'{path}: {name}: {entry}: {said}'
        sections = NumpyDocString(text)
        for parameter in (*sections['Parameters'], *sections['Attributes']):
            words = ' '.join(parameter.desc).split()
            if len(words) <= SHORT:
                yield (
                    f'{path}: {name}: {parameter.name}: '
                    f'{" ".join(words) or "no text"}'
                )
        for kind in ('Returns', 'Yields'):
            for result in sections[kind]:
                if len(' '.join(result.desc).split()) <= SHORT:
                    yield f'{path}: {name}: {kind}: {result.desc}'


def room(path: Path) -> str:
    """Package or module that a file belongs to."""
    if path.is_relative_to(TOOLS):
        return 'tools'
    return path.relative_to(SOURCE).parts[0].removesuffix('.py')


FILES = sorted(SOURCE.rglob('*.py')) + (
    sorted(TOOLS.rglob('*.py')) if TOOLS.is_dir() else []
)


@pytest.mark.parametrize('name', sorted({room(path) for path in FILES}))
def test_every_value_is_described(name: str) -> None:
    missing = [gap for p in FILES if room(p) == name for gap in gaps(p)]
    assert missing == []
