"""The package: what it offers, what importing costs, what ships."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import resources
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import napari_samnet
from napari_samnet.cli.main import main

if TYPE_CHECKING:
    pass

ROOT = Path(__file__).parents[2]

HEAVY = '{"torch", "torchvision", "napari", "qtpy", "skimage"}'


@pytest.mark.parametrize('name', napari_samnet.__all__)
def test_public_names_are_there(name: str) -> None:
    assert getattr(napari_samnet, name) is not None
    assert name in dir(napari_samnet)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match='nothing_like_it'):
        _ = napari_samnet.nothing_like_it


def test_version_is_the_installed_one() -> None:
    assert napari_samnet.__version__ == version('napari-samnet')


@pytest.mark.parametrize(
    'code',
    [
        'import napari_samnet',
        'import napari_samnet; napari_samnet.MatchOptions()',
        'from napari_samnet.cli.main import main\n'
        'try: main(["--help"])\n'
        'except SystemExit: pass',
        'from napari_samnet.cli.main import main\n'
        'try: main(["transfer", "--help"])\n'
        'except SystemExit: pass',
    ],
    ids=['import', 'options', 'help', 'transfer help'],
)
def test_imports_nothing_heavy(code: str) -> None:
    code += f'\nimport sys; assert not {HEAVY} & set(sys.modules)'
    subprocess.run(
        [sys.executable, '-c', code],
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
    )


def test_match_needs_torch_only_when_it_runs() -> None:
    code = (
        'import sys\n'
        'from napari_samnet import Correspondence, match\n'
        'assert "torch" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)


def test_entry_points() -> None:
    (command,) = entry_points(group='console_scripts', name='napari-samnet')
    assert command.value == 'napari_samnet.cli.main:main'
    assert callable(command.load())
    (manifest,) = entry_points(group='napari.manifest', name='napari-samnet')
    assert manifest.value == 'napari_samnet:napari.yaml'


def test_weights_ship_with_their_cards() -> None:
    folder = resources.files('napari_samnet') / 'weights'
    files = {item.name for item in folder.iterdir()}
    assert {'samnet.safetensors', 'samnet.json'} <= files
    card = json.loads((folder / 'samnet.json').read_text(encoding='utf-8'))
    assert len(card['sha256']) == 64


README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_readme_links_to_files_that_exist() -> None:
    links = re.findall(r'\]\(([^)#]+)\)', README)
    local = [link for link in links if '://' not in link]
    assert local
    assert [link for link in local if not (ROOT / link).is_file()] == []


def test_commands_of_the_readme_exist() -> None:
    call = r'(?:^|`|&& )napari-samnet ([a-z]+)'
    called = set(re.findall(call, README, re.MULTILINE))
    assert {'demo', 'info', 'transfer'} <= called
    for command in called:
        with pytest.raises(SystemExit) as end:
            main([command, '--help'])
        assert end.value.code == 0
