"""W_F: which layers, on which grid, at which scale."""

from __future__ import annotations

import math

import pytest
import torch

from napari_samnet.samnet.config import STRIDE
from napari_samnet.samnet.features import (
    VGGFeatures,
    normalize,
)
from napari_samnet.samnet.vgg_plan import layer_plan


@pytest.fixture(scope='module')
def vgg() -> VGGFeatures:
    torch.manual_seed(0)
    return VGGFeatures(matching_layers=('relu4_1', 'relu5_1')).eval()


class TestNormalize:
    def test_length_is_one(self) -> None:
        features = torch.randn(2, 5, 3, 4)
        length = normalize(features).norm(dim=1)
        torch.testing.assert_close(length, torch.ones(2, 3, 4))

    @pytest.mark.parametrize('scale', [1e-8, 1e8])
    def test_scale_does_not_matter(self, scale: float) -> None:
        features = torch.randn(2, 5, 3, 4)
        torch.testing.assert_close(
            normalize(features * scale), normalize(features)
        )

    def test_zero_stays_zero(self) -> None:
        features = torch.randn(1, 5, 3, 4)
        features[:, :, 1, 2] = 0
        assert normalize(features)[:, :, 1, 2].eq(0).all()
        assert normalize(torch.zeros(1, 5, 3, 4)).eq(0).all()

    def test_images_of_a_batch_do_not_mix(self) -> None:
        faint, strong = torch.randn(2, 1, 5, 3, 4)
        both = torch.cat((1e-9 * faint, 1e9 * strong))
        torch.testing.assert_close(normalize(both)[:1], normalize(faint))

    def test_gradient(self) -> None:
        features = torch.randn(2, 3, 3, 4, dtype=torch.double)
        assert torch.autograd.gradcheck(
            normalize, features.requires_grad_(), eps=1e-6
        )


class TestLayers:
    @pytest.mark.parametrize(
        ('backbone', 'count', 'last'),
        [('vgg16', 13, 'relu5_3'), ('vgg19', 16, 'relu5_4')],
    )
    def test_plan(self, backbone: str, count: int, last: str) -> None:
        plan = layer_plan(backbone)
        assert len(plan) == count
        assert plan[0] == ('relu1_1', 64)
        assert plan[-1] == (last, 512)

    @pytest.mark.parametrize('backbone', ['vgg16', 'vgg19'])
    def test_names_and_shapes_are_those_of_torchvision(
        self, backbone: str
    ) -> None:
        from torchvision import models

        with torch.device('meta'):
            theirs = getattr(models, backbone)(weights=None).features
            ours = VGGFeatures(
                backbone=backbone, matching_layers=('relu5_1',)
            ).convolutions
        convolutions = [
            layer for layer in theirs if isinstance(layer, torch.nn.Conv2d)
        ]
        for mine, other in zip(ours.values(), convolutions, strict=False):
            assert mine.weight.shape == other.weight.shape
            assert mine.padding == other.padding

    def test_unknown_names_are_refused(self) -> None:
        with pytest.raises(ValueError, match="vgg16, vgg19, got 'vgg11'"):
            layer_plan('vgg11')
        for layer in ('relu2_2', 'relu9_1', 'relu5_4'):
            with pytest.raises(ValueError, match=f"got '{layer}'"):
                VGGFeatures(matching_layers=(layer,))

    def test_nothing_deeper_than_needed_is_kept(self) -> None:
        with torch.device('meta'):
            paper = VGGFeatures(backbone='vgg19', matching_layers=('relu4_1',))
        assert list(paper.convolutions)[-1] == 'conv4_1'
        assert paper.matching_channels == 512


class TestDilated:
    def test_every_second_cell_is_that_of_the_network_as_it_is(self) -> None:
        torch.manual_seed(0)
        plain = VGGFeatures(matching_layers=('relu5_1',))
        dilated = VGGFeatures(matching_layers=('relu5_1',), dilated=True)
        dilated.load_state_dict(plain.state_dict())
        images = torch.rand(1, 3, 64, 96)
        with torch.no_grad():
            coarse = plain.layers(images)['relu5_1']
            fine = dilated.layers(images)['relu5_1']
        assert coarse.shape[-2:] == (4, 6)
        assert fine.shape[-2:] == (8, 12)
        torch.testing.assert_close(fine[..., ::2, ::2], coarse)

    def test_a_context_needs_a_projection_to_be_added_to(self) -> None:
        with pytest.raises(ValueError, match='there is none'):
            VGGFeatures(context=8)


class TestEncoding:
    def test_shapes_of_an_oblong_image(self, vgg: VGGFeatures) -> None:
        with torch.no_grad():
            found = vgg(torch.rand(2, 3, 32, 48))
        assert found.matching.shape == (2, 1024, 4, 6)
        assert found.content.shape == (2, 512, 4, 6)
        assert [tuple(skip.shape[1:]) for skip in found.skips] == [
            (256, 8, 12),
            (128, 16, 24),
            (64, 32, 48),
        ]
        length = found.matching.norm(dim=1)
        torch.testing.assert_close(length, torch.ones(2, 4, 6))
        one = found.part(slice(1))
        assert all(part.shape[0] == 1 for part in (*one[:2], *one.skips))

    def test_shortcuts_give_the_same(self, vgg: VGGFeatures) -> None:
        images = torch.rand(1, 3, 32, 48)
        with torch.no_grad():
            found = vgg(images)
            torch.testing.assert_close(vgg.match_only(images), found.matching)
            torch.testing.assert_close(
                vgg.continue_from_content(found.content), found.matching
            )

    def test_shallower_layers_cannot_be_continued_to(self) -> None:
        vgg = VGGFeatures(matching_layers=('relu3_3', 'relu4_1'))
        with pytest.raises(ValueError, match='relu3_3'):
            vgg.continue_from_content(torch.rand(1, 512, 4, 4))

    def test_images_are_normalized_for_the_backbone(self) -> None:
        vgg = VGGFeatures(matching_layers=('relu4_1',))
        vgg.mean.copy_(torch.tensor([0.4, 0.5, 0.6]))
        vgg.std.copy_(torch.tensor([0.1, 0.2, 0.5]))
        images = torch.tensor([0.5, 0.9, 0.1]).view(1, 3, 1, 1)
        prepared = vgg.prepare(images).flatten()
        torch.testing.assert_close(prepared, torch.tensor([1.0, 2.0, -1.0]))

    def test_other_channels_are_refused(self, vgg: VGGFeatures) -> None:
        with pytest.raises(ValueError, match=r'got \(1, 4, 32, 32\)'):
            vgg(torch.rand(1, 4, 32, 32))

    def test_gradient_reaches_the_image(self, vgg: VGGFeatures) -> None:
        images = torch.rand(1, 3, 32, 32, requires_grad=True)
        found = vgg(images)
        direction = torch.randn_like(found.matching)
        (found.matching * direction).sum().backward()
        assert images.grad is not None
        assert images.grad.isfinite().all()
        assert images.grad.ne(0).float().mean() > 0.5


class TestGrid:
    def test_a_cell_is_centerd_on_its_eight_pixels(self) -> None:
        """Cell k sees as far to the left of 8 k + 3.5 as to the right."""
        vgg = VGGFeatures(matching_layers=('relu4_1',))
        for convolution in vgg.convolutions.values():
            torch.nn.init.constant_(
                convolution.weight, 1 / convolution.weight[0].numel()
            )
            torch.nn.init.zeros_(convolution.bias)
        cell, reach = 7, 60 / 2
        center = STRIDE * cell + 3.5
        columns = [center - reach - 0.5, center - reach + 0.5]
        columns += [center + reach - 0.5, center + reach + 0.5]
        images = torch.ones(5, 3, 16, 128)
        for image, column in zip(images[1:], columns, strict=True):
            image[..., int(column)] = 1e4
        with torch.no_grad():
            seen = vgg(images).content[:, 0, 1, cell]
            tall = vgg(images.transpose(2, 3)).content[:, 0, cell, 1]
        assert (seen != seen[0]).tolist() == [False, False, True, True, False]
        assert (tall != tall[0]).tolist() == [False, False, True, True, False]

    def test_moving_by_a_cell_moves_the_features(
        self, vgg: VGGFeatures
    ) -> None:
        images = torch.rand(1, 3, 16, 176)
        with torch.no_grad():
            here = vgg(images[..., :160]).content
            there = vgg(images[..., STRIDE : 160 + STRIDE]).content
        # Away from the sides, where the zero padding is seen.
        torch.testing.assert_close(
            here[..., 6:15], there[..., 5:14], rtol=1e-4, atol=1e-5
        )

    def test_deeper_layers_are_brought_to_the_same_centers(
        self, vgg: VGGFeatures
    ) -> None:
        """A stride-16 cell has its center between two stride-8 cells."""
        step = 0.1
        angle = step * torch.arange(6.0).repeat(4, 1)
        deep = torch.stack((angle.cos(), angle.sin()))[None]
        found = vgg.matching_feature(
            {'relu4_1': torch.zeros(1, 1, 8, 12), 'relu5_1': deep}
        )
        seen = torch.atan2(found[0, 2], found[0, 1])
        expected = step * (torch.arange(12.0) - 0.5) / 2
        torch.testing.assert_close(
            seen[:, 1:-1], expected.repeat(8, 1)[:, 1:-1], atol=1e-4, rtol=0
        )
        # Nothing is known beyond the outermost centers.
        assert math.isclose(seen[0, 0], 0.0, abs_tol=1e-6)


class TestProjection:
    @pytest.fixture
    def found(self, vgg: VGGFeatures) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return vgg.layers(torch.rand(1, 3, 32, 48))

    def make(self, directions: torch.Tensor) -> VGGFeatures:
        with torch.device('meta'):
            made = VGGFeatures(
                matching_layers=('relu4_1', 'relu5_1'),
                projection=directions.shape[1],
            )
        made.projection = directions
        return made

    def test_a_rotation_keeps_every_cosine(
        self, found: dict[str, torch.Tensor]
    ) -> None:
        rotation = torch.linalg.qr(torch.randn(1024, 1024))[0]
        rotated = self.make(rotation)
        whole = rotated.matching_feature(found, project=False).flatten(2)
        turned = rotated.matching_feature(found).flatten(2)
        torch.testing.assert_close(turned.mT @ turned, whole.mT @ whole)
        assert not torch.allclose(turned, whole, atol=1e-2)

    def test_it_is_that_of_the_concatenated_feature(
        self, found: dict[str, torch.Tensor]
    ) -> None:
        directions = torch.randn(1024, 7)
        features = self.make(directions)
        whole = features.matching_feature(found, project=False)
        expected = torch.einsum('bchw,cd->bdhw', whole, directions)
        projected = features.matching_feature(found)
        torch.testing.assert_close(projected, normalize(expected))
        assert features.is_projected(projected)
        assert not features.is_projected(whole)

    def test_a_network_without_one_has_whole_features(
        self, vgg: VGGFeatures, found: dict[str, torch.Tensor]
    ) -> None:
        assert 'projection' not in vgg.state_dict()
        torch.testing.assert_close(
            vgg.matching_feature(found),
            vgg.matching_feature(found, project=False),
        )
