"""Shared by all tests: a sample pair, a quick match of it, small files."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_samnet.datasets.sample_pair import SamplePair
from napari_samnet.datasets.samples import load_sample
from napari_samnet.files import HOME_VARIABLE

if TYPE_CHECKING:
    from napari_samnet.correspondence import Correspondence

if os.environ.get('PYTEST_XDIST_WORKER'):
    # Tests that run side by side are not to wait for each other's threads.
    os.environ.setdefault('OMP_NUM_THREADS', '1')

#: Options of a match that takes about a second on two cores.
QUICK: dict[str, Any] = {
    'size': 128,
    'iterations': 2,
    'device': 'cpu',
    'precision': 'fp32',
    # Which way up is tested elsewhere, and takes as long as the rest.
    'orientation': 'upright',
}


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(
    config: pytest.Config,
) -> Generator[None, object, object]:
    """Run the tests of all packages in a process for each core.

    Unless paths or a number of processes are given, or it is asked not to run
    them or to stop in a debugger. The tests of a file stay together, since
    they share matches.
    """
    option = config.option
    if (
        config.args_source is config.ArgsSource.TESTPATHS
        and 'PYTEST_XDIST_WORKER' not in os.environ
        and config.pluginmanager.hasplugin('xdist')
        and option.numprocesses is None
        and not (option.usepdb or option.collectonly)
    ):
        option.numprocesses = 'logical'
        option.maxprocesses = option.maxprocesses or 4
        option.dist = 'loadfile'
    return (yield)


@pytest.fixture(scope='session', autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own networks out, and ours out of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp('home')))
        yield


@pytest.fixture(scope='session')
def quick() -> dict[str, Any]:
    """Options of a quick match."""
    return dict(QUICK)


@pytest.fixture(scope='session')
def coffee() -> SamplePair:
    """A drawn pair, whose true field is known, with four labels."""
    return load_sample('coffee')


@pytest.fixture(scope='session')
def found(coffee: SamplePair) -> Correspondence:
    """A quick match of the pair, with the real network."""
    from napari_samnet.matching.match import match

    return match(coffee.source, coffee.target, labels=coffee.labels, **QUICK)


@pytest.fixture(scope='session')
def data_root() -> Path:
    """Folder of the evaluation sets, which only some machines have."""
    named = os.environ.get('NAPARI_SAMNET_DATA')
    repository = Path(__file__).parents[1]
    root = Path(named) if named else repository.parent / 'shared' / 'data'
    if not (root / 'manifests').is_dir():
        pytest.skip(
            'needs the evaluation sets: set NAPARI_SAMNET_DATA to their folder'
        )
    return root


@pytest.fixture
def photograph() -> NDArray[np.uint8]:
    """Smooth colorful image with structure everywhere."""
    rows, columns = np.mgrid[:60, :80] / 10
    bands = [
        np.sin(rows + columns),
        np.sin(1.7 * columns),
        np.cos(rows * 1.3 - columns * 0.6),
    ]
    return np.round(127 + 100 * np.stack(bands, axis=-1)).astype(np.uint8)


@pytest.fixture
def write_list(tmp_path: Path) -> Callable[..., Path]:
    """Write a CSV file from a header and rows."""

    def write(header: str, *rows: str, name: str = 'pairs.csv') -> Path:
        path = tmp_path / name
        path.write_text('\n'.join((header, *rows)) + '\n', encoding='utf-8')
        return path

    return write


@pytest.fixture
def two_images(tmp_path: Path, photograph: NDArray[np.uint8]) -> Path:
    """Folder with a.png, 60 x 80, and b.png, 30 x 40 of the same."""
    Image.fromarray(photograph).save(tmp_path / 'a.png')
    Image.fromarray(photograph[::2, ::2]).save(tmp_path / 'b.png')
    return tmp_path
