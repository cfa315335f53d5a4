"""Every kind of image is read right, or refused in one line."""

from __future__ import annotations

from itertools import cycle, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soak.images import (
    ACCESS,
    CHANNELS,
    DTYPES,
    LAYOUTS,
    PROBLEMS,
    SHAPES,
    ImageKind,
)

from napari_samnet.errors import InputError
from napari_samnet.images.plane import Plane
from napari_samnet.images.rgb import check_image, to_rgb, to_working
from napari_samnet.matching.match import match

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    'size': 64,
    'window': 5,
    'iterations': 1,
    'device': 'cpu',
    'precision': 'fp32',
}

#: Values that a dtype can tell apart, as a share of the range.
RESOLUTION = {'float16': 2e-3}

FINITE = ('none', 'constant', 'zeros', 'negative')


def kinds(**fixed: Any) -> st.SearchStrategy[ImageKind]:
    """Images of any kind, small enough to have many of them."""
    drawn = {
        'shape': st.one_of(
            st.sampled_from(SHAPES),
            st.tuples(st.integers(1, 90), st.integers(1, 90)),
        ),
        'dtype': st.sampled_from(DTYPES),
        'channels': st.sampled_from(CHANNELS),
        'first': st.booleans(),
        'problem': st.sampled_from(PROBLEMS),
        'layout': st.sampled_from(LAYOUTS),
        'access': st.sampled_from(ACCESS),
        'seed': st.integers(0, 999),
    }
    return st.builds(
        ImageKind,
        **{**drawn, **{key: st.just(v) for key, v in fixed.items()}},
    )


def check_conversion(kind: ImageKind) -> None:
    """Colors and back, the same whatever the memory is like."""
    image, axis = kind.make(), kind.channel_axis
    plain = kind.plain.make()
    rgb = to_rgb(image, channel_axis=axis)
    assert rgb.shape == (*kind.shape, 3)
    assert rgb.dtype == np.float32
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    np.testing.assert_array_equal(rgb, to_rgb(plain, channel_axis=axis))
    small = to_working(image, size=32, channel_axis=axis)
    assert small.shape == (32, 32, 3)
    assert np.isfinite(small).all()
    # Bands of a lazy image are added up in another order.
    np.testing.assert_allclose(
        small, to_working(plain, size=32, channel_axis=axis), atol=1e-5
    )
    plane = Plane.of(image, name='image', channel_axis=axis)
    back, pixels = plane.empty()
    everything = slice(0, plane.shape[0])
    pixels[everything] = plane.with_colors(everything, rgb)
    assert back.shape == image.shape
    assert back.dtype == image.dtype
    if back.dtype.kind == 'f':
        assert np.isfinite(back).all()
    if kind.problem in FINITE:
        exact, given = (np.asarray(x, np.float64) for x in (back, plain))
        span = max(float(np.ptp(given)), 1.0)
        error = np.abs(exact - given).max()
        # Of very many values the range is that of the central ones.
        if np.prod(kind.shape) < 4096:
            assert error <= RESOLUTION.get(kind.dtype, 1e-6) * span


@pytest.mark.parametrize('channels', CHANNELS)
@pytest.mark.parametrize('dtype', DTYPES)
def test_every_combination_is_converted(
    dtype: str, channels: int | None
) -> None:
    others = cycle(product((False, True), LAYOUTS, ACCESS))
    small = [shape for shape in SHAPES if max(shape) < 100]
    cases = list(product(small, PROBLEMS))
    # Of the large shapes, which take time, one problem each.
    turn = DTYPES.index(dtype) + CHANNELS.index(channels)
    for shape in set(SHAPES) - set(small):
        cases.append((shape, PROBLEMS[(turn + shape[0]) % len(PROBLEMS)]))
    for shape, problem in cases:
        first, layout, access = next(others)
        check_conversion(
            ImageKind(
                shape=shape,
                dtype=dtype,
                channels=channels,
                first=first,
                problem=problem,
                layout=layout,
                access=access,
            )
        )


@settings(max_examples=100)
@given(kind=kinds())
def test_any_combination_is_converted(kind: ImageKind) -> None:
    check_conversion(kind)


@settings(max_examples=25)
@given(source=kinds(), target=kinds(), attributes=st.booleans())
def test_any_two_images_are_matched(
    source: ImageKind, target: ImageKind, attributes: bool
) -> None:
    images = source.make(), target.make()
    found = match(
        *images,
        **SMALL,
        attributes=attributes,
        source_channel_axis=source.channel_axis,
        target_channel_axis=target.channel_axis,
    )
    for flow, confidence, shape in (
        (found.flow, found.confidence, source.shape),
        (found.backward_flow, found.backward_confidence, target.shape),
    ):
        assert flow.shape == (*shape, 2)
        assert flow.dtype == confidence.dtype == np.float32
        assert confidence.shape == shape
        assert np.isfinite(flow).all()
        assert confidence.min() >= 0
        assert confidence.max() <= 1
    assert np.isfinite(found.consistency).all()
    if attributes:
        assert found.transferred is not None
        assert found.transferred.shape == images[0].shape
        assert found.transferred.dtype == images[0].dtype
        assert np.isfinite(found.transferred.astype(float)).all()
    else:
        assert found.transferred is None
    # How the numbers lie in memory is no part of the image.
    again = match(
        source.plain.make(),
        target.plain.make(),
        **SMALL,
        attributes=attributes,
        source_channel_axis=source.channel_axis,
        target_channel_axis=target.channel_axis,
    )
    np.testing.assert_allclose(found.forward, again.forward, atol=1e-4)


@settings(max_examples=60)
@given(kind=kinds(), dtype=st.sampled_from(['complex64', 'complex128', 'U4']))
def test_what_are_no_real_numbers_is_refused(
    kind: ImageKind, dtype: str
) -> None:
    image = np.asarray(kind.make()).astype(dtype)
    for call in (check_image, to_rgb):
        with pytest.raises(InputError, match='must hold real') as caught:
            call(image, channel_axis=kind.channel_axis)
        assert '\n' not in str(caught.value)
    with pytest.raises(InputError, match='target must hold real'):
        match(
            np.zeros((5, 5)),
            image,
            target_channel_axis=kind.channel_axis,
        )


@settings(max_examples=200)
@given(
    shape=st.lists(st.integers(0, 12), max_size=5),
    dtype=st.sampled_from([*DTYPES, 'complex64', 'O', 'M8[s]', 'V4']),
    axis=st.one_of(st.none(), st.integers(-5, 5)),
)
def test_any_shape_is_an_image_or_refused_in_one_line(
    shape: list[int], dtype: str, axis: int | None
) -> None:
    array = np.zeros(shape, dtype)
    try:
        found = check_image(array, channel_axis=axis)
    except InputError as error:
        message = str(error)
    else:
        assert to_rgb(array, channel_axis=axis).shape == (*found, 3)
        return
    assert '\n' not in message
    assert message.startswith('image ')


@settings(max_examples=150)
@given(
    value=st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=3),
            st.binary(max_size=3),
        ),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=12,
    )
)
def test_anything_else_is_an_image_or_refused_in_one_line(value: Any) -> None:
    try:
        found = check_image(value)
    except InputError as error:
        message = str(error)
    else:
        assert np.isfinite(to_rgb(value)).all()
        assert min(found) > 0
        return
    assert '\n' not in message
