"""Whether a result can be used, in one line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from napari_samnet import match
from napari_samnet.correspondence import Correspondence
from napari_samnet.labels.evidence import Evidence
from napari_samnet.outputs.verdict import judge, judge_planes
from napari_samnet.series.verdicts import PlaneReport

CELLS = 32


def match_of(
    forward: Any, backward: Any, confidence: float, **more: Any
) -> Correspondence:
    """A match with the same confidence everywhere."""
    trust = np.full((CELLS, CELLS), confidence, np.float32)
    return Correspondence(
        forward=forward.astype(np.float32),
        backward=backward.astype(np.float32),
        forward_cell_confidence=trust,
        backward_cell_confidence=trust.copy(),
        source_shape=(200, 200),
        target_shape=(200, 200),
        **more,
    )


def test_an_image_that_shows_nothing_is_named() -> None:
    image = np.random.default_rng(0).random((80, 80))
    pixels = np.full((80, 80), np.nan)
    how: dict[str, Any] = {'size': 64, 'iterations': 1, 'attributes': False}
    how |= {'orientation': 'upright', 'outlines': False}
    for blank, why in (
        (pixels, 'no pixel has a finite value'),
        (np.zeros((80, 80), np.uint8), 'one value everywhere'),
        (np.ones((1, 1)), 'a single pixel'),
    ):
        found = match(image, blank, **how)
        assert found.metadata['blank'] == {'target': why}
        verdict = judge(found)
        assert verdict.level == 'bad'
        assert f'the target shows nothing ({why})' in verdict.text
        assert 'the source shows nothing' in judge(found.inverse()).text
    pixels[3, 4:6] = 0, 1
    assert 'blank' not in match(image, pixels, **how).metadata


STILL = np.zeros((CELLS, CELLS, 2))
ASTRAY = np.random.default_rng(0).normal(0, 0.2, (CELLS, CELLS, 2))


def labels() -> np.ndarray:
    """One label in the middle."""
    mask = np.zeros((200, 200), np.uint8)
    mask[60:140, 60:140] = 3
    return mask


def evidence(shift: int, lead: float) -> Evidence:
    """Each cell looks like the one so many columns away."""
    index = np.arange(CELLS * CELLS).reshape(CELLS, CELLS)
    index = np.roll(index, shift, 1)[..., None]
    similarity = np.full((CELLS, CELLS), 0.5, np.float32)
    mask = np.isin(index[..., 0] // CELLS, range(10, 22)) & np.isin(
        index[..., 0] % CELLS, range(10, 22)
    )
    similarity[mask] += lead
    return Evidence(
        index,
        np.ones((CELLS, CELLS, 1), np.float32),
        similarity,
        np.array([[CELLS, CELLS]]),
    )


def test_ways_that_agree_are_good() -> None:
    verdict = judge(match_of(STILL, STILL, 0.9))
    assert verdict.level == 'good'
    assert verdict.text == 'Good: both ways agree within 0 % of the side'
    assert not verdict.places


def test_ways_that_do_not_agree_are_bad_with_places_and_advice() -> None:
    verdict = judge(match_of(ASTRAY, STILL, 0.1))
    assert verdict.level == 'bad'
    assert 'Orientation' in verdict.advice
    assert len(verdict.places) == 6
    errors = [place.error for place in verdict.places]
    assert errors == sorted(errors, reverse=True)


def test_one_wrong_corner_is_to_be_looked_at() -> None:
    forward = STILL.copy()
    forward[:8, :8] = 0.3
    mask = np.zeros((200, 200), np.uint8)
    mask[:120, :120] = 1
    verdict = judge(match_of(forward, STILL, 0.8), mask, qualities={})
    assert verdict.level == 'look'
    assert max(verdict.places[0].source) < 60


def test_an_object_that_nothing_looks_like_is_absent() -> None:
    found = match_of(ASTRAY, STILL, 0.1, evidence=evidence(0, -0.2))
    verdict = judge(found, labels(), qualities={})
    assert verdict.level == 'bad'
    assert 'probably not in this image' in verdict.reason


def test_what_was_left_out_of_a_match_is_not_called_absent() -> None:
    found = match_of(STILL, STILL, 0.9, metadata={'matched_share': [0.5, 1.0]})
    assert judge(found, labels(), qualities={}).level == 'good'
    found.forward_cell_confidence[8:24, 8:24] = 0
    for told in (judge(found, labels()), judge(found, points=[[90.0, 90]])):
        assert told.level == 'bad'
        assert 'outside the part of the source' in told.reason
        assert 'region' in told.advice
    cut: dict[str, Any] = {'metadata': {'matched_share': [1.0, 0.5]}}
    found = match_of(ASTRAY, STILL, 0.1, evidence=evidence(0, -0.2), **cut)
    verdict = judge(found, labels(), qualities={})
    assert 'not in the matched part of the target' in verdict.reason


def test_evidence_elsewhere_than_the_field_is_said() -> None:
    found = match_of(STILL, STILL, 0.9, evidence=evidence(14, 0.2))
    verdict = judge(found, labels(), qualities={})
    assert verdict.level == 'look'
    assert 'still background' in verdict.advice


def test_predicted_quality_counts() -> None:
    found = match_of(STILL, STILL, 0.9, evidence=evidence(0, 0.2))
    assert judge(found, labels(), qualities={}).level == 'good'
    assert judge(found, labels(), qualities={3: 0.6}).level == 'look'
    assert judge(found, labels(), qualities={3: 0.2}).level == 'bad'


def test_quality_is_predicted_where_labels_are_given() -> None:
    found = match_of(STILL, STILL, 0.9, evidence=evidence(0, 0.4))
    figures = judge(found, labels()).figures
    assert figures is not None
    assert 0 < figures['quality'] <= 1


def test_points_that_land_on_other_parts_are_not_to_be_used() -> None:
    points = np.random.default_rng(1).uniform(70, 130, (6, 2))
    there = match_of(STILL, STILL, 0.6, evidence=evidence(0, 0.2))
    assert judge(there, points=points).level == 'good'
    elsewhere = match_of(STILL, STILL, 0.6, evidence=evidence(4, 0.2))
    verdict = judge(elsewhere, points=points)
    assert verdict.level == 'bad'
    assert 'other parts' in verdict.reason
    # Four cells of 200 / 32 pixels, and an extent of about 60.
    assert verdict.figures is not None
    assert 0.3 < verdict.figures['elsewhere'] < 0.6
    # Two points have no extent to speak of.
    assert judge(elsewhere, points=points[:2]).level == 'good'
    outside = match_of(STILL + 2, STILL - 2, 0.6, evidence=evidence(4, 0.2))
    assert judge(outside, points=points).level != 'good'


def test_json_can_hold_it() -> None:
    about = judge(match_of(ASTRAY, STILL, 0.1)).as_dict()
    assert json.loads(json.dumps(about)) == about


@pytest.mark.parametrize(
    ('states', 'level'),
    [
        (['good'] * 5, 'good'),
        (['good'] * 4 + ['look'], 'look'),
        (['good', 'ended', 'ended', 'ended'], 'bad'),
    ],
)
def test_planes_are_judged_together(states: list[Any], level: str) -> None:
    reports = [
        PlaneReport(k, state, 'why') for k, state in enumerate(states, 1)
    ]
    assert judge_planes(reports).level == level


def test_large_labels_count_more_than_small_ones() -> None:
    found = match_of(STILL, STILL, 0.9, evidence=evidence(0, 0.2))
    mask = labels()
    mask[:4, :4] = 7
    verdict = judge(found, mask, qualities={3: 0.9, 7: 0.05})
    assert verdict.level == 'look'
    assert 'id 7' in verdict.reason
    assert judge(found, mask, qualities={3: 0.1, 7: 0.9}).level == 'bad'


def test_points_are_judged_where_they_are() -> None:
    found = match_of(STILL, STILL, 0.9)
    found.forward_cell_confidence[: CELLS // 2] = 0.1
    sure, unsure = [[150.0, 100]], [[20.0, 100], [40, 60]]
    assert judge(found, points=sure).level == 'good'
    verdict = judge(found, points=unsure)
    assert verdict.level == 'bad'
    assert 'not sure of the points' in verdict.reason


def test_labels_outlive_a_field_that_is_lost() -> None:
    found = match_of(ASTRAY, STILL, 0.1, evidence=evidence(0, 0.2))
    verdict = judge(found, labels(), qualities={3: 0.9})
    assert verdict.level == 'look'
    assert verdict.advice


def test_places_are_promised_only_where_there_are_some() -> None:
    """Both ways agree, but the match is not sure."""
    verdict = judge(match_of(STILL, STILL, 0.25))
    assert (verdict.level, verdict.places) == ('look', ())
    assert verdict.text == (
        'Look before use: the match is not sure of the image. '
        'Compare with the target'
    )
    astray = judge(match_of(ASTRAY, ASTRAY, 0.9))
    assert astray.places
    assert astray.text.startswith('Look at these places: ')
