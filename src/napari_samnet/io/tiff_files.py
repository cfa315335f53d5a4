"""One picture of a TIFF file: which one, and what its numbers mean.

TIFF 6.0 (Adobe, 1992) with its supplements. The compressions are those of
tifffile with imagecodecs; what they do not read, such as chroma at half the
resolution without JPEG, Pillow does.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.io.picture import (
    ALL_PAGES,
    Stored,
    check_page,
    one_picture,
    plural,
)
from napari_samnet.io.size_limits import check_pages
from napari_samnet.io.tiff_planes import (
    PlaneAddress,
    inside_axes,
    leading_axes,
    pictures_of,
    places_of,
    read_place,
    read_whole,
)

#: What an axis counts, for messages.
_COUNTED = {
    'Z': 'plane',
    'T': 'time point',
    'C': 'channel',
    'S': 'sample',
    'P': 'position',
    'I': 'page',
    'Q': 'page',
}


_JPEG = (6, 7, 33007, 34892)

_SPACES = {
    0: 'gray',
    1: 'gray',
    2: 'rgb',
    3: 'palette',
    5: 'cmyk',
    6: 'ycbcr',
    8: 'cielab',
    9: 'icclab',
}

#: Channels that carry color, the others are extra.
_COLOR_SAMPLES = {'gray': 1, 'palette': 1, 'cmyk': 4}

_RAW_CAMERA = (32803, 34892)


def read_tiff(file: Path, name: str, page: int | str | None = None) -> Stored:
    """Read one picture of a TIFF file.

    ``page``: which plane of a stack, counted from 0 through the file, or
    :data:`~napari_samnet.io.picture.ALL_PAGES` to take them as channels.
    Returns: its numbers; a large picture without compression is mapped, not
    read.
    Raises InputError if it is a stack and no page is chosen, or claims too
    much.
    """
    check_pages(name, file)
    with tifffile.TiffFile(file) as content:
        _refuse_camera_raw(content, name, file)
        pictures = pictures_of(content)
        series = pictures[0]
        notices: tuple[str, ...] = ()
        leading = leading_axes(series)
        ambiguous = _may_be_a_stack(content, series)
        if page == ALL_PAGES:
            return _as_channels(content, series, name, file)
        if page is not None:
            return _stored_page(content, pictures, int(page), name, file)
        if ambiguous:
            planes = read_place(content, PlaneAddress(series, ()), name, file)
            if (planes == planes[:1]).all():
                # Whatever they are, they are one gray picture.
                return _stored(series, planes)
        if leading or ambiguous:
            raise _stack(series, ambiguous, name, file)
        if len(pictures) > 1:
            notices = (
                f'{file.name} holds {plural(len(pictures), "picture")}; the '
                f'first is used',
            )
        pixels = read_place(content, PlaneAddress(series, ()), name, file)
        return _stored(series, pixels).with_notices(*notices)


def read_tiff_stack(file: Path, name: str) -> NDArray[Any]:
    """Read the first series of a TIFF file with all of its axes."""
    check_pages(name, file)
    with tifffile.TiffFile(file) as content:
        return read_whole(content, content.series[0], name, file)


def _may_be_a_stack(
    content: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> bool:
    """Whether one color picture of planes may be the pages of a stack."""
    return series.axes == 'SYX' and _is_untold(content, series)


def _is_untold(
    content: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> bool:
    """Whether planes may be pages, although the header says colors.

    Without being told, tifffile writes an array of three or four planes as
    the planes of a color picture. Only what a writer must have been told
    shows that it is one: names of the axes, a profile, or a fourth channel
    that is no opacity.
    """
    keyframe = series.keyframe
    return (
        content.is_shaped
        and series.axes.endswith('SYX')
        and keyframe.photometric == 2
        and keyframe.planarconfig == 2
        and all('axes' not in told for told in content.shaped_metadata or ())
        and _profile(keyframe) is None
        and tuple(keyframe.extrasamples) in ((), (2,))
    )


def _stack(
    series: tifffile.TiffPageSeries, ambiguous: bool, name: str, file: Path
) -> InputError:
    """What to say about more than two dimensions."""
    sizes = leading_axes(series)
    if ambiguous:
        count = series.shape[0]
        return InputError(
            f'{name} must be one 2-D image, got {count} planes in {file}, '
            f'which may be the pages of a stack or the colors of one '
            f'picture: choose a page from 0 to {count - 1}, or all as colors '
            f'(--page N or --page all; in napari the current plane)'
        )
    told = ' × '.join(
        plural(size, _COUNTED.get(axis, f'step of axis {axis}'))
        for _, axis, size in sizes
    )
    last = prod(size for _, _, size in sizes) - 1
    return InputError(
        f'{name} must be one 2-D image, got a stack of {told} in {file}: '
        f'choose a page from 0 to {last} (--page N; in napari the current '
        f'plane)'
    )


def _as_channels(
    content: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    name: str,
    file: Path,
) -> Stored:
    """The whole series as one picture with channels in front."""
    leading = leading_axes(series)
    if _may_be_a_stack(content, series) or not leading:
        pixels = read_place(content, PlaneAddress(series, ()), name, file)
        return _stored(series, pixels)
    if len(leading) > 1 or 'S' in series.axes or 'C' in series.axes:
        raise InputError(
            f'{name}: the pages of {file} cannot be channels, as its axes '
            f'are {series.axes} of {series.shape}: choose one page'
        )
    pixels = read_whole(content, series, name, file)
    return Stored(pixels=pixels, space='channels', channel_axis=0)


def _stored_page(
    content: tifffile.TiffFile,
    pictures: list[tifffile.TiffPageSeries],
    page: int,
    name: str,
    file: Path,
) -> Stored:
    """A chosen plane; planes are counted through all series."""
    places = [place for series in pictures for place in places_of(series)]
    series = pictures[0]
    if len(places) == 1 and not _may_be_a_stack(content, series):
        pixels = read_place(content, places[0], name, file)
        return _stored(series, pixels).with_notices(*one_picture(file, page))
    if _may_be_a_stack(content, series):
        check_page(page, series.shape[0], 'page', name=name, file=file)
        pixels = read_place(content, PlaneAddress(series, ()), name, file)
        bits = int(series.keyframe.bitspersample)
        return Stored(pixels=pixels[page], space='gray', bits=bits)
    check_page(page, len(places), 'page', name=name, file=file)
    place = places[page]
    pixels = read_place(content, place, name, file)
    stored = _stored(place.series, pixels)
    if _is_untold(content, place.series):
        planes = place.series.keyframe.samplesperpixel
        return stored.with_notices(
            f'{file.name} does not say what its {planes} planes a page '
            f'are: they are taken as the colors of one picture'
        )
    return stored


def _stored(series: tifffile.TiffPageSeries, pixels: NDArray[Any]) -> Stored:
    """What the numbers of a plane mean."""
    keyframe = series.keyframe
    photometric = int(keyframe.photometric)
    space = _SPACES.get(photometric)
    if space is None:
        kind = getattr(keyframe.photometric, 'name', photometric)
        raise ValueError(
            f'its colors are {kind}, which few programs know: save it as RGB'
        )
    compression = int(keyframe.compression)
    if (
        space == 'ycbcr'
        and compression in _JPEG
        and keyframe.planarconfig == 1
    ):
        # The decoder has made them red, green and blue, if it had all three.
        space = 'rgb'
    if space in ('cielab', 'icclab') and compression in _JPEG:
        # The decoder takes them for YCbCr; that of Pillow does not.
        raise NotImplementedError(f'its colors are {space} in JPEG')
    axis = _channel_axis(series, pixels)
    extra = [int(kind) for kind in keyframe.extrasamples]
    notices: tuple[str, ...] = ()
    alpha = ''
    if axis is not None and space in ('gray', 'palette'):
        if len(extra) == 1 and extra[0] in (1, 2):
            alpha = 'premultiplied' if extra[0] == 1 else 'straight'
        elif pixels.shape[axis] > 1:
            space = 'channels'
    elif axis is not None:
        pixels, alpha, notices = _without_extra(
            pixels, axis, _COLOR_SAMPLES.get(space, 3), extra
        )
    if axis is None and space not in ('gray', 'palette'):
        raise ValueError(f'its colors are {space}, but it has one channel')
    if (
        axis is not None
        and keyframe.planarconfig == 1
        and _bits(keyframe) == 1
    ):
        raise ValueError(
            'its channels have one bit each: save it with 8 bits a channel'
        )
    if space in ('cmyk', 'ycbcr') and pixels.dtype.kind not in 'uf':
        raise ValueError(f'its colors are {space} in signed numbers')
    return Stored(
        pixels=pixels,
        space=space,
        channel_axis=axis,
        bits=_bits(keyframe),
        white_is_zero=photometric == 0,
        alpha=alpha,
        palette=_palette(keyframe) if space == 'palette' else None,
        profile=_profile(keyframe),
        orientation=int(_tag(keyframe, 274, 1)),
        lossy='JPEG' if compression in _JPEG else '',
        nodata=_nodata(keyframe),
        notices=notices,
    )


def _channel_axis(
    series: tifffile.TiffPageSeries, pixels: NDArray[Any]
) -> int | None:
    """Axis of the channels of a plane, by the names of the axes."""
    if pixels.ndim == 2:
        return None
    kept = [axis for axis in series.axes if axis in inside_axes(series)]
    for letter in 'SC':
        if letter in kept and pixels.ndim == len(kept):
            return kept.index(letter)
    return pixels.ndim - 1


def _without_extra(
    pixels: NDArray[Any], axis: int, colors: int, extra: list[int]
) -> tuple[NDArray[Any], str, tuple[str, ...]]:
    """Colors and opacity, without samples that say no purpose."""
    alpha, keep = '', colors
    if extra and extra[0] in (1, 2) and pixels.shape[axis] > colors:
        alpha = 'premultiplied' if extra[0] == 1 else 'straight'
        keep += 1
    notices: tuple[str, ...] = ()
    if pixels.shape[axis] > keep:
        more = plural(pixels.shape[axis] - keep, 'more channel')
        notices = (f'{more} without a stated purpose left out',)
        where = [slice(None)] * pixels.ndim
        where[axis] = slice(keep)
        pixels = pixels[tuple(where)]
    return pixels, alpha, notices


def _bits(keyframe: tifffile.TiffPage) -> int:
    """Bits of a number; of the widest where colors differ, as in 5-6-5."""
    return int(np.max(keyframe.bitspersample))


def _tag(keyframe: tifffile.TiffPage, code: int, default: Any) -> Any:
    tag = keyframe.tags.get(code)
    return default if tag is None else tag.value


def _nodata(keyframe: tifffile.TiffPage) -> float | None:
    """Number of pixels without a measurement, as GDAL writes it."""
    try:
        return float(_tag(keyframe, 42113, ''))
    except (TypeError, ValueError):
        return None


def _profile(keyframe: tifffile.TiffPage) -> bytes | None:
    value = _tag(keyframe, 34675, None)
    return bytes(value) if isinstance(value, bytes) and value else None


def _palette(keyframe: tifffile.TiffPage) -> NDArray[np.uint8]:
    """Colors of the indices, 8-bit."""
    table = keyframe.colormap
    if table is None or table.ndim != 2 or table.shape[0] != 3:
        raise ValueError('it has no color table')
    # Some programs write 8-bit values where 16-bit ones belong.
    shift = 8 if table.max(initial=0) > 255 else 0
    return np.ascontiguousarray((table >> shift).T, np.uint8)


def _refuse_camera_raw(
    content: tifffile.TiffFile, name: str, file: Path
) -> None:
    """Refuse what a sensor saw; its first page is a preview."""
    first = content.pages.first
    kinds = {int(first.photometric)} | {
        int(page.photometric)
        for page in first.pages or ()
        if isinstance(page, tifffile.TiffPage)
    }
    # 50706 is the version of DNG.
    if 50706 in first.tags or kinds & {*_RAW_CAMERA}:
        raise InputError(
            f'{name}: {file} is a raw file of a camera: develop it, and save '
            f'it as TIFF or JPEG'
        )
