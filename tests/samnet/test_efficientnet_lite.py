"""The light network: its plan, its grid, its weights, its place in W_F."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_samnet.errors import WeightsError
from napari_samnet.runtime.loading import load_model
from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.efficientnet_lite import (
    LITE_CHANNELS,
    Block,
    LiteFeatures,
    block_plan,
    same_padding,
)
from napari_samnet.samnet.features import VGGFeatures, normalize
from napari_samnet.samnet.network import SAMNet
from napari_samnet.training.backbone import load_light

LAYERS = ('lite10', 'lite12')


@pytest.fixture(scope='module')
def shipped() -> SAMNet:
    return load_model('samnet', backend='torch')


@pytest.fixture(scope='module')
def light(shipped: SAMNet) -> LiteFeatures:
    found = shipped.features.light
    assert found is not None
    return found


def original(light: LiteFeatures) -> dict[str, Tensor]:
    """A file as it is distributed, which folds into these weights."""
    torch.manual_seed(0)
    state = {}

    def part(kernel: str, norm: str, weight: Tensor, bias: Tensor) -> None:
        count = len(weight)
        variance, gamma = torch.rand(2, count) + 0.5
        mean = torch.randn(count)
        scale = gamma / (variance + 1e-3).sqrt()
        state[f'{kernel}.weight'] = weight / scale[:, None, None, None]
        state[f'{norm}.weight'] = gamma
        state[f'{norm}.bias'] = bias + mean * scale
        state[f'{norm}.running_mean'] = mean
        state[f'{norm}.running_var'] = variance

    def both(layer: torch.nn.Conv2d) -> tuple[Tensor, Tensor]:
        assert layer.bias is not None
        return layer.weight, layer.bias

    part('_conv_stem', '_bn0', *both(light.stem))
    for index, block in enumerate(light.blocks):
        assert isinstance(block, Block)
        name = f'_blocks.{index}.'
        if block.widen is not None:
            part(f'{name}_expand_conv', f'{name}_bn0', *both(block.widen))
        part(f'{name}_depthwise_conv', f'{name}_bn1', *both(block.filter))
        part(f'{name}_project_conv', f'{name}_bn2', *both(block.narrow))
    return state


class TestPlan:
    def test_size_of_the_published_network(self) -> None:
        # 4,652,008 parameters, head and classifier among them; every
        # normalization has two per channel.
        network = LiteFeatures(['lite15'])
        weights = sum(
            layer.weight.numel() + 2 * layer.out_channels
            for layer in network.modules()
            if isinstance(layer, torch.nn.Conv2d)
        )
        head, classifier = (320 + 2) * 1280, (1280 + 1) * 1000
        assert weights + head + classifier == 4_652_008

    def test_channels(self) -> None:
        assert len(block_plan()) == 16
        assert LITE_CHANNELS['lite10'] == 112
        assert LITE_CHANNELS['lite12'] == 192
        assert list(LITE_CHANNELS)[-1] == 'lite15'

    @pytest.mark.parametrize(
        ('length', 'kernel', 'stride', 'expected'),
        [
            (8, 3, 2, (0, 1)),
            (9, 3, 2, (1, 1)),
            (8, 5, 2, (1, 2)),
            (8, 3, 1, (1, 1)),
        ],
    )
    def test_padding(
        self,
        length: int,
        kernel: int,
        stride: int,
        expected: tuple[int, int],
    ) -> None:
        assert same_padding(length, kernel, stride) == expected


class TestLiteFeatures:
    @pytest.mark.parametrize('size', [(64, 96), (48, 80)])
    def test_shapes(self, light: LiteFeatures, size: tuple[int, int]) -> None:
        found = light(torch.rand(2, 3, *size))
        sides = [-(-side // 16) for side in size]
        assert found['lite10'].shape == (2, 112, *sides)
        halves = [-(-side // 2) for side in sides]
        assert found['lite12'].shape == (2, 192, *halves)

    def test_nothing_deeper_is_built(self) -> None:
        assert len(LiteFeatures(['lite4']).blocks) == 5

    def test_images_of_a_batch_do_not_mix(self, light: LiteFeatures) -> None:
        images = torch.rand(2, 3, 64, 64)
        both, one = light(images), light(images[:1])
        for layer in LAYERS:
            torch.testing.assert_close(
                both[layer][:1], one[layer], rtol=1e-4, atol=1e-4
            )


class TestLoadLight:
    def test_normalization_is_folded(
        self, tmp_path: Path, light: LiteFeatures
    ) -> None:
        save_file(original(light), tmp_path / 'lite0.safetensors')
        features = VGGFeatures(matching_layers=('relu4_1', *LAYERS))
        load_light(features, tmp_path / 'lite0.safetensors')
        assert features.light is not None
        images = torch.rand(1, 3, 64, 64)
        found, expected = features.light(images), light(images)
        for layer in LAYERS:
            torch.testing.assert_close(
                found[layer], expected[layer], rtol=1e-3, atol=1e-3
            )

    def test_without_a_file_the_packaged_one(
        self, light: LiteFeatures
    ) -> None:
        features = VGGFeatures(matching_layers=('relu4_1', *LAYERS))
        load_light(features)
        assert features.light is not None
        torch.testing.assert_close(
            features.light.state_dict(), light.state_dict()
        )

    def test_nothing_to_do_for_vgg_alone(self) -> None:
        load_light(VGGFeatures(matching_layers=('relu4_1',)), 'no file')

    @pytest.mark.parametrize(
        'name', ['_blocks.3._expand_conv.weight', '_blocks.3._bn0.running_var']
    )
    def test_missing_layer(
        self, tmp_path: Path, light: LiteFeatures, name: str
    ) -> None:
        state = original(light)
        del state[name]
        save_file(state, tmp_path / 'lite0.safetensors')
        features = VGGFeatures(matching_layers=('relu4_1', *LAYERS))
        with pytest.raises(WeightsError, match=f'{name}.*None'):
            load_light(features, tmp_path / 'lite0.safetensors')

    def test_no_file_of_weights(self, tmp_path: Path) -> None:
        (tmp_path / 'lite0.safetensors').write_text('nothing')
        features = VGGFeatures(matching_layers=('relu4_1', *LAYERS))
        with pytest.raises(WeightsError, match='cannot be read'):
            load_light(features, tmp_path / 'lite0.safetensors')


class TestInTheMatchingFeature:
    def test_every_layer_counts_alike(self, shipped: SAMNet) -> None:
        images = torch.rand(1, 3, 64, 64)
        matching = shipped.encode(images, skips=False, project=False).matching
        sizes = [512, 512, 112, 192]
        lengths = [
            float(part.norm(dim=1).median())
            for part in matching.split(sizes, 1)
        ]
        assert lengths == pytest.approx([0.5] * 4, abs=0.05)

    def test_layers_of_vgg_come_first(self) -> None:
        with pytest.raises(ValueError, match='lite10'):
            VGGFeatures(matching_layers=('lite10', 'relu4_1'))
        with pytest.raises(ValueError, match='at least one'):
            VGGFeatures(matching_layers=('lite10',))

    def test_blended_part_is_taken_over(self, shipped: SAMNet) -> None:
        features = shipped.features
        images = torch.rand(1, 3, 64, 64)
        found = shipped.encode(images, skips=False, project=False)
        again = features.continue_from_content(found.content, found.matching)
        # Enlarged maps are a little short of unit length, unless they are
        # scaled anew.
        assert (again * found.matching).sum(1).min() > 0.99
        with pytest.raises(ValueError, match='light network'):
            features.continue_from_content(found.content)
        with pytest.raises(ValueError, match=r'all 1328 channels.*\(1, 384'):
            features.continue_from_content(
                found.content, shipped.encode(images).matching
            )

    def test_configuration_without_it_is_vgg_alone(self) -> None:
        config = SAMNetConfig(matching_layers=('relu4_1',))
        assert SAMNet(config).features.light is None

    def test_unit_length(self, shipped: SAMNet) -> None:
        matching = shipped.encode(torch.rand(1, 3, 48, 80)).matching
        torch.testing.assert_close(normalize(matching), matching)
