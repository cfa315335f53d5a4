"""Evidence for and against a match, and the probability made from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from napari_samnet.samnet.confidence import (
    EVIDENCE,
    EVIDENCE_CELLS,
    evidence,
)
from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.field import identity_field
from napari_samnet.samnet.network import SAMNet

SIDE = 12


def smooth_features(
    count: int, side: int = SIDE, seed: int = 0
) -> torch.Tensor:
    """Features that tell cells apart and change little between neighbors."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.randn(count, 24, side // 2, side // 2, generator=generator)
    features = F.interpolate(rough, scale_factor=2.0, mode='bilinear')
    return F.normalize(features, dim=1)


def answers_of(
    features: torch.Tensor, shift: float
) -> dict[str, torch.Tensor]:
    field = identity_field(2, SIDE, SIDE, like=features)
    field[0, 4] += shift
    field[1, 4] -= shift
    answers = evidence(features, field)
    assert answers.shape == (2, len(EVIDENCE), SIDE, SIDE)
    assert answers.isfinite().all()
    return dict(zip(EVIDENCE, answers[0], strict=True))


def test_the_right_match_has_more_evidence_than_a_wrong_one() -> None:
    one = smooth_features(1)
    right = answers_of(one.expand(2, -1, -1, -1), 0)
    wrong = answers_of(one.expand(2, -1, -1, -1), 4)
    inner = (slice(2, -6), slice(2, -6))
    for name in (
        'likelihood',
        'mutual likelihood',
        'cosine',
        'likelihood, object',
        'mutual likelihood, object',
        'cosine, object',
    ):
        assert right[name][inner].mean() > wrong[name][inner].mean() + 0.1
    lead = 'lead of the best'
    assert wrong[lead][inner].mean() > right[lead][inner].mean() + 0.1


def test_another_image_has_less_evidence() -> None:
    one, other = smooth_features(1), smooth_features(1, seed=1)
    right = answers_of(one.expand(2, -1, -1, -1), 0)
    wrong = answers_of(torch.cat((one, other)), 0)
    for name in ('mutual likelihood, object', 'cosine, object'):
        assert right[name].mean() > wrong[name].mean() + 0.1


def test_ways_that_do_not_lead_back_are_told() -> None:
    features = smooth_features(1).expand(2, -1, -1, -1)
    field = identity_field(2, SIDE, SIDE, like=features)
    same = evidence(features, field)[0, 4]
    field[0, 4] += 3
    missed = evidence(features, field)[0, 4]
    assert (missed[:, :-3] > same[:, :-3] + 1).all()


@pytest.mark.parametrize('sides', [(9, 13), (40, 64)])
def test_maps_of_any_size(sides: tuple[int, int]) -> None:
    features = F.normalize(torch.randn(2, 8, *sides), dim=1)
    field = identity_field(2, *sides, like=features)
    answers = evidence(features, field)
    assert max(answers.shape[-2:]) <= EVIDENCE_CELLS
    config = replace(
        SAMNetConfig(), matching_layers=('relu4_1',), evidence=len(EVIDENCE)
    )
    probability = SAMNet(config).match_probability(features, field)
    assert probability is not None
    assert probability.shape == (2, 1, *sides)
    assert ((probability >= 0) & (probability <= 1)).all()


def test_a_network_without_says_so() -> None:
    config = replace(SAMNetConfig(), matching_layers=('relu4_1',))
    features = smooth_features(2)
    field = identity_field(2, SIDE, SIDE, like=features)
    assert SAMNet(config).match_probability(features, field) is None
