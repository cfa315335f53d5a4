"""Likelier matches where the pixels confirm a part of two images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import resize

from napari_samnet import match
from napari_samnet.arrays.types import FloatArray
from napari_samnet.matching.refinement import Exact

SIDE = 256


def test_cells_of_other_fields_are_mixed_in() -> None:
    zero = np.zeros((32, 32, 2), np.float32)
    exact = Exact(zero, zero, {'side': SIDE, 'share': 1.0})
    other = np.full((64, 64, 2), 0.5, np.float32)
    taken = np.zeros((2, 8, 8), bool)
    taken[0, :, :4] = True
    mixed = exact.mixed_with((other, -other), taken)
    assert mixed.about == exact.about
    np.testing.assert_allclose(mixed.forward[:, :12], 0.5, atol=1e-6)
    np.testing.assert_allclose(mixed.forward[:, 20:], 0, atol=1e-6)
    np.testing.assert_allclose(mixed.backward, 0, atol=1e-6)
    assert mixed.forward.dtype == np.float32
    # Between two motions there is no third one.
    assert set(np.unique(mixed.forward.round(5))) == {0, 0.5}


def test_nothing_is_confirmed_where_that_was_not_asked() -> None:
    zero = np.zeros((32, 32, 2), np.float32)
    assert not Exact(zero, zero).confirmed_shares((4, 4)).any()


FACE = 72


def _scene(face: FloatArray, row: int, column: int) -> FloatArray:
    """A cat's face before a still background."""
    image = resize(data.coffee(), (SIDE, SIDE), anti_aliasing=True)
    y, x = np.mgrid[:FACE, :FACE] - (FACE - 1) / 2
    inside = (np.hypot(x, y) < 32).astype(float)
    share = gaussian_filter(inside, 1)[..., None]
    there = image[row : row + FACE, column : column + FACE]
    there[:] = share * face + (1 - share) * there
    return image.astype(np.float32)


@pytest.fixture(scope='module')
def face() -> FloatArray:
    """A cat's face."""
    cat = data.chelsea()[:, 80:400]
    return resize(cat, (FACE, FACE), anti_aliasing=True)


@pytest.fixture(scope='module')
def images(face: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The face once here and once there, mirrored."""
    return _scene(face, 20, 20), _scene(face[:, ::-1], 160, 150)


def test_what_moves_far_before_a_still_background_is_found(
    face: FloatArray,
) -> None:
    start, end = np.array([20, 150]), np.array([150, 30])
    result = match(_scene(face, *start), _scene(face, *end), attributes=False)
    at = np.mgrid[16:56:8, 16:56:8].reshape(2, -1).T
    misses = result.warp_points(at + start, to='target') - (at + end)
    assert np.median(np.linalg.norm(misses, axis=1)) < 10


def test_only_what_the_pixels_do_not_confirm_may_change(
    images: tuple[FloatArray, FloatArray],
) -> None:
    result, without = (
        match(*images, attributes=False, candidates=candidates)
        for candidates in (True, False)
    )
    assert result.metadata['refined'] is not None
    assert result.metadata['reconsidered'] > 0
    assert without.metadata['reconsidered'] == 0
    # What stands still stays where it is, to the pixel.
    still = np.array([[120.0, 30.0], [60.0, 200.0], [230.0, 60.0]])
    for one in (result, without):
        ends = one.warp_points(still, to='target')
        np.testing.assert_allclose(ends, still, atol=1)
    changed = np.abs(result.flow - without.flow).max(-1) > 4
    assert 0 < changed.mean() < 0.3


def test_other_working_sizes_have_other_cells(
    images: tuple[FloatArray, FloatArray],
) -> None:
    # Small maps are compared on more cells than they have, large ones on
    # fewer.
    for size in (96, 384):
        result = match(*images, attributes=False, size=size)
        assert np.isfinite(result.flow).all()
