"""Matches at the peak of likeness next to them."""

from __future__ import annotations

import torch

from napari_samnet.samnet.cell_matches import GLOBAL_CELLS
from napari_samnet.samnet.confidence_measures import PairSimilarities
from napari_samnet.samnet.field import flow_of, identity_field
from napari_samnet.samnet.peaks import at_peaks
from tests.samnet.test_confidence import smooth_features, state_of

SIDE = GLOBAL_CELLS

#: Every match is doubtful.
UNSURE = torch.zeros(2, 1, SIDE, SIDE)


def test_a_field_that_is_a_cell_off_comes_closer() -> None:
    one = smooth_features(1, SIDE)
    features = torch.cat((one, one.roll(1, -1)))
    field = identity_field(2, SIDE, SIDE, like=features)
    similarities = PairSimilarities.of(features)
    flow = flow_of(at_peaks(similarities, state_of(field), UNSURE).field)
    inner = flow[..., 4:-4, 4:-4]
    for way, truth in ((0, 1.0), (1, -1.0)):
        assert (inner[way, 0] - truth).abs().mean() < 0.4
        assert inner[way, 1].abs().mean() < 0.3


def test_what_is_left_out_or_leads_beyond_the_edge_stays() -> None:
    features = torch.cat([smooth_features(1, SIDE)] * 2)
    features[..., :6] = 0
    field = identity_field(2, SIDE, SIDE, like=features)
    field[:, 4, :, -3:] = 9.0
    similarities = PairSimilarities.of(features)
    moved = at_peaks(similarities, state_of(field), UNSURE).field - field
    assert moved[..., :6].abs().max() == 0
    assert moved[..., -3:].abs().max() == 0
    # The affine maps of the cells stay as well.
    assert moved[:, :4].abs().max() == 0


def test_fields_of_other_sizes_are_moved_as_well() -> None:
    one = smooth_features(1, SIDE)
    features = torch.nn.functional.interpolate(
        torch.cat((one, one.roll(1, -1))), scale_factor=2.0
    )
    field = identity_field(2, 2 * SIDE, 2 * SIDE, like=features)
    similarities = PairSimilarities.of(features)
    flow = flow_of(at_peaks(similarities, state_of(field), UNSURE).field)
    assert flow.shape[-2:] == field.shape[-2:]
    assert (flow[0, 0, 8:-8, 8:-8] - 2.0).abs().mean() < 0.8


def test_of_two_peaks_a_doubtful_match_takes_the_likelier_one() -> None:
    one = smooth_features(1, SIDE)
    features = torch.cat((one, one.roll(1, -1)))
    field = identity_field(2, SIDE, SIDE, like=features)
    similarities = PairSimilarities.of(features)
    errors = []
    for sure in (UNSURE, UNSURE + 1):
        flow = flow_of(at_peaks(similarities, state_of(field), sure).field)
        errors.append((flow[0, 0, 4:-4, 4:-4] - 1.0).abs().mean())
    # Midway between no motion and the true one, the mean stays behind.
    assert errors[0] < errors[1]
