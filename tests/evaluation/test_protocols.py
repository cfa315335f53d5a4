from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_samnet.datasets.pair_lists import (
    read_keypoint_pairs,
    read_mask_pairs,
)
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import run_benchmark, spread
from napari_samnet.evaluation.interfaces import Answer, Pair
from napari_samnet.evaluation.methods.base import Identity, from_fields
from napari_samnet.evaluation.protocols.keypoints import Keypoints
from napari_samnet.evaluation.protocols.landmarks import Landmarks
from napari_samnet.evaluation.protocols.masks import Masks

COLUMNS = 'source,target,category,XA,YA,XB,YB,src_bbox,trg_bbox'


def moved(pair: Pair, rows: float, columns: float) -> Answer:
    """Answer that moves everything by a share of the sides."""
    step = np.full((4, 4, 2), (rows, columns), np.float32)
    return Answer(from_fields(pair, step, -step))


@pytest.fixture
def keypoints(two_images, write_list):
    # b is half as large: (2r + 0.5, 2c + 0.5) in a is (r, c) in b.
    file = write_list(
        COLUMNS,
        'a.png,b.png,x,20.5;40.5;60.5,20.5;20.5;40.5,10;20;30,10;10;20,'
        '0;0;80;60,5;5;35;25',
        'a.png,b.png,y,20.5;60.5,20.5;20.5,10;30,10;14,,',
    )
    return read_keypoint_pairs(file, two_images)


def test_identity_keeps_normalized_coordinates(keypoints):
    outcome = run_benchmark(Keypoints(keypoints[:1]), [Identity()])
    scores = outcome.result['methods']['identity']
    assert scores['pck@0.05'] == 1
    assert scores['groups']['x']['pairs'] == 1


@pytest.mark.parametrize(
    ('threshold_by', 'tolerance'),
    # Shares of b's width, 40, that a tenth of the reference amounts to.
    [('kp-box', 2 / 40), ('box', 3 / 40), ('image', 0.1)],
)
def test_tolerance_of_pck(keypoints, threshold_by, tolerance):
    protocol = Keypoints(keypoints[:1], threshold_by=threshold_by)
    pair = protocol.load(0)
    within = protocol.score(pair, moved(pair, 0, tolerance * 0.99))
    beyond = protocol.score(pair, moved(pair, 0, tolerance * 1.01))
    assert within['pck@0.10'] == 1
    assert beyond['pck@0.10'] == 0
    assert beyond['pck@0.15'] == 1


def test_points_of_the_target_move_into_the_source(keypoints):
    protocol = Keypoints(keypoints[:1], move='target')
    pair = protocol.load(0)
    still = moved(pair, 0, 0)
    assert protocol.score(pair, still)['pck@0.05'] == 1
    # The reference is now the source's box, 40 of 80 pixels wide.
    assert protocol.score(pair, moved(pair, 0, 0.049))['pck@0.10'] == 1
    assert protocol.score(pair, moved(pair, 0, 0.051))['pck@0.10'] == 0


def test_mean_over_points_then_over_pairs(keypoints):
    protocol = Keypoints(keypoints)
    outcome = run_benchmark(protocol, [Identity()])
    scores = outcome.result['methods']['identity']
    # The second pair has one point of two, 4 px off in a box of 20.
    assert scores['pck@0.10'] == 0.75
    assert scores['groups']['y']['pck@0.10'] == 0.5
    assert outcome.result['pairs'] == 2


def test_threshold_by_box_needs_boxes(keypoints):
    with pytest.raises(InputError, match='line 3: trg_bbox is empty'):
        Keypoints(keypoints, threshold_by='box')
    with pytest.raises(InputError, match='threshold-by must be one of'):
        Keypoints(keypoints, threshold_by='area')


def test_points_follow_an_image_of_another_size(two_images, write_list):
    columns = 'source,target,XA,YA,XB,YB,src_w,src_h'
    file = write_list(columns, 'a.png,b.png,10,10,10,10,40,30')
    pair = Keypoints(read_keypoint_pairs(file, two_images)).load(0)
    assert pair.truth[0].tolist() == [[20.5, 20.5]]
    file = write_list(columns, 'a.png,b.png,10,10,10,10,40,40')
    with pytest.raises(InputError, match=r'line 2: .*40x40.*80x60'):
        Keypoints(read_keypoint_pairs(file, two_images)).load(0)


def test_landmarks_take_the_median(keypoints):
    protocol = Landmarks(keypoints)
    pair = protocol.load(1)
    score = protocol.score(pair, moved(pair, 0, 0))
    assert score['rtre'] == pytest.approx(2 / 50)


@pytest.fixture
def masks(two_images, write_list):
    mask = np.zeros((60, 80), bool)
    mask[20:40, 20:60] = True
    Image.fromarray(mask).save(two_images / 'am.png')
    Image.fromarray(mask[::2, ::2]).save(two_images / 'bm.png')
    labels = np.where(mask, 3, 0).astype(np.uint8)
    labels[20:40, 20:40] = 2
    Image.fromarray(labels).save(two_images / 'al.png')
    Image.fromarray(labels[::2, ::2]).save(two_images / 'bl.png')
    file = write_list(
        'tag,source,target,source_mask,target_mask',
        'near,a.png,b.png,am.png,bm.png',
        'far,a.png,b.png,al.png,bl.png',
    )
    return read_mask_pairs(file, two_images)


def test_masks_under_no_warp(masks):
    outcome = run_benchmark(Masks(masks), [Identity()])
    scores = outcome.result['methods']['identity']
    assert scores['iou'] == 1
    assert scores['lt_acc'] == 1
    assert set(scores['groups']) == {'near', 'far'}


def test_masks_moved_aside(masks):
    protocol = Masks(masks)
    pair = protocol.load(0)
    # 10 of the 20 target columns still overlap: 10 / 30.
    score = protocol.score(pair, moved(pair, 0, 0.25))
    assert score['iou'] == pytest.approx(1 / 3)
    assert score['lt_acc'] == pytest.approx(1 - 200 / 1200)


def test_label_maps_are_scored_per_label(masks):
    protocol = Masks(masks)
    pair = protocol.load(1)
    # Label 2 moves onto 3, and 3 onto nothing.
    score = protocol.score(pair, moved(pair, 0, 0.25))
    background = (1200 - 300) / (1200 - 100)
    assert score['iou'] == pytest.approx(background / 3, rel=0.02)


def test_mask_of_another_size_than_its_image(two_images, write_list):
    Image.fromarray(np.ones((9, 9), bool)).save(two_images / 'm.png')
    file = write_list(
        'source,target,source_mask,target_mask', 'a.png,b.png,m.png,m.png'
    )
    with pytest.raises(InputError, match=r'line 2.*80x60, got 9x9'):
        Masks(read_mask_pairs(file, two_images)).load(0)


def test_spread():
    assert spread(10, None) == list(range(10))
    assert spread(10, 5) == [0, 2, 4, 6, 8]
    assert spread(900, 180) == list(range(0, 900, 5))
    assert spread(3, 100) == [0, 1, 2]
    with pytest.raises(InputError, match='at least 1'):
        spread(3, 0)


def test_panels_are_pictures(keypoints, masks):
    for protocol in (Keypoints(keypoints), Landmarks(keypoints), Masks(masks)):
        pair = protocol.load(0)
        for title, image in protocol.panels(pair, Identity().answer(pair)):
            assert title
            assert image.ndim == 3
            assert 0 <= image.min() <= image.max() <= 1
