"""Shared by all tests: a sample pair and one quick match of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from napari_samnet.datasets.samples import SamplePair, load_sample
from napari_samnet.files import HOME_VARIABLE

if TYPE_CHECKING:
    from napari_samnet.correspondence import Correspondence

#: Options of a match that takes about a second on two cores.
QUICK: dict[str, Any] = {
    'size': 128,
    'iterations': 2,
    'device': 'cpu',
    'precision': 'fp32',
}


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
    """The pair of the demonstration."""
    return load_sample('coffee')


@pytest.fixture(scope='session')
def found(coffee: SamplePair) -> Correspondence:
    """A quick match of the pair, with the real network."""
    from napari_samnet.matching.match import match

    return match(coffee.source, coffee.target, labels=coffee.labels, **QUICK)
