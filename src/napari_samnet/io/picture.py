"""A picture as a file holds it, and as a person sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.lazy import is_large
from napari_samnet.errors import InputError

#: Asks for all pages as the channels of one picture.
ALL_PAGES = 'all'

#: EXIF orientation: whether rows and columns change places, and whether
#: rows, then columns, are reversed afterwards (EXIF 2.32, tag 0x0112).
_ORIENTATIONS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@dataclass(frozen=True)
class PlaneChoice:
    """Which part of a file is the picture."""

    #: Plane of a stack or picture of an animated file, from 0; 'all' for the
    #: pages of a stack as channels of one picture; None where a file must hold
    #: a single one.
    page: int | str | None = None
    #: Channel to take alone, from 0; None for all of them.
    channel: int | None = None


#: The one picture of a file, with all of its channels.
WHOLE_FILE = PlaneChoice()


@dataclass(frozen=True, eq=False, kw_only=True)
class Stored:
    """Numbers of one picture as the file holds them, and what they mean."""

    #: (H, W): in the file's own dtype, in native byte order.
    pixels: NDArray[Any]
    #: What the numbers mean: 'gray', 'rgb', 'palette' (indices), 'cmyk',
    #: 'ycbcr', 'cielab' (signed a and b), 'icclab' (a and b from 128),
    #: 'channels' (any number of measured channels), or 'array' (numbers whose
    #: axes have no names).
    space: str
    #: Axis of the channels; None for one number per pixel.
    channel_axis: int | None = None
    #: Bits of a number that are used; fewer than those of the dtype in a
    #: 12-bit picture that is stored in 16 bits.
    bits: int = 0
    #: Whether the smallest number is the brightest.
    white_is_zero: bool = False
    #: What the last channel is: '' (no opacity), 'straight', or
    #: 'premultiplied' where colors were multiplied by it.
    alpha: str = ''
    #: (N, 3) or (N, 4): colors of the indices, 8-bit, perhaps with opacity.
    palette: NDArray[np.uint8] | None = None
    #: ICC profile of the colors.
    profile: bytes | None = None
    #: Exponent that the file names instead of a profile; 1 for light.
    gamma: float | None = None
    #: EXIF orientation, 1 for none.
    orientation: int = 1
    #: Name of a compression that changes values; '' for none.
    lossy: str = ''
    #: Number of pixels where nothing was measured.
    nodata: float | None = None
    #: What the reader decided that a person may want to know.
    notices: tuple[str, ...] = ()

    def with_notices(self, *notices: str) -> Stored:
        """Copy with further notices, which come first."""
        return replace(self, notices=(*notices, *self.notices))

    def changed(self, **changes: Any) -> Stored:
        """Copy with some entries replaced; see :func:`dataclasses.replace`."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False, kw_only=True)
class Picture:
    """A picture as a person sees it."""

    #: Gray, RGB or RGBA in sRGB, or any number of channels, upright, in the
    #: file's own dtype where that can hold them.
    pixels: NDArray[Any]
    #: Axis of the channels where the file says so.
    channel_axis: int | None = None
    #: What the reader decided that a person may want to know, one line each.
    notices: tuple[str, ...] = ()
    #: ICC profile that the file's colors had before they became sRGB;
    #: :func:`~napari_samnet.io.image_files.write_png` takes it to write a
    #: picture in the same colors. None where there was none.
    profile: bytes | None = None
    #: EXIF orientation that was applied, 1 for none.
    orientation: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelPicture:
    """Labels of a file, and what the file says about them."""

    #: (H, W): one id per pixel, upright.
    labels: NDArray[Any]
    #: What the reader decided that a person may want to know, one line each.
    notices: tuple[str, ...] = ()
    #: 8-bit red, green and blue of the ids that the file has a color for.
    colors: dict[int, tuple[int, int, int]] | None = None
    #: Names of the ids that the file has a name for.
    names: dict[int, str] | None = None
    #: EXIF orientation that was applied, 1 for none.
    orientation: int = 1


def upright(
    pixels: NDArray[Any], orientation: int, channel_axis: int | None = None
) -> NDArray[Any]:
    """Turn and mirror a picture as its EXIF orientation says.

    ``pixels`` (H, W): as the file holds them.
    ``orientation``: from 1 to 8; anything else changes nothing, as in other
    programs.
    ``channel_axis``: axis of the channels, which stays where it is.
    Returns: rows from top to bottom; a view of a large array, else contiguous.
    """
    swap, rows, columns = _ORIENTATIONS.get(orientation, _ORIENTATIONS[1])
    if not (swap or rows or columns):
        return pixels
    plane = [axis for axis in range(pixels.ndim) if axis != channel_axis]
    if swap:
        pixels = np.swapaxes(pixels, *plane)
    reversed_axes = tuple(
        axis for axis, flip in zip(plane, (rows, columns), strict=True) if flip
    )
    pixels = np.flip(pixels, reversed_axes)
    # A turned copy of a large picture would double the memory it takes.
    return pixels if is_large(pixels.nbytes) else np.ascontiguousarray(pixels)


def one_picture(file: Path, page: int | None) -> tuple[str, ...]:
    """Say that a page was chosen where there is nothing to choose.

    Returns: a notice; empty where the choice is the one that there is.
    """
    if not page:
        return ()
    return (f'{file.name} holds one picture; page {page} is not looked for',)


def check_page(
    page: int, count: int, what: str, *, name: str, file: Path
) -> int:
    """Refuse a page that a file does not hold.

    ``file``: where it is read from. Raises InputError if it is not from 0 to
    one less than there are.
    """
    if 0 <= page < count:
        return page
    raise InputError(
        f'{name}: page must be from 0 to {count - 1}, as {file} has '
        f'{plural(count, what)}, got {page}'
    )


def choose_plane(
    page: int | None, count: int, what: str, *, name: str, file: Path
) -> tuple[int, tuple[str, ...]]:
    """Choose one of the planes of a file.

    ``page``: the number that was chosen, if any.
    Returns: ``plane``: its number, from 0; ``notices``: that there was nothing
    to choose, if something was chosen.
    Raises InputError if there are several and none is chosen, or one that is
    not there.
    """
    if count == 1:
        return 0, one_picture(file, page)
    if page is None:
        raise InputError(
            f'{name} must be one 2-D image, got {plural(count, what)} in '
            f'{file}: choose one from 0 to {count - 1} (--page N; in napari '
            f'the current plane)'
        )
    return check_page(page, count, what, name=name, file=file), ()


def plural(count: int, word: str) -> str:
    """A number and what it counts.

    ``word``: the singular; an s is added for any other number than one.
    Returns: such as '1 page' or '3 pages'.
    """
    return f'{count:,} {word}{"" if count == 1 else "s"}'
