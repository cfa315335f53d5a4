"""Losses (2) and (11) to (13), against loops over their equations."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from napari_samnet.samnet.attributes import blend
from napari_samnet.samnet.correlation import confidence, local_correlation
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import (
    affine_field,
    flow_of,
    grid,
    identity_field,
    warp,
)
from napari_samnet.samnet.losses import (
    TAU,
    content_loss,
    endpoint_loss,
    matching_loss,
    patch_probability,
    semantic_attribute_matching_loss,
    total_variation,
)
from napari_samnet.samnet.recurrence import schedule

NEIGHBORS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def patch_distance(
    first: Tensor, second: Tensor, i: tuple[int, int], q: tuple[int, int]
) -> float:
    """D of the patches at i and q: sum over N of squared distances."""
    total = 0.0
    for dy, dx in NEIGHBORS:
        a = first[:, i[0] + dy, i[1] + dx].tolist()
        b = second[:, q[0] + dy, q[1] + dx].tolist()
        total += math.dist(a, b) ** 2
    return total


def literal_13(
    transferred: Tensor, warped: Tensor, y: int, x: int, window: int
) -> float:
    """log K_i of (13), whose window and patches lie inside the image."""
    first, second = transferred[0], warped[0]
    radius = window // 2
    distances = [
        patch_distance(first, second, (y, x), (y + dy, x + dx))
        for dy in range(-radius, radius + 1)
        for dx in range(-radius, radius + 1)
    ]
    center = distances[window * window // 2]
    total = sum(math.exp(-distance) for distance in distances)
    return -center - math.log(total)


class TestPatchProbability:
    @pytest.mark.parametrize(
        ('window', 'height', 'width'), [(3, 5, 7), (5, 7, 9), (9, 11, 13)]
    )
    def test_is_that_of_the_paper(
        self, window: int, height: int, width: int
    ) -> None:
        """Eighteen times the box mean of C is -D, up to a constant."""
        features = torch.randn(2, 1, 4, height, width, dtype=torch.double)
        first, second = (normalize(part) for part in features)
        found = patch_probability(*features, window=window)
        rim = window // 2 + 1
        for y in range(rim, height - rim):
            for x in range(rim, width - rim):
                expected = literal_13(first, second, y, x, window)
                assert math.isclose(found[0, 0, y, x], expected, abs_tol=1e-9)

    def test_chance_is_one_in_81(self) -> None:
        same = torch.ones(1, 3, 11, 13)
        loss = -patch_probability(same, same, window=9)
        assert math.isclose(loss[0, 0, 5, 6], math.log(81), rel_tol=1e-5)
        # At the corner, only what lies in the image takes part.
        assert math.isclose(loss[0, 0, 0, 0], math.log(25), rel_tol=1e-5)

    def test_a_match_beats_chance_and_another_is_worse(
        self, smooth: Callable[[Tensor], Tensor]
    ) -> None:
        points = grid(11, 13, torch.zeros(()))[None]
        features = smooth(points)
        inner = (..., slice(4, -4), slice(4, -4))
        matched = -patch_probability(features, features)[inner]
        missed = -patch_probability(features, smooth(points + 3.0))[inner]
        assert matched.max() < 1.0
        assert missed.min() > math.log(81)

    def test_scale_of_the_features_does_not_matter(self) -> None:
        first, second = torch.randn(2, 1, 4, 9, 9)
        torch.testing.assert_close(
            patch_probability(100 * first, second / 100, window=5),
            patch_probability(first, second, window=5),
        )


class TestMatchingLoss:
    def test_is_that_of_the_paper(self) -> None:
        """(11), as the mean of cells whose neighbors are all there."""
        features = torch.randn(2, 1, 4, 5, 6, dtype=torch.double)
        first, second = (normalize(part)[0] for part in features)
        found = float(matching_loss(*features))
        total = 0.0
        for y in range(5):
            for x in range(6):
                here = [
                    math.dist(
                        first[:, y + dy, x + dx].tolist(),
                        second[:, y + dy, x + dx].tolist(),
                    )
                    ** 2
                    for dy, dx in NEIGHBORS
                    if 0 <= y + dy < 5 and 0 <= x + dx < 6
                ]
                # A patch at the rim counts as a whole one.
                total += 9 * sum(here) / len(here)
        assert math.isclose(found, total / 30, rel_tol=1e-9)

    def test_none_for_the_same_features(self) -> None:
        features = torch.randn(1, 4, 5, 6)
        assert matching_loss(features, 3 * features) < 1e-5


class TestSemanticLoss:
    @pytest.fixture
    def both(self) -> tuple[Tensor, Tensor]:
        features = torch.randn(1, 4, 9, 11)
        other = features.clone()
        other[..., 5:] = torch.randn(1, 4, 9, 6)
        return features.requires_grad_(), other

    def test_tau_is_a_little_over_chance(self) -> None:
        assert math.isclose(math.exp(-TAU), 0.013)
        assert math.log(81) > TAU

    def test_truncation(self, both: tuple[Tensor, Tensor]) -> None:
        plain = -patch_probability(*both)
        kinds = {
            'min': plain.clamp(max=TAU).mean(),
            'max': plain.clamp(min=TAU).mean(),
        }
        assert plain.min() < TAU < plain.max()
        for truncate, expected in kinds.items():
            found = semantic_attribute_matching_loss(*both, truncate=truncate)
            torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize('truncate', ['min', 'max'])
    def test_gradient_only_of_what_is_kept(
        self, both: tuple[Tensor, Tensor], truncate: str
    ) -> None:
        """'min' learns from what matches, 'max' from what does not."""
        features, other = both
        plain = -patch_probability(features.detach(), other)
        weight = torch.zeros_like(plain)
        cell = plain.argmin() if truncate == 'max' else plain.argmax()
        weight.view(-1)[cell] = 1
        semantic_attribute_matching_loss(
            features, other, truncate=truncate, weight=weight
        ).backward()
        assert features.grad is not None
        assert features.grad.eq(0).all()

    def test_weights(self, both: tuple[Tensor, Tensor]) -> None:
        weight = torch.rand(1, 1, 9, 11)
        loss = (-patch_probability(*both)).clamp(max=2.0)
        torch.testing.assert_close(
            semantic_attribute_matching_loss(*both, tau=2.0, weight=weight),
            (loss * weight).sum() / weight.sum(),
        )
        none = semantic_attribute_matching_loss(*both, weight=0 * weight)
        assert none == 0

    def test_gradient(self) -> None:
        features = torch.randn(2, 2, 3, 5, 7, dtype=torch.double)
        assert torch.autograd.gradcheck(
            lambda a, b: semantic_attribute_matching_loss(
                a, b, window=3, tau=50.0
            ),
            tuple(part.requires_grad_() for part in features),
        )


class TestDegeneracy:
    """A transferred feature moves with the field, and hides its error."""

    @pytest.fixture
    def costs(
        self, smooth: Callable[[Tensor], Tensor]
    ) -> dict[str, tuple[float, float]]:
        matrix = torch.tensor([[[0.99, -0.1, 4.0], [0.1, 0.99, -3.0]]])
        truth = affine_field(matrix, 21, 25)
        points = grid(21, 25, truth)
        source = smooth(points[None] + flow_of(truth))
        target = smooth(points[None])
        there = points + flow_of(truth)[0]
        inside = (there > 0) & (there < torch.tensor([24, 20]).view(2, 1, 1))
        weight = inside.all(0).float()[None, None]
        found = {}
        fields = {
            'identity': identity_field(1, 21, 25, target),
            'truth': truth,
        }
        for name, field in fields.items():
            warped = warp(target, field)
            volume = local_correlation(source, normalize(warped), 9)
            blended = blend(
                source, target, field, confidence(volume), weight=schedule(5)
            ).detach()
            found[name] = tuple(
                float(
                    semantic_attribute_matching_loss(
                        first, warped, tau=50.0, weight=weight
                    )
                )
                for first in (blended, source)
            )
        return found

    def test_alone_it_hardly_sees_the_field(
        self, costs: dict[str, tuple[float, float]]
    ) -> None:
        assert abs(costs['identity'][0] - costs['truth'][0]) < 0.5

    def test_with_the_source_the_truth_costs_less(
        self, costs: dict[str, tuple[float, float]]
    ) -> None:
        assert sum(costs['truth']) + 2 < sum(costs['identity'])
        assert costs['identity'][1] > math.log(81) > costs['truth'][1]

    def test_the_source_pulls_towards_the_truth(
        self, smooth: Callable[[Tensor], Tensor]
    ) -> None:
        points = grid(15, 17, torch.zeros(()))[None]
        truth = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1)
        source, target = smooth(points + truth), smooth(points)
        flow = (truth + torch.tensor([0.6, -0.6]).view(1, 2, 1, 1)).repeat(
            1, 1, 15, 17
        )
        flow.requires_grad_()
        semantic_attribute_matching_loss(
            source, warp(target, flow), tau=50.0
        ).backward()
        assert flow.grad is not None
        down = -flow.grad[0, :, 5:-5, 5:-5].mean((1, 2))
        assert down[0] < 0 < down[1]


class TestOthers:
    def test_content_loss(self) -> None:
        first, second = torch.randn(2, 2, 3, 4, 5)
        assert content_loss(first, 7 * first) < 1e-10
        total = 0.0
        for b in range(2):
            for y in range(4):
                for x in range(5):
                    a, c = first[b, :, y, x], second[b, :, y, x]
                    difference = a / a.norm() - c / c.norm()
                    total += float(difference.square().sum())
        found = float(content_loss(first, second))
        assert math.isclose(found, total / 40, rel_tol=1e-5)

    def test_endpoint_loss_is_a_distance_where_it_is_known(self) -> None:
        flow = torch.zeros(1, 2, 2, 2)
        truth = flow.clone()
        truth[0, :, 0, 0] = torch.tensor([3.0, 4.0])
        truth[0, :, 1, 1] = 100
        valid = torch.tensor([[1.0, 1.0], [0.0, 0.0]])[None, None]
        found = endpoint_loss(flow, truth, valid)
        assert math.isclose(found, 2.5, abs_tol=1e-3)
        assert endpoint_loss(flow, truth, 0 * valid) == 0

    def test_endpoint_loss_has_a_gradient_at_no_error(self) -> None:
        flow = torch.zeros(1, 2, 2, 2, requires_grad=True)
        endpoint_loss(
            flow, torch.zeros(1, 2, 2, 2), torch.ones(1, 1, 2, 2)
        ).backward()
        assert flow.grad is not None
        assert flow.grad.eq(0).all()

    def test_total_variation(self) -> None:
        ramp = torch.arange(5.0).expand(1, 1, 4, 5)
        assert total_variation(ramp) == 1
        assert total_variation(3 * ramp.transpose(2, 3)) == 9
        assert total_variation(torch.ones(1, 3, 4, 5)) == 0
