"""The pages: they build, their links lead somewhere, their code works."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from blocks import Block, read_blocks
from skimage.io import imsave

if TYPE_CHECKING:
    from napari_samnet.datasets.sample_pair import SamplePair

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs'
PAGES = sorted([*ROOT.glob('*.md'), *DOCS.glob('*.md')])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]

#: All pictures together, in bytes: a clone stays quick.
LARGEST_PICTURES = 5_000_000

#: Programs of others that may stand in blocks which are not run.
KNOWN = {
    'cd', 'conda', 'dask', 'do', 'done', 'for', 'git', 'pre-commit',
    'python', 'source', 'torchrun',
}  # fmt: skip


class Links(HTMLParser):
    """Where a built page leads, and the places in it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        for name, value in attrs:
            if name == 'id' and value:
                self.places.add(value)
            if value and name in ('href', 'src') and tag != 'link':
                self.links.append(value)


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as the site shows them."""
    for module in ('myst_parser', 'napari_sphinx_theme', 'sphinx_design'):
        pytest.importorskip(module, reason='the extra docs is not installed')
    folder = tmp_path_factory.mktemp('site')
    done = subprocess.run(
        [sys.executable, '-m', 'sphinx', '--fail-on-warning', '--keep-going']
        + ['--quiet', '-b', 'html', str(DOCS), str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_builds_without_a_warning(site: Path) -> None:
    built = {path.stem for path in site.glob('*.html')}
    assert {page.stem for page in DOCS.glob('*.md')} <= built


@pytest.mark.slow
def test_links_of_the_site_lead_somewhere(site: Path) -> None:
    pages = {}
    for path in site.glob('*.html'):
        pages[path.name] = Links()
        pages[path.name].feed(path.read_text(encoding='utf-8'))
    lost = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = unquote(parts.path) or name
            there = (site / path).is_file()
            place = unquote(parts.fragment)
            if there and place and path in pages:
                there = place in pages[path].places
            if not there:
                lost.append(f'{name}: {link}')
    assert pages
    assert lost == []


@pytest.mark.parametrize('name', NAMES)
def test_links_of_the_file_lead_somewhere(name: str) -> None:
    page = ROOT / name
    text = re.sub(r'```.*?```', '', page.read_text('utf-8'), flags=re.DOTALL)
    links = re.findall(r'\]\(([^)\s]+)\)', text)
    links += re.findall(r'^```\{image\} (\S+)', page.read_text('utf-8'), re.M)
    for link in links:
        path = link.partition('#')[0]
        if path and '://' not in path and not path.startswith('mailto:'):
            assert (page.parent / path).exists(), link


def test_every_picture_is_shown_and_they_are_small() -> None:
    pictures = [path for path in (DOCS / 'images').iterdir() if path.is_file()]
    # All of these are on the page of states.
    shown = re.compile(r'widget-.+-(dark|light)\.png')
    text = '\n'.join(page.read_text('utf-8') for page in PAGES)
    text += (DOCS / 'conf.py').read_text('utf-8')
    assert [
        path.name
        for path in pictures
        if path.name not in text and not shown.fullmatch(path.name)
    ] == []
    assert sum(path.stat().st_size for path in pictures) < LARGEST_PICTURES


@pytest.mark.parametrize('name', NAMES)
def test_headings_begin_with_one_title(name: str) -> None:
    text = (ROOT / name).read_text('utf-8')
    text = re.sub(r'(`{3,}).*?^\1', '', text, flags=re.DOTALL | re.M)
    levels = [len(found) for found in re.findall(r'^(#+) ', text, re.M)]
    if levels:
        assert levels[0] == 1
        assert levels.count(1) == 1
        for before, after in pairwise(levels):
            assert after <= before + 1


# The code.


@pytest.mark.slow
@pytest.mark.parametrize('name', [n for n in NAMES if read_blocks(ROOT / n)])
def test_code_works(
    name: str,
    coffee: SamplePair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All blocks of a page, in its order, in one folder."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    if name == 'README.md':
        # It speaks of images that readers have.
        imsave('cup.jpg', coffee.source)
        imsave('other.jpg', coffee.target)
        imsave('cup-mask.png', coffee.labels, check_contrast=False)
        names = {
            'source': coffee.source,
            'target': coffee.target,
            'labels': coffee.labels,
            'points': [[100.0, 200.0], [300.0, 400.0]],
        }
    for block in read_blocks(ROOT / name):
        if block.check == 'napari':
            continue  # See tests/plugin/test_pages.py.
        if block.check in ('install', 'parse'):
            check_words(block) if block.language == 'bash' else compile(
                block.code, name, 'exec'
            )
        elif block.check == 'run' and block.language == 'python':
            # So that an error names the page and its line.
            code = '\n' * (block.line - 1) + block.code
            exec(compile(code, name, 'exec'), names)
        elif block.check == 'run':
            run_shell(block.code)
        else:
            pytest.fail(f'{name} line {block.line}: unknown {block.check!r}')


def environment() -> dict[str, str]:
    """As after activating the environment, and without a display."""
    found = {
        key: value
        for key, value in os.environ.items()
        if key not in ('DISPLAY', 'WAYLAND_DISPLAY')
    }
    scripts = Path(sys.executable).parent
    return found | {'PATH': f'{scripts}{os.pathsep}{found["PATH"]}'}


def run_shell(code: str) -> None:
    """Run lines of a shell, each of which must succeed."""
    done = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', code],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
    )
    assert done.returncode == 0, f'{code}\n{done.stdout}{done.stderr}'


def commands(code: str) -> list[list[str]]:
    """The words of each command, without comments."""
    lines = re.sub(r'(?<!\S)#.*', '', code.replace('\\\n', ' ')).splitlines()
    parts = [part for line in lines for part in re.split(r'&&|;|\|', line)]
    words = [shlex.split(part) for part in parts]
    return [found for found in words if found]


def check_words(block: Block) -> None:
    """Look whether what is not run exists: extras, options, environments."""
    for words in commands(block.code):
        while '=' in words[0]:
            words = words[1:]
        if words[:4] == ['python', '-m', 'pip', 'install']:
            check_extras(words[4:])
        elif words[:2] == ['pip', 'install']:
            check_extras(words[2:])
        elif words[0] == 'napari-samnet':
            check_command(words, run=block.check == 'install')
        elif words[0] == 'tox':
            check_tox(words)
        elif words[0] == 'bash':
            assert (ROOT / words[1]).is_file()
        else:
            assert words[0] in KNOWN, words


def check_extras(words: list[str]) -> None:
    """The extras that are named are there."""
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text('utf-8'))
    known = set(project['project']['optional-dependencies'])
    for word in words:
        if found := re.fullmatch(r'(?:\.|napari-samnet)\[(.+)\]', word):
            assert set(found[1].split(',')) <= known, word


@functools.cache
def text_of(*words: str) -> str:
    """What a command without a display prints."""
    return subprocess.run(
        words,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
    ).stdout


def check_command(words: list[str], *, run: bool) -> None:
    """The command is run, or its options are known."""
    if run:
        text = text_of(*words)
        assert text
        if words[1] == 'demo':
            assert Path(text.strip()).name == 'overview.png'
        return
    text = text_of(*words[:2], '--help')
    if words[1] == 'look':
        text = text_of(*words[:3], '--help')
    for word in words[2:]:
        if word.startswith('--'):
            assert word.partition('=')[0] in text, word


def check_tox(words: list[str]) -> None:
    """The environments are described."""
    text = (ROOT / 'tox.ini').read_text('utf-8')
    for name in words[words.index('-e') + 1].split(','):
        factor = name.split('-')[0]
        assert f'[testenv:{name}]' in text or re.fullmatch(
            r'py3\d+', factor
        ), name
