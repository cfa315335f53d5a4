"""What is public is documented, and examples in docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest
from numpydoc.validate import validate

import napari_samnet

SOURCE = Path(napari_samnet.__file__).parent

#: A docstring, its summary, and every parameter and result described.
ASKED = {
    'GL08',
    'SS01',
    'SS03',
    'PR01',
    'PR02',
    'PR07',
    'RT01',
    'RT03',
    'YD01',
}

#: What the reference shows beside the names of the package itself.
SHOWN = (
    'outputs.overview.draw_overview',
    'datasets.sample_pair.SamplePair',
    'datasets.samples.load_sample',
)


def modules() -> list[str]:
    """Every module, by its name below the package."""
    paths = [path.relative_to(SOURCE) for path in SOURCE.rglob('*.py')]
    return sorted('.'.join(path.with_suffix('').parts) for path in paths)


def text_of(module: str) -> str:
    """Code of a module."""
    path = SOURCE.joinpath(*module.split('.')).with_suffix('.py')
    return path.read_text(encoding='utf-8')


@pytest.mark.parametrize(
    'name',
    [name for name in napari_samnet.__all__ if name[0] != '_'] + [*SHOWN],
)
def test_public_names_are_documented(name: str) -> None:
    found = validate(f'napari_samnet.{name}')['errors']
    assert [error for error in found if error[0] in ASKED] == []


@pytest.mark.parametrize(
    'name',
    [
        name
        for name in modules()
        # Those of the plugin need a running napari; see plugin/test_pages.py.
        if '>>> ' in text_of(name) and not name.startswith('plugin')
    ],
)
def test_examples_of_docstrings_are_true(name: str) -> None:
    module = import_module(f'napari_samnet.{name}')
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted
    assert result.failed == 0
