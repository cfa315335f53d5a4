"""Places found to a part of a pixel, where the motion is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from napari_samnet.color import lucas_kanade
from napari_samnet.images.rgb import to_working

SIZE = 128


def planes(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)))


def aligned(
    picture: np.ndarray, target: np.ndarray, places: np.ndarray
) -> np.ndarray:
    found = lucas_kanade.aligned(
        planes(picture), planes(target), torch.from_numpy(places)
    )
    return found.numpy()


def sampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    seen = lucas_kanade.sampled(planes(image), torch.from_numpy(places))
    return np.moveaxis(seen.numpy(), 0, -1)


@pytest.fixture(scope='module')
def image() -> np.ndarray:
    return to_working(data.astronaut(), size=SIZE)


def bent(shift: float) -> np.ndarray:
    """Places (2, SIZE, SIZE) of a smooth motion of up to so many pixels."""
    rows, columns = np.indices((SIZE, SIZE), np.float32)
    angle = 2 * np.pi * columns / SIZE
    return np.stack(
        [
            rows + shift * np.sin(angle, dtype=np.float32),
            columns + shift * np.float32(0.7),
        ]
    )


def distance(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean end-point error in pixels, a little off the border."""
    inner = np.s_[8:-8, 8:-8]
    return float(np.hypot(*(found - truth))[inner].mean())


@pytest.mark.parametrize('shift', [0.5, 2.0, 4.0])
def test_finds_a_small_motion(image: np.ndarray, shift: float) -> None:
    truth, start = bent(shift), bent(0)
    found = aligned(sampled(image, truth), image, start)
    assert found.dtype == np.float32
    assert distance(found, truth) < 0.15 * distance(start, truth)


def test_other_light_and_grain_matter_little(image: np.ndarray) -> None:
    truth = bent(2)
    rng = np.random.default_rng(0)
    light = np.linspace(0.8, 1.1, SIZE, dtype=np.float32)[:, None, None]
    grain = 0.03 * rng.normal(size=image.shape)
    target = (image * light + grain).astype(np.float32)
    found = aligned(sampled(image, truth), target, bent(0))
    assert distance(found, truth) < 0.3 * distance(bent(0), truth)


def test_the_target_may_have_another_size(image: np.ndarray) -> None:
    large = to_working(data.astronaut(), size=2 * SIZE)
    truth = bent(2)
    found = aligned(
        sampled(image, truth), large, 2 * bent(0) + np.float32(0.5)
    )
    assert distance((found - 0.5) / 2, truth) < 0.3 * distance(bent(0), truth)


def test_plain_images_do_not_move() -> None:
    plain = np.full((SIZE, SIZE, 3), 0.4, np.float32)
    start = bent(1)
    np.testing.assert_allclose(aligned(plain, plain, start), start, atol=1e-3)


def test_samples_between_pixels() -> None:
    image = np.float32([[[0], [1]], [[2], [3]]])
    places = np.float32([[[0.5, 9]], [[0.25, 9]]])
    np.testing.assert_allclose(sampled(image, places), [[[1.25], [3]]])
