"""Channels of an image: their axis, and how they become colors."""

from __future__ import annotations

import numpy as np

from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError

#: Without `channel_axis`, an axis up to this long is read as channels.
MAX_TRAILING_CHANNELS = 8
MAX_LEADING_CHANNELS = 4

#: ITU-R BT.709 weights of red, green and blue in luminance.
LUMINANCE = (0.2126, 0.7152, 0.0722)

#: What lies below transparent pixels, on the scale of 0 to 1: neither bright
#: nor dark, so that a hidden part attracts no match.
NEUTRAL = np.float32(0.5)


def find_channel_axis(
    shape: tuple[int, ...], name: str, channel_axis: int | None
) -> int | None:
    """Find the axis of the channels.

    ``shape``: shape of the image.
    ``channel_axis``: the axis that was named; None to find it out.
    Returns: from 0 to 2; None for a gray image.
    Raises InputError if it is no 2-D image, or has no such axis.
    """
    if channel_axis is not None:
        whole = isinstance(channel_axis, (int, np.integer))
        if len(shape) != 3 or not (whole and -3 <= channel_axis < 3):
            raise InputError(
                f'{name} must have three axes, one of them '
                f'channel_axis={channel_axis!r}, got shape {shape}'
            )
        return channel_axis % 3
    if len(shape) == 2:
        return None
    if len(shape) == 3:
        if shape[2] <= MAX_TRAILING_CHANNELS:
            return 2
        if shape[0] <= MAX_LEADING_CHANNELS:
            return 0
    raise InputError(
        f'{name} must be a 2-D image, gray or with channels, got shape '
        f'{shape}: take one plane of a stack, or say which axis holds the '
        f'channels'
    )


def channels_to_colors(count: int, *, alpha: bool) -> FloatArray:
    """Linear map from channels to red, green and blue.

    Gray is repeated, the colors of RGB and RGBA are taken as they are, and
    other channels are shown in hues spread around the color circle.

    Returns: (3, count): weights; every channel adds as much light as any
    other.
    """
    if count == 1:
        return np.ones((3, 1), np.float32)
    if count == 3 or alpha:
        return np.eye(3, count, dtype=np.float32)
    hue = 6 * np.arange(count) / count
    ramp = np.abs((hue + np.array([[0], [4], [2]])) % 6 - 3) - 1
    colors = np.clip(ramp, 0, 1)
    return np.asarray(colors / colors.sum(1, keepdims=True), np.float32)


def colors_to_channels(to_color: FloatArray) -> FloatArray:
    """Linear map back from colors.

    ``to_color`` (3, count): what :func:`channels_to_colors` has made. Returns:
    (count, 3): luminance for gray; else a right inverse where there is one.
    """
    if to_color.shape[1] == 1:
        return np.array([LUMINANCE], np.float32)
    return np.linalg.pinv(to_color).astype(np.float32)


def over_neutral(unit: FloatArray, alpha: FloatArray | None) -> FloatArray:
    """Colors as they are seen on a gray ground.

    ``unit`` (rows, columns, 3 or more): from 0 to 1; channels after the colors
    are left out.
    ``alpha`` (rows, columns, 1): opacity from 0 to 1; None where nothing is
    hidden.
    Returns: (rows, columns, 3): a new array, from 0 to 1.
    """
    colors = np.ascontiguousarray(unit[..., :3])
    if alpha is not None:
        colors *= alpha
        colors += NEUTRAL * (1 - alpha)
    return colors
