"""Weights files: what is written comes back, what is damaged is refused."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_samnet.errors import DeviceError, WeightsError
from napari_samnet.runtime.loading import load_model
from napari_samnet.runtime.weights import (
    FORMAT,
    available_weights,
    get_weights,
    read_model,
    save_model,
    share_packaged,
)
from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.network import SAMNet

CONFIG = SAMNetConfig(matching_layers=('relu4_1',), width=2, decoder_depth=1)


@pytest.fixture(scope='module')
def small() -> SAMNet:
    """As small as the network can be."""
    torch.manual_seed(0)
    return SAMNet(CONFIG).eval()


@pytest.fixture(scope='module')
def saved(small: SAMNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's file; not to be changed."""
    path = tmp_path_factory.mktemp('weights') / 'small.safetensors'
    save_model(small, path)
    return path


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    path = tmp_path / 'copy.safetensors'
    path.write_bytes(saved.read_bytes())
    return path


def refused(path: Path, match: str | None = None) -> None:
    """Reading gives one line that names the file."""
    with pytest.raises(WeightsError, match=match) as caught:
        read_model(path)
    message = str(caught.value)
    assert path.name in message
    assert '\n' not in message
    assert len(message) < 500


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and tensors of a safetensors file."""
    raw = path.read_bytes()
    (length,) = struct.unpack('<Q', raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write(path: Path, header: dict[str, Any], tensors: bytes) -> None:
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    path.write_bytes(struct.pack('<Q', len(text)) + text + tensors)


def test_the_same_network_makes_the_same_file(
    small: SAMNet, tmp_path: Path
) -> None:
    digests = {
        save_model(small, tmp_path / 'some.safetensors') for _ in range(6)
    }
    assert len(digests) == 1


class TestSave:
    @pytest.mark.parametrize('half', [True, False])
    def test_comes_back(
        self, small: SAMNet, tmp_path: Path, *, half: bool
    ) -> None:
        path = tmp_path / 'net.safetensors'
        digest = save_model(small, path, half=half)
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
        found = read_model(path)
        assert found.config == CONFIG
        assert not found.training
        assert not any(part.requires_grad for part in found.parameters())
        for name, value in small.state_dict().items():
            expected = value.half().float() if half else value
            assert torch.equal(found.state_dict()[name], expected), name
        header = parts(path)[0]['__metadata__']
        assert header['format'] == FORMAT

    def test_half_is_half_the_size(self, small: SAMNet, saved: Path) -> None:
        count = sum(value.numel() for value in small.state_dict().values())
        assert 2 * count < saved.stat().st_size < 2 * count + 20_000

    def test_replaces_and_leaves_nothing_else(
        self, small: SAMNet, tmp_path: Path
    ) -> None:
        path = tmp_path / 'net.safetensors'
        path.write_text('old')
        save_model(small, path)
        assert read_model(path).config == CONFIG
        assert os.listdir(tmp_path) == ['net.safetensors']

    def test_a_failed_write_leaves_the_old_file(
        self, small: SAMNet, tmp_path: Path
    ) -> None:
        path = tmp_path / 'net.safetensors'
        path.write_text('old')
        no_name: Any = 5
        with pytest.raises(TypeError):
            save_model(small, path, shares=no_name)
        assert path.read_text() == 'old'
        assert os.listdir(tmp_path) == ['net.safetensors']


class TestShared:
    def test_what_a_packaged_network_has_is_not_written(
        self, tmp_path: Path
    ) -> None:
        config = SAMNetConfig(
            matching_layers=('relu4_1',), matcher='unet', width=2, gate=False
        )
        torch.manual_seed(0)
        model = SAMNet(config).eval()
        share_packaged(model)
        path = tmp_path / 'sharing.safetensors'
        save_model(
            model, path, half=False, parts=('matcher',), shares='samnet'
        )
        assert {key.split('.')[0] for key in load_file(path)} == {'matcher'}
        other = read_model(path)
        assert other.config == config
        for name, value in model.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value)

    def test_nothing_but_a_packaged_network_is_shared(
        self, small: SAMNet, tmp_path: Path
    ) -> None:
        path = tmp_path / 'sharing.safetensors'
        save_model(small, path, parts=('matcher',), shares='../elsewhere')
        refused(path, 'not one of the packaged networks')


class TestFind:
    def test_packaged(self) -> None:
        assert 'samnet' in available_weights()
        weights = get_weights('samnet')
        assert weights.name == 'samnet'
        content = weights.path.read_bytes()
        assert weights.sha256 == hashlib.sha256(content).hexdigest()

    def test_by_path(self, saved: Path) -> None:
        for name in (saved, str(saved)):
            weights = get_weights(name)
            assert weights.path == saved
            assert weights.name == 'small'
            assert weights.card == {}

    @pytest.mark.parametrize('name', ['samnett', '', '.', 'no/such.file', 5])
    def test_what_is_not_there(self, name: Any) -> None:
        with pytest.raises(WeightsError, match=f'samnet.*got {str(name)!r}'):
            get_weights(name)

    def test_a_folder_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=tmp_path.name):
            get_weights(tmp_path)

    @pytest.mark.skipif(
        not Path('/proc/self/mem').exists(), reason='needs such a file'
    )
    def test_a_file_that_cannot_be_read(self) -> None:
        with pytest.raises(WeightsError, match='mem cannot be read'):
            get_weights('/proc/self/mem')

    def test_card_is_read_and_its_hash_is_checked(self, copy: Path) -> None:
        digest = hashlib.sha256(copy.read_bytes()).hexdigest()
        card = {'sha256': digest, 'figures': {'pck': 0.8}}
        copy.with_suffix('.json').write_text(json.dumps(card))
        assert get_weights(copy).card == card
        raw = bytearray(copy.read_bytes())
        raw[-1] ^= 1
        copy.write_bytes(raw)
        with pytest.raises(
            WeightsError, match=f'damaged: expected SHA-256 {digest[:16]}…'
        ):
            load_model(copy)

    @pytest.mark.parametrize(
        ('text', 'match'),
        [
            ('{"sha256": "0"}', 'damaged'),
            ('{"sha256": 12}', 'damaged'),
            ('{"sha', 'copy.json is no JSON'),
            ('[1]', 'model card, got a list'),
            ('\udcff', 'copy.json is no JSON'),
        ],
    )
    def test_a_wrong_card_is_refused(
        self, copy: Path, text: str, match: str
    ) -> None:
        card = text.encode('utf-8', 'surrogateescape')
        copy.with_suffix('.json').write_bytes(card)
        with pytest.raises(WeightsError, match=match) as caught:
            get_weights(copy)
        assert '\n' not in str(caught.value)


class TestDamage:
    @pytest.mark.parametrize('size', [0, 4, 8, 100, -1, -1000])
    def test_truncated(self, copy: Path, size: int) -> None:
        copy.write_bytes(copy.read_bytes()[:size])
        refused(copy, 'cannot be read as safetensors')

    @pytest.mark.parametrize('step', [7, 101])
    def test_a_flipped_bit_of_the_header(self, copy: Path, step: int) -> None:
        raw = copy.read_bytes()
        end = raw.index(b'}', raw.index(b'__metadata__'))
        for position in [*range(0, end, step), 500, 2000]:
            damaged = bytearray(raw)
            damaged[position] ^= 1 << (position % 8)
            copy.write_bytes(damaged)
            refused(copy)

    def test_a_claimed_size_takes_no_memory(self, copy: Path) -> None:
        raw = copy.read_bytes()
        copy.write_bytes(struct.pack('<Q', 1 << 62) + raw[8:])
        refused(copy, 'cannot be read')

    @pytest.mark.parametrize(
        'content',
        [b'', b'PK\x03\x04', b'\x89PNG\r\n\x1a\n' + bytes(100), b'{}' * 50],
    )
    def test_another_kind_of_file(
        self, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / 'other.safetensors'
        path.write_bytes(content)
        refused(path, 'cannot be read as safetensors')

    def test_a_pickle_is_not_run(self, small: SAMNet, tmp_path: Path) -> None:
        mark = tmp_path / 'was-run'

        class Trap:
            def __reduce__(self) -> tuple[Callable[[Path], None], Any]:
                return Path.touch, (mark,)

        for name, write_it in {
            'net.pt': lambda path: torch.save(small.state_dict(), path),
            'trap.pt': lambda path: torch.save({'x': Trap()}, path),
            'trap.safetensors': lambda path: path.write_bytes(
                pickle.dumps(Trap())
            ),
        }.items():
            write_it(tmp_path / name)
            refused(tmp_path / name, 'cannot be read as safetensors')
        assert not mark.exists()

    def test_a_folder(self, tmp_path: Path) -> None:
        refused(tmp_path, 'cannot be read')

    def test_values_that_are_not_finite(
        self, small: SAMNet, tmp_path: Path
    ) -> None:
        model = SAMNet(CONFIG)
        model.load_state_dict(small.state_dict())
        path = tmp_path / 'net.safetensors'
        for value in (torch.nan, torch.inf):
            with torch.no_grad():
                model.decoder.enter.bias[3] = value
            save_model(model, path)
            refused(path, 'not finite')


class TestOtherNetworks:
    def test_a_safetensors_file_of_something_else(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / 'other.safetensors'
        save_file({'weight': torch.zeros(3)}, path)
        refused(path, 'not a napari-samnet weights file')
        save_file({'weight': torch.zeros(3)}, path, {'format': 'pt'})
        refused(path, "napari-samnet-1', got 'pt'")

    def test_tensors_of_another_network(self, tmp_path: Path) -> None:
        path = tmp_path / 'other.safetensors'
        header = {'format': FORMAT, 'config': json.dumps(CONFIG.to_dict())}
        save_file({'weight': torch.zeros(3)}, path, header)
        refused(path, 'does not fit.*are missing, 1 are not known')

    @pytest.mark.parametrize('which', ['one less', 'one more', 'another name'])
    def test_tensors_that_are_not_all(self, copy: Path, which: str) -> None:
        header = parts(copy)[0]['__metadata__']
        state = load_file(copy)
        if which != 'one more':
            del state['decoder.enter.bias']
        if which != 'one less':
            state['decoder.enter.bais'] = torch.zeros(256)
        save_file(state, copy, header)
        refused(copy, 'does not fit the network that it describes')

    @pytest.mark.parametrize(
        'change',
        [
            {'width': 4},
            {'window': 7},
            {'matcher': 'rtn'},
            {'backbone': 'vgg19', 'matching_layers': ['relu5_1']},
            {'decoder_depth': 3},
        ],
        ids=str,
    )
    def test_a_header_of_another_network(
        self, copy: Path, change: dict[str, Any]
    ) -> None:
        header, tensors = parts(copy)
        config = {**CONFIG.to_dict(), **change}
        header['__metadata__']['config'] = json.dumps(config)
        write(copy, header, tensors)
        refused(copy, 'does not fit the network that it describes')

    @pytest.mark.parametrize(
        'change',
        [
            {'width': '2'},
            {'width': 0},
            {'width': 10**9},
            {'width': True},
            {'decoder_depth': None},
            {'decoder_depth': 10**9},
            {'window': 9.5},
            {'matching_layers': 4},
            {'matching_layers': []},
            {'matching_layers': ['relu9_9']},
            {'matching_layers': [['relu4_1']]},
            {'backbone': ['vgg16']},
            {'backbone': 'resnet50'},
            {'matcher': 'none'},
            {'heads': 8},
        ],
        ids=str,
    )
    def test_a_configuration_of_no_network(
        self, copy: Path, change: dict[str, Any]
    ) -> None:
        header, tensors = parts(copy)
        config = {**CONFIG.to_dict(), **change}
        header['__metadata__']['config'] = json.dumps(config)
        write(copy, header, tensors)
        refused(copy)

    @pytest.mark.parametrize('config', ['', '{', '5', 'null', '"x"', '[[1]]'])
    def test_a_configuration_that_is_none(
        self, copy: Path, config: str
    ) -> None:
        header, tensors = parts(copy)
        header['__metadata__']['config'] = config
        write(copy, header, tensors)
        refused(copy, 'no usable network configuration')
        del header['__metadata__']['config']
        write(copy, header, tensors)
        refused(copy, 'no usable network configuration')


class TestLoad:
    def test_packaged(self) -> None:
        shipped = load_model('samnet')
        assert shipped.config.matcher == 'residual'
        assert next(shipped.parameters()).dtype == torch.float32
        assert not shipped.training

    def test_stays_in_memory(self) -> None:
        assert load_model('samnet') is load_model('samnet')

    def test_a_changed_file_is_read_again(
        self, small: SAMNet, copy: Path
    ) -> None:
        before = load_model(copy)
        assert load_model(copy) is before
        changed = SAMNet(CONFIG)
        # A new network may have the same weights, drawn with the same seed.
        with torch.no_grad():
            changed.decoder.enter.weight.add_(1)
        save_model(changed, copy)
        after = load_model(copy)
        assert after is not before
        found = after.decoder.enter.weight
        expected = changed.decoder.enter.weight.half().float()
        assert torch.equal(found, expected)

    def test_half_precision_is_that_of_the_convolutions(
        self, saved: Path
    ) -> None:
        model = load_model(saved, precision='bf16')
        assert model.features.convolutions['conv1_1'].weight.dtype == (
            torch.bfloat16
        )
        assert model.decoder.enter.weight.dtype == torch.bfloat16
        assert next(model.matcher.parameters()).dtype == torch.float32
        images = torch.rand(1, 3, 32, 32)
        found = model.encode(images)
        assert found.matching.dtype == torch.float32
        exact = load_model(saved).encode(images)
        torch.testing.assert_close(
            found.matching, exact.matching, atol=0.05, rtol=0
        )

    def test_unknown_places_are_refused(self, saved: Path) -> None:
        with pytest.raises(DeviceError, match="got 'tpu'"):
            load_model(saved, device='tpu')
        with pytest.raises(DeviceError, match="got 'fp8'"):
            load_model(saved, precision='fp8')

    def test_names_can_be_listed_without_torch(self) -> None:
        code = (
            'import sys\n'
            'from napari_samnet.runtime.weights import get_weights\n'
            'get_weights("samnet")\n'
            'assert "torch" not in sys.modules'
        )
        subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
