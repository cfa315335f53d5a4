"""Measures of matches, and the probability made from them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_samnet.samnet.cell_matches import GLOBAL_CELLS
from napari_samnet.samnet.confidence import MatchConfidence
from napari_samnet.samnet.confidence_measures import (
    MEASURES,
    PairSimilarities,
    confidence_measures,
)
from napari_samnet.samnet.field import identity_field
from napari_samnet.samnet.recurrence import Clues, Iteration

SIDE = 12


def smooth_features(
    count: int, side: int = SIDE, seed: int = 0
) -> torch.Tensor:
    """Features that tell cells apart and change little between neighbors."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.randn(count, 24, side // 2, side // 2, generator=generator)
    features = F.interpolate(rough, scale_factor=2.0, mode='bilinear')
    return F.normalize(features, dim=1)


def state_of(field: torch.Tensor) -> Iteration:
    """A state whose start knew nothing."""
    half = torch.full_like(field[:, :1], 0.5)
    clues = Clues(half, half, half)
    return Iteration(0, field, half, half / 20, 0.0, True, clues)


def answers_of(
    features: torch.Tensor, shift: float
) -> dict[str, torch.Tensor]:
    field = identity_field(2, SIDE, SIDE, like=features)
    field[0, 4] += shift
    field[1, 4] -= shift
    state = state_of(field)
    assert state.clues is not None
    answers = confidence_measures(features, field, state.clues, state.alpha)
    assert answers.shape == (2, len(MEASURES), *2 * [GLOBAL_CELLS])
    assert answers.isfinite().all()
    return dict(zip(MEASURES, answers[0], strict=True))


def test_the_right_match_measures_better_than_a_wrong_one() -> None:
    one = smooth_features(1)
    right = answers_of(one.expand(2, -1, -1, -1), 0)
    wrong = answers_of(one.expand(2, -1, -1, -1), 4)
    inner = (slice(5, -16), slice(5, -16))
    for name in (
        'row',
        'dual of 3x3',
        'cosine',
        'margin',
        'close agreement',
        'dual, object',
        'cosine, pair',
    ):
        assert right[name][inner].mean() > wrong[name][inner].mean() + 0.1
    for name in ('lead', 'distance of the best', 'mean distance', 'residual'):
        assert wrong[name][inner].mean() > right[name][inner].mean() + 0.1


def test_another_image_measures_worse() -> None:
    one, other = smooth_features(1), smooth_features(1, seed=1)
    right = answers_of(one.expand(2, -1, -1, -1), 0)
    wrong = answers_of(torch.cat((one, other)), 0)
    for name in ('dual, object', 'cosine, object', 'mutual, pair'):
        assert right[name].mean() > wrong[name].mean() + 0.1


def test_ways_that_do_not_lead_back_are_told() -> None:
    features = smooth_features(1).expand(2, -1, -1, -1)
    field = identity_field(2, SIDE, SIDE, like=features)
    index = MEASURES.index('round trip')
    state = state_of(field)
    assert state.clues is not None
    same = confidence_measures(features, field, state.clues, state.alpha)
    field[0, 4] += 3
    missed = confidence_measures(features, field, state.clues, state.alpha)
    assert (missed[0, index, :, :-12] > same[0, index, :, :-12] + 1).all()


@pytest.mark.parametrize('sides', [(9, 13), (40, 64)])
def test_maps_of_any_size(sides: tuple[int, int]) -> None:
    features = F.normalize(torch.randn(2, 8, *sides), dim=1)
    field = identity_field(2, *sides, like=features)
    state = state_of(field)
    assert state.clues is not None
    answers = confidence_measures(features, field, state.clues, state.alpha)
    assert max(answers.shape[-2:]) == GLOBAL_CELLS
    similarities = PairSimilarities.of(features)
    probability = MatchConfidence(2, 4).of_field(similarities, field, state)
    assert probability.shape == (2, 1, *similarities.size)
    assert ((probability >= 0) & (probability <= 1)).all()


def test_without_clues_nothing_is_said() -> None:
    features = smooth_features(2)
    field = identity_field(2, SIDE, SIDE, like=features)
    with pytest.raises(ValueError, match='clues'):
        MatchConfidence().of_field(
            PairSimilarities.of(features),
            field,
            state_of(field)._replace(clues=None),
        )


def test_only_known_measures_can_be_read() -> None:
    with pytest.raises(ValueError, match='taste'):
        MatchConfidence(names=('row', 'taste'))
