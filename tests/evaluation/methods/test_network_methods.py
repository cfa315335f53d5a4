"""The methods that run the network, with the packaged weights."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samnet.evaluation.benchmark import run_benchmark
from napari_samnet.evaluation.methods.registry import get_methods
from napari_samnet.evaluation.protocols.attributes import Attributes
from napari_samnet.evaluation.protocols.synthetic import (
    Photographs,
    Synthetic,
)
from napari_samnet.options import MatchOptions

pytestmark = pytest.mark.slow

SMALL = MatchOptions(size=96, iterations=3, tolerance=0, device='cpu')


@pytest.fixture(scope='module')
def synthetic():
    methods = get_methods(['samnet', 'nearest', 'affine', 'identity'], SMALL)
    return run_benchmark(Synthetic(Photographs(repeats=1)), methods, limit=2)


def test_methods_with_features_beat_doing_nothing(synthetic):
    scores = synthetic.result['methods']
    for name in ('samnet', 'affine'):
        assert scores[name]['epe'] < scores['identity']['epe']
        assert 'torch' in scores[name]['versions']
    assert scores['nearest']['pck@0.10'] > scores['identity']['pck@0.10']


def test_error_by_iteration_ends_with_the_result(synthetic):
    scores = synthetic.result['methods']['samnet']
    curve = scores['epe_by_iteration']
    assert list(curve) == ['1', '2', '3', '5', '10']
    # Three iterations were allowed, so later states are the third.
    assert curve['3'] == curve['5'] == curve['10'] == scores['epe']
    assert curve['1'] != curve['3']
    assert 'epe_by_iteration' not in synthetic.result['methods']['identity']


def test_result_says_which_weights_and_options(synthetic):
    scores = synthetic.result['methods']['samnet']
    assert scores['weights']['name'] == 'samnet'
    assert len(scores['weights']['sha256']) == 64
    assert scores['options']['size'] == 96
    assert scores['seconds_per_pair'] > 0


def test_transferred_image_and_plain_warp_are_scored_apart():
    methods = get_methods(['samnet', 'warp'], SMALL, color=True)
    scores = run_benchmark(
        Attributes(Photographs(repeats=1)), methods, limit=1
    )
    samnet, warp = (
        scores.result['methods'][name] for name in ('samnet', 'warp')
    )
    # One field, two images.
    assert samnet['iou'] == warp['iou']
    assert samnet['psnr'] != warp['psnr']
    assert np.isfinite(samnet['delta_e'])
