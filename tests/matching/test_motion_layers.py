"""Motions as affine maps of the cells of a field."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samnet.arrays.resize import centers
from napari_samnet.matching.motion_layers import layers_of


@pytest.mark.parametrize('side', [16, 32, 48, 64, 80, 112, 144, 176, 208])
def test_fields_of_every_detail_have_maps(side: int) -> None:
    """Detail is any multiple of 32, and a field has half as many cells."""
    at = centers(side)
    x, y = np.meshgrid(at, at)
    there = np.stack((0.9 * x + 0.1 * y, -0.1 * x + 0.9 * y + 0.05), -1)
    field = (there - np.stack((x, y), -1))[..., ::-1]
    maps, layer = layers_of(np.ascontiguousarray(field))
    expected = [[0.9, 0.1, 0], [-0.1, 0.9, 0.05]]
    np.testing.assert_allclose(maps - expected, 0, atol=1e-6)
    assert (layer == 0).all()
