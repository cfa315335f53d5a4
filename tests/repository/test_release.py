"""What is uploaded: the archives that are built, and what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import BytesParser
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from email.message import Message

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

#: PyPI and the plugin manager's users both care.
LARGEST_WHEEL = 45_000_000

#: Folders that tools leave in a checkout.
LEFTOVERS = {'__pycache__', '_build'}


def build(source: Path, kind: str, into: Path) -> Path:
    """Build one archive from a folder with the installed build backend."""
    subprocess.run(
        [sys.executable, '-m', 'hatchling', 'build', '-t', kind]
        + ['-d', str(into)],
        cwd=source,
        check=True,
        timeout=120,
        capture_output=True,
    )
    (archive,) = into.iterdir()
    return archive


@pytest.fixture(scope='module')
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, 'sdist', tmp_path_factory.mktemp('sdist'))


@pytest.fixture(scope='module')
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip builds from the sdist."""
    unpacked = tmp_path_factory.mktemp('unpacked')
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter='data')
    (source,) = unpacked.iterdir()
    return build(source, 'wheel', tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as content:
        return set(content.namelist())


@pytest.fixture(scope='module')
def in_sdist(sdist: Path) -> set[str]:
    with tarfile.open(sdist) as content:
        names = [PurePosixPath(name) for name in content.getnames()]
    return {str(name.relative_to(name.parts[0])) for name in names}


@pytest.fixture(scope='module')
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as content:
        (name,) = (
            name
            for name in content.namelist()
            if name.endswith('.dist-info/METADATA')
        )
        return BytesParser().parsebytes(content.read(name))


def tracked(folder: str) -> set[str]:
    """Files of a folder, as they are in a checkout."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and not LEFTOVERS & {*path.parts}
    }


class TestWheel:
    def test_holds_every_file_of_the_package(self, in_wheel: set[str]) -> None:
        package = {name.removeprefix('src/') for name in tracked('src')}
        assert {
            'napari_samnet/napari.yaml',
            'napari_samnet/py.typed',
            'napari_samnet/weights/samnet.json',
            'napari_samnet/weights/samnet.safetensors',
        } <= package
        assert package - in_wheel == set()

    def test_holds_nothing_else(self, in_wheel: set[str]) -> None:
        folders = {name.split('/')[0] for name in in_wheel}
        (information,) = folders - {'napari_samnet'}
        assert re.fullmatch(r'napari_samnet-.+\.dist-info', information)
        assert not [name for name in in_wheel if '/test' in name]
        assert not [name for name in in_wheel if name.endswith('.pyc')]

    def test_holds_the_license(self, in_wheel: set[str]) -> None:
        assert [name for name in in_wheel if name.endswith('licenses/LICENSE')]

    def test_is_for_every_system(self, wheel: Path) -> None:
        assert wheel.name.endswith('-py3-none-any.whl')

    def test_is_not_too_large(self, wheel: Path) -> None:
        assert wheel.stat().st_size < LARGEST_WHEEL


class TestSdist:
    def test_holds_what_its_tests_need(self, in_sdist: set[str]) -> None:
        needed = {
            'CHANGELOG.md',
            'CITATION.cff',
            'LICENSE',
            'PKG-INFO',
            'README.md',
            'pyproject.toml',
            'scripts/test.sh',
            'tox.ini',
        }
        assert needed - in_sdist == set()
        for folder in ('docs', 'examples', 'recipe', 'requirements', 'tests'):
            assert tracked(folder) - in_sdist == set(), folder

    def test_holds_no_leftovers(self, in_sdist: set[str]) -> None:
        folders = {name.split('/')[0] for name in in_sdist if '/' in name}
        known = {'docs', 'examples', 'recipe', 'requirements', 'scripts'}
        assert folders <= known | {'src', 'tests', 'tools'}


def test_twine_finds_no_fault(sdist: Path, wheel: Path) -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'twine', 'check', '--strict']
        + [str(sdist), str(wheel)],
        check=False,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('PASSED') == 2


def test_forms_and_workflows_are_valid() -> None:
    if not (ROOT / '.github').is_dir():
        pytest.skip('not in the source archive')
    done = subprocess.run(
        ['bash', str(ROOT / 'scripts' / 'check-forms.sh')],
        check=False,
        timeout=120,
        capture_output=True,
        text=True,
        env=os.environ | {'PYTHON': sys.executable},
    )
    assert done.returncode == 0, done.stdout + done.stderr


class TestMetadata:
    """What the napari hub and PyPI show."""

    def test_says_that_it_is_for_napari(self, metadata: Message) -> None:
        assert 'Framework :: napari' in metadata.get_all('Classifier', [])
        assert metadata['License-Expression'] == 'BSD-3-Clause'

    def test_summary_is_a_line(self, metadata: Message) -> None:
        assert 20 < len(metadata['Summary']) < 200
        assert '\n' not in metadata['Summary']

    def test_links_of_the_hub(self, metadata: Message) -> None:
        links = dict(
            link.split(', ', 1) for link in metadata.get_all('Project-URL', [])
        )
        assert {
            'Homepage',
            'Documentation',
            'Source Code',
            'Bug Tracker',
            'User Support',
        } <= set(links)
        assert all(link.startswith('https://') for link in links.values())

    def test_needs_no_qt_binding(self, metadata: Message) -> None:
        required = [
            line
            for line in metadata.get_all('Requires-Dist', [])
            if 'extra ==' not in line
        ]
        assert required
        assert not [
            line for line in required if re.match('napari|py(qt|side)', line)
        ]

    def test_readme_has_headings_for_the_side_bar(
        self, metadata: Message
    ) -> None:
        text = str(metadata.get_payload())
        assert len(re.findall(r'^# ', text, re.MULTILINE)) == 1
        assert len(re.findall(r'^## ', text, re.MULTILINE)) >= 4

    def test_links_of_the_readme_are_absolute(self, metadata: Message) -> None:
        text = str(metadata.get_payload())
        links = re.findall(r'\]\(([^)\s]+)', text)
        links += re.findall(r'(?:src|href)="([^"]+)"', text)
        pictures = [link for link in links if link.endswith('.png')]
        home = metadata['Version']
        assert pictures
        assert all(
            link.startswith('https://raw.githubusercontent.com/')
            and f'/v{home}/' in link
            for link in pictures
        )
        assert [
            link for link in links if not link.startswith(('https://', '#'))
        ] == []
