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


def test_shares_of_other_fields_are_mixed_in() -> None:
    zero = np.zeros((32, 32, 2), np.float32)
    exact = Exact(zero, zero, {'side': SIDE, 'share': 1.0})
    other = np.full((64, 64, 2), 0.5, np.float32)
    shares = np.zeros((2, 8, 8), np.float32)
    shares[0, :, :4] = 1
    mixed = exact.mixed_with((other, -other), shares)
    assert mixed.about == exact.about
    np.testing.assert_allclose(mixed.forward[:, :12], 0.5, atol=1e-6)
    np.testing.assert_allclose(mixed.forward[:, 20:], 0, atol=1e-6)
    np.testing.assert_allclose(mixed.backward, 0, atol=1e-6)
    assert mixed.forward.dtype == np.float32


def test_nothing_is_confirmed_where_that_was_not_asked() -> None:
    zero = np.zeros((32, 32, 2), np.float32)
    assert not Exact(zero, zero).confirmed_shares((4, 4)).any()


@pytest.fixture(scope='module')
def images() -> tuple[FloatArray, FloatArray]:
    """A cat's face before a still background, once here and once there."""
    behind = resize(data.coffee(), (SIDE, SIDE), anti_aliasing=True)
    cat = resize(data.chelsea()[:, 80:400], (72, 72), anti_aliasing=True)
    y, x = np.mgrid[:72, :72] - 35.5
    share = gaussian_filter((np.hypot(x, y) < 32).astype(float), 1)[..., None]
    both = []
    for (top, left), face in (((20, 20), cat), ((160, 150), cat[:, ::-1])):
        image = behind.copy()
        there = image[top : top + 72, left : left + 72]
        there[:] = share * face + (1 - share) * there
        both.append(image.astype(np.float32))
    return both[0], both[1]


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
