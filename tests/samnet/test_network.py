"""The recurrence of Fig. 3: what enters each iteration and what leaves it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_samnet.images.rgb import to_working
from napari_samnet.samnet.attributes import blend, matchable
from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.features import Features, normalize
from napari_samnet.samnet.field import (
    flow_of,
    grid,
)
from napari_samnet.samnet.global_affine import global_affine
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Iteration, Recurrence, schedule

if TYPE_CHECKING:
    from napari_samnet.datasets.sample_pair import SamplePair
    from napari_samnet.samnet.recurrence import Feedback

Smooth = Callable[[Tensor], Tensor]

#: The recurrence of the paper: the image is decoded and encoded again.
QUICK = Recurrence(
    window=5, iterations=3, lambda_max=0.9, skip=0.5, feedback='image'
)


def photographs(batch: int = 1, height: int = 64, width: int = 80) -> Tensor:
    """Smooth colors that move from one image of the batch to the next."""
    points = grid(height, width, torch.zeros(())) / 8
    images = []
    for index in range(batch):
        x, y = points[0] + 0.7 * index, points[1] - 0.5 * index
        colors = [
            torch.sin(x * (1 + 0.4 * c) + c) * torch.cos(y * (1.3 - 0.3 * c))
            for c in range(3)
        ]
        images.append(0.5 + 0.4 * torch.stack(colors))
    return torch.stack(images)


def decibel(image: Tensor, other: Tensor) -> float:
    """Peak signal-to-noise ratio."""
    error = (image.clamp(0, 1) - other.clamp(0, 1)).square().mean()
    return -10 * math.log10(float(error) + 1e-12)


@pytest.fixture
def encoded(untrained: SAMNet) -> tuple[Features, Features]:
    images = photographs(2)
    with torch.no_grad():
        return untrained.encode(images[:1]), untrained.encode(images[1:])


def run(
    model: SAMNet, pair: tuple[Features, Features], options: Recurrence
) -> list[Iteration]:
    with torch.no_grad():
        return list(model.iterate(*pair, options))


def literal_5(
    own: Tensor, other: Tensor, target: Tensor, flow: Tensor, weight: float
) -> Tensor:
    """(5) in a 5 x 5 window on the warped target, for one image."""
    _, height, width = own.shape
    moved = torch.zeros_like(own)
    for y in range(height):
        for x in range(width):
            px, py = x + float(flow[0, y, x]), y + float(flow[1, y, x])
            for row in (math.floor(py), math.floor(py) + 1):
                for column in (math.floor(px), math.floor(px) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        share = (1 - abs(px - column)) * (1 - abs(py - row))
                        moved[:, y, x] += share * target[:, row, column]
    out = torch.zeros(25, height, width)
    unit = functional.normalize
    for y in range(height):
        for x in range(width):
            for index in range(25):
                row, column = y + index // 5 - 2, x + index % 5 - 2
                if not (0 <= row < height and 0 <= column < width):
                    continue
                goal = unit(moved[:, row, column], dim=0)
                content = unit(own[:, y, x], dim=0) @ goal
                attribute = unit(other[:, y, x], dim=0) @ goal
                out[index, y, x] = (1 - weight) * content
                out[index, y, x] += weight * attribute
    return out


class TestSchedule:
    def test_is_that_of_the_paper(self) -> None:
        weights = [round(schedule(index), 3) for index in range(6)]
        assert weights == [0, 0.632, 0.865, 0.95, 0.982, 0.993]

    def test_may_be_limited(self) -> None:
        assert schedule(1, 0.9) == schedule(1)
        assert schedule(5, 0.9) == 0.9
        assert schedule(5, 0.0) == 0.0


class TestRecurrence:
    def test_correlates_with_what_was_synthesized(
        self, untrained: SAMNet, encoded: tuple[Features, Features]
    ) -> None:
        """C^l of (5) from F^s, F^{s<-t,l} and F^t warped by T^l."""
        steps = run(untrained, encoded, QUICK)
        own, goal = encoded[0].matching[0], encoded[1].matching[0]
        other = own
        matching = [e.matching for e in encoded]
        start = untrained.begin(*matching, QUICK)
        flow = flow_of(start.field)[0]
        for index, step in enumerate(steps):
            expected = literal_5(own, other, goal, flow, schedule(index, 0.9))
            torch.testing.assert_close(
                step.correlation[0], expected, rtol=0, atol=1e-4
            )
            flow = flow_of(step.field)[0]
            with torch.no_grad():
                image = untrained.synthesize(
                    *encoded,
                    step.field,
                    step.alpha,
                    weight=schedule(index + 1),
                    options=QUICK,
                )
                again = untrained.encode(image.clamp(0, 1))
            other = again.matching[0]

    def test_residuals_add_up(
        self, untrained: SAMNet, encoded: tuple[Features, Features]
    ) -> None:
        """(7), and the reported change is that of (6)."""
        residuals: list[Tensor] = []
        handle = untrained.matcher.register_forward_hook(
            lambda _, __, out: residuals.append(out)
        )
        options = replace(QUICK, init='identity')
        steps = run(untrained, encoded, options)
        handle.remove()
        assert [step.step for step in steps] == [0, 1, 2]
        assert [step.last for step in steps] == [False, False, True]
        total = torch.zeros(1, 6, 8, 10)
        for step, residual in zip(steps, residuals, strict=True):
            total = total + residual
            torch.testing.assert_close(step.field, total)
            lengths = residual[:, 4:].norm(dim=1)
            assert math.isclose(step.change, lengths.mean(), rel_tol=1e-5)
        assert total.ne(0).any()

    def test_nothing_is_encoded_that_is_not_needed(
        self, untrained: SAMNet, encoded: tuple[Features, Features]
    ) -> None:
        calls: list[str] = []
        first = untrained.features.convolutions['conv1_1']
        handles = [
            first.register_forward_hook(lambda *_: calls.append('encode')),
            untrained.decoder.leave[-1].register_forward_hook(
                lambda *_: calls.append('decode')
            ),
        ]
        run(untrained, encoded, QUICK)
        paper = list(calls)
        calls.clear()
        run(untrained, encoded, replace(QUICK, attributes=False))
        for handle in handles:
            handle.remove()
        assert paper == ['decode', 'encode', 'decode', 'encode']
        assert calls == []

    def test_fast_is_the_reference(self, shipped: SAMNet) -> None:
        images = photographs(2)
        with torch.no_grad():
            pair = shipped.encode(images[:1]), shipped.encode(images[1:])
        for options in (QUICK, replace(QUICK, gate=False, iterations=2)):
            fast = run(shipped, pair, options)
            slow = run(shipped, pair, replace(options, reference=True))
            for one, other in zip(fast, slow, strict=True):
                torch.testing.assert_close(
                    one.correlation, other.correlation, atol=2e-3, rtol=0
                )
                torch.testing.assert_close(
                    one.field, other.field, atol=1e-2, rtol=0
                )
            images = [
                shipped.picture(*pair, steps[-1], chosen)
                for steps, chosen in (
                    (fast, options),
                    (slow, replace(options, reference=True)),
                )
            ]
            torch.testing.assert_close(*images, atol=2e-2, rtol=0)

    def test_without_weight_of_attributes_it_is_an_rtn(
        self, untrained: SAMNet, encoded: tuple[Features, Features]
    ) -> None:
        free = run(untrained, encoded, replace(QUICK, lambda_max=0.0))
        plain = run(untrained, encoded, replace(QUICK, attributes=False))
        for one, other in zip(free, plain, strict=True):
            torch.testing.assert_close(one.field, other.field)
        joint = run(untrained, encoded, QUICK)
        assert not torch.allclose(joint[-1].field, plain[-1].field)

    def test_one_iteration(
        self, untrained: SAMNet, encoded: tuple[Features, Features]
    ) -> None:
        (only,) = run(untrained, encoded, replace(QUICK, iterations=1))
        first = run(untrained, encoded, QUICK)[0]
        assert only.last
        torch.testing.assert_close(only.field, first.field)

    @pytest.mark.parametrize('feedback', ['feature', 'continue'])
    def test_feedback_without_an_image(
        self,
        untrained: SAMNet,
        encoded: tuple[Features, Features],
        feedback: Feedback,
    ) -> None:
        """With relu4_1 alone, F^{s<-t} is then the blended feature."""
        options = replace(QUICK, feedback=feedback)
        steps = run(untrained, encoded, options)
        first = steps[0]
        parts = [part.matching for part in encoded]
        if feedback == 'continue':
            parts = [part.content for part in encoded]
        with torch.no_grad():
            found = untrained.transfer(
                *encoded,
                first.field,
                first.alpha,
                weight=schedule(1),
                options=options,
            )
            blended = blend(
                *parts,
                first.field,
                first.alpha,
                weight=schedule(1),
                gate=matchable(first.alpha, QUICK.window),
            )
        torch.testing.assert_close(found, normalize(blended))
        assert steps[-1].field.isfinite().all()
        other = run(untrained, encoded, QUICK)
        assert torch.equal(first.field, other[0].field)
        assert not torch.equal(steps[1].correlation, other[1].correlation)

    @pytest.mark.parametrize('feedback', ['feature', 'continue'])
    def test_feedback_of_a_deeper_feature(
        self, shipped: SAMNet, feedback: Feedback
    ) -> None:
        with torch.no_grad():
            whole = feedback == 'continue'
            found = shipped.encode(photographs(), project=not whole)
        pair = found, found
        steps = run(shipped, pair, replace(QUICK, feedback=feedback))
        assert steps[-1].field.isfinite().all()

    def test_only_an_image_needs_the_decoder(
        self, untrained: SAMNet, encoded: tuple[Features, Features]
    ) -> None:
        calls: list[str] = []
        with untrained.decoder.leave[-1].register_forward_hook(
            lambda *_: calls.append('decode')
        ):
            run(untrained, encoded, replace(QUICK, feedback='feature'))
            run(untrained, encoded, replace(QUICK, feedback='continue'))
        assert calls == []

    def test_start(
        self, untrained: SAMNet, encoded: tuple[Features, Features]
    ) -> None:
        own, goal = (part.matching for part in encoded)
        none = untrained.start(own, goal, 'identity')
        assert none.shape == (1, 6, 8, 10)
        assert none.eq(0).all()
        assert torch.equal(
            untrained.start(own, goal, 'global'), global_affine(own, goal)
        )
        with pytest.raises(ValueError, match="got 'random'"):
            untrained.start(own, goal, 'random')

    def test_pairs_of_a_batch_do_not_mix(self, untrained: SAMNet) -> None:
        images = photographs(4)
        with torch.no_grad():
            both = untrained.encode(images[:2]), untrained.encode(images[2:])
            one = tuple(part.part(slice(1, 2)) for part in both)
        together = run(untrained, both, QUICK)[-1]
        alone = run(untrained, (one[0], one[1]), QUICK)[-1]
        torch.testing.assert_close(
            together.field[1:], alone.field, atol=1e-2, rtol=0
        )

    def test_pictures_are_of_the_first_of_the_batch(
        self, untrained: SAMNet
    ) -> None:
        """In [0, 1], with (8) to its letter and no link to the source."""
        with torch.no_grad():
            both = untrained.encode(photographs(2))
        last = run(untrained, (both, both), QUICK)[-1]
        first = both.part(slice(1))
        with torch.no_grad():
            image = untrained.picture(first, first, last, QUICK)
            whole = untrained.picture(both, both, last, QUICK)
            literal = untrained.synthesize(
                both,
                both,
                last.field,
                last.alpha,
                weight=schedule(3),
                options=replace(QUICK, gate=False, skip=0.0),
            )
        assert image.shape == (1, 3, 64, 80)
        assert image.min() >= 0
        assert image.max() <= 1
        torch.testing.assert_close(image, whole[:1], atol=1e-5, rtol=0)
        torch.testing.assert_close(whole, literal.clamp(0, 1))

    def test_may_be_closed_between_steps(
        self, untrained: SAMNet, encoded: tuple[Features, Features]
    ) -> None:
        steps = untrained.iterate(*encoded, QUICK)
        with torch.no_grad():
            first = next(steps)
        steps.close()
        assert first.field.isfinite().all()
        assert list(steps) == []


class TestRefused:
    def test_features_of_two_sizes(
        self, untrained: SAMNet, encoded: tuple[Features, Features]
    ) -> None:
        narrow = Features(encoded[1].matching[..., :8], *encoded[1][1:])
        with pytest.raises(ValueError, match=r'8, 10\).*8, 8\)'):
            next(untrained.iterate(encoded[0], narrow, QUICK))

    @pytest.mark.parametrize('size', [(63, 64), (64, 72), (8, 8)])
    def test_images_of_unusable_size(
        self, untrained: SAMNet, size: tuple[int, int]
    ) -> None:
        with pytest.raises(ValueError, match=rf'16, got \({size[0]}, '):
            untrained.encode(torch.rand(1, 3, *size))

    def test_another_matcher(self) -> None:
        with (
            pytest.raises(ValueError, match="got 'none'"),
            torch.device('meta'),
        ):
            SAMNet(SAMNetConfig(matcher='none'))


class TestVariants:
    @pytest.mark.parametrize(
        'config',
        [
            SAMNetConfig(
                backbone='vgg19',
                matching_layers=('relu4_1',),
                matcher='rtn',
                window=5,
            ),
            SAMNetConfig(matching_layers=('relu3_3', 'relu5_3')),
            SAMNetConfig(backbone='vgg19', decoder_depth=3),
        ],
        ids=['paper', 'deep', 'vgg19'],
    )
    def test_runs_untrained(self, config: SAMNetConfig) -> None:
        assert SAMNetConfig.from_dict(config.to_dict()) == config
        model = SAMNet(config).eval()
        with torch.no_grad():
            pair = (model.encode(photographs()),) * 2
        options = replace(QUICK, iterations=2, init='identity')
        (*_, last) = run(model, pair, options)
        assert last.field.isfinite().all()
        with torch.no_grad():
            image = model.picture(*pair, last, options)
        assert image.shape == (1, 3, 64, 80)
        assert image.isfinite().all()
        if config.matcher == 'rtn':
            assert last.field.eq(0).all()

    def test_the_paper_has_twenty_million_parameters_to_match(self) -> None:
        with torch.device('meta'):
            model = SAMNet(SAMNetConfig(matcher='rtn'))
        count = sum(part.numel() for part in model.matcher.parameters())
        assert round(count / 1e6, 2) == 20.03

    def test_every_part_learns(self) -> None:
        """Gradients pass field, blending, decoder and re-encoding."""
        config = SAMNetConfig(matching_layers=('relu4_1',), width=2)
        model = SAMNet(config)
        assert isinstance(model.matcher.network, torch.nn.Module)
        torch.nn.init.normal_(model.matcher.network.last.weight, std=0.1)
        images = photographs(2)
        pair = model.encode(images[:1]), model.encode(images[1:])
        # Learned residuals go with the round window.
        options = replace(QUICK, iterations=2, alikeness=0.0)
        (*_, last) = model.iterate(*pair, options)
        image = model.synthesize(
            *pair, last.field, last.alpha, weight=0.9, options=options
        )
        loss = image.square().mean() + last.field.square().mean()
        (loss + last.correlation.square().mean()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        for name, part in model.named_children():
            found = [p.grad.ne(0).any() for p in part.parameters()]
            assert sum(map(int, found)) > 0.9 * len(found), name


class TestShipped:
    def test_the_same_image_is_matched_with_itself(
        self, shipped: SAMNet, coffee: SamplePair
    ) -> None:
        small = to_working(coffee.source, size=96)
        images = torch.from_numpy(small).permute(2, 0, 1)[None]
        with torch.no_grad():
            own = shipped.encode(images)
            plain = shipped.decoder(own.content, own.skips, skip=0.0)
            linked = shipped.decoder(own.content, own.skips, skip=0.5)
        assert decibel(linked, images) > 20
        for step in run(shipped, (own, own), QUICK):
            assert flow_of(step.field).abs().mean() < 0.25
            with torch.no_grad():
                image = shipped.picture(own, own, step, QUICK)
            assert decibel(image, plain) > 25
            assert decibel(image, images) > 15

    def test_twice_is_the_same(self, shipped: SAMNet) -> None:
        images = photographs(2)
        found = []
        for _ in range(2):
            with torch.no_grad():
                pair = shipped.encode(images[:1]), shipped.encode(images[1:])
            found.append(run(shipped, pair, QUICK)[-1])
        assert torch.equal(found[0].field, found[1].field)
        assert torch.equal(found[0].alpha, found[1].alpha)
