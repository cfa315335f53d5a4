"""Matrices of color in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samnet.color.local_statistics import _root, _rotation


@pytest.mark.parametrize('spread', [(1, 1, 1), (1, 0.1, 0.01), (1, 1e-3, 0)])
def test_square_roots(spread):
    rng = np.random.default_rng(0)
    sides = rng.normal(size=(500, 3, 3)) * spread
    matrices = sides @ np.swapaxes(sides, -1, -2) + 1e-3 * np.eye(3)
    root = _root(matrices)
    np.testing.assert_allclose(root @ root, matrices, atol=1e-9)
    np.testing.assert_allclose(root, np.swapaxes(root, -1, -2), atol=1e-9)


def test_square_roots_of_equal_eigenvalues():
    np.testing.assert_allclose(_root(0.25 * np.eye(3)[None])[0], np.eye(3) / 2)


def test_nearest_rotations():
    rng = np.random.default_rng(1)
    matrices = rng.normal(size=(500, 3, 3)) + np.eye(3)
    left, _, right = np.linalg.svd(matrices)
    clear = np.abs(np.linalg.det(matrices)) > 0.05
    np.testing.assert_allclose(
        _rotation(matrices)[clear], (left @ right)[clear], atol=1e-6
    )
