"""The rules of the house: imports lead one way, names are American."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Stems whose American spelling is another.
BRITISH = re.compile(
    r'colour|neighbour|behaviour|favour|honour|centre|grey|licence|analys(?=e)'
    r'|catalogue|labell|modell|cancell(?!ation)|travell'
    r'|(?:normal|initial|optim|quant|recogn|organ|summar|visual|real|util'
    r'|minim|maxim|categor|general|special|regular|serial|standard)is(?=e|at|i)'
)

#: Names that other libraries have given.
FOREIGN = {'labelled', 'cancelled', 'rgb2grey'}


#: Lines that a file of code has at most. Tests list cases, and may be longer.
LONGEST = {'src': 400, 'tools': 400, 'docs': 400, 'tests': 900}


def rooms() -> dict[str, int]:
    """Every room and its floor, from the contract of layers."""
    text = (ROOT / 'pyproject.toml').read_text(encoding='utf-8')
    contracts = tomllib.loads(text)['tool']['importlinter']['contracts']
    (layers,) = (
        contract['layers']
        for contract in contracts
        if contract.get('containers') == ['napari_samnet']
    )
    return {
        room.strip(): floor
        for floor, line in enumerate(reversed(layers))
        for room in line.split('|')
    }


def test_contracts_of_the_imports_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from importlinter import cli

    monkeypatch.chdir(ROOT)
    status = cli.lint_imports(no_cache=True)
    assert status == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_the_house_stays_small() -> None:
    assert len(rooms()) <= 26
    assert max(rooms().values()) < 11


@pytest.mark.parametrize('folder', LONGEST)
def test_files_stay_short(folder: str) -> None:
    """One idea each: what has grown beyond that is divided."""
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_bytes().splitlines())
        for file in (ROOT / folder).rglob('*.py')
    }
    assert lengths
    limit = LONGEST[folder]
    assert {name: n for name, n in lengths.items() if n > limit} == {}


def test_the_page_names_every_room() -> None:
    page = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')
    missing = [room for room in rooms() if not re.search(rf'\b{room}\b', page)]
    assert missing == []


def names(path: Path) -> Iterator[str]:
    """Everything that a file gives a name to."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(
            node.ctx, ast.Store
        ):
            yield node.attr


@pytest.mark.slow
def test_identifiers_are_american() -> None:
    british = [
        f'{path.relative_to(ROOT)}: {name}'
        for folder in ('src', 'tools', 'tests')
        for path in sorted((ROOT / folder).rglob('*.py'))
        for name in (path.stem, *names(path))
        if BRITISH.search(name.lower()) and name not in FOREIGN
    ]
    assert british == []
