"""How much memory and time an image file may claim, before any is taken.

A few kilobytes of a compressed format can claim, or unpack to, any amount of
memory. Honest images do not: so what a header says is compared with the size
of its file and with the computer, and what a TIFF segment unpacks to with
what the header says.

All checks take what the message calls the image, and the file or folder that
it is read from; they raise an `InputError` of one line.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from napari_samnet.errors import InputError
from napari_samnet.io.segments import ALWAYS, DEFLATE_RATIO, check_segments

if TYPE_CHECKING:
    import tifffile
    from PIL import Image

#: Bytes from which on a file must be larger than the smallest possible one.
LARGE = 1 << 31

#: How many times its size a large file may unpack to.
LARGE_RATIO = 500

#: TIFF's number for no compression.
_NONE = 1

#: Bytes of a number in Pillow's modes; 1 in all others.
_MODE_BYTES = {'I;16': 2, 'I;16B': 2, 'I;16L': 2, 'I': 4, 'F': 4}


def check_claim(name: str, file: Path, claimed: int) -> None:
    """Refuse what an honest file would not claim, or no memory could hold.

    ``claimed``: bytes of the image in memory.
    """
    size = file.stat().st_size
    if claimed > max(
        ALWAYS, min(LARGE, DEFLATE_RATIO * size), LARGE_RATIO * size
    ):
        raise InputError(
            f'{name}: {file} claims {_amount(claimed)} in a file of '
            f'{_amount(size)}, which looks like a decompression bomb; save '
            f'it with less compression if it is none'
        )
    check_memory(name, file, claimed)


def check_memory(name: str, file: Path, claimed: int) -> None:
    """Refuse what no memory could hold; parameters as for `check_claim`."""
    memory = _memory()
    if claimed > memory:
        raise InputError(
            f'{name}: {file} needs {_amount(claimed)} of memory, this '
            f'computer has {_amount(memory)}'
        )


def check_picture(name: str, file: Path, image: Image.Image) -> None:
    """Check the header of a picture that Pillow has opened, not loaded."""
    pixels = image.width * image.height
    size = file.stat().st_size
    if image.format == 'PNG' and pixels > 8 * DEFLATE_RATIO * size:
        raise InputError(
            f'{name}: {file} is damaged: its header says {image.height} rows '
            f'and {image.width} columns, which a PNG of {size} bytes cannot '
            f'hold'
        )
    depth = _MODE_BYTES.get(image.mode, 1)
    check_claim(name, file, pixels * len(image.getbands()) * depth)


def check_pages(name: str, file: Path) -> None:
    """Refuse a TIFF file whose pages come back to themselves.

    Each page says where the next one begins; whoever follows a circle of
    them never ends.
    """
    with open(file, 'rb') as content:
        start = content.read(16)
        order = '<' if start[:2] == b'II' else '>'
        big = start[2:4] in (b'+\0', b'\0+')
        # Where the first page is; its number of entries; the next page.
        at, count, entry, link = (
            (8, 'Q', 20, 'Q') if big else (4, 'H', 12, 'I')
        )
        seen: set[int] = set()
        while True:
            offset = _number(content, at, order + link)
            if not offset:
                return
            if offset in seen:
                raise InputError(
                    f'{name}: {file} is damaged: its pages go round in a '
                    f'circle'
                )
            seen.add(offset)
            entries = _number(content, offset, order + count)
            if entries is None:
                return
            at = offset + struct.calcsize(order + count) + entry * entries


def _number(content: BinaryIO, at: int, kind: str) -> int | None:
    """One number of a file, None beyond its end."""
    size = struct.calcsize(kind)
    try:
        content.seek(at)
    except (OSError, OverflowError, ValueError):
        return None
    raw = content.read(size)
    return int(struct.unpack(kind, raw)[0]) if len(raw) == size else None


def check_tiff(
    name: str,
    file: Path,
    series: tifffile.TiffPageSeries,
    pages: Sequence[Any],
) -> None:
    """Check the headers of an image in a TIFF file, and its segments.

    ``pages``: those of its pages that will be read; a page that is not in the
    file is None.
    """
    keyframe = series.keyframe
    numbers = prod(series.shape)
    if len(pages) != len(series.pages):
        numbers = len(pages) * prod(keyframe.shape)
    check_claim(name, file, numbers * series.dtype.itemsize)
    stored = numbers * keyframe.bitspersample // 8
    size = file.stat().st_size
    if keyframe.compression == _NONE and stored > size:
        raise InputError(
            f'{name}: {file} is damaged: its header says {stored} bytes, '
            f'the file holds {size}'
        )
    for page in pages:
        if page is not None:
            check_segments(name, file, page)


def _memory() -> int:
    """Bytes of memory of this computer, as far as it tells."""
    try:
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (AttributeError, OSError, ValueError):
        return 1 << 62


def _amount(count: int) -> str:
    """Bytes for people."""
    value, unit = float(count), 'bytes'
    for larger in ('kB', 'MB', 'GB', 'TB', 'PB'):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f'{value:.3g} {unit}'
