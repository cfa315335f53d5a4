"""Likelier matches where those of the field are doubtful."""

from __future__ import annotations

import torch

from napari_samnet.samnet.candidates import (
    Reconsidered,
    free_cells,
    reconsidered,
)
from napari_samnet.samnet.cell_matches import GLOBAL_CELLS
from napari_samnet.samnet.confidence import MatchConfidence
from napari_samnet.samnet.confidence_measures import PairSimilarities
from napari_samnet.samnet.field import flow_of, identity_field
from tests.samnet.test_confidence import smooth_features, state_of

SIDE = GLOBAL_CELLS
#: Columns of the band that moves, and how far it does.
FIRST, LAST, SHIFT = 8, 20, 6
#: Rows and columns that are in one place of either image alone.
BAND = (FIRST, LAST), (SHIFT, SIDE - SHIFT)


def confidence_by_likelihood(offset: float) -> MatchConfidence:
    """One that believes what is likely among all cells of the image."""
    names = ('row of 3x3',)
    fitted = MatchConfidence(1, 1, names).requires_grad_(False)
    fitted.last.zero_()
    fitted.direct.fill_(1.0)
    fitted.last_bias.fill_(offset)
    return fitted


def answer(
    offset: float,
    field: torch.Tensor,
    features: torch.Tensor,
) -> Reconsidered | None:
    state = state_of(field)
    confidence = confidence_by_likelihood(offset)
    similarities = PairSimilarities.of(features)
    return reconsidered(
        confidence,
        similarities,
        state,
        confidence.of_field(similarities, field, state),
        alikeness=0.3,
    )


def moved_band() -> torch.Tensor:
    """Two images; a band of rows of the first is shifted in the second."""
    one = smooth_features(1, SIDE)
    other = one.clone()
    other[..., FIRST:LAST, SHIFT:] = one[..., FIRST:LAST, :-SHIFT]
    return torch.cat((one, other))


def test_a_doubtful_part_follows_the_most_similar_cells() -> None:
    features = moved_band()
    better = answer(
        -1.0, identity_field(2, SIDE, SIDE, like=features), features
    )
    assert better is not None
    assert better.share > 0.2
    flow = flow_of(better.state.field)
    inner = (slice(FIRST + 2, LAST - 2), slice(SHIFT + 2, SIDE - SHIFT - 2))
    assert (flow[0, 0][inner] - SHIFT).abs().mean() < 0.5
    assert flow[0, 1][inner].abs().mean() < 0.5
    # Nothing has changed where the field was right.
    assert flow[0, :, LAST + 4 :].abs().max() < 0.5
    assert better.probability.shape == (2, 1, SIDE, SIDE)
    assert (better.probability >= 0).all()
    assert (better.probability <= 1).all()


def test_matches_that_are_sure_stay_as_they_are() -> None:
    features = moved_band()
    field = identity_field(2, SIDE, SIDE, like=features)
    assert answer(9.0, field, features) is None


def test_cells_that_are_left_out_keep_their_motion() -> None:
    features = moved_band()
    features[0, :, FIRST:LAST] = 0
    features[1, :, FIRST:LAST] = 0
    field = identity_field(2, SIDE, SIDE, like=features)
    better = answer(-1.0, field, features)
    if better is not None:
        left_out = flow_of(better.state.field)[0, :, FIRST + 4 : LAST - 4]
        assert left_out.abs().max() < 0.5


def test_maps_of_other_sizes_are_bent_as_well() -> None:
    one = moved_band()
    features = torch.nn.functional.interpolate(one, scale_factor=2.0)
    field = identity_field(2, 2 * SIDE, 2 * SIDE, like=features)
    better = answer(-1.0, field, features)
    assert better is not None
    assert better.state.field.shape == field.shape
    flow = flow_of(better.state.field)[0, 0]
    rows, columns = (slice(2 * a + 6, 2 * b - 6) for a, b in BAND)
    inner = flow[rows, columns]
    assert (inner - 2 * SHIFT).abs().mean() < 1.0


def test_free_are_doubtful_cells_that_find_each_other_elsewhere() -> None:
    similarities = PairSimilarities.of(moved_band())
    still = identity_field(2, SIDE, SIDE, like=similarities.maps)
    doubtful = torch.zeros(2, 1, SIDE, SIDE)
    free = free_cells(similarities, doubtful, still)
    # Of both images, the cells of the band that are seen in the other.
    band = (LAST - FIRST) * (SIDE - SHIFT)
    assert band < free < 3 * band
    assert free_cells(similarities, doubtful + 1, still) == 0
    moved = still.clone()
    moved[0, 4, FIRST:LAST] = SHIFT
    moved[1, 4, FIRST:LAST] = -SHIFT
    assert free_cells(similarities, doubtful, moved) < band / 2
