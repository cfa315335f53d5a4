"""Patch blending (8) and droplink decoder (10), against their equations."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from napari_samnet.samnet.attributes import (
    DroplinkDecoder,
    blend,
    blend_reference,
    matchable,
    weighted_patch_average,
)
from napari_samnet.samnet.field import identity_field, warp

HEIGHT, WIDTH = 5, 7


def pixel(features: Tensor, x: float, y: float) -> Tensor:
    """One bilinear sample of ``(C, H, W)``; nothing outside."""
    _, height, width = features.shape
    out = features.new_zeros(features.shape[0])
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                share = (1 - abs(x - column)) * (1 - abs(y - row))
                out += share * features[:, row, column]
    return out


def literal_8(
    source: Tensor,
    target: Tensor,
    field: Tensor,
    alpha: Tensor,
    weight: float,
) -> Tensor:
    """(8) for every cell i and every j of its neighbors N_i."""
    batch, _, height, width = source.shape
    out = torch.empty_like(source)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                total, mixed = 0.0, torch.zeros_like(source[b, :, 0, 0])
                for row in (y - 1, y, y + 1):
                    for column in (x - 1, x, x + 1):
                        if not (0 <= row < height and 0 <= column < width):
                            continue
                        # A_j - I, and f_j, in (x, y).
                        a11, a12, a21, a22, fx, fy = field[
                            b, :, row, column
                        ].tolist()
                        dx, dy = x - column, y - row
                        gx = a11 * dx + a12 * dy + fx
                        gy = a21 * dx + a22 * dy + fy
                        sure = float(alpha[b, 0, row, column])
                        mixed += sure * pixel(target[b], x + gx, y + gy)
                        total += sure
                out[b, :, y, x] = (1 - weight) * source[b, :, y, x]
                out[b, :, y, x] += weight * mixed / total
    return out


Parts = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture
def parts() -> Parts:
    """Source, target, field and confidence, of two odd, oblong maps."""
    source, target = torch.randn(2, 2, 3, HEIGHT, WIDTH, dtype=torch.double)
    field = 0.4 * torch.randn(2, 6, HEIGHT, WIDTH, dtype=torch.double)
    field[:, 4:] *= 5
    alpha = torch.rand(2, 1, HEIGHT, WIDTH, dtype=torch.double)
    return source, target, field, alpha + 0.01


class TestBlend:
    @pytest.mark.parametrize('function', [blend, blend_reference])
    @pytest.mark.parametrize('weight', [0.0, 0.632, 1.0])
    def test_is_that_of_the_paper(
        self, parts: Parts, function: Callable[..., Tensor], weight: float
    ) -> None:
        torch.testing.assert_close(
            function(*parts, weight=weight),
            literal_8(*parts, weight),
            rtol=0,
            atol=1e-10,
        )

    def test_gated_is_the_reference(self, parts: Parts) -> None:
        gate = torch.rand_like(parts[3])
        torch.testing.assert_close(
            blend(*parts, weight=0.8, gate=gate),
            blend_reference(*parts, weight=0.8, gate=gate),
        )

    def test_constant_motion_is_a_plain_warp(self, parts: Parts) -> None:
        source, target, _, alpha = parts
        field = identity_field(2, HEIGHT, WIDTH, source).double()
        field[:, 4], field[:, 5] = 1.25, -0.5
        torch.testing.assert_close(
            blend(source, target, field, alpha, weight=1.0),
            warp(target, field),
            rtol=0,
            atol=1e-6,
        )

    def test_an_affine_motion_is_a_plain_warp(self, parts: Parts) -> None:
        """All neighbors of an affine field predict the same place."""
        _, target, _, alpha = parts
        points = torch.stack(
            torch.meshgrid(torch.arange(7.0), torch.arange(5.0), indexing='xy')
        ).double()
        linear = torch.tensor([[0.1, -0.2], [0.3, 0.05]], dtype=torch.double)
        flow = torch.einsum('cd,dhw->chw', linear, points)
        field = torch.cat(
            (linear.reshape(4, 1, 1).expand(4, HEIGHT, WIDTH), flow)
        )
        field = field[None].repeat(2, 1, 1, 1)
        torch.testing.assert_close(
            weighted_patch_average(target, field, alpha), warp(target, field)
        )

    def test_without_affine_part_it_is_the_mean_of_nine(self) -> None:
        target = torch.randn(1, 2, HEIGHT, WIDTH)
        flow = torch.randint(-1, 2, (1, 2, HEIGHT, WIDTH))
        field = torch.cat((torch.zeros(1, 4, HEIGHT, WIDTH), flow), 1)
        found = weighted_patch_average(
            target, field, torch.ones(1, 1, HEIGHT, WIDTH)
        )
        x, y = 3, 2
        seen = []
        for row in (y - 1, y, y + 1):
            for column in (x - 1, x, x + 1):
                dx, dy = flow[0, :, row, column].tolist()
                seen.append(target[0, :, y + dy, x + dx])
        torch.testing.assert_close(
            found[0, :, y, x], torch.stack(seen).mean(0)
        )

    def test_only_ratios_of_the_confidence_matter(self, parts: Parts) -> None:
        source, target, field, alpha = parts
        torch.testing.assert_close(
            blend(source, target, field, 1e-3 * alpha, weight=0.9),
            blend(*parts, weight=0.9),
        )

    def test_only_sure_neighbors_are_heard(self, parts: Parts) -> None:
        _, target, field, alpha = parts
        sure = torch.zeros_like(alpha)
        sure[..., 2, 3] = 1
        changed = field.clone()
        changed[..., 2, 4] += 10
        torch.testing.assert_close(
            weighted_patch_average(target, field, sure)[..., 2, 3],
            weighted_patch_average(target, changed, sure)[..., 2, 3],
        )

    def test_a_closed_gate_keeps_the_source(self, parts: Parts) -> None:
        source = parts[0]
        shut = torch.zeros(2, 1, HEIGHT, WIDTH, dtype=torch.double)
        assert torch.equal(blend(*parts, weight=0.993, gate=shut), source)
        wide = blend(*parts, weight=0.993, gate=shut + 1)
        torch.testing.assert_close(wide, blend(*parts, weight=0.993))

    def test_no_confidence_anywhere_is_finite(self, parts: Parts) -> None:
        source, target, field, alpha = parts
        found = blend(source, target, field, 0 * alpha, weight=0.5)
        assert found.isfinite().all()

    @pytest.mark.slow
    @pytest.mark.parametrize('gated', [False, True])
    def test_gradient(self, parts: Parts, *, gated: bool) -> None:
        source, target, field, alpha = parts
        gate = None
        if gated:
            gate = torch.rand(2, 1, 3, 4).double().requires_grad_()

        def mixed(*given: Tensor) -> Tensor:
            return blend(
                *given[:4], weight=0.7, gate=given[4] if gated else None
            )

        given = (source, target, 0.3 * field, alpha)
        inputs = [part[..., :3, :4].clone().requires_grad_() for part in given]
        if gate is not None:
            inputs.append(gate)
        assert torch.autograd.gradcheck(mixed, tuple(inputs))


class TestMatchable:
    def test_chance_is_shut_and_three_times_chance_is_open(self) -> None:
        alpha = torch.full((1, 1, HEIGHT, WIDTH), 1 / 81)
        assert matchable(alpha, 9).eq(0).all()
        torch.testing.assert_close(
            matchable(3 * alpha, 9), torch.ones_like(alpha)
        )
        torch.testing.assert_close(
            matchable(2 * alpha, 9), torch.full_like(alpha, 0.5)
        )
        assert matchable(alpha * 0, 9).eq(0).all()

    def test_chance_depends_on_the_window(self) -> None:
        alpha = torch.full((1, 1, HEIGHT, WIDTH), 1 / 9)
        assert matchable(alpha, 3).max() < 1e-6
        assert matchable(alpha, 9).min() == 1

    def test_is_smooth(self) -> None:
        alpha = torch.zeros(1, 1, HEIGHT, WIDTH)
        alpha[..., 2, 3] = 1
        gate = matchable(alpha, 9)
        assert gate.gt(0).sum() == 9
        torch.testing.assert_close(gate[0, 0, 1, 2], torch.tensor(1 / 9))


@pytest.fixture(scope='module')
def decoder() -> DroplinkDecoder:
    torch.manual_seed(0)
    return DroplinkDecoder(depth=1).eval()


def features(
    batch: int = 1, height: int = 2, width: int = 3
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A blended feature and the skips of h = 3, 2, 1."""
    blended = torch.rand(batch, 512, height, width)
    skips = tuple(
        torch.rand(batch, channels, scale * height, scale * width)
        for channels, scale in ((256, 2), (128, 4), (64, 8))
    )
    return blended, skips


class Linked:
    """What each level hands on: F_h of (10)."""

    def __init__(self, decoder: DroplinkDecoder) -> None:
        self.levels: list[Tensor] = []
        self._handles = [
            leave.register_forward_pre_hook(
                lambda _, given: self.levels.append(given[0])
            )
            for leave in decoder.leave
        ]

    def __enter__(self) -> list[Tensor]:
        return self.levels

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()


class TestDecoder:
    @pytest.mark.parametrize('skip', [0.0, 0.5, 1.0])
    def test_links_are_those_of_the_paper(
        self, decoder: DroplinkDecoder, skip: float
    ) -> None:
        """(10) for every value of every level."""
        blended, skips = features()
        with torch.no_grad(), Linked(decoder) as linked:
            _, before = decoder.decode(blended, skips, skip=skip)
        assert len(linked) == 3
        for found, deep, own in zip(linked, before, skips, strict=True):
            assert found.shape == own.shape
            values = zip(
                found.flatten().tolist(),
                deep.flatten().tolist(),
                own.flatten().tolist(),
                strict=True,
            )
            for value, d, s in values:
                expected = (1 - skip) * d + skip * s
                assert math.isclose(value, expected, abs_tol=1e-5)

    def test_mirrors_the_encoder(self, decoder: DroplinkDecoder) -> None:
        """Literally: up, convolve, link, convolve, level by level."""
        blended, skips = features()

        def convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
            padded = nn.functional.pad(x, (1, 1, 1, 1), mode='reflect')
            return nn.functional.conv2d(padded, layer.weight, layer.bias)

        with torch.no_grad():
            x = convolve(decoder.enter, blended).relu()
            for level, leave, own in zip(
                decoder.levels, decoder.leave, skips, strict=True
            ):
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                for layer in level:
                    if isinstance(layer, nn.Conv2d):
                        x = convolve(layer, x).relu()
                x = convolve(leave, 0.7 * x + 0.3 * own)
                x = x if leave is decoder.leave[-1] else x.relu()
            found = decoder(blended, skips, skip=0.3)
        assert found.shape == (1, 3, 16, 24)
        torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-6)

    def test_no_link_ignores_the_source(
        self, decoder: DroplinkDecoder
    ) -> None:
        blended, skips = features()
        other = tuple(torch.rand_like(skip) for skip in skips)
        with torch.no_grad():
            assert torch.equal(
                decoder(blended, skips, skip=0.0),
                decoder(blended, other, skip=0.0),
            )
            assert not torch.allclose(
                decoder(blended, skips, skip=0.5),
                decoder(blended, other, skip=0.5),
            )

    def test_a_full_link_ignores_what_is_deeper(
        self, decoder: DroplinkDecoder
    ) -> None:
        blended, skips = features()
        deeper = (torch.rand_like(skips[0]), torch.rand_like(skips[1]))
        with torch.no_grad():
            assert torch.equal(
                decoder(blended, skips, skip=1.0),
                decoder(blended * 2, (*deeper, skips[2]), skip=1.0),
            )

    def test_a_constant_has_no_rim(self, decoder: DroplinkDecoder) -> None:
        blended, skips = features()
        flat = tuple(torch.full_like(skip, 0.3) for skip in skips)
        with torch.no_grad():
            image = decoder(torch.full_like(blended, 0.2), flat)
        torch.testing.assert_close(image, image[..., 8:9, 8:9] + 0 * image)

    def test_training_drops_nine_links_of_ten(self) -> None:
        decoder = DroplinkDecoder(depth=1)
        assert decoder.training
        blended, skips = features(batch=80, height=2, width=2)
        with torch.no_grad(), Linked(decoder) as linked:
            _, before = decoder.decode(blended, skips, skip=0.5)
        draws = []
        for found, deep, own in zip(linked, before, skips, strict=True):
            dropped = (found == deep).flatten(1).all(1)
            kept = (found == own).flatten(1).all(1)
            # Each is one or the other, never a mixture.
            assert (dropped ^ kept).all()
            draws.append(kept)
        # 240 draws at 0.1: within three standard deviations.
        assert 10 <= sum(int(kept.sum()) for kept in draws) <= 38
        assert not torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[1], draws[2])

    @pytest.mark.parametrize(('drop', 'skip'), [(0.0, 1.0), (1.0, 0.0)])
    def test_what_is_always_drawn_is_the_same_as_set(
        self, drop: float, skip: float
    ) -> None:
        decoder = DroplinkDecoder(depth=1, drop=drop)
        blended, skips = features()
        with torch.no_grad():
            drawn = decoder(blended, skips, skip=0.5)
            decoder.eval()
            torch.testing.assert_close(
                drawn, decoder(blended, skips, skip=skip)
            )

    def test_draws_follow_the_seed(self) -> None:
        decoder = DroplinkDecoder(depth=1, drop=0.5)
        blended, skips = features()
        images = []
        for seed in (1, 1, 2, 3, 4, 5):
            torch.manual_seed(seed)
            with torch.no_grad():
                images.append(decoder(blended, skips))
        assert torch.equal(images[0], images[1])
        assert any(not torch.equal(images[0], other) for other in images[2:])

    def test_gradient_reaches_everything(self) -> None:
        decoder = DroplinkDecoder(depth=2).eval()
        blended, skips = features()
        blended.requires_grad_()
        decoder(blended, skips, skip=0.5).square().sum().backward()
        assert blended.grad is not None
        assert blended.grad.ne(0).any()
        for name, parameter in decoder.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.ne(0).any(), name
