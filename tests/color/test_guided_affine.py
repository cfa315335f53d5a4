"""Attributes found on a small image, applied to the large one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import color, data, transform

from napari_samnet.arrays import tiles
from napari_samnet.color.guided_affine import transfer_colors
from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_rgb, to_working

SIZE = 128


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    """Peak signal to noise ratio in dB, of values in [0, 1]."""
    return float(-10 * np.log10(np.mean((found - expected) ** 2)))


def overall(image: np.ndarray) -> np.ndarray:
    """Other colors and another contrast, the same everywhere."""
    return image[..., [2, 0, 1]] ** 1.3 * 0.9 + 0.05


def orange_to_blue(image: np.ndarray) -> np.ndarray:
    """Saturated orange turned blue, everything else left alone."""
    hsv = color.rgb2hsv(image)
    orange = np.exp(-(((hsv[..., 0] - 0.04) / 0.06) ** 2))
    orange = (orange * np.clip(hsv[..., 1] * 2 - 0.6, 0, 1))[..., None]
    hsv[..., 0] = (hsv[..., 0] + 0.55) % 1
    return image * (1 - orange) + color.hsv2rgb(hsv) * orange


@pytest.fixture(scope='module')
def native() -> np.ndarray:
    """A photograph, (512, 512, 3) in [0, 1]."""
    return to_rgb(data.astronaut())


@pytest.fixture(scope='module')
def small(native: np.ndarray) -> np.ndarray:
    """The photograph at working size."""
    return to_working(native, size=SIZE)


def test_no_change_is_no_change(native: np.ndarray, small: np.ndarray) -> None:
    np.testing.assert_allclose(
        transfer_colors(native, small, small), native, atol=1e-5
    )


@pytest.mark.parametrize('change', [overall, orange_to_blue])
def test_is_far_better_than_enlarging(
    native: np.ndarray, small: np.ndarray, change: object
) -> None:
    assert callable(change)
    truth = np.clip(change(native), 0, 1)
    transferred = np.clip(change(small), 0, 1)
    found = transfer_colors(native, small, transferred)
    enlarged = transform.resize(transferred, truth.shape)
    assert psnr(found, truth) > psnr(enlarged, truth) + 4
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1


def test_keeps_the_sharpness_of_the_source(
    native: np.ndarray, small: np.ndarray
) -> None:
    def detail(image: np.ndarray) -> float:
        return float(ndimage.laplace(image.mean(-1)).std())

    truth = np.clip(overall(native), 0, 1)
    found = transfer_colors(native, small, overall(small))
    assert detail(found) == pytest.approx(detail(truth), rel=0.1)


def test_plain_surfaces_keep_their_texture() -> None:
    rng = np.random.default_rng(0)
    grain = rng.normal(0.5, 0.02, (512, 512, 1)) * np.ones(3)
    small = to_working(grain, size=SIZE, contrast_limits=(0, 1))
    found = transfer_colors(grain, small, small * 0.5 + 0.2)
    ratio = found.std() / grain.std()
    assert 0.4 < ratio < 1.1


def test_edges_have_no_halo() -> None:
    native = np.full((512, 512, 3), 0.2)
    native[:, 250:] = 0.8
    small = to_working(native, size=SIZE)
    # Dark turns red, bright turns blue.
    blend = ((small[..., :1] - 0.2) / 0.6).clip(0, 1)
    transferred = blend * (0.1, 0.3, 0.9) + (1 - blend) * (0.8, 0.1, 0.1)
    found = transfer_colors(native, small, transferred)
    assert np.abs(found[:, :250] - (0.8, 0.1, 0.1)).max() < 0.03
    assert np.abs(found[:, 250:] - (0.1, 0.3, 0.9)).max() < 0.03


def test_blocks_leave_no_seams(
    native: np.ndarray, small: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    transferred = orange_to_blue(small)
    whole = transfer_colors(native, small, transferred)
    monkeypatch.setattr(tiles, 'BLOCK_PIXELS', 3000)
    blocks = transfer_colors(native, small, transferred)
    np.testing.assert_allclose(blocks, whole, atol=1e-6)


@pytest.mark.parametrize(
    ('shape', 'dtype', 'axis'),
    [
        ((90, 70), 'uint8', None),
        ((90, 70), 'bool', None),
        ((90, 70, 3), 'uint16', None),
        ((90, 70, 4), 'uint8', None),
        ((5, 90, 70), 'float32', 0),
        ((1, 1), 'float64', None),
        ((3, 1000, 3), 'float16', None),
    ],
)
def test_size_dtype_and_channels_are_those_of_the_source(
    shape: tuple[int, ...], dtype: str, axis: int | None
) -> None:
    values = np.random.default_rng(0).random(shape) * 200
    image = (values > 100) if dtype == 'bool' else values.astype(dtype)
    small = to_working(image, size=64, channel_axis=axis)
    found = transfer_colors(image, small, small * 0.5, channel_axis=axis)
    assert found.shape == image.shape
    assert found.dtype == image.dtype
    same = transfer_colors(image, small, small, channel_axis=axis)
    np.testing.assert_allclose(
        same.astype(float), image.astype(float), rtol=2e-3, atol=1e-3
    )


def test_small_images_may_be_large_or_oblong(native: np.ndarray) -> None:
    small = native[:384, ::2]
    found = transfer_colors(native[:384], small, small[..., ::-1])
    np.testing.assert_allclose(found, native[:384, :, ::-1], atol=0.05)


def test_images_without_color_or_contrast() -> None:
    gray = np.full((40, 50, 3), 0.5)
    small = np.full((64, 64, 3), 0.5)
    found = transfer_colors(gray, small, small * 0.6)
    np.testing.assert_allclose(found, 0.3, atol=1e-3)


@pytest.mark.parametrize(
    ('native', 'small', 'transferred'),
    [
        ((0, 8, 3), (4, 4, 3), (4, 4, 3)),
        ((8, 8, 3), (4, 4), (4, 4)),
        ((8, 8, 3), (4, 4, 3), (5, 4, 3)),
        ((8, 8, 3), (0, 4, 3), (0, 4, 3)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    native: tuple[int, ...],
    small: tuple[int, ...],
    transferred: tuple[int, ...],
) -> None:
    with pytest.raises(InputError, match='shape'):
        transfer_colors(
            np.zeros(native), np.zeros(small), np.zeros(transferred)
        )
