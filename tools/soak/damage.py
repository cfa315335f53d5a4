"""Files damaged at random, some of them with their checksums put right."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np

#: Numbers that headers should not hold.
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage the bytes of a file.

    ``rng``: source of randomness; the same state does the same damage.
    Returns: truncated, with bits flipped, numbers replaced, or parts
    overwritten, removed, repeated or inserted; perhaps several of these.
    """
    ways = (_cut, _flip, _number, _overwrite, _remove, _repeat, _insert)
    for _ in range((1, 1, 2, 4)[int(rng.integers(4))]):
        data = ways[int(rng.integers(len(ways)))](data, rng)
    # Else hardly any damage would get past the checksums.
    if rng.random() < 0.5:
        data = _sealed(data)
    return data


def _place(data: bytes, rng: np.random.Generator) -> int:
    """Anywhere, but half of the time in the header."""
    end = len(data)
    if rng.random() < 0.5:
        end = min(end, 256)
    return int(rng.integers(max(end, 1)))


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: _place(data, rng)]


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    for _ in range(1 + int(rng.integers(8))):
        if out:
            out[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _number(data: bytes, rng: np.random.Generator) -> bytes:
    value = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    order = '<>'[int(rng.integers(2))]
    written = struct.pack(f'{order}I', value)
    at = _place(data, rng)
    return data[:at] + written + data[at + len(written) :]


def _overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    at, count = _place(data, rng), int(rng.integers(1, 200))
    fill = (b'\0', b'\xff')[int(rng.integers(2))] * count
    return data[:at] + fill + data[at + count :]


def _remove(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 200)) :]


def _repeat(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[max(0, at - int(rng.integers(1, 500))) :]


def _insert(data: bytes, rng: np.random.Generator) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.bytes(int(rng.integers(1, 100))) + data[at:]


def _sealed(data: bytes) -> bytes:
    """The file with checksums that fit its content, where it has some."""
    if data.startswith(b'\x89PNG'):
        return _sealed_png(data)
    if data.startswith(b'PK'):
        return _sealed_zip(data)
    return data


def _sealed_png(data: bytes) -> bytes:
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from('>I', data, at)
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + struct.pack('>I', zlib.crc32(body))
        at += 12 + length
    return bytes(out)


def _sealed_zip(data: bytes) -> bytes:
    """Made anew from those members whose place is still known."""
    made = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(io.BytesIO(data)) as old,
            zipfile.ZipFile(made, 'w') as new,
        ):
            for info in old.infolist():
                start = info.header_offset + 30
                start += len(info.filename) + len(info.extra)
                body = data[start : start + info.file_size]
                new.writestr(info.filename, body)
    except Exception:  # noqa: BLE001
        # Too damaged to be put right.
        return data
    return made.getvalue()
