"""The refined field: known warps to the pixel, other things untouched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data, transform

from napari_samnet.datasets.synthetic import jitter, warp_photograph
from napari_samnet.matching.fine import refine
from napari_samnet.matching.lucas_kanade import CELL
from napari_samnet.matching.match import match
from napari_samnet.warping.fields import full_flow

SIDE = 128

QUICK: dict[str, Any] = {
    'attributes': False,
    'device': 'cpu',
    'precision': 'fp32',
    'size': SIDE,
    'orientation': 'upright',
}


def photograph(name: str = 'astronaut', side: int = SIDE) -> NDArray[Any]:
    """A photograph, float32 (side, side, 3)."""
    pixels = getattr(data, name)()
    shrunk = transform.resize(pixels, (side, side), anti_aliasing=True)
    return np.asarray(shrunk, np.float32)


def bent(side: int = SIDE) -> NDArray[np.float64]:
    """A smooth flow of up to some six pixels, (side, side, 2)."""
    rows, columns = np.mgrid[:side, :side] / side
    down = 5 * np.sin(2 * np.pi * columns * 0.8) + 3 * rows
    right = 4 * np.cos(2 * np.pi * rows * 0.7) - 2 * columns
    return np.stack([down, right], axis=-1)


def small(flow: NDArray[Any], cells: int = 16) -> NDArray[np.float32]:
    """A flow as a field with few cells."""
    step = flow.shape[0] // cells
    means = flow.reshape(cells, step, cells, step, 2).mean((1, 3))
    return np.asarray(means / flow.shape[0], np.float32)


def inverted(flow: NDArray[Any]) -> NDArray[Any]:
    """The flow back, by a fixed point."""
    at = np.indices(flow.shape[:2]).astype(float)
    back = np.zeros_like(at)
    for _ in range(30):
        back = -np.stack(
            [
                ndimage.map_coordinates(
                    flow[..., axis], at + back, order=1, mode='nearest'
                )
                for axis in range(2)
            ]
        )
    return np.moveaxis(back, 0, -1)


def errors(
    field: NDArray[np.float32], flow: NDArray[Any], valid: NDArray[np.bool_]
) -> NDArray[Any]:
    """End-point errors in pixels."""
    found = full_flow(field, flow.shape[:2], flow.shape[:2])
    return np.linalg.norm(found - flow, axis=-1)[valid]


@pytest.mark.parametrize('name', ['astronaut', 'coffee'])
def test_a_known_warp_is_found_to_a_part_of_a_pixel(name: str) -> None:
    target = photograph(name)
    flow = bent()
    source, valid = warp_photograph(target, flow)
    # Another light, and a field that is off by two pixels, smoothly.
    source = jitter(source, np.random.default_rng(3))
    rng = np.random.default_rng(0)
    off = ndimage.gaussian_filter(
        rng.normal(size=(SIDE, SIDE, 2)), (12, 12, 0)
    )
    start = flow + 2 * off / np.linalg.norm(off, axis=-1).mean()
    fields = small(start), small(inverted(start))
    found = refine(source, target, *fields)
    assert found is not None
    assert found.forward.shape == (SIDE // CELL, SIDE // CELL, 2)
    before, after = (
        errors(field, flow, valid) for field in (fields[0], found.forward)
    )
    assert before.mean() > 1.5
    assert after.mean() < 0.75
    assert np.median(after) < 0.5
    # The other direction as well.
    inside = np.zeros((SIDE, SIDE), bool)
    inside[16:-16, 16:-16] = True
    assert errors(found.backward, inverted(flow), inside).mean() < 1.0


def test_nothing_folds() -> None:
    target = photograph()
    source, _ = warp_photograph(target, bent())
    still = np.zeros((16, 16, 2), np.float32)
    found = refine(source, target, still, still)
    assert found is not None
    places = found.forward + np.stack(
        np.mgrid[: SIDE // CELL, : SIDE // CELL] + 0.5, -1
    ) / (SIDE // CELL)
    down, right = np.diff(places, axis=0), np.diff(places, axis=1)
    area = (
        down[:, :-1, 0] * right[:-1, :, 1] - down[:, :-1, 1] * right[:-1, :, 0]
    )
    assert area.min() > 0


def test_different_things_are_left_alone() -> None:
    still = np.zeros((16, 16, 2), np.float32)
    pair = photograph('astronaut'), photograph('chelsea')
    assert refine(*pair, still, still) is None
    rng = np.random.default_rng(0)
    noise = rng.random((2, SIDE, SIDE, 3)).astype(np.float32)
    assert refine(noise[0], noise[1], still, still) is None


def test_what_shows_nothing_is_left_alone() -> None:
    still = np.zeros((16, 16, 2), np.float32)
    plain = np.full((SIDE, SIDE, 3), 0.5, np.float32)
    assert refine(plain, plain, still, still) is None


def test_a_match_is_refined_and_says_so() -> None:
    target = photograph(side=192)
    flow = bent(192)
    source, valid = warp_photograph(target, flow)
    rough = match(source, target, fine=False, **QUICK)
    found = match(source, target, **QUICK)
    assert rough.metadata['refined'] is None
    # Twice the working size, since the images have more pixels.
    assert found.metadata['refined']['side'] == 2 * SIDE
    assert found.metadata['refined']['share'] > 0.5
    before, after = (
        errors(one.forward, flow, valid).mean() for one in (rough, found)
    )
    assert after < min(0.7 * before, 1.0)
    assert found.forward.shape[:2] == found.forward_cell_confidence.shape


@pytest.mark.slow
def test_a_pair_of_different_things_is_matched_as_before() -> None:
    pair = photograph('astronaut', 96), photograph('chelsea', 96)
    rough = match(*pair, fine=False, **QUICK)
    found = match(*pair, **QUICK)
    assert found.metadata['refined'] is None
    np.testing.assert_array_equal(rough.forward, found.forward)
    np.testing.assert_array_equal(rough.backward, found.backward)


def test_borders_of_motions_stay_sharp_in_the_refined_field() -> None:
    """What comes with more samples than are refined keeps them."""
    target = photograph()
    source, _ = warp_photograph(target, bent())
    fields = small(bent()), small(inverted(bent()))
    fine = [np.repeat(np.repeat(one, 4, 0), 4, 1) for one in fields]
    fine[0][32:, 32:] += 0.5
    found = refine(source, target, fine[0], fine[1], again=True)
    assert found is not None
    assert found.forward.shape == (64, 64, 2)
    after, before = (
        field[40, 32] - field[40, 31] for field in (found.forward, fine[0])
    )
    np.testing.assert_allclose(after, before, atol=0.02)


def test_two_motions_meet_at_the_outline() -> None:
    """A field that knows both motions, but not to the pixel where."""
    target, front = photograph('coffee'), photograph('astronaut')
    source = target.copy()
    source[36:84, 36:84] = front[36:84, 36:84]
    target[48:96, 28:76] = front[36:84, 36:84]
    flow = np.zeros((SIDE, SIDE, 2))
    flow[36:84, 36:84] = 12, -8
    back = np.zeros_like(flow)
    back[48:96, 28:76] = -12, 8
    fields = []
    for true in (flow, back):
        moves = ndimage.binary_dilation(true[..., 0] != 0, iterations=5)
        cells = moves.reshape(16, 8, 16, 8).mean((1, 3)) > 0.5
        move = true[60, 60] / SIDE
        fields.append((cells[..., None] * move).astype(np.float32))
    fields = [np.repeat(np.repeat(one, 4, 0), 4, 1) for one in fields]
    found = refine(source, target, *fields)
    assert found is not None
    # What the object hides in the target is nowhere.
    seen = np.ones((SIDE, SIDE), bool)
    seen[48:96, 28:76] = False
    seen[36:84, 36:84] = True
    before, after = (
        errors(field, flow, seen).mean()
        for field in (fields[0], found.forward)
    )
    assert before > 0.4
    assert after < 0.5 * before
