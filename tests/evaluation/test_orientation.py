from __future__ import annotations

import numpy as np
import pytest

from napari_samnet.datasets.pair_lists import (
    read_keypoint_pairs,
    read_mask_pairs,
)
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import run_benchmark
from napari_samnet.evaluation.interfaces import Answer
from napari_samnet.evaluation.methods.base import Identity, from_fields
from napari_samnet.evaluation.protocols.image_turn import (
    TURNS,
    ImageTurn,
    residual_turn,
)
from napari_samnet.evaluation.protocols.keypoints import Keypoints
from napari_samnet.evaluation.protocols.masks import Masks
from napari_samnet.evaluation.protocols.orientation import Orientation


@pytest.fixture
def protocol(two_images, write_list):
    # Both points are the same ones of the same picture.
    points = '12;40;61;30,8;21;50;33'
    file = write_list(
        'source,target,XA,YA,XB,YB', f'a.png,a.png,{points},{points}'
    )
    return Orientation(Keypoints(read_keypoint_pairs(file, two_images)))


def exact(pair) -> Answer:
    """Answer that knows how the target was turned."""
    upright, turn = pair.truth
    shape = upright.target.shape[:2]
    size = np.array(turn.turned_shape(shape))
    # At half a pixel a bilinear field of the turn is exact.
    start = np.moveaxis(np.indices((30, 40)), 0, -1).reshape(-1, 2) + 0.5
    start = start / (30, 40)
    ends = (turn.move(start * shape - 0.5, shape) + 0.5) / size
    forward = (ends - start).reshape(30, 40, 2)
    back = (turn.move_back(start * size - 0.5, shape) + 0.5) / shape
    return Answer(
        from_fields(pair, forward, (back - start).reshape(30, 40, 2))
    )


def test_an_exact_answer_is_right_in_every_orientation(protocol):
    assert len(protocol) == len(TURNS) == 28
    names = set()
    for index in range(len(protocol)):
        pair = protocol.load(index)
        names.add(pair.name.rpartition('-')[2])
        scores = protocol.score(pair, exact(pair))
        assert scores['pck@0.05'] == 1
        assert scores['right'] == 1
    assert {'0', '15', '270m'} < names


def test_no_warp_is_right_where_nothing_was_turned(protocol):
    run = run_benchmark(protocol, [Identity()])
    scores = run.result['methods']['identity']
    groups = scores['groups']
    assert groups['upright'] == {
        'pck@0.05': 1.0,
        'pck@0.10': 1.0,
        'pck@0.15': 1.0,
        'pck@0.20': 1.0,
        'right': 1.0,
        'pairs': 1,
    }
    assert groups['flips and quarter turns']['right'] == 0
    assert groups['flips and quarter turns']['pairs'] == 7
    assert groups['multiples of 15 degrees']['pairs'] == 20
    assert scores['turned_upright'] == 0
    assert scores['relative'] < 1


def test_masks_come_back_upright(two_images, write_list):
    from PIL import Image

    mask = np.zeros((60, 80), bool)
    mask[8:25, 10:50] = True
    Image.fromarray(mask).save(two_images / 'm.png')
    file = write_list(
        'source,target,source_mask,target_mask', 'a.png,a.png,m.png,m.png'
    )
    inner = Masks(read_mask_pairs(file, two_images))
    protocol = Orientation(inner, turns='quarter')
    assert len(protocol) == 8
    for index in range(8):
        pair = protocol.load(index)
        scores = protocol.score(pair, exact(pair))
        assert scores['iou'] > 0.95
        assert scores['right'] == 1
    with pytest.raises(InputError, match='turns must be one of'):
        Orientation(inner, turns='half')


@pytest.mark.parametrize('turn', TURNS, ids=lambda turn: turn.name)
def test_points_and_pixels_turn_alike(turn):
    image = np.zeros((21, 30, 3), np.float32)
    image[4, 25] = 1
    turned = turn.image(image)
    assert turned.shape[:2] == turn.turned_shape((21, 30))
    place = turn.move(np.array([[4.0, 25.0]]), (21, 30))
    brightest = np.unravel_index(turned[..., 0].argmax(), turned.shape[:2])
    assert np.abs(place - brightest).max() <= 1
    assert np.allclose(turn.move_back(place, (21, 30)), [[4, 25]])


def test_quarter_turns_are_exact():
    image = np.random.default_rng(0).random((5, 8, 3), np.float32)
    assert np.allclose(ImageTurn(90).image(image), np.rot90(image))
    mirrored = ImageTurn(0, mirrored=True).image(image)
    assert np.allclose(mirrored, image[:, ::-1])


def test_what_is_left_of_a_turn():
    points = np.random.default_rng(0).random((9, 2)) * 100
    turned = ImageTurn(45).move(points, (100, 100)) + (3, -5)
    degrees, mirrored = residual_turn(points, turned)
    assert degrees == pytest.approx(45)
    assert not mirrored
    assert residual_turn(points, points * (1, -1))[1]
