"""What the compressed parts of a TIFF file unpack to.

Streams of bytes are unpacked step by step, until they exceed what the header
of the file says; pictures within a picture have a header of their own, which
their decoders believe.
"""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any, cast

from PIL import Image

from napari_samnet.errors import InputError

#: Bytes that any file may unpack to.
ALWAYS = 1 << 28

#: No stream of DEFLATE makes more bytes out of one. Masks that are nearly
#: empty come close to it.
DEFLATE_RATIO = 1032

#: What a segment may hold beyond what its header says, for padding.
SLACK = 1 << 16

#: Bytes that a segment may unpack to without being looked at.
UNCHECKED = 1 << 24

#: Compressions of TIFF.
_DEFLATE = (8, 32946)
_LZMA = 34925
_ZSTD = (34926, 50000)
_JPEG = (6, 7, 33007, 34892)
_LERC = 34887
_PICTURES = {
    33003: 'JPEG2000',
    33004: 'JPEG2000',
    33005: 'JPEG2000',
    34712: 'JPEG2000',
    34927: 'WEBP',
    50001: 'WEBP',
    34933: 'PNG',
}
_OTHER_STREAMS = (1, 2, 3, 4, 5, 32773)


def check_segments(name: str, file: Path, page: Any) -> None:
    """Refuse segments of a page that unpack to more than the header says.

    Raises InputError if a segment claims or holds too much, or is compressed
    in a way whose claim cannot be checked.
    """
    keyframe = page.keyframe
    compression = int(keyframe.compression)
    source = keyframe.parent.filehandle
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    expected = prod(keyframe.chunks)
    if (
        compression in _JPEG
        or compression in _PICTURES
        or (compression == _LERC)
    ):
        for offset, count in segments:
            source.seek(offset)
            sides = _claimed_sides(source.read(count), compression)
            if sides is not None and prod(sides) > 2 * expected + SLACK:
                raise InputError(
                    f'{name}: {file} is damaged or a decompression bomb: a '
                    f'part of it claims {sides[0]} rows and {sides[1]} '
                    f'columns, of {expected} numbers in all'
                )
        return
    make = _unpacker(compression)
    if make is None:
        if compression not in (*_OTHER_STREAMS, *_ZSTD):
            kind = getattr(keyframe.compression, 'name', compression)
            raise InputError(
                f'{name}: {file} is compressed by {kind}, which is not read: '
                f'save it with LZW or deflate'
            )
        return
    size = expected * keyframe.dtype.itemsize
    limit = 2 * size + SLACK
    ratio = DEFLATE_RATIO if compression in _DEFLATE else 1 << 20
    for offset, count in segments:
        if count * ratio <= max(limit, UNCHECKED):
            continue
        source.seek(offset)
        if len(make().decompress(source.read(count), limit)) == limit:
            raise InputError(
                f'{name}: {file} is damaged or a decompression bomb: a part '
                f'of it unpacks to more than {size} bytes'
            )


def _unpacker(compression: int) -> Callable[[], Any] | None:
    """What unpacks a stream step by step, without taking memory for all."""
    if compression in _DEFLATE:
        return zlib.decompressobj
    if compression == _LZMA:
        return partial(lzma.LZMADecompressor, memlimit=ALWAYS)
    if compression in _ZSTD:
        with suppress(ImportError):
            # From Python 3.14.
            module = import_module('compression.zstd')
            return cast('Callable[[], Any]', module.ZstdDecompressor)
    return None


def _claimed_sides(data: bytes, compression: int) -> Sequence[int] | None:
    """Rows and columns that a picture within the file claims."""
    if compression in _JPEG:
        return _jpeg_sides(data)
    if compression == _LERC:
        return _lerc_sides(data)
    if not data:
        return None
    with Image.open(
        io.BytesIO(data), formats=[_PICTURES[compression]]
    ) as image:
        return image.height, image.width


def _jpeg_sides(data: bytes) -> tuple[int, int] | None:
    """From the frame header (ITU-T T.81, B.2.2); None without one."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            rows, columns = struct.unpack_from('>HH', data, at + 5)
            return int(rows), int(columns)
        if marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + struct.unpack_from('>H', data, at + 2)[0]
    return None


def _lerc_sides(data: bytes) -> tuple[int, int] | None:
    """From the header of a LERC2 blob; None for anything else."""
    if not data.startswith(b'Lerc2 ') or len(data) < 26:
        # Compressed once more, or the first version.
        raise ValueError('its LERC compression is not read: save it by LZW')
    (version,) = struct.unpack_from('<i', data, 6)
    rows, columns, depth = struct.unpack_from(
        '<iii', data, 14 if version >= 3 else 10
    )
    return rows, columns * max(1, depth if version >= 4 else 1)
