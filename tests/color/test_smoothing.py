"""Filters as matrix products against those of scipy and the package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_samnet.arrays import resize
from napari_samnet.color import smoothing
from napari_samnet.color.moments import products, unpacked

SHAPES = [(5, 7), (40, 33), (128, 96)]


@pytest.fixture(params=SHAPES)
def maps(request: pytest.FixtureRequest) -> np.ndarray:
    return np.random.default_rng(0).random((3, *request.param))


@pytest.mark.parametrize(('width', 'truncate'), [(0.4, 2.5), (3.0, 4.0)])
def test_blur_is_that_of_scipy(
    maps: np.ndarray, width: float, truncate: float
) -> None:
    found = smoothing.blurred(torch.from_numpy(maps), width, truncate)
    expected = ndimage.gaussian_filter(
        maps, width, mode='nearest', axes=(1, 2), truncate=truncate
    )
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_box_mean_is_that_of_scipy(maps: np.ndarray) -> None:
    found = smoothing.box_mean(torch.from_numpy(maps), 15)
    expected = ndimage.uniform_filter(
        maps, (15, 15), mode='nearest', axes=(1, 2)
    )
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_derivatives_are_those_of_numpy_and_scipy(maps: np.ndarray) -> None:
    tensor = torch.from_numpy(maps)
    expected = np.gradient(maps, axis=(1, 2))
    np.testing.assert_allclose(smoothing.slopes(tensor), expected, atol=1e-12)
    for axis, steep in enumerate(smoothing.sobel(tensor).numpy()):
        each = [ndimage.sobel(x, axis, mode='nearest') / 8 for x in maps]
        np.testing.assert_allclose(steep, each, atol=1e-12)


@pytest.mark.parametrize('size', [(4, 4), (20, 100), (128, 96)])
def test_sizes_change_without_aliasing(
    maps: np.ndarray, size: tuple[int, int]
) -> None:
    found = smoothing.resized(torch.from_numpy(maps), *size)
    expected = resize.resized(np.moveaxis(maps, 0, -1), *size)
    np.testing.assert_allclose(
        np.moveaxis(found.numpy(), 0, -1), expected, atol=1e-6
    )


def test_products_come_back_as_matrices(maps: np.ndarray) -> None:
    packed = products(torch.from_numpy(maps), 2)
    assert len(packed) == 5
    matrices = unpacked(packed, 2, 3).numpy()
    expected = np.einsum('ahw,bhw->hwab', maps[:2], maps)
    np.testing.assert_allclose(matrices, expected)
