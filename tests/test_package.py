"""The package: what it offers, what importing costs, what ships."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from importlib import resources
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import napari_samnet
from napari_samnet.cli import main

if TYPE_CHECKING:
    from napari_samnet.samples import SamplePair

ROOT = Path(__file__).parent.parent

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
        'from napari_samnet.cli import main\n'
        'try: main(["--help"])\n'
        'except SystemExit: pass',
        'from napari_samnet.cli import main\n'
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


#: A docstring, its summary, and every parameter and result described.
ASKED = {'GL08', 'SS01', 'SS03', 'PR01', 'PR02', 'PR07', 'RT01', 'RT03'}


@pytest.mark.parametrize(
    'name', ['Correspondence', 'MatchOptions', 'load_model', 'match']
)
def test_public_names_are_documented(name: str) -> None:
    from numpydoc.validate import validate

    found = validate(f'napari_samnet.{name}')['errors']
    assert [error for error in found if error[0] in ASKED] == []


def test_match_needs_torch_only_when_it_runs() -> None:
    code = (
        'import sys\n'
        'from napari_samnet import Correspondence, match\n'
        'assert "torch" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)


def test_entry_points() -> None:
    (command,) = entry_points(group='console_scripts', name='napari-samnet')
    assert command.value == 'napari_samnet.cli:main'
    assert callable(command.load())
    (manifest,) = entry_points(group='napari.manifest', name='napari-samnet')
    assert manifest.value == 'napari_samnet:napari.yaml'


def test_weights_ship_with_their_cards() -> None:
    folder = resources.files('napari_samnet') / 'weights'
    files = {item.name for item in folder.iterdir()}
    assert {'samnet.safetensors', 'samnet.json'} <= files
    card = json.loads((folder / 'samnet.json').read_text(encoding='utf-8'))
    assert len(card['sha256']) == 64


def test_wheel_holds_what_is_needed(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, '-m', 'hatchling', 'build', '-t', 'wheel']
        + ['-d', str(tmp_path)],
        cwd=ROOT,
        check=True,
        timeout=120,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob('*.whl')
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    expected = {
        'napari_samnet/napari.yaml',
        'napari_samnet/py.typed',
        'napari_samnet/weights/samnet.json',
        'napari_samnet/weights/samnet.safetensors',
    }
    assert expected <= names
    assert not [name for name in names if 'test' in name.split('/')[0]]


README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_readme_links_to_files_that_exist() -> None:
    links = re.findall(r'\]\(([^)#]+)\)', README)
    local = [link for link in links if '://' not in link]
    assert local
    assert [link for link in local if not (ROOT / link).is_file()] == []


@pytest.mark.slow
def test_python_of_the_readme_runs(
    coffee: SamplePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        'source': coffee.source,
        'target': coffee.target,
        'labels': coffee.labels,
        'points': [[100.0, 200.0], [300.0, 400.0]],
    }
    exec(code, names)
    assert names['labels_on_target'].shape == coffee.target.shape[:2]
    assert names['points_on_target'].shape == (2, 2)
    assert names['source_like_target'].shape == coffee.source.shape
    assert (tmp_path / 'match.npz').is_file()


def test_commands_of_the_readme_exist() -> None:
    call = r'(?:^|`|&& )napari-samnet ([a-z]+)'
    called = set(re.findall(call, README, re.MULTILINE))
    assert {'demo', 'info', 'transfer'} <= called
    for command in called:
        with pytest.raises(SystemExit) as end:
            main([command, '--help'])
        assert end.value.code == 0
