"""Networks of the user's own: kept by name, found like the packaged ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import platformdirs
import pytest
import torch

from napari_samnet.cli.info import as_text, collect
from napari_samnet.errors import InputError, WeightsError
from napari_samnet.files import HOME_VARIABLE, user_folder
from napari_samnet.runtime.user_weights import check_own_name, save_own_weights
from napari_samnet.runtime.weights import (
    available_weights,
    get_weights,
    packaged_weights,
    read_model,
)
from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.network import SAMNet


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any networks."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / 'home'))
    return tmp_path / 'home'


@pytest.fixture(scope='module')
def small() -> SAMNet:
    """As small as the network can be."""
    torch.manual_seed(0)
    config = SAMNetConfig(
        matching_layers=('relu4_1',), width=2, decoder_depth=1
    )
    return SAMNet(config).eval()


def test_a_saved_network_is_found_by_its_name(
    home: Path, small: SAMNet
) -> None:
    assert available_weights() == packaged_weights()
    path = save_own_weights(small, 'my-cups', {'images': 3})
    assert path == home / 'weights' / 'my-cups.safetensors'
    assert available_weights() == (*packaged_weights(), 'my-cups')
    found = get_weights('my-cups')
    assert found.card['images'] == 3
    assert found.card['sha256'] == found.sha256
    assert read_model(found.path).config == small.config
    # Nothing half-written is left beside it.
    assert {x.name for x in path.parent.iterdir()} == {
        'my-cups.safetensors',
        'my-cups.json',
    }


def test_saving_again_replaces_file_and_card(small: SAMNet) -> None:
    save_own_weights(small, 'mine', {'images': 3})
    other = SAMNet(small.config).eval()
    save_own_weights(other, 'mine', {'images': 4})
    assert get_weights('mine').card['images'] == 4


def test_a_network_without_its_card_is_good(small: SAMNet) -> None:
    path = save_own_weights(small, 'mine', {})
    path.with_suffix('.json').unlink()
    assert get_weights('mine').card == {}


def test_a_changed_file_is_refused_and_does_not_hide_the_others(
    small: SAMNet,
) -> None:
    path = save_own_weights(small, 'mine', {})
    path.write_bytes(path.read_bytes() + b'more')
    with pytest.raises(WeightsError, match='damaged'):
        get_weights('mine')
    facts = collect()
    assert 'damaged' in facts['weights']['mine']['card']['error']
    assert 'damaged' in as_text(facts)
    assert facts['weights']['samnet']['sha256']


def test_info_tells_of_own_networks(small: SAMNet) -> None:
    save_own_weights(small, 'mine', {'images': 3})
    assert collect()['weights']['mine']['card']['images'] == 3


@pytest.mark.parametrize(
    'name', ['', '..', '../up', 'a/b', 'a\\b', '.hidden', 'x' * 61, 'a b']
)
def test_names_that_are_no_file_names_are_refused(
    name: str, small: SAMNet, home: Path
) -> None:
    with pytest.raises(InputError, match='name must be'):
        save_own_weights(small, name, {})
    assert not home.exists()


@pytest.mark.parametrize('name', ['samnet', 'SAMNet'])
def test_packaged_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match='packaged'):
        check_own_name(name)


def test_what_cannot_be_written_is_one_clear_error(
    small: SAMNet, home: Path
) -> None:
    home.parent.mkdir(exist_ok=True)
    home.write_text('a file where the folder should be')
    with pytest.raises(InputError, match='cannot write'):
        save_own_weights(small, 'mine', {})


def test_a_stranger_s_file_in_the_folder_is_refused(home: Path) -> None:
    folder = user_folder('weights')
    folder.mkdir(parents=True)
    (folder / 'odd.safetensors').write_bytes(b'no network at all')
    (folder / 'odd.json').write_text(json.dumps(['no card']))
    with pytest.raises(WeightsError, match='model card'):
        get_weights('odd')


def test_the_folder_is_the_platform_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(HOME_VARIABLE)
    assert user_folder('weights') == (
        platformdirs.user_data_path('napari-samnet', False) / 'weights'
    )


@pytest.mark.skipif(
    not hasattr(os, 'seteuid') or os.geteuid() != 0,
    reason='only root can become somebody else',
)
def test_where_nobody_may_look_the_packaged_ones_are_found(
    home: Path, small: SAMNet
) -> None:
    save_own_weights(small, 'my-cups', {})
    home.chmod(0o700)
    os.seteuid(65534)
    try:
        assert available_weights() == packaged_weights()
        assert get_weights('samnet').name == 'samnet'
    finally:
        os.seteuid(0)
