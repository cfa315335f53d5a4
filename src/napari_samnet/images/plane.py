"""One 2-D image of any kind, read in bands of rows.

In memory or lazy (dask, zarr, HDF5, memory maps), gray, RGB, RGBA or with any
number of channels: only slices of the user's array are ever read, and they
come back as numbers in [0, 1] or as colors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.checks import as_array
from napari_samnet.arrays.dtypes import as_dtype, check_limits, value_range
from napari_samnet.arrays.lazy import RowCache, new_array
from napari_samnet.arrays.tiles import tiles
from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError
from napari_samnet.images.channels import (
    channels_to_colors,
    colors_to_channels,
    find_channel_axis,
    over_neutral,
)

#: Less opacity than this does not make a color change larger.
LEAST_OPACITY = np.float32(0.1)

#: Modes of pictures of Pillow whose numbers are light; those of others are
#: places in a palette, ink, or other spaces of color.
PILLOW_MODES = ('1', 'L', 'LA', 'I', 'F', 'I;16', 'I;16B', 'RGB', 'RGBA')

#: Values looked at to find the range of an image.
SAMPLE_VALUES = 1 << 22


@dataclass(frozen=True, eq=False)
class Plane:
    """A checked 2-D image, seen as rows of pixels with channels last.

    Use :meth:`of` to make one.
    """

    #: The image as it was given; only slices of it are ever read.
    data: Any
    #: Axis of `data` that holds the channels; None for a gray image.
    channel_axis: int | None = None
    #: Values that become 0 and 1, instead of the image's own range.
    contrast_limits: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        array: Any,
        *,
        name: str = 'image',
        channel_axis: int | None = None,
        contrast_limits: tuple[float, float] | None = None,
    ) -> Plane:
        """Check an image and find its channels.

        ``array`` (array_like or Plane): the image, see :func:`to_rgb`. A plane
        was checked before and is returned as it is, so that its range is found
        only once.
        Raises InputError if it is not a 2-D image of real numbers.
        """
        if isinstance(array, cls):
            return array
        # Memory maps have a mode as well.
        mode = array.mode if hasattr(array, 'getbands') else 'RGB'
        if mode not in PILLOW_MODES:
            raise InputError(
                f'{name} must be gray or RGB, got a picture of Pillow of '
                f"mode {mode}: use .convert('RGB')"
            )
        array = as_array(array, name)
        if array.dtype.kind not in 'biuf':
            hint = (
                ': take its magnitude or real part'
                if array.dtype.kind == 'c'
                else ''
            )
            raise InputError(
                f'{name} must hold real numbers (bool, integer or float), '
                f'got {array.dtype}{hint}'
            )
        axis = find_channel_axis(tuple(array.shape), name, channel_axis)
        if 0 in array.shape:
            raise InputError(
                f'{name} must have at least one pixel, got shape '
                f'{tuple(array.shape)}'
            )
        if contrast_limits is not None:
            contrast_limits = check_limits(contrast_limits, name)
        return cls(array, axis, contrast_limits)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of number of the image."""
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    @property
    def channels(self) -> int:
        """Number of channels, 1 for gray."""
        if self.channel_axis is None:
            return 1
        return int(self.data.shape[self.channel_axis])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        sides = list(self.data.shape)
        if self.channel_axis is not None:
            del sides[self.channel_axis]
        return int(sides[0]), int(sides[1])

    @property
    def has_alpha(self) -> bool:
        """Whether the last of four channels is kept as it is."""
        return self.channel_axis == 2 and self.channels == 4

    @cached_property
    def opaque_value(self) -> float | None:
        """Value of the last channel that hides nothing of what is below.

        None where the last channel is no opacity: a fourth measured channel
        hardly ever reaches the largest number exactly, an opacity does.
        """
        if not self.has_alpha or self.dtype.kind == 'b':
            return None
        full = 1.0
        if self.dtype.kind in 'iu':
            full = float(np.iinfo(self.dtype).max)
        height, width = self.shape
        step = int(np.ceil(np.sqrt(max(1, height * width / SAMPLE_VALUES))))
        alpha = self.rows(slice(0, height), step)[..., 3]
        largest = float(alpha.max(initial=0))
        return full if largest == full else None

    def opacity_rows(self, rows: slice) -> FloatArray | None:
        """Read opacity.

        Returns: (rows, columns, 1): from 0 to 1; None where nothing is hidden.
        """
        return self._opacity(self.rows(rows))

    def _opacity(self, block: npt.NDArray[Any]) -> FloatArray | None:
        """Opacity of pixels in the image's own dtype."""
        full = self.opaque_value
        if full is None:
            return None
        alpha = block[..., 3:].astype(np.float32) / np.float32(full)
        np.nan_to_num(alpha, copy=False, nan=0.0)
        np.clip(alpha, 0, 1, out=alpha)
        return None if (alpha == 1).all() else alpha

    def rows(self, rows: slice, step: int = 1) -> npt.NDArray[Any]:
        """Read pixels.

        ``step``: take every so many pixels, in both directions. Returns:
        (rows, columns, channels): in the image's own dtype.
        """
        if step == 1:
            block = self._cache.rows(rows)
        else:
            where: list[slice] = [
                slice(rows.start, rows.stop, step),
                slice(None, None, step),
            ]
            if self.channel_axis is not None:
                where.insert(self.channel_axis, slice(None))
            block = np.asarray(self.data[tuple(where)])
        if self.channel_axis is None:
            return block[..., None]
        return np.moveaxis(block, self.channel_axis, -1)

    @cached_property
    def _cache(self) -> RowCache:
        return RowCache(self.data, 1 if self.channel_axis == 0 else 0)

    @cached_property
    def limits(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Values of each channel that become 0 and 1: two arrays (C,).

        The given contrast limits; else 0 to 1 for bool and for floats within
        it, unless they use less than a tenth of it; 0 to 255 for uint8; else
        the range of the finite values, or of the central 99.8 % of them where
        a few outliers would take up more than half of it. The colors of an
        RGB image share one range, the channels of a multi-channel image have
        their own.
        """
        ones = np.ones(self.channels)
        if self.contrast_limits is not None:
            low, high = self.contrast_limits
            return low * ones, high * ones
        if self.dtype.kind == 'b':
            return 0 * ones, ones
        if self.dtype == np.uint8:
            return 0 * ones, 255 * ones
        height, width = self.shape
        count = height * width * self.channels
        step = int(np.ceil(np.sqrt(max(1.0, count / SAMPLE_VALUES))))
        sample = self.rows(slice(0, height), step)
        if self.channels == 3 or self.has_alpha:
            low, high = value_range(sample[..., :3])
            return low * ones, high * ones
        pairs = [value_range(sample[..., k]) for k in range(self.channels)]
        return tuple(np.array(pairs).T)

    def unit_rows(self, rows: slice) -> FloatArray:
        """Read pixels, scaled to [0, 1] and finite.

        Returns: (rows, columns, channels): from 0 to 1, by the contrast
        limits.
        """
        return self._unit(self.rows(rows))

    def _unit(self, block: npt.NDArray[Any]) -> FloatArray:
        """Pixels in the image's own dtype, scaled to [0, 1] and finite."""
        low, high = (limit.astype(self._exact) for limit in self.limits)
        with np.errstate(over='ignore', invalid='ignore'):
            unit: npt.NDArray[Any] = block.astype(self._exact)
            if low.any():
                unit -= low
            if (high - low != 1).any():
                unit /= high - low
        if self.dtype.kind == 'f':
            np.nan_to_num(unit, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        np.clip(unit, 0, 1, out=unit)
        return np.asarray(unit, np.float32, order='C')

    @property
    def _exact(self) -> type[np.floating[Any]]:
        """Float that tells all numbers of the image apart.

        Wider numbers than 16 bits may differ by less than float32 resolves.
        """
        return np.float32 if self.dtype.itemsize <= 2 else np.float64

    @cached_property
    def to_color(self) -> FloatArray:
        """Linear map from channels to red, green and blue: (3, C).

        Gray is repeated, the colors of RGB and RGBA are taken as they are,
        and other channels are shown in hues spread around the color circle.
        """
        return channels_to_colors(self.channels, alpha=self.has_alpha)

    @cached_property
    def from_color(self) -> FloatArray:
        """Linear map back: (C, 3); a right inverse where there is one."""
        return colors_to_channels(self.to_color)

    def rgb_rows(self, rows: slice) -> FloatArray:
        """Read pixels as colors.

        Returns: (rows, columns, 3): values from 0 to 1.
        """
        return self._rgb(self.rows(rows))

    def rgb_window(self, rows: slice, columns: slice) -> FloatArray:
        """Read a window of pixels as colors.

        ``rows``, ``columns``: first row or column and the one behind the last.
        Returns: (rows, columns, 3): in [0, 1], the same as a part of
        :meth:`rgb_rows`.
        """
        where = [rows, columns]
        if self.channel_axis is not None:
            where.insert(self.channel_axis, slice(None))
        block = np.asarray(self.data[tuple(where)])
        if self.channel_axis is None:
            block = block[..., None]
        else:
            block = np.moveaxis(block, self.channel_axis, -1)
        return self._rgb(block)

    def _rgb(self, block: npt.NDArray[Any]) -> FloatArray:
        """Pixels in the image's own dtype as colors."""
        unit = self._unit(block)
        if self.channels == 3:
            return unit
        if self.channels == 1:
            return np.repeat(unit, 3, axis=-1)
        if self.has_alpha:
            return over_neutral(unit, self._opacity(block))
        # Weights that sum to 1 may round to more.
        return np.minimum(unit @ self.to_color.T, np.float32(1))

    def with_colors(self, rows: slice, colors: FloatArray) -> npt.NDArray[Any]:
        """The image's own pixels with other colors.

        What colors cannot express stays: alpha, and of more than three
        channels the part that their three colors do not show.

        ``colors`` (rows, columns, 3): in [0, 1]; values outside are clipped.
        Returns: (rows, columns, channels): in the image's own dtype and range
        of values.
        """
        unit: npt.NDArray[Any] = colors
        if self.channels == 1:
            unit = colors @ self.from_color.T
        elif self.channels != 3:
            unit = self.unit_rows(rows)
            alpha = self.opacity_rows(rows) if self.has_alpha else None
            if alpha is None:
                change = colors - unit @ self.to_color.T
            else:
                change = colors - over_neutral(unit, alpha)
                change /= np.maximum(alpha, LEAST_OPACITY)
                change *= alpha > 0
            unit = unit + change @ self.from_color.T
        low, high = (limit.astype(self._exact) for limit in self.limits)
        values = np.nan_to_num(unit.astype(self._exact), nan=0.0, copy=False)
        np.clip(values, 0, 1, out=values)
        values *= high - low
        values += low
        out = as_dtype(values, self.dtype)
        if self.has_alpha:
            alpha = self.rows(rows)[..., 3]
            np.copyto(out[..., 3], alpha, where=np.isfinite(alpha))
        return out

    def bands(self) -> Iterator[slice]:
        """Blocks of rows that cover the image."""
        for rows, _ in tiles(self.shape):
            yield rows

    def empty(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """An array like the image, and a view of it with channels last."""
        out = new_array(tuple(self.data.shape), self.dtype)
        if self.channel_axis is None:
            return out, out[..., None]
        return out, np.moveaxis(out, self.channel_axis, -1)
