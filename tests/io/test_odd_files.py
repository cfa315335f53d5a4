"""Files that are odd but real, beside what a person sees in them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_rgb
from napari_samnet.io.image_files import read_picture
from napari_samnet.io.label_files import read_label_picture

ROWS, COLUMNS = 40, 60
down, across = np.mgrid[:ROWS, :COLUMNS]
RGB = np.stack(
    [across * 255 // COLUMNS, down * 255 // ROWS, np.full_like(down, 40)], -1
).astype(np.uint8)
RGB[5:15, 5:25] = (250, 20, 20)
GRAY = RGB.mean(-1).astype(np.uint8)
LABELS = np.zeros((ROWS, COLUMNS), np.uint8)
LABELS[5:15, 5:25], LABELS[20:35, 30:50] = 1, 2
PAINT = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)[LABELS]
PICTURE = Image.fromarray(RGB)
BITS = Image.fromarray((LABELS > 0).astype(np.uint8) * 255).convert('1')
NODATA = 42113
Write = Callable[[Path], object]


def tiff(array: np.ndarray, **keywords: Any) -> Write:
    return lambda path: tifffile.imwrite(path, array, **keywords)


def raw(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


def pil(image: Image.Image, **keywords: Any) -> Write:
    return lambda path: image.save(path, **keywords)


def nodata(number: str) -> dict[str, Any]:
    return {'extratags': [(NODATA, 's', 0, number, True)]}


def png(array: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with any chunks, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack('>I', zlib.crc32(kind + content))
        return struct.pack('>I', len(content)) + kind + content + check

    rows, columns = array.shape[:2]
    color = {2: 0, 3: 2}[array.ndim]
    depth = 8 * array.dtype.itemsize
    head = struct.pack('>IIBBBBB', columns, rows, depth, color, 0, 0, 0)
    lines = array.reshape(rows, -1).astype(array.dtype.newbyteorder('>'))
    body = b''.join(b'\0' + line.tobytes() for line in lines)
    parts = ((b'IHDR', head), *chunks, (b'IDAT', zlib.compress(body)))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        chunk(*part) for part in (*parts, (b'IEND', b''))
    )


def packed_tiff(values: np.ndarray) -> bytes:
    """12-bit numbers, two in three bytes, as some cameras write them."""
    rows, columns = values.shape[:2]
    channels = values.shape[2] if values.ndim == 3 else 1
    pairs = values.reshape(-1, 2).astype(int)
    a, b = pairs.T
    data = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], 1)
    bits = struct.pack(f'<{channels}H', *[12] * channels)
    at = 8 + 2 + 12 * 9 + 4
    entries = [
        (256, 4, 1, columns),
        (257, 4, 1, rows),
        (258, 3, channels, 12 if channels == 1 else at),
        (259, 3, 1, 1),
        (262, 3, 1, 1 if channels == 1 else 2),
        (273, 4, 1, at + len(bits)),
        (277, 3, 1, channels),
        (278, 4, 1, rows),
        (279, 4, 1, data.size),
    ]
    fields = b''.join(struct.pack('<HHII', *entry) for entry in entries)
    head = struct.pack('<2sHIH', b'II', 42, 8, len(entries))
    end = struct.pack('<I', 0) + bits + data.astype(np.uint8).tobytes()
    return head + fields + end


def inks_without_adobe() -> bytes:
    """A CMYK JPEG whose inks are as stored, since no marker says Adobe."""
    inks = np.asarray(PICTURE.convert('CMYK'))
    made = io.BytesIO()
    Image.fromarray(255 - inks, 'CMYK').save(made, 'JPEG', quality=95)
    content = made.getvalue()
    marker = content.find(b'\xff\xee')
    (length,) = struct.unpack('>H', content[marker + 2 : marker + 4])
    return content[:marker] + content[marker + 2 + length :]


def bitmap(depth: int, pixels: np.ndarray, masks: bytes = b'') -> bytes:
    lines = pixels[::-1].reshape(ROWS, -1).tobytes()
    begin = 54 + len(masks)
    return (
        b'BM'
        + struct.pack('<IHHI', begin + len(lines), 0, 0, begin)
        + struct.pack('<IiiHH', 40, COLUMNS, ROWS, 1, depth)
        + struct.pack('<IIiiII', 3 if masks else 0, len(lines), 0, 0, 0, 0)
        + masks
        + lines
    )


def pyramid(path: Path) -> None:
    large = RGB.repeat(4, 0).repeat(4, 1)
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 2, 4):
            writer.write(
                large[::step, ::step],
                photometric='rgb',
                tile=(64, 64),
                metadata=None,
                subfiletype=int(step > 1),
            )


def preview_first(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        small = np.ascontiguousarray(RGB[::4, ::4])
        keywords: dict[str, Any] = {'photometric': 'rgb', 'metadata': None}
        writer.write(small, subfiletype=1, **keywords)
        writer.write(RGB, **keywords)


RED, GREEN, BLUE = np.moveaxis(RGB.astype(np.uint16), -1, 0)
DEEP = RGB.astype(np.uint16) * 257
WIDE = RGB.astype(int) * 4095 // 255
EXIF_6 = b'II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0'
LARGE = RGB.repeat(4, 0).repeat(4, 1)

#: Name, writer, what a person sees, and the error that is allowed.
SEEN: list[tuple[str, Write, np.ndarray, float]] = [
    (
        'two_extra_samples.tif',
        tiff(
            np.dstack([RGB, GRAY, 255 - GRAY]),
            photometric='rgb',
            extrasamples=['unspecified', 'unspecified'],
        ),
        RGB,
        0.01,
    ),
    ('float_to_1.tif', tiff(RGB / 255, photometric='rgb'), RGB, 0.01),
    (
        'float_to_255.tif',
        tiff(RGB.astype(np.float32), photometric='rgb'),
        RGB,
        0.01,
    ),
    (
        'half.tif',
        tiff((RGB / 255).astype(np.float16), photometric='rgb'),
        RGB,
        0.01,
    ),
    ('12_bits_of_color.tif', raw(packed_tiff(WIDE)), RGB, 0.01),
    (
        '32_bits.tif',
        tiff(RGB.astype(np.uint32) * 16843009, photometric='rgb'),
        RGB,
        0.01,
    ),
    (
        'big_and_tiled.tif',
        tiff(
            RGB,
            photometric='rgb',
            bigtiff=True,
            tile=(16, 16),
            byteorder='>',
        ),
        RGB,
        0.01,
    ),
    ('pyramid.tif', pyramid, LARGE, 0.01),
    ('preview_first.tif', preview_first, RGB, 0.01),
    (
        'inside_webp.tif',
        tiff(RGB, photometric='rgb', compression='webp'),
        RGB,
        0.05,
    ),
    (
        'inside_lerc.tif',
        tiff(RGB, photometric='rgb', compression='lerc'),
        RGB,
        0.05,
    ),
    ('inks_without_adobe.jpg', raw(inks_without_adobe()), RGB, 0.05),
    ('inks.jpg', pil(PICTURE.convert('CMYK'), quality=95), RGB, 0.03),
    ('rgb_in.jpg', pil(PICTURE, quality=95, keep_rgb=True), RGB, 0.05),
    ('one_frame_in.mpo.jpg', pil(PICTURE, format='MPO'), RGB, 0.05),
    (
        'deep_and_standard.png',
        raw(png(DEEP, (b'sRGB', b'\0'), (b'gAMA', struct.pack('>I', 45455)))),
        RGB,
        0.01,
    ),
    (
        'deep_light.png',
        raw(
            png(
                np.round((RGB / 255) ** 2.2 * 65535).astype(np.uint16),
                (b'gAMA', struct.pack('>I', 100000)),
            )
        ),
        RGB,
        0.03,
    ),
    (
        'deep_turned.png',
        raw(png(DEEP, (b'eXIf', EXIF_6))),
        np.rot90(RGB, -1),
        0.01,
    ),
    (
        '5_6_5.bmp',
        raw(
            bitmap(
                16,
                (RED >> 3 << 11 | GREEN >> 2 << 5 | BLUE >> 3).astype('<u2'),
                struct.pack('<III', 0xF800, 0x7E0, 0x1F),
            )
        ),
        RGB,
        0.03,
    ),
    (
        'unused_alpha.bmp',
        raw(bitmap(32, np.dstack([RGB[..., ::-1], 0 * GRAY]))),
        RGB,
        0.01,
    ),
    (
        '16_bits.ppm',
        raw(
            b'P6\n# by hand\n%d %d\n65535\n' % (COLUMNS, ROWS)
            + DEEP.astype('>u2').tobytes()
        ),
        RGB,
        0.01,
    ),
    (
        '10_bits.avif',
        raw(
            imagecodecs.avif_encode(
                (RGB.astype(int) * 1023 // 255).astype(np.uint16),
                level=95,
                bitspersample=10,
            )
        ),
        RGB,
        0.05,
    ),
    (
        'stream.j2k',
        raw(imagecodecs.jpeg2k_encode(RGB, level=0, codecformat='j2k')),
        RGB,
        0.02,
    ),
    (
        'columns_first.npy',
        lambda path: np.save(path, np.asfortranarray(RGB)),
        RGB,
        0.01,
    ),
    (
        'big_endian.npy',
        lambda path: np.save(path, DEEP.astype('>u2')),
        RGB,
        0.01,
    ),
    ('one_array.npz', lambda path: np.savez(path, image=RGB), RGB, 0.01),
    (
        'compressed.npz',
        lambda path: np.savez_compressed(path, RGB),
        RGB,
        0.01,
    ),
]


@pytest.mark.parametrize(
    ('name', 'write', 'seen', 'error'), SEEN, ids=[case[0] for case in SEEN]
)
def test_is_seen_as_by_a_person(
    name: str, write: Write, seen: np.ndarray, error: float, tmp_path: Path
) -> None:
    write(tmp_path / name)
    picture = read_picture(tmp_path / name)
    rgb = to_rgb(picture.pixels, channel_axis=picture.channel_axis)
    assert rgb.shape == seen.shape
    assert np.abs(rgb - seen / 255).mean() < error


def test_gray_of_12_bits_is_stretched(tmp_path: Path) -> None:
    wide = GRAY.astype(int) * 4095 // 255
    (tmp_path / 'a.tif').write_bytes(packed_tiff(wide))
    np.testing.assert_array_equal(
        read_picture(tmp_path / 'a.tif').pixels, wide
    )


HIDDEN: list[tuple[str, Write]] = [
    (
        'one_color.png',
        raw(png(RGB, (b'tRNS', struct.pack('>3H', 250, 20, 20)))),
    ),
    (
        'one_deep_color.png',
        raw(
            png(
                DEEP,
                (b'tRNS', struct.pack('>3H', 250 * 257, 20 * 257, 20 * 257)),
            )
        ),
    ),
    (
        'gray_with_opacity.tif',
        tiff(
            np.dstack([GRAY, np.where(LABELS == 1, 0, 255).astype(np.uint8)]),
            photometric='minisblack',
            extrasamples=['unassalpha'],
        ),
    ),
    (
        'no_measurement.tif',
        tiff(
            np.where(LABELS == 1, 0, GRAY.astype(np.uint16) + 9),
            **nodata('0'),
        ),
    ),
    (
        'no_measured_color.tif',
        tiff(
            np.where(LABELS[..., None] == 1, 0, np.maximum(RGB, 1)),
            photometric='rgb',
            **nodata('0'),
        ),
    ),
]


@pytest.mark.parametrize(
    ('name', 'write'), HIDDEN, ids=[case[0] for case in HIDDEN]
)
def test_hidden_pixels_are_hidden(
    name: str, write: Write, tmp_path: Path
) -> None:
    write(tmp_path / name)
    picture = read_picture(tmp_path / name)
    assert picture.pixels.shape == (ROWS, COLUMNS, 4)
    hidden = picture.pixels[..., 3] == 0
    np.testing.assert_array_equal(hidden, LABELS == 1)


def test_floats_without_a_measurement_are_nan(tmp_path: Path) -> None:
    values = np.where(LABELS == 1, -9999, GRAY.astype(np.float32))
    tifffile.imwrite(
        tmp_path / 'a.tif', values.astype(np.float32), **nodata('-9999')
    )
    pixels = read_picture(tmp_path / 'a.tif').pixels
    np.testing.assert_array_equal(np.isnan(pixels), LABELS == 1)
    assert pixels.dtype == np.float32


WIDE_IDS = np.choose(LABELS, [0, 2**53 + 1, 2**63 + 5]).astype(np.uint64)

IDS: list[tuple[str, Write, np.ndarray]] = [
    ('wide.npy', lambda path: np.save(path, WIDE_IDS), WIDE_IDS),
    ('wide.tif', tiff(WIDE_IDS), WIDE_IDS),
    (
        'halves.npy',
        lambda path: np.save(path, LABELS.astype(np.float16)),
        LABELS,
    ),
    (
        'with_an_axis.npy',
        lambda path: np.save(path, LABELS[None, None]),
        LABELS,
    ),
    (
        'in_an_archive.npz',
        lambda path: np.savez_compressed(path, masks=LABELS),
        LABELS,
    ),
    (
        'no_measurement.tif',
        tiff(
            np.where(LABELS == 1, -9999, LABELS.astype(np.int16)),
            **nodata('-9999'),
        ),
        np.where(LABELS == 1, 0, LABELS),
    ),
    (
        'around.tif',
        tiff(np.where(LABELS == 0, 255, LABELS), **nodata('255')),
        LABELS,
    ),
    (
        'colored_by_imagej.tif',
        tiff(
            LABELS,
            imagej=True,
            metadata={'LUTs': [np.arange(768, dtype='u1').reshape(3, 256)]},
        ),
        LABELS,
    ),
    (
        'without_loss.jp2',
        raw(
            imagecodecs.jpeg2k_encode(
                LABELS, level=0, codecformat='jp2', reversible=True
            )
        ),
        LABELS,
    ),
    ('fax.tif', pil(BITS, compression='group3'), LABELS > 0),
    ('bits.pbm', pil(BITS), LABELS > 0),
]


@pytest.mark.parametrize(
    ('name', 'write', 'ids'), IDS, ids=[case[0] for case in IDS]
)
def test_ids_are_kept(
    name: str, write: Write, ids: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path / name)
    labels = read_label_picture(tmp_path / name).labels
    np.testing.assert_array_equal(labels, ids)


def painted(shift: int, how: Image.Resampling) -> Write:
    """Painted labels at four times the size, shrunk with smooth edges."""
    large = np.roll(PAINT.repeat(4, 0).repeat(4, 1), (shift, shift), (0, 1))
    small = Image.fromarray(large).resize((COLUMNS, ROWS), how)
    return pil(small)


@pytest.mark.parametrize('shift', [1, 2])
@pytest.mark.parametrize('how', ['BOX', 'BILINEAR', 'LANCZOS'])
def test_smooth_edges_of_few_colors_are_no_labels(
    how: str, shift: int, tmp_path: Path
) -> None:
    painted(shift, Image.Resampling[how])(tmp_path / 'a.png')
    picture = read_label_picture(tmp_path / 'a.png')
    assert np.unique(picture.labels).tolist() == [0, 1, 2]
    assert 'smooth edges' in ' '.join(picture.notices)


@pytest.mark.parametrize('color', [(128, 0, 0), (0, 0, 255)])
def test_a_thin_line_of_its_own_color_is_a_label(
    color: tuple[int, int, int], tmp_path: Path
) -> None:
    drawn = PAINT.copy()
    drawn[18, 3:50] = color
    Image.fromarray(drawn).save(tmp_path / 'a.png')
    labels = read_label_picture(tmp_path / 'a.png').labels
    assert np.unique(labels).tolist() == [0, 1, 2, 3]


def several(path: Path) -> None:
    np.savez(path, a=RGB, b=GRAY)


def objects(path: Path) -> None:
    np.save(path, np.array([{'masks': LABELS}], object), allow_pickle=True)


REFUSED: list[tuple[str, Write, str]] = [
    ('several.npz', several, 'holds 2 arrays (a, b)'),
    ('objects.npy', objects, 'holds Python objects'),
    ('nothing.npy', lambda p: np.save(p, np.full((9, 9), np.nan)), 'finite'),
    ('numbers.npy', lambda p: np.save(p, np.zeros(9)), 'image'),
    ('texts.npy', lambda p: np.save(p, np.array([['a']])), 'number'),
    ('page.jpg', raw(b'<html><body>404</body></html>'), 'no known format'),
    ('pointer.tif', raw(b'version https://git-lfs.github.com/spec'), 'image'),
    ('pipe.png', os.mkfifo, 'not a file'),
    ('device.tif', lambda p: p.symlink_to('/dev/zero'), 'not a file'),
    ('link.png', lambda p: p.symlink_to('nothing'), 'no file'),
    ('claim.ppm', raw(b'P6 1000000 1000000 255\n'), 'bomb'),
    (
        'claim.gif',
        raw(b'GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\0;'),
        'image',
    ),
]


@pytest.mark.skipif(os.name == 'nt', reason='Windows has no pipes and links')
@pytest.mark.parametrize(
    ('name', 'write', 'says'), REFUSED, ids=[case[0] for case in REFUSED]
)
def test_is_refused_in_one_line(
    name: str, write: Write, says: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    with pytest.raises(InputError) as refusal:
        read_picture(tmp_path / name)
    assert says in str(refusal.value)
    assert '\n' not in str(refusal.value)
