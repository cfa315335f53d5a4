"""Means over squares around each value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from napari_samnet.labels.outlines import RADII, _Means


@pytest.mark.parametrize('radius', RADII)
@pytest.mark.parametrize('shape', [(1, 1), (5, 40), (3, 31, 64)])
def test_means_over_squares_repeat_the_border(shape, radius):
    values = np.random.default_rng(0).random(shape, np.float32)
    wanted = values
    for axis in (-2, -1):
        wanted = uniform_filter1d(
            wanted, 2 * radius + 1, axis=axis, mode='nearest'
        )
    means = _Means((shape[-2], shape[-1]), radius)
    given = values.copy()
    for _ in range(2):
        np.testing.assert_allclose(means(values), wanted, atol=1e-6)
    np.testing.assert_array_equal(values, given)
