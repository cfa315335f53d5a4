"""What a file's numbers look like: any color space to sRGB.

Sources: TIFF 6.0, sections 20 to 23 (YCbCr, CIE L*a*b*); ITU-R BT.601 (luma);
IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.dtypes import as_dtype
from napari_samnet.arrays.tiles import tiles
from napari_samnet.io.icc_profiles import (
    Convert,
    by_bands,
    by_profile,
    describe_profile,
    is_visible,
    profile_space,
)
from napari_samnet.io.picture import Picture, Stored, upright

Array = NDArray[Any]

#: XYZ at D50, the white of L*a*b* in files, to linear sRGB (Bradford).
_XYZ_TO_RGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
_D50 = (0.96422, 1.0, 0.82521)

#: ITU-R BT.601 weights of red and blue in luma.
_LUMA_RED, _LUMA_BLUE = 0.299, 0.114

#: Exponent of what a screen shows for a number, as PNG takes it.
_DISPLAY_GAMMA = 0.45455


def as_seen(stored: Stored, name: str) -> Picture:
    """Make of a file's numbers what a person sees.

    Returns: the picture in sRGB and upright; in the file's own dtype where it
    can hold that.
    """
    stored = _without_nodata(stored)
    pixels, axis = stored.pixels, stored.channel_axis
    notices = list(stored.notices)
    profile = None
    if stored.space == 'palette':
        pixels, axis = _from_palette(stored), 2
    elif stored.space not in ('channels', 'array'):
        pixels = _brightness(stored)
        if axis not in (None, 2) and stored.space != 'gray':
            pixels, axis = np.moveaxis(pixels, axis or 0, 2), 2
        convert, profile, notice = _conversion(stored, name)
        if convert is not None:
            pixels = by_bands(pixels, convert)
        if notice:
            notices.append(notice)
        if stored.alpha:
            pixels = _straight(pixels, stored.alpha == 'premultiplied')
            axis = None if pixels.ndim == 2 else 2
    if axis is not None and pixels.shape[axis] == 1:
        pixels, axis = pixels[(slice(None),) * axis + (0,)], None
    if stored.space == 'channels' and axis == 2 and pixels.shape[2] in (3, 4):
        # On the last axis these would be taken for colors.
        pixels, axis = np.moveaxis(pixels, 2, 0), 0
    return Picture(
        pixels=upright(pixels, stored.orientation, axis),
        channel_axis=axis,
        notices=tuple(notices),
        profile=profile,
        orientation=stored.orientation,
    )


def _without_nodata(stored: Stored) -> Stored:
    """Pixels without a measurement hidden, or NaN where there is one."""
    pixels, number = stored.pixels, stored.nodata
    if number is None or stored.alpha or stored.space not in ('gray', 'rgb'):
        return stored
    empty = pixels == number
    axis = stored.channel_axis
    hidden = empty if axis is None else empty.all(axis)
    if not hidden.any():
        return stored
    if pixels.dtype.kind == 'f':
        where = hidden if axis is None else np.expand_dims(hidden, axis)
        return stored.changed(pixels=np.where(where, np.nan, pixels))
    colors = pixels if axis is None else np.moveaxis(pixels, axis, -1)
    opacity = np.where(hidden, 0, np.iinfo(pixels.dtype).max)
    return stored.changed(
        pixels=np.dstack([colors, opacity.astype(pixels.dtype)]),
        channel_axis=2,
        alpha='straight',
    )


def _brightness(stored: Stored) -> Array:
    """Numbers that grow with the light, and use the range of their dtype."""
    pixels, bits = stored.pixels, stored.bits
    kind = pixels.dtype.kind
    if stored.white_is_zero:
        pixels = by_bands(pixels, _inversion(pixels, bits))
    full = 8 * pixels.dtype.itemsize
    # Gray and colors of 12 bits stay; what is converted counts in full range.
    colors = stored.space in ('gray', 'rgb')
    converted = stored.profile is not None or stored.gamma is not None
    widened = stored.space in ('cmyk', 'ycbcr') or (
        colors and (converted or full == 8)
    )
    if widened and kind == 'u' and 1 < bits < full:
        pixels = by_bands(pixels, _widening(pixels.dtype, bits))
    return pixels


def _widening(dtype: np.dtype[Any], bits: int) -> Convert:
    """Bring numbers of few bits to the range of their dtype."""
    top, largest = (1 << bits) - 1, int(np.iinfo(dtype).max)

    def widen(block: Array) -> Array:
        return (block.astype(np.uint64) * largest // top).astype(dtype)

    return widen


def _inversion(pixels: Array, bits: int) -> Convert:
    if pixels.dtype.kind == 'f':
        finite = pixels[np.isfinite(pixels)]
        low = float(finite.min(initial=0))
        high = float(finite.max(initial=1))
        return lambda block: (low + high - block).astype(block.dtype)
    if pixels.dtype.kind == 'u' and bits < 8 * pixels.dtype.itemsize:
        top = pixels.dtype.type((1 << bits) - 1)
        return lambda block: top - np.minimum(block, top)
    return lambda block: ~block


def _from_palette(stored: Stored) -> Array:
    """Colors of indices, with opacity where some are transparent."""
    table = stored.palette
    assert table is not None
    pixels, alpha = stored.pixels, None
    if stored.channel_axis is not None:
        pixels, alpha = np.moveaxis(pixels, stored.channel_axis, 0)[:2]
    opaque = table.shape[1] == 4 and (table[:, 3] == 255).all()
    # An index without a color is black, as elsewhere.
    full = np.zeros((max(len(table), int(pixels.max()) + 1), 4), np.uint8)
    full[:, 3] = 255
    full[: len(table), : table.shape[1]] = table
    used = full if table.shape[1] == 4 and not opaque else full[:, :3]
    colors = by_bands(pixels, lambda block: used[block])
    if alpha is None or (alpha == 255).all():
        return colors
    return np.dstack([colors[..., :3], alpha])


def _conversion(
    stored: Stored, name: str
) -> tuple[Convert | None, bytes | None, str]:
    """What brings the colors to sRGB, their profile, and a notice."""
    space, profile = stored.space, stored.profile
    if space == 'ycbcr':
        return _ycbcr, None, ''
    if space in ('cielab', 'icclab'):
        return (lambda block: _lab(block, space == 'icclab')), None, ''
    expected = {'rgb': 'RGB ', 'gray': 'GRAY', 'cmyk': 'CMYK'}[space]
    if profile is not None and profile_space(profile) == expected:
        convert = by_profile(space, profile)
        if convert is not None:
            told = describe_profile(profile)
            kept = None if space == 'cmyk' else profile
            notice = f'{name}: colors converted from {told} to sRGB'
            if is_visible(convert, space):
                return _on_colors(convert, space), kept, notice
            return None, None, ''
    if space == 'cmyk':
        return _on_colors(_cmyk, space), None, ''
    if stored.gamma is not None:
        exponent = _DISPLAY_GAMMA / stored.gamma
        notice = f'{name}: brightness converted from gamma {stored.gamma:.3g}'
        return _on_colors(_power(exponent), space), None, notice
    return None, None, ''


def _on_colors(convert: Convert, space: str) -> Convert:
    """Convert the color channels, and keep those after them."""
    count = {'gray': 1, 'rgb': 3, 'cmyk': 4}[space]

    def apply(block: Array) -> Array:
        if block.ndim == 2:
            return convert(block)
        if space == 'gray':
            first = convert(np.ascontiguousarray(block[..., 0]))[..., None]
        else:
            first = convert(np.ascontiguousarray(block[..., :count]))
        if block.shape[2] == count:
            return first
        return np.concatenate([first, block[..., count:]], axis=2)

    return apply


def _unit(block: Array) -> tuple[NDArray[np.float64], float]:
    """Numbers as float, and the number that stands for 1."""
    if block.dtype.kind == 'f':
        return block.astype(np.float64), 1.0
    return block.astype(np.float64), float(np.iinfo(block.dtype).max)


def _cmyk(block: Array) -> Array:
    """Ink to light without a profile: each ink and black take their share."""
    values, top = _unit(block)
    light = (top - values[..., :3]) * (top - values[..., 3:]) / top
    return as_dtype(light, block.dtype)


def _ycbcr(block: Array) -> Array:
    """Luma and chroma to red, green and blue, full range (TIFF 6.0, 21)."""
    values, top = _unit(block)
    middle = (top + 1) / 2 if block.dtype.kind != 'f' else 0.5
    luma, blue, red = (values[..., k] for k in range(3))
    r = luma + 2 * (1 - _LUMA_RED) * (red - middle)
    b = luma + 2 * (1 - _LUMA_BLUE) * (blue - middle)
    green_weight = 1 - _LUMA_RED - _LUMA_BLUE
    g = (luma - _LUMA_RED * r - _LUMA_BLUE * b) / green_weight
    colors = np.clip(np.stack([r, g, b], -1), 0, top)
    return as_dtype(colors, block.dtype)


def _lab(block: Array, from_middle: bool) -> Array:
    """CIE L*a*b* to sRGB (TIFF 6.0, section 23)."""
    size = 8 * block.dtype.itemsize
    if block.dtype.kind == 'f':
        lightness, a, b = (block[..., k].astype(float) for k in range(3))
        out_dtype, top = np.dtype(block.dtype), 1.0
    else:
        per_unit = float(1 << (size - 8))
        unsigned = np.dtype(f'u{block.dtype.itemsize}')
        lightness = block[..., 0].view(unsigned) * (
            100 / float(np.iinfo(unsigned).max)
        )
        if from_middle:
            a, b = (
                block[..., k].view(unsigned) / per_unit - 128 for k in (1, 2)
            )
        else:
            signed = np.dtype(f'i{block.dtype.itemsize}')
            a, b = (block[..., k].view(signed) / per_unit for k in (1, 2))
        out_dtype, top = unsigned, float(np.iinfo(unsigned).max)
    y = (lightness + 16) / 116
    cube = np.stack([y + a / 500, y, y - b / 200], -1)
    # CIE 15: a line instead of the cube root near black.
    xyz = np.where(cube > 6 / 29, cube**3, (cube - 4 / 29) * 108 / 841)
    linear = np.clip((xyz * _D50) @ _XYZ_TO_RGB.T, 0, 1)
    seen = np.where(
        linear <= 0.0031308,
        12.92 * linear,
        1.055 * np.maximum(linear, 1e-12) ** (1 / 2.4) - 0.055,
    )
    return as_dtype(np.clip(seen, 0, 1) * top, out_dtype)


def _power(exponent: float) -> Convert:
    def apply(block: Array) -> Array:
        values, top = _unit(block)
        return as_dtype(
            top * np.clip(values / top, 0, None) ** exponent, block.dtype
        )

    return apply


def _straight(pixels: Array, premultiplied: bool) -> Array:
    """Colors beside their opacity; without it where all is opaque."""
    kind = pixels.dtype.kind
    top = 1 if kind in 'fb' else np.iinfo(pixels.dtype).max
    bands = tiles((pixels.shape[0], max(1, pixels.shape[1])))
    if all((pixels[rows, ..., -1] == top).all() for rows, _ in bands):
        return pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]

    def apply(block: Array) -> Array:
        colors, alpha = block[..., :-1], block[..., -1:]
        if premultiplied:
            share = np.maximum(alpha.astype(np.float64) / top, 1e-12)
            colors = as_dtype(np.clip(colors / share, 0, top), block.dtype)
        if colors.shape[2] == 1:
            colors = np.repeat(colors, 3, axis=2)
        return np.concatenate([colors, alpha], axis=2)

    return by_bands(pixels, apply)
