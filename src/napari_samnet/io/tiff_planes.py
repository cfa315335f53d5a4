"""Planes of a TIFF file: which there are, and how one is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_samnet.arrays.lazy import is_large, new_array
from napari_samnet.io.size_limits import check_tiff

#: Without an axis of its own, so few columns hold channels, not pixels.
_MAX_CHANNEL_COLUMNS = 8


@dataclass(frozen=True)
class PlaneAddress:
    """A plane of a file: which series, and where on its leading axes."""

    series: tifffile.TiffPageSeries
    index: tuple[int, ...]


def pictures_of(
    content: tifffile.TiffFile,
) -> list[tifffile.TiffPageSeries]:
    """Series of the file, without previews of another one."""
    all_series = [series for series in content.series if series.shape]
    if not all_series:
        raise ValueError('it has no picture')
    full = [
        series
        for series in all_series
        if not (series.keyframe.is_reduced or series.keyframe.is_mask)
    ]
    return full or all_series


def inside_axes(series: tifffile.TiffPageSeries) -> set[str]:
    """Axes within one picture; channels where there are no samples."""
    return {'Y', 'X', 'S' if 'S' in series.axes else 'C'}


def _is_rows_of_channels(series: tifffile.TiffPageSeries) -> bool:
    """Whether its pages are rows of pixels with channels, as one picture."""
    shape = series.shape
    return (
        len(shape) == 3
        and series.axes[0] == 'Q'
        and shape[0] > 1
        and shape[2] <= _MAX_CHANNEL_COLUMNS
    )


def leading_axes(
    series: tifffile.TiffPageSeries,
) -> list[tuple[int, str, int]]:
    """Position, name and size of the axes that make a series a stack."""
    if _is_rows_of_channels(series):
        return []
    inside = inside_axes(series)
    return [
        (position, axis, size)
        for position, (axis, size) in enumerate(
            zip(series.axes, series.shape, strict=True)
        )
        if axis not in inside and size > 1
    ]


def _selection(
    series: tifffile.TiffPageSeries, index: tuple[int, ...]
) -> tuple[Any, ...]:
    """What picks a plane from the whole series, without axes of size one."""
    if _is_rows_of_channels(series):
        return (slice(None),) * 3
    inside = inside_axes(series)
    where: list[Any] = [
        slice(None) if axis in inside else 0 for axis in series.axes
    ]
    for (position, _, _), number in zip(
        leading_axes(series), index, strict=True
    ):
        where[position] = number
    return tuple(where)


def places_of(series: tifffile.TiffPageSeries) -> Iterator[PlaneAddress]:
    sizes = tuple(size for _, _, size in leading_axes(series))
    for index in np.ndindex(sizes):
        yield PlaneAddress(series, index)


def read_place(
    content: tifffile.TiffFile, place: PlaneAddress, name: str, file: Path
) -> NDArray[Any]:
    """One plane, with its channels where the series has them."""
    series = place.series
    where = _selection(series, place.index)
    if not leading_axes(series):
        return read_whole(content, series, name, file)[where]
    mapped = _mapped(content, series, file)
    if mapped is not None:
        return mapped[where]
    outer = series.shape[: -len(series.keyframe.shape)]
    if prod(outer) != len(series.pages):
        return read_whole(content, series, name, file)[where]
    numbers = np.arange(prod(outer)).reshape(outer)[where[: len(outer)]]
    pages = [series.pages[int(number)] for number in np.ravel(numbers)]
    check_tiff(name, file, series, pages)
    shape = (*np.shape(numbers), *series.keyframe.shape)
    pixels = new_array(shape, series.dtype)
    flat = pixels.reshape(len(pages), *series.keyframe.shape)
    for part, page in zip(flat, pages, strict=True):
        part[...] = 0 if page is None else page.asarray()
    return pixels[(slice(None),) * np.ndim(numbers) + where[len(outer) :]]


def _mapped(
    content: tifffile.TiffFile, series: tifffile.TiffPageSeries, file: Path
) -> NDArray[Any] | None:
    """A large series as it lies in the file; None if it must be decoded."""
    size = prod(series.shape) * series.dtype.itemsize
    start = series.dataoffset
    dtype = np.dtype(content.byteorder + series.dtype.char)
    if (
        is_large(size)
        and start is not None
        and series.keyframe.is_memmappable
        and dtype.isnative
        and start + size <= file.stat().st_size
    ):
        mapped = np.memmap(file, dtype, 'r', start, series.shape)
        return mapped.view(np.ndarray)
    return None


def read_whole(
    content: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    name: str,
    file: Path,
) -> NDArray[Any]:
    """All numbers of a series; large ones are mapped, not read."""
    mapped = _mapped(content, series, file)
    if mapped is not None:
        return mapped
    check_tiff(name, file, series, list(series.pages))
    size = prod(series.shape) * series.dtype.itemsize
    if not is_large(size):
        return series.asarray()
    return series.asarray(out=new_array(series.shape, series.dtype))
