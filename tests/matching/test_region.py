"""What is left out is no evidence, and what is around it goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_samnet import match
from napari_samnet.errors import InputError
from napari_samnet.matching.region import kept_parts

SHAPES = ((60, 80), (50, 90))
FAST: dict[str, Any] = {
    'size': 128,
    'window': 5,
    'iterations': 3,
    'device': 'cpu',
    'attributes': False,
    'fine': False,
    'orientation': 'upright',
}


class TestMasks:
    """Masks of one image or of both, to match or to leave out."""

    def test_both_ways_of_saying_it(self) -> None:
        inside = np.zeros(SHAPES[0], np.uint8)
        inside[10:30, 20:40] = 7
        kept, other = kept_parts(inside, None, SHAPES)
        assert kept is not None
        np.testing.assert_array_equal(kept, inside == 7)
        assert other is None
        again, _ = kept_parts(None, inside == 0, SHAPES)
        np.testing.assert_array_equal(kept, again)
        hole = np.zeros(SHAPES[0], bool)
        hole[15:20] = True
        both, _ = kept_parts(inside, hole, SHAPES)
        assert both is not None
        assert both.sum() == 15 * 20

    def test_the_second_is_for_the_target(self) -> None:
        inside = np.zeros(SHAPES[1], bool)
        inside[:5] = True
        kept, other = kept_parts((None, inside), None, SHAPES)
        assert kept is None
        np.testing.assert_array_equal(other, inside)
        assert kept_parts(None, None, SHAPES) == (None, None)

    @pytest.mark.parametrize(
        ('region', 'leave_out', 'reason'),
        [
            (np.ones((60, 81)), None, 'the shape of the source'),
            ((None, np.ones((60, 80))), None, 'the shape of the target'),
            (np.zeros((60, 80)), None, 'nothing of the source is left'),
            (None, (None, np.ones((50, 90))), 'nothing of the target'),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, region: Any, leave_out: Any, reason: str
    ) -> None:
        with pytest.raises(InputError, match=reason):
            kept_parts(region, leave_out, SHAPES)


@pytest.fixture(scope='module')
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A patch that moves, and its twin that is in the target alone."""
    rng = np.random.default_rng(3)
    noise = rng.random((160, 160, 3))
    patch = rng.random((12, 12, 3)).repeat(4, axis=0).repeat(4, axis=1)
    source = 0.3 + 0.1 * noise
    target = 0.3 + 0.1 * rng.random((160, 160, 3))
    source[56:104, 16:64] = patch
    target[56:104, 32:80] = 0.5 * patch + 0.2
    twin = np.zeros((160, 160), bool)
    twin[56:104, 104:152] = True
    target[56:104, 104:152] = patch
    labels = np.zeros((160, 160), np.uint8)
    labels[56:104, 16:64] = 1
    return source, target, twin, labels


def moved(found: Any) -> np.ndarray:
    middle = np.mgrid[70:91:5, 30:51:5].reshape(2, -1).T.astype(float)
    return np.median(found.warp_points(middle) - middle, axis=0)


@pytest.mark.slow
def test_a_second_one_is_left_out(scene: Any) -> None:
    source, target, twin, _ = scene
    for how in ({'leave_out': (None, twin)}, {'region': (None, ~twin)}):
        found = match(source, target, **how, **FAST)
        np.testing.assert_allclose(moved(found), (0, 16), atol=5)
        confidence = found.inverse().confidence
        assert confidence[66:94, 114:142].max() == 0
        assert confidence[66:94, 42:70].mean() > 0
    assert found.metadata['matched_share'] == [1.0, pytest.approx(0.91, 0.01)]


def test_less_than_a_cell_cannot_be_matched(scene: Any) -> None:
    source, target, _, _ = scene
    small = np.zeros((160, 160), bool)
    small[80:84, 40:44] = True
    for region, image in ((small, 'source'), ((None, small), 'target')):
        with pytest.raises(InputError, match=f'left of the {image} .* a cell'):
            match(source, target, region=region, **FAST)


def test_damage_is_left_out(scene: Any) -> None:
    """The field of what is around goes on, and nothing is not a number."""
    source, _, _, labels = scene
    target = np.roll(source, 16, axis=1)
    torn = np.zeros((160, 160), bool)
    torn[60:100, 20:40] = True
    damaged = source.copy()
    damaged[torn] = (1, 0, 0)
    found = match(damaged, target, leave_out=torn, labels=labels, **FAST)
    assert np.isfinite(found.flow).all()
    assert found.confidence[68:92, 26:34].max() == 0
    at = np.array([[80.0, 30.0]])
    np.testing.assert_allclose(found.warp_points(at) - at, [[0, 16]], atol=6)


def test_a_turned_target_has_its_mask_turned(scene: Any) -> None:
    source, target, twin, _ = scene
    found = match(
        source,
        np.rot90(target),
        leave_out=(None, np.rot90(twin)),
        **{**FAST, 'orientation': '270'},
    )
    at = np.array([[80.0, 40.0]])
    np.testing.assert_allclose(
        found.warp_points(at), [[159 - 56.0, 80.0]], atol=8
    )
