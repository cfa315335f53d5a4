"""Sections in other stains, where the right answer is known."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from napari_samnet.datasets.synthetic import bundled_photograph
from napari_samnet.errors import InputError
from napari_samnet.evaluation.methods.base import Identity
from napari_samnet.evaluation.methods.color import ColorTransfer
from napari_samnet.evaluation.protocols.stain import Sections, Stain


@pytest.fixture(scope='module')
def protocol() -> Stain:
    return Stain(Sections())


def test_pairs_are_sections_whose_stain_alone_differs(protocol: Stain) -> None:
    pair, again = protocol.load(4), protocol.load(4)
    assert len(protocol) == 25
    assert (pair.name, pair.group) == ('immunohistochemistry-0', 'stain')
    np.testing.assert_array_equal(pair.target, again.target)
    valid = pair.truth.valid
    change = np.abs(pair.truth.image - pair.source)[valid]
    assert change.mean() > 0.03
    # Where no stain is, light passes as before.
    page = (pair.source > 0.97).all(axis=-1) & valid
    assert np.abs(pair.truth.image - pair.source)[page].max(initial=0) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'module'),
    [
        ('macenko', 'torchstain'),
        ('transport', 'ot'),
        ('vahadane', 'wsi_normalizer'),
    ],
)
def test_color_transfers_come_nearer(
    protocol: Stain, name: str, module: str
) -> None:
    pytest.importorskip(module)
    pair = protocol.load(4)
    before, after = (
        protocol.score(pair, method.answer(pair))['delta_e']
        for method in (Identity(), ColorTransfer(name))
    )
    assert after < before


def test_an_empty_page_has_no_stain_to_change() -> None:
    pytest.importorskip('torchstain')
    from napari_samnet.evaluation.methods.color import macenko

    page = np.ones((20, 20, 3), np.float32)
    section = bundled_photograph('immunohistochemistry')[::8, ::8]
    np.testing.assert_array_equal(macenko(page, section), page)


def test_a_package_that_no_extra_brings_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_samnet.evaluation.methods.color import vahadane

    monkeypatch.setitem(sys.modules, 'wsi_normalizer', None)
    page = np.ones((20, 20, 3), np.float32)
    with pytest.raises(InputError, match=r'pip install wsi-normalizer$'):
        vahadane(page, page)


@pytest.mark.parametrize(
    ('name', 'module'),
    [
        ('macenko', 'torchstain'),
        ('transport', 'ot.da'),
        ('vahadane', 'wsi_normalizer'),
    ],
)
def test_a_missing_package_is_told_before_the_first_pair(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f'images of {name} need the library'):
        ColorTransfer(name).prepare()
