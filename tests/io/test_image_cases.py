"""Images as people have them: every kind with several members.

What each must look like is painted here and written by other programs'
writers; nothing of it comes from the package's readers.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_rgb
from napari_samnet.io.image_files import read_picture

ROWS, COLUMNS = 60, 90
down, across = np.mgrid[:ROWS, :COLUMNS]
RGB = np.stack(
    [across * 255 // COLUMNS, down * 255 // ROWS, np.full_like(down, 40)], -1
).astype(np.uint8)
RGB[5:15, 5:25] = (250, 20, 20)
GRAY = RGB.mean(-1).astype(np.uint8)
PICTURE, PALE = Image.fromarray(RGB), Image.fromarray(GRAY)
PLANES = np.moveaxis(RGB, -1, 0)
INKS = np.asarray(PICTURE.convert('CMYK'))
LAB = np.asarray(PICTURE.convert('LAB'))
OPAQUE = np.full((ROWS, COLUMNS), 255, np.uint8)
#: Errors on the average that a compression for photographs may make.
EXACT, LOSSY = 0.012, 0.05
Write = Callable[[Path], object]


def pil(image: Image.Image, **keywords: Any) -> Write:
    return lambda path: image.save(path, **keywords)


def tiff(array: np.ndarray, **keywords: Any) -> Write:
    return lambda path: tifffile.imwrite(path, array, **keywords)


def raw(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


def npy(array: np.ndarray) -> Write:
    return lambda path: np.save(path, array)


def turned(orientation: int) -> np.ndarray:
    """What Pillow shows of a picture that says how it lies."""
    image = PICTURE.copy()
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def exif(orientation: int) -> Image.Exif:
    # Made anew for every file: writers take entries out.
    made = Image.Exif()
    made[0x0112] = orientation
    return made


def orientations() -> Iterator[tuple[str, Write, np.ndarray, float]]:
    for turn in range(2, 9):
        seen = turned(turn)
        for suffix, keywords in (
            ('.jpg', {'quality': 95}),
            ('.webp', {'lossless': True}),
            ('.avif', {'quality': 95}),
            ('.png', {}),
            ('.mpo', {'save_all': True, 'append_images': [PICTURE]}),
        ):
            write = pil(PICTURE, exif=exif(turn), **keywords)
            yield f'exif{turn}{suffix}', write, seen, LOSSY
        for how in ('tiff_lzw', 'jpeg'):
            write = pil(PICTURE, tiffinfo={274: turn}, compression=how)
            yield f'exif{turn}{how}.tif', write, seen, LOSSY
        write = tiff(
            PLANES,
            photometric='rgb',
            planarconfig='separate',
            metadata=None,
            extratags=[(274, 3, 1, turn, True)],
        )
        yield f'planar{turn}.tif', write, seen, EXACT


def palettes() -> Iterator[tuple[str, Write, np.ndarray, float]]:
    for colors, bits in ((2, 1), (4, 2), (16, 4), (200, 8)):
        image = PICTURE.quantize(colors)
        seen = np.asarray(image.convert('RGB'))
        yield f'{colors}.png', pil(image, bits=bits), seen, EXACT
        for suffix in ('.bmp', '.gif', '.tif'):
            yield f'{colors}{suffix}', pil(image), seen, EXACT
        for how in ('tiff_lzw', 'packbits', 'tiff_adobe_deflate'):
            write = pil(image, compression=how)
            yield f'{colors}{how}.tif', write, seen, EXACT
        table = np.array(image.getpalette('RGB'), np.uint16).reshape(-1, 3).T
        for dtype in (np.uint8, np.uint16):
            size = 1 << 8 * np.dtype(dtype).itemsize
            wide = np.zeros((3, size), np.uint16)
            wide[:, : table.shape[1]] = table * 257
            for order in '<>':
                write = tiff(
                    np.asarray(image).astype(dtype),
                    photometric='palette',
                    colormap=wide,
                    byteorder=order,
                )
                name = f'{colors}{np.dtype(dtype)}{order}.tif'
                yield name, write, seen, EXACT


def numbers() -> Iterator[tuple[str, Write, np.ndarray, float]]:
    """Depth × order of bytes × photometric interpretation × planes."""
    whole = {'u1': 1, 'u2': 257, 'u4': 16843009}
    for dtype in ('u1', 'u2', 'u4', 'f2', 'f4', 'f8'):
        for order in '<>':

            def deep(values: np.ndarray, dtype: str = dtype) -> np.ndarray:
                if dtype[0] == 'f':
                    return (values / 255).astype(dtype)
                return values.astype(dtype) * np.dtype(dtype).type(
                    whole[dtype]
                )

            for kind, values, seen, more in (
                ('rgb', RGB, RGB, {}),
                ('rgb', PLANES, RGB, {'planarconfig': 'separate'}),
                ('minisblack', GRAY, GRAY, {}),
                ('miniswhite', 255 - GRAY, GRAY, {}),
                ('separated', INKS, RGB, {}),
            ):
                if kind == 'separated' and dtype[0] == 'f':
                    continue
                write = tiff(
                    deep(values),
                    photometric=kind,
                    byteorder=order,
                    metadata=None,
                    **more,
                )
                name = f'{kind}{len(more)}{dtype}{ord(order)}.tif'
                yield name, write, seen, EXACT


def few_bits() -> Iterator[tuple[str, Write, np.ndarray, float]]:
    for bits in (1, 2, 4, 6, 10, 12, 14):
        top = (1 << bits) - 1
        dtype = np.uint8 if bits <= 8 else np.uint16
        values = (GRAY.astype(np.uint32) * top // 255).astype(dtype)
        seen = values * (255 / top)
        stored = values.astype(bool) if bits == 1 else values
        for kind, looks in (('minisblack', seen), ('miniswhite', 255 - seen)):
            write = tiff(stored, photometric=kind, bitspersample=bits)
            yield f'{kind}{bits}.tif', write, looks, EXACT
    for bits in (4, 5, 10, 12):
        top = (1 << bits) - 1
        dtype = np.uint8 if bits <= 8 else np.uint16
        values = (RGB.astype(np.uint32) * top // 255).astype(dtype)
        write = tiff(values, photometric='rgb', bitspersample=bits)
        yield f'rgb{bits}.tif', write, values * (255 / top), EXACT
    inks = (INKS.astype(np.uint32) * 4095 // 255).astype(np.uint16)
    write = tiff(inks, photometric='separated', bitspersample=12)
    yield 'inks12.tif', write, RGB, EXACT
    write = tiff(
        inks,
        photometric='separated',
        compression='jpeg',
        compressionargs={'level': 97},
    )
    yield 'inks12jpeg.tif', write, RGB, LOSSY
    values = (RGB.astype(np.uint32) * 4095 // 255).astype(np.uint16)
    write = tiff(
        values,
        photometric='rgb',
        bitspersample=12,
        iccprofile=bytes(imagecodecs.cms_profile('adobergb')),
    )
    seen = np.asarray(
        ImageCms.profileToProfile(
            PICTURE,
            ImageCms.ImageCmsProfile(
                io.BytesIO(imagecodecs.cms_profile('adobergb'))
            ),
            ImageCms.createProfile('sRGB'),
        )
    )
    yield 'profile12.tif', write, seen, EXACT


def compressions() -> Iterator[tuple[str, Write, np.ndarray, float]]:
    for how in (
        'lzw', 'zlib', 'packbits', 'lzma', 'zstd', 'lerc', 'png', 'jpeg',
        'webp', 'jpeg2000',
    ):  # fmt: skip
        for tile in (None, (32, 32)):
            write = tiff(RGB, photometric='rgb', compression=how, tile=tile)
            yield f'{how}{bool(tile)}.tif', write, RGB, LOSSY
    for how in ('tiff_lzw', 'tiff_adobe_deflate', 'packbits', None):
        for mode in ('CMYK', 'YCbCr', 'LAB'):
            write = pil(PICTURE.convert(mode), compression=how)
            yield f'{mode}{how}.tif', write, RGB, 0.03
    fax = np.asarray(PALE.convert('1'))
    for how in ('group3', 'group4', 'tiff_ccitt'):
        write = pil(Image.fromarray(fax), compression=how)
        yield f'{how}.tif', write, fax * 255, EXACT
    for name, more in (
        ('lzw2', {'compression': 'lzw', 'predictor': 2}),
        ('big', {'bigtiff': True}),
        ('strips', {'rowsperstrip': 7, 'compression': 'zlib'}),
    ):
        yield f'{name}.tif', tiff(RGB, photometric='rgb', **more), RGB, EXACT
    light = (RGB / 255).astype(np.float32)
    write = tiff(light, photometric='rgb', compression='zlib', predictor=3)
    yield 'predictor3.tif', write, RGB, EXACT


def photographs() -> Iterator[tuple[str, Write, np.ndarray, float]]:
    for name, more in (
        ('progressive', {'progressive': True}),
        ('full', {'subsampling': 0}),
        ('half', {'subsampling': 2}),
    ):
        yield f'{name}.jpg', pil(PICTURE, quality=95, **more), RGB, LOSSY
    yield 'gray.jpg', pil(PALE, quality=95), GRAY, LOSSY
    yield 'cmyk.jpg', pil(PICTURE.convert('CMYK'), quality=95), RGB, LOSSY
    for space in ('ycck', 'cmyk'):
        # As Adobe's programs write them, with the inks inverted.
        content = imagecodecs.jpeg8_encode(
            255 - INKS, level=95, colorspace='cmyk', outcolorspace=space
        )
        yield f'adobe-{space}.jpg', raw(content), RGB, LOSSY
    content = imagecodecs.jpeg8_encode(
        RGB, level=95, colorspace='rgb', outcolorspace='rgb'
    )
    yield 'rgb.jpg', raw(content), RGB, LOSSY
    for image in (PICTURE, PICTURE.convert('CMYK'), PICTURE.convert('YCbCr')):
        write = pil(image, compression='jpeg', quality=95)
        yield f'{image.mode}.tif', write, RGB, LOSSY


def opacity() -> Iterator[tuple[str, Write, np.ndarray, float]]:
    for kind in ('unassalpha', 'assocalpha', 'unspecified'):
        for order in '<>':
            write = tiff(
                np.dstack([RGB, OPAQUE]),
                photometric='rgb',
                extrasamples=[kind],
                byteorder=order,
            )
            yield f'{kind}{ord(order)}.tif', write, RGB, EXACT
    for array, seen, kind in (
        (np.dstack([GRAY, OPAQUE]), GRAY, 'minisblack'),
        (np.dstack([INKS, OPAQUE]), RGB, 'separated'),
    ):
        write = tiff(array, photometric=kind, extrasamples=['unassalpha'])
        yield f'{kind}.tif', write, seen, EXACT
    image = Image.fromarray(np.dstack([RGB, OPAQUE]))
    for suffix in ('.png', '.bmp', '.tif', '.jp2'):
        yield f'a{suffix}', pil(image), RGB, EXACT
    yield 'a.webp', pil(image, lossless=True), RGB, EXACT
    # A color that would be transparent, and does not occur.
    yield 'key.png', pil(PICTURE, transparency=(1, 2, 3)), RGB, EXACT
    yield 'key-gray.png', pil(PALE, transparency=255), GRAY, EXACT


def plain() -> Iterator[tuple[str, Write, np.ndarray, float]]:
    deep, gray = RGB.astype(np.uint16) * 257, GRAY.astype(np.uint16) * 257
    for name, encode, array, seen in (
        ('rgb.png', imagecodecs.png_encode, deep, RGB),
        ('gray.png', imagecodecs.png_encode, gray, GRAY),
        ('rgb.jp2', imagecodecs.jpeg2k_encode, deep, RGB),
        ('gray.jp2', imagecodecs.jpeg2k_encode, gray, GRAY),
    ):
        yield f'16{name}', raw(encode(array)), seen, EXACT
    sides = b'%d %d\n' % (COLUMNS, ROWS)
    for name, head, array, seen in (
        ('p6.ppm', b'P6\n' + sides + b'255\n', RGB, RGB),
        ('p6.pnm', b'P6\n' + sides + b'65535\n', deep.astype('>u2'), RGB),
        ('p5.pgm', b'P5\n' + sides + b'255\n', GRAY, GRAY),
        ('p5.ppm', b'P5\n' + sides + b'65535\n', gray.astype('>u2'), GRAY),
    ):
        yield name, raw(head + array.tobytes()), seen, EXACT
    for suffix in ('.bmp', '.jp2', '.png', '.tif'):
        yield f'rgb{suffix}', pil(PICTURE), RGB, EXACT
        yield f'gray{suffix}', pil(PALE), GRAY, EXACT
    for name, array, seen in (
        ('rgb', RGB, RGB),
        ('columns', np.asfortranarray(RGB), RGB),
        ('big', deep.astype('>u2'), RGB),
        ('planes', PLANES, RGB),
        ('unit', RGB / 255, RGB),
        ('one', GRAY[..., None], GRAY),
        ('first', GRAY[None], GRAY),
        ('firsts', RGB[None, None], RGB),
    ):
        yield f'{name}.npy', npy(array), seen, EXACT


def several() -> Iterator[tuple[str, Write, np.ndarray, float]]:
    more = {'save_all': True, 'append_images': [Image.fromarray(RGB[::-1])]}
    for name, keywords in (
        ('a.mpo', {'quality': 95}),
        ('a.png', {}),
        ('default.png', {'default_image': True}),
        ('a.webp', {'lossless': True}),
        ('a.avif', {'quality': 95}),
    ):
        yield name, pil(PICTURE, **more, **keywords), RGB, LOSSY
    few = PICTURE.quantize(64)
    more['append_images'] = [Image.fromarray(RGB[::-1]).quantize(64)]
    seen = np.asarray(few.convert('RGB'))
    yield 'a.gif', pil(few, **more), seen, EXACT


def named_otherwise() -> Iterator[tuple[str, Write, np.ndarray, float]]:
    for name, kind in (
        ('jpeg.tif', 'JPEG'),
        ('png.jpg', 'PNG'),
        ('tiff.png', 'TIFF'),
        ('webp', 'WEBP'),
        ('ünï cödé 日本 mit raum.bmp', 'PNG'),
        ("it's #1%20.tif", 'TIFF'),
    ):
        yield name, pil(PICTURE, format=kind, quality=95), RGB, LOSSY


KINDS = (
    orientations, palettes, numbers, few_bits, compressions, photographs,
    opacity, plain, several, named_otherwise,
)  # fmt: skip
CASES = [
    pytest.param(*case, id=f'{kind.__name__}-{case[0]}')
    for kind in KINDS
    for case in kind()
]


def spread(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1, as deep pictures are shown by their own range."""
    return (values - values.min()) / (values.max() - values.min())


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(('name', 'write', 'seen', 'tolerance'), CASES)
def test_is_read_as_a_person_sees_it(
    name: str,
    write: Write,
    seen: np.ndarray,
    tolerance: float,
    tmp_path: Path,
) -> None:
    write(tmp_path / name)
    picture = read_picture(tmp_path / name)
    rgb = to_rgb(picture.pixels, channel_axis=picture.channel_axis)
    wanted = np.atleast_3d(seen).astype(float) / 255
    wanted = np.broadcast_to(wanted, (*wanted.shape[:2], 3))
    assert rgb.shape == wanted.shape
    if picture.pixels.dtype not in (np.uint8, np.bool_):
        rgb, wanted = spread(rgb), spread(wanted)
    assert np.abs(rgb - wanted).mean() < tolerance
    if name.startswith('a.') and tolerance == LOSSY:
        assert 'first' in picture.notices[0]


STACK = np.stack([GRAY, GRAY[::-1], 255 - GRAY])
STACKS = {
    'default.tif': tiff(STACK),
    'float.tif': tiff(STACK / 255),
    'deep.tif': tiff(STACK.astype('>u2') * 257, byteorder='>'),
    'lzw.tif': tiff(STACK, compression='lzw'),
    'four.tif': tiff(np.concatenate([STACK, STACK[:1]])),
    'z.tif': tiff(STACK, metadata={'axes': 'ZYX'}),
    'time.tif': tiff(STACK, imagej=True, metadata={'axes': 'TYX'}),
    'ome.ome.tif': tiff(
        STACK, ome=True, photometric='minisblack', metadata={'axes': 'ZYX'}
    ),
    'pages.tif': pil(
        PALE, save_all=True, append_images=[PALE.transpose(1), PALE]
    ),
    'nine.npy': npy(np.stack([GRAY] * 9)),
    'colors.tif': tiff(np.stack([RGB] * 3), photometric='rgb'),
    'complex.npy': npy(GRAY * 1j),
    'text.npy': npy(np.array([['a', 'b']])),
}


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', STACKS)
def test_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    STACKS[name](tmp_path / name)
    with pytest.raises(InputError) as caught:
        read_picture(tmp_path / name)
    assert '\n' not in str(caught.value)
    assert name in str(caught.value)
    if name.endswith('.tif'):
        assert '--page' in str(caught.value)
