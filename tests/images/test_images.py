"""Any image becomes RGB in [0, 1], and comes back as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data, transform

from napari_samnet.errors import InputError
from napari_samnet.images.blank import why_blank
from napari_samnet.images.plane import Plane
from napari_samnet.images.rgb import check_image, to_rgb, to_working

DTYPES = [
    'bool',
    'uint8',
    'int8',
    'uint16',
    '>u2',
    'int32',
    'uint32',
    'int64',
    'uint64',
    'float16',
    'float32',
    'float64',
    'longdouble',
]

SHAPES: list[tuple[tuple[int, ...], int | None]] = [
    ((7, 5), None),
    ((7, 5, 1), None),
    ((7, 5, 2), None),
    ((7, 5, 3), None),
    ((7, 5, 4), None),
    ((7, 5, 7), None),
    ((3, 17, 11), None),
    ((17, 9, 11), 1),
    ((12, 17, 11), 0),
    ((17, 11, 12), -1),
    ((1, 1), None),
    ((1, 1, 3), None),
]


def from_rgb(rgb: Any, *, like: Any, **options: Any) -> np.ndarray:
    """Colors as an image of the dtype, channels and range of another."""
    plane = Plane.of(like, name='image', **options)
    out, pixels = plane.empty()
    everything = slice(0, plane.shape[0])
    pixels[everything] = plane.with_colors(everything, np.asarray(rgb))
    return out


def any_image(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Values over a good part of what the dtype can hold."""
    unit = np.random.default_rng(0).random(shape)
    kind = np.dtype(dtype).kind
    if kind == 'b':
        return unit > 0.5
    if kind == 'f':
        return (unit * 900 - 300).astype(dtype)
    info = np.iinfo(dtype)
    return (unit * (info.max / 2)).astype(dtype)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize(('shape', 'axis'), SHAPES)
def test_every_dtype_and_layout_comes_back(
    shape: tuple[int, ...], axis: int | None, dtype: str
) -> None:
    image = any_image(shape, dtype)
    rgb = to_rgb(image, channel_axis=axis)
    assert rgb.dtype == np.float32
    assert rgb.shape == (*check_image(image, channel_axis=axis), 3)
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    back = from_rgb(rgb, like=image, channel_axis=axis)
    assert back.dtype == image.dtype
    assert back.shape == image.shape
    span = float(image.max()) - float(image.min())
    error = np.abs(back.astype(float) - image.astype(float)).max()
    resolution = 1e-3 if dtype == 'float16' else 1e-6
    assert error <= max(resolution * span, 0.0)


@pytest.mark.parametrize('dtype', ['bool', 'uint8', 'int8', 'uint16'])
def test_narrow_numbers_come_back_exactly(dtype: str) -> None:
    image = any_image((64, 63, 3), dtype)
    np.testing.assert_array_equal(from_rgb(to_rgb(image), like=image), image)


def test_uint8_keeps_its_scale() -> None:
    image = np.full((4, 5), 51, np.uint8)
    np.testing.assert_allclose(to_rgb(image), 0.2)


def test_floats_within_0_and_1_are_kept() -> None:
    image = np.linspace(0.2, 0.3, 12, dtype=np.float64).reshape(3, 4)
    np.testing.assert_allclose(to_rgb(image)[..., 1], image, rtol=1e-6)


@pytest.mark.parametrize(
    ('low', 'high'), [(-3.0, 5.0), (0.0, 255.0), (-1e300, 1e300), (-2e-9, 0)]
)
def test_other_floats_are_scaled_to_their_range(
    low: float, high: float
) -> None:
    image = np.array([[low, high], [(low + high) / 2, high]])
    np.testing.assert_allclose(
        to_rgb(image)[..., 0], [[0, 1], [0.5, 1]], atol=1e-6
    )


def test_a_few_outliers_do_not_darken_the_image() -> None:
    image = np.random.default_rng(0).integers(100, 200, (64, 64), np.uint16)
    image[3, 4] = 65535
    rgb = to_rgb(image)
    assert rgb.std() > 0.2
    assert rgb[3, 4, 0] == 1


def test_colors_share_one_range_but_channels_have_their_own() -> None:
    image = np.zeros((2, 2, 3), np.uint16)
    image[0, 0] = 1000, 500, 250
    np.testing.assert_allclose(to_rgb(image)[0, 0], [1, 0.5, 0.25])
    stains = np.zeros((2, 8, 9), np.uint16)
    stains[0, 0], stains[1, 0] = 1000, 10
    np.testing.assert_allclose(to_rgb(stains)[0], 1)


def test_contrast_limits_are_taken() -> None:
    image = np.array([[10, 20, 30]], np.uint8)
    rgb = to_rgb(image, contrast_limits=(10, 20))
    np.testing.assert_allclose(rgb[0, :, 0], [0, 1, 1])
    back = from_rgb(rgb, like=image, contrast_limits=(10, 20))
    np.testing.assert_array_equal(back, [[10, 20, 20]])


@pytest.mark.parametrize('limits', [(1, 1), (2, 1), (0, np.nan), (1,), 3])
def test_wrong_contrast_limits_are_refused(limits: Any) -> None:
    with pytest.raises(InputError, match='contrast limits of source'):
        to_rgb(np.zeros((3, 3)), name='source', contrast_limits=limits)


@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
@pytest.mark.parametrize('high', [1.0, 400.0])
def test_what_is_not_finite_is_replaced(dtype: str, high: float) -> None:
    image = np.linspace(0, high, 12, dtype=dtype).reshape(3, 4)
    image[0, 1:4] = np.nan, np.inf, -np.inf
    rgb = to_rgb(image)
    np.testing.assert_array_equal(rgb[0, :, 0], [0, 0, 1, 0])
    assert np.isfinite(from_rgb(rgb, like=image)).all()


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_an_image_of_nothing_finite_is_blank(value: float) -> None:
    image = np.full((5, 6), value)
    rgb = to_rgb(image)
    assert np.isfinite(rgb).all()
    assert rgb.min() == rgb.max()


@pytest.mark.parametrize(
    'value', [0, 7, -7, 1e-30, 60000.0, 2**40, -(2.0**60), 1e300]
)
def test_a_constant_image_stays_constant(value: float) -> None:
    image = np.full((5, 6), value)
    rgb = to_rgb(image)
    assert np.isfinite(rgb).all()
    assert rgb.min() == rgb.max()
    back = from_rgb(rgb, like=image)
    np.testing.assert_allclose(back, image, rtol=1e-6, atol=1e-30)


def test_what_is_hidden_is_gray_and_kept() -> None:
    image = data.astronaut()[:20, :30]
    alpha = np.full((20, 30, 1), 255, np.uint8)
    alpha[5:, :10] = 0
    alpha[5:, 20:] = 51
    rgba = np.concatenate([image, alpha], axis=2)
    rgb = to_rgb(rgba)
    seen = to_rgb(image)
    np.testing.assert_array_equal(rgb[:5], seen[:5])
    np.testing.assert_array_equal(rgb[5:, :10], 0.5)
    np.testing.assert_allclose(
        rgb[5:, 20:], 0.5 + 0.2 * (seen[5:, 20:] - 0.5), atol=1e-6
    )
    np.testing.assert_array_equal(from_rgb(rgb, like=rgba), rgba)
    back = from_rgb(0.9 * rgb, like=rgba)
    np.testing.assert_array_equal(back[..., 3:], alpha)
    np.testing.assert_array_equal(
        back[:5, ..., :3], from_rgb(0.9 * seen[:5], like=image[:5])
    )


def test_what_is_hidden_does_not_matter() -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[3:6, ..., 3] = 0
    other = rgba.copy()
    other[3:6, ..., :3] = 255 - other[3:6, ..., :3]
    np.testing.assert_array_equal(to_rgb(rgba), to_rgb(other))


def test_a_fourth_channel_that_is_no_opacity_is_ignored_and_kept() -> None:
    image = data.astronaut()[:20, :30]
    alpha = np.arange(600).reshape(20, 30, 1) % 200
    rgba = np.concatenate([image, alpha.astype(np.uint8)], axis=2)
    rgb = to_rgb(rgba)
    np.testing.assert_array_equal(rgb, to_rgb(image))
    back = from_rgb(rgb[..., ::-1], like=rgba)
    np.testing.assert_array_equal(back[..., :3], image[..., ::-1])
    np.testing.assert_array_equal(back[..., 3:], alpha)


def test_alpha_keeps_values_beyond_the_range_of_the_colors() -> None:
    rgba = np.random.default_rng(0).random((6, 7, 4)) * 3
    rgba[..., 3] = 99
    back = from_rgb(to_rgb(rgba), like=rgba)
    np.testing.assert_allclose(back, rgba, rtol=1e-5)


def test_gray_gets_the_luminance() -> None:
    like = np.zeros((2, 3), np.uint8)
    rgb = np.zeros((2, 3, 3), np.float32)
    rgb[..., 1] = 1
    assert from_rgb(rgb, like=like)[0, 0] == round(0.7152 * 255)


def test_many_channels_change_only_where_their_colors_do() -> None:
    image = np.random.default_rng(0).random((7, 20, 30)).astype(np.float32)
    rgb = to_rgb(image, channel_axis=0)
    rgb[:10] = rgb[:10] * 0.5 + 0.2
    back = from_rgb(rgb, like=image, channel_axis=0)
    np.testing.assert_allclose(back[:, 10:], image[:, 10:], atol=1e-6)
    assert np.abs(back[:, :10] - image[:, :10]).max() > 0.1


def test_colors_out_of_range_are_clipped() -> None:
    like = np.zeros((1, 3), np.uint8)
    rgb = np.repeat(np.array([[-5.0, np.nan, 7.0]])[..., None], 3, axis=2)
    np.testing.assert_array_equal(from_rgb(rgb, like=like), [[0, 0, 255]])


@pytest.mark.parametrize(
    ('array', 'message'),
    [
        (np.zeros((4, 4), complex), 'real numbers.*complex128.*magnitude'),
        (np.zeros((4, 4), 'U3'), 'real numbers'),
        (np.zeros((4, 4), 'M8[s]'), 'real numbers'),
        (np.array([[None, 1]]), 'real numbers'),
        ([[1, 2], [3]], 'array of numbers'),
        (np.zeros((0, 4)), 'at least one pixel'),
        (np.zeros((4, 0, 3)), 'at least one pixel'),
        (np.zeros((4, 4, 0)), 'at least one pixel'),
        (np.zeros((30, 40, 50)), r'2-D.*\(30, 40, 50\).*one plane'),
        (np.zeros(40), r'2-D.*\(40,\)'),
        (np.float64(3), '2-D'),
        (np.zeros((2, 2, 2, 2)), '2-D'),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(
    array: Any, message: str
) -> None:
    for reader in (check_image, to_rgb):
        with pytest.raises(InputError, match=f'^source .*{message}') as info:
            reader(array, name='source')
        assert '\n' not in str(info.value)


@pytest.mark.parametrize(
    ('shape', 'axis'), [((4, 5), 0), ((4, 5, 3), 3), ((4, 5, 3), -4)]
)
def test_an_axis_that_is_not_there_is_refused(
    shape: tuple[int, ...], axis: int
) -> None:
    with pytest.raises(InputError, match=f'channel_axis={axis}'):
        check_image(np.zeros(shape), channel_axis=axis)


def test_lists_and_views_of_any_order_are_read() -> None:
    image = np.random.default_rng(0).integers(0, 255, (9, 14, 3), np.uint8)
    expected = to_rgb(image)
    for same in (
        image.tolist(),
        np.asfortranarray(image),
        image[::-1][::-1],
        np.moveaxis(np.ascontiguousarray(np.moveaxis(image, 2, 0)), 0, 2),
    ):
        array = np.asarray(same, np.uint8)
        np.testing.assert_array_equal(to_rgb(array), expected)
    image.flags.writeable = False
    np.testing.assert_array_equal(to_rgb(image), expected)


def test_images_that_are_not_in_memory(tmp_path: Path) -> None:
    dask = pytest.importorskip('dask.array')
    image = np.random.default_rng(0).integers(0, 255, (3, 90, 70), np.uint8)
    mapped = np.memmap(
        tmp_path / 'image', image.dtype, mode='w+', shape=image.shape
    )
    mapped[:] = image
    for lazy in (dask.from_array(image, chunks=(1, 32, 32)), mapped):
        np.testing.assert_array_equal(to_rgb(lazy), to_rgb(image))
        np.testing.assert_array_equal(
            to_working(lazy, size=32), to_working(image, size=32)
        )
        back = from_rgb(to_rgb(image), like=lazy)
        np.testing.assert_array_equal(back, image)


@pytest.mark.parametrize('shape', [(512, 512), (301, 640), (37, 1000)])
def test_shrinking_does_not_alias(shape: tuple[int, int]) -> None:
    stripes = np.zeros(shape, np.uint8)
    stripes[:, ::2] = 255
    small = to_working(stripes, size=32)
    assert small[:, 1:-1].std() < 0.02
    np.testing.assert_allclose(small.mean(), 0.5, atol=0.01)


def test_shrinking_agrees_with_an_area_mean() -> None:
    image = data.astronaut()
    small = to_working(image, size=64)
    # The mean over pairs of blocks is what both filters agree on.
    expected = transform.downscale_local_mean(image / 255, (32, 32, 1))
    found = transform.downscale_local_mean(small, (4, 4, 1))
    assert np.abs(found - expected).mean() < 0.01


@pytest.mark.parametrize('shape', [(101, 64), (64, 333), (20, 20), (5, 7)])
@pytest.mark.parametrize('size', [32, 96])
def test_a_ramp_keeps_its_place(shape: tuple[int, int], size: int) -> None:
    rows, columns = ((np.arange(n) + 0.5) / n for n in shape)
    image = (rows[:, None] + columns) / 2
    small = to_working(image, size=size)[..., 0]
    center = (np.arange(size) + 0.5) / size
    expected = (center[:, None] + center) / 2
    # Borders repeat the outermost pixels, so a margin is left out.
    edge = 1 + size // min(*shape, size)
    inner = (slice(edge, -edge),) * 2
    np.testing.assert_allclose(small[inner], expected[inner], atol=5e-4)


def test_an_image_of_working_size_is_left_alone() -> None:
    image = data.astronaut()[:64, :64]
    np.testing.assert_allclose(
        to_working(image, size=64), to_rgb(image), atol=1e-6
    )


@pytest.mark.parametrize('shape', [(1, 1), (4096, 16), (16, 4096), (61, 1)])
def test_extreme_sizes(shape: tuple[int, int]) -> None:
    image = np.full(shape, 128, np.uint8)
    small = to_working(image, size=64)
    assert small.shape == (64, 64, 3)
    assert small.flags.c_contiguous
    np.testing.assert_allclose(small, 128 / 255, rtol=1e-5)


@pytest.mark.parametrize('scale', [1e-9, 1e-3, 0.04])
def test_small_numbers_show_what_others_show(scale: float) -> None:
    """Heights in meters, or counts over the largest one of their type."""
    image = np.random.default_rng(0).integers(0, 60_000, (24, 30), np.uint16)
    as_float = image / 60_000 * scale
    assert why_blank(Plane.of(as_float), to_working(as_float, size=64)) == ''
    np.testing.assert_allclose(
        to_rgb(as_float), to_rgb(image), atol=1e-4, rtol=0
    )


def test_rounding_shows_nothing() -> None:
    noise = 1e-9 * np.random.default_rng(0).random((24, 30))
    image = 0.03 * (1 + noise)
    assert why_blank(Plane.of(image), to_working(image, size=64))
