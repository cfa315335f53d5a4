"""Trials of what helps a person: verdicts, and landmarks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from napari_samnet.datasets.pair_lists import (
    read_keypoint_pairs,
    read_mask_pairs,
)
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import run_benchmark
from napari_samnet.evaluation.interfaces import Answer
from napari_samnet.evaluation.methods.base import Identity, from_fields
from napari_samnet.evaluation.protocols.corrections import Corrections
from napari_samnet.evaluation.protocols.flow import Flow
from napari_samnet.evaluation.protocols.keypoints import Keypoints
from napari_samnet.evaluation.protocols.masks import Masks
from napari_samnet.evaluation.protocols.verdicts import (
    PAIRS,
    SPOILT,
    Verdicts,
)


@pytest.fixture
def lists(tmp_path, write_list):
    """Four pairs with masks and with keypoints, the object on the left."""
    rng = np.random.default_rng(0)
    mask = np.zeros((96, 128), np.uint8)
    mask[30:60, 10:50] = 255
    for name in 'ab':
        pixels = rng.integers(0, 255, (96, 128, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'{name}.png')
        Image.fromarray(mask).save(tmp_path / f'{name}m.png')
    rows = ['a.png,b.png,am.png,bm.png', 'b.png,a.png,bm.png,am.png'] * 2
    masks = write_list('source,target,source_mask,target_mask', *rows)
    points = ';'.join(map(str, np.linspace(12, 48, 9)))
    points = ','.join([points, ';'.join(map(str, np.linspace(58, 31, 9)))] * 2)
    rows = [f'a.png,b.png,{points}', f'b.png,a.png,{points}'] * 2
    listed = write_list('source,target,XA,YA,XB,YB', *rows, name='points.csv')
    return (
        Masks(read_mask_pairs(masks, tmp_path)),
        Keypoints(read_keypoint_pairs(listed, tmp_path)),
    )


class Says(Identity):
    """Is sure where the object is there, and nowhere else."""

    def answer(self, pair):
        there = pair.group in ('as it is', 'mirrored')
        cells = np.full((8, 8), 0.9 if there else 0.1, np.float32)
        still = np.zeros((8, 8, 2), np.float32)
        if pair.group == 'mirrored':
            still[..., 1] = (1 - 2 * (np.arange(8) + 0.5) / 8)[None]
        found = from_fields(pair, still, still)
        object.__setattr__(found, 'forward_cell_confidence', cells)
        return Answer(found)


def test_every_pair_comes_twice_and_each_kind_of_spoilt_ones(lists):
    protocol = Verdicts(list(lists))
    assert len(protocol) == 16
    outcome = run_benchmark(protocol, [Says()]).result['methods']['identity']
    groups = outcome['groups']
    assert set(groups) == {'as it is', *SPOILT}
    assert groups['as it is']['pairs'] == 8
    assert groups['mirrored']['result'] == 1
    assert outcome['wrong_pairs'] == 6
    assert outcome['bad_of_wrong'] == 1
    assert outcome['bad_of_right'] == 0
    sure = run_benchmark(protocol, [Identity()]).result['methods']['identity']
    assert sure['bad_of_wrong'] == 0
    assert sure['wrong_pairs'] > 6


def test_short_lists_are_made_up_for_by_long_ones(lists):
    class Long(Keypoints):
        def __init__(self, count):
            super().__init__(lists[1]._pairs * count)

    protocol = Verdicts([Long(30), lists[1], Long(40), Long(20)])
    assert len(protocol) == 2 * PAIRS
    kinds = Counter(kind for _, _, kind in protocol._cases)
    assert kinds['as it is'] == PAIRS
    assert max(abs(kinds[kind] - PAIRS / 4) for kind in SPOILT) <= 1
    assert len({case[:2] for case in protocol._cases}) == PAIRS
    assert len(Verdicts(list(lists))) == 2 * (4 + 4)


def test_a_wrong_plane_is_the_target_beside_the_object(lists):
    protocol = Verdicts([lists[0]])
    (pair,) = (
        pair
        for pair in map(protocol.load, range(len(protocol)))
        if pair.group == 'wrong plane'
    )
    assert pair.target.shape[:2] == (96, 128 - 50)


def test_verdicts_need_pairs_that_can_be_wrong():
    with pytest.raises(InputError, match='masks or keypoints'):
        Verdicts([Flow([])])


def test_corrections_are_scored_on_the_other_keypoints(lists):
    protocol = Corrections(lists[1]._pairs)
    pair = protocol.load(0)
    assert [len(points) for points in pair.landmarks] == [5, 5]
    assert len(pair.truth[0]) == 4

    class Beside(Identity):
        def answer(self, pair):
            step = np.full((32, 32, 2), 0.2, np.float32)
            return Answer(from_fields(pair, step, -step))

    scores = run_benchmark(protocol, [Beside()]).result['methods']['identity']
    assert scores['pck@0.10'] == 0
    assert scores['corrected'] == 1
    assert scores['exact'] < 0.5
    assert scores['met'] == 1
    with pytest.raises(InputError, match='at least 8 keypoints'):
        Corrections([])
