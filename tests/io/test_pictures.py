"""Pictures of every kind read as a person sees them, or are refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_rgb
from napari_samnet.io.image_files import read_picture, write_png, write_tiff
from napari_samnet.io.picture import Picture

ROWS, COLUMNS = 40, 56


def photo() -> np.ndarray:
    """Colors that change in both directions, with one bright corner."""
    down, across = np.mgrid[:ROWS, :COLUMNS]
    colors = np.stack(
        [across * 4, down * 6, np.full((ROWS, COLUMNS), 60)], axis=-1
    ).astype(np.uint8)
    colors[3:12, 2:20] = (240, 30, 20)
    return colors


RGB = photo()
GRAY = RGB.mean(-1).astype(np.uint8)
FEW = Image.fromarray(RGB).quantize(12)
FEW_COLORS = np.asarray(FEW.convert('RGB'))
Write = Callable[[Path], None]


def seen(path: Path, **keywords: Any) -> tuple[np.ndarray, Picture]:
    """What a person sees, from 0 to 1."""
    picture = read_picture(path, **keywords)
    limits = None
    if picture.pixels.dtype.kind in 'iu':
        limits = (0.0, float(np.iinfo(picture.pixels.dtype).max))
    rgb = to_rgb(
        picture.pixels,
        channel_axis=picture.channel_axis,
        contrast_limits=limits,
    )
    return rgb, picture


def check(path: Path, expected: np.ndarray, tolerance: float = 0.01) -> None:
    """A file shows what was painted, nearly everywhere."""
    rgb, _ = seen(path)
    wanted = np.atleast_3d(expected).astype(float) / 255
    assert rgb.shape[:2] == wanted.shape[:2]
    difference = np.abs(rgb - wanted)
    assert difference.mean() < tolerance
    assert np.quantile(difference, 0.9) < 3 * tolerance


def with_pillow(image: Image.Image, **keywords: Any) -> Write:
    return lambda path: image.save(path, **keywords)


def with_tifffile(array: np.ndarray, **keywords: Any) -> Write:
    return lambda path: tifffile.imwrite(path, array, **keywords)


PICTURE = Image.fromarray(RGB)
CMYK = PICTURE.convert('CMYK')
LAB = PICTURE.convert('LAB')
PLANAR = np.moveaxis(RGB, -1, 0)
STRAIGHT = np.dstack([RGB, np.full((ROWS, COLUMNS), 255, np.uint8)])


def deep_palette(path: Path) -> None:
    """A palette whose colors are written as 8-bit numbers."""
    table = np.zeros((3, 256), np.uint16)
    colors = np.array(FEW.getpalette()).reshape(-1, 3)
    table[:, : len(colors)] = colors.T
    tifffile.imwrite(
        path, np.asarray(FEW), photometric='palette', colormap=table
    )


def icc_lab(path: Path) -> None:
    values = np.asarray(LAB).copy()
    values[..., 1:] ^= 128
    tifffile.imwrite(path, values, photometric='icclab')


SEEN_ALIKE: dict[str, tuple[str, Write, np.ndarray, float]] = {
    'cmyk': ('.tif', with_pillow(CMYK), RGB, 0.01),
    'cmyk lzw': ('.tif', with_pillow(CMYK, compression='tiff_lzw'), RGB, 0.01),
    'cmyk planar': (
        '.tif',
        with_tifffile(
            np.moveaxis(np.asarray(CMYK), -1, 0),
            photometric='separated',
            planarconfig='separate',
        ),
        RGB,
        0.01,
    ),
    'cmyk 16 bits': (
        '.tif',
        with_tifffile(
            np.asarray(CMYK).astype(np.uint16) * 257, photometric='separated'
        ),
        RGB,
        0.01,
    ),
    'cmyk jpeg': ('.jpg', with_pillow(CMYK, quality=95), RGB, 0.03),
    'cmyk jpeg in tiff': (
        '.tif',
        with_pillow(CMYK, compression='jpeg', quality=95),
        RGB,
        0.03,
    ),
    'palette': ('.tif', with_pillow(FEW), FEW_COLORS, 0.01),
    'palette png': (
        '.png',
        with_pillow(FEW),
        FEW_COLORS,
        0.01,
    ),
    'palette gif': (
        '.gif',
        with_pillow(FEW),
        FEW_COLORS,
        0.01,
    ),
    'palette in 8 bits': (
        '.tif',
        deep_palette,
        FEW_COLORS,
        0.01,
    ),
    'white is zero': (
        '.tif',
        with_tifffile(255 - GRAY, photometric='miniswhite'),
        GRAY,
        0.01,
    ),
    'white is zero, 16 bits': (
        '.tif',
        with_tifffile(
            65535 - GRAY.astype(np.uint16) * 257, photometric='miniswhite'
        ),
        GRAY,
        0.01,
    ),
    'white is zero, float': (
        '.tif',
        with_tifffile(
            (1 - GRAY / 255).astype(np.float32), photometric='miniswhite'
        ),
        GRAY,
        0.01,
    ),
    'white is zero, one bit': (
        '.tif',
        with_tifffile(GRAY < 100, photometric='miniswhite'),
        np.where(GRAY < 100, 0, 255),
        0.01,
    ),
    'ycbcr': ('.tif', with_pillow(PICTURE.convert('YCbCr')), RGB, 0.01),
    'ycbcr deflate': (
        '.tif',
        with_pillow(
            PICTURE.convert('YCbCr'), compression='tiff_adobe_deflate'
        ),
        RGB,
        0.01,
    ),
    'ycbcr jpeg': (
        '.tif',
        with_pillow(PICTURE.convert('YCbCr'), compression='jpeg', quality=95),
        RGB,
        0.03,
    ),
    'ycbcr jpeg, planar': (
        '.tif',
        with_tifffile(
            np.moveaxis(np.asarray(PICTURE.convert('YCbCr')), -1, 0),
            photometric='ycbcr',
            planarconfig='separate',
            compression='jpeg',
            compressionargs={'level': 95},
        ),
        RGB,
        0.03,
    ),
    'cielab': ('.tif', with_pillow(LAB), RGB, 0.02),
    'cielab lzw': (
        '.tif',
        with_pillow(LAB, compression='tiff_lzw'),
        RGB,
        0.02,
    ),
    'icclab': ('.tif', icc_lab, RGB, 0.02),
    'cielab jpeg': (
        '.tif',
        with_pillow(LAB, compression='jpeg', quality=95),
        RGB,
        0.03,
    ),
    'planar': (
        '.tif',
        with_tifffile(
            PLANAR, photometric='rgb', planarconfig='separate', metadata=None
        ),
        RGB,
        0.01,
    ),
    'planar, deflate': (
        '.tif',
        with_tifffile(
            PLANAR,
            photometric='rgb',
            planarconfig='separate',
            metadata=None,
            compression='zlib',
        ),
        RGB,
        0.01,
    ),
    'planar, 16 bits, big-endian': (
        '.tif',
        with_tifffile(
            PLANAR.astype(np.uint16) * 257,
            photometric='rgb',
            planarconfig='separate',
            metadata=None,
            byteorder='>',
        ),
        RGB,
        0.01,
    ),
    'float': (
        '.tif',
        with_tifffile((RGB / 255).astype(np.float32), photometric='rgb'),
        RGB,
        0.01,
    ),
    'jpeg in tiff': (
        '.tif',
        with_pillow(PICTURE, compression='jpeg'),
        RGB,
        0.04,
    ),
    'packbits': (
        '.tif',
        with_pillow(PICTURE, compression='packbits'),
        RGB,
        0.01,
    ),
    'tiles, lzw': (
        '.tif',
        with_tifffile(
            RGB, photometric='rgb', compression='lzw', tile=(16, 16)
        ),
        RGB,
        0.01,
    ),
    'lzma': (
        '.tif',
        with_tifffile(RGB, photometric='rgb', compression='lzma'),
        RGB,
        0.01,
    ),
    'zstd': (
        '.tif',
        with_tifffile(RGB, photometric='rgb', compression='zstd'),
        RGB,
        0.01,
    ),
    'webp in tiff': (
        '.tif',
        with_tifffile(RGB, photometric='rgb', compression='webp'),
        RGB,
        0.03,
    ),
    'jpeg 2000 in tiff': (
        '.tif',
        with_tifffile(RGB, photometric='rgb', compression='jpeg2000'),
        RGB,
        0.03,
    ),
    'predictor': (
        '.tif',
        with_tifffile(
            RGB, photometric='rgb', compression='zlib', predictor=True
        ),
        RGB,
        0.01,
    ),
    'all is opaque': (
        '.png',
        with_pillow(Image.fromarray(STRAIGHT)),
        RGB,
        0.01,
    ),
    'four bits': (
        '.tif',
        with_tifffile(GRAY >> 4, photometric='minisblack', bitspersample=4),
        (GRAY >> 4) * 17,
        0.01,
    ),
    'big tiff': (
        '.tif',
        with_tifffile(RGB, photometric='rgb', bigtiff=True),
        RGB,
        0.01,
    ),
    'jpeg named tif': (
        '.tif',
        with_pillow(PICTURE, format='JPEG', quality=95),
        RGB,
        0.03,
    ),
    'png named jpg': ('.jpg', with_pillow(PICTURE, format='PNG'), RGB, 0.01),
    'tiff named png': ('.png', with_pillow(PICTURE, format='TIFF'), RGB, 0.01),
    'webp': ('.webp', with_pillow(PICTURE, lossless=True), RGB, 0.01),
    'jpeg 2000': ('.jp2', with_pillow(PICTURE), RGB, 0.01),
}


@pytest.mark.parametrize('kind', SEEN_ALIKE)
def test_reads_what_a_person_sees(kind: str, tmp_path: Path) -> None:
    suffix, write, expected, tolerance = SEEN_ALIKE[kind]
    path = tmp_path / f'picture{suffix}'
    write(path)
    check(path, expected, tolerance)


TURNED = {
    1: RGB,
    2: RGB[:, ::-1],
    3: RGB[::-1, ::-1],
    4: RGB[::-1],
    5: RGB.swapaxes(0, 1),
    6: np.rot90(RGB, -1),
    7: np.rot90(RGB, -1)[:, ::-1][::-1, ::-1],
    8: np.rot90(RGB),
}
TURNED[7] = RGB[::-1, ::-1].swapaxes(0, 1)


class TestOrientation:
    @pytest.mark.parametrize('turn', TURNED)
    @pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tif'])
    def test_is_applied(self, turn: int, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f'camera{suffix}'
        if suffix == '.tif':
            tifffile.imwrite(
                path,
                RGB,
                photometric='rgb',
                extratags=[(274, 3, 1, turn, True)],
            )
        else:
            exif = Image.Exif()
            exif[0x0112] = turn
            PICTURE.save(path, exif=exif, quality=95)
        check(path, TURNED[turn], 0.03)
        assert read_picture(path).orientation == turn

    @pytest.mark.parametrize('turn', [0, 9, 300])
    def test_that_is_none_changes_nothing(
        self, turn: int, tmp_path: Path
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = turn
        PICTURE.save(tmp_path / 'a.png', exif=exif)
        check(tmp_path / 'a.png', RGB)

    def test_damaged_exif_harms_no_pixel(self, tmp_path: Path) -> None:
        PICTURE.save(tmp_path / 'a.jpg', exif=b'Exif\0\0II*\0\xff\xff\xff\x7f')
        check(tmp_path / 'a.jpg', RGB, 0.04)


def profile_of(name: str) -> bytes:
    return bytes(imagecodecs.cms_profile(name))


class TestProfiles:
    def test_colors_become_srgb_and_return(self, tmp_path: Path) -> None:
        adobe = profile_of('adobergb')
        PICTURE.save(tmp_path / 'a.png', icc_profile=adobe)
        _, picture = seen(tmp_path / 'a.png')
        rgb = picture.pixels
        told = ImageCms.profileToProfile(
            PICTURE,
            ImageCms.ImageCmsProfile(io.BytesIO(adobe)),
            ImageCms.createProfile('sRGB'),
        )
        difference = np.abs(rgb.astype(int) - np.asarray(told))
        # Pillow rounds to 8 bits on the way, which shows near black.
        assert np.quantile(difference, 0.9) <= 2
        assert np.abs(rgb.astype(int) - RGB).max() > 5
        assert 'sRGB' in picture.notices[0]
        assert picture.profile == adobe
        # Colors that sRGB holds come back as they were.
        inside = ((rgb > 8) & (rgb < 247)).all(axis=2)
        assert inside.any()
        for write, name in ((write_png, 'b.png'), (write_tiff, 'b.tif')):
            write(tmp_path / name, rgb, profile=adobe)
            with Image.open(tmp_path / name) as again:
                assert again.info['icc_profile'] == adobe
                back = np.asarray(again)
            assert np.abs(back.astype(int) - RGB)[inside].max() <= 3

    def test_srgb_is_left_alone(self, tmp_path: Path) -> None:
        PICTURE.save(tmp_path / 'a.png', icc_profile=profile_of('srgb'))
        picture = read_picture(tmp_path / 'a.png')
        np.testing.assert_array_equal(picture.pixels, RGB)
        assert picture.notices == ()
        assert picture.profile is None

    def test_light_is_shown_as_a_person_sees_it(self, tmp_path: Path) -> None:
        linear = bytes(
            imagecodecs.cms_profile(
                'rgb',
                gamma=1.0,
                whitepoint=(0.3127, 0.329, 1.0),
                primaries=[0.64, 0.33, 1, 0.3, 0.6, 1, 0.15, 0.06, 1],
            )
        )
        unit = RGB / 255
        light = np.where(
            unit > 0.04045, ((unit + 0.055) / 1.055) ** 2.4, unit / 12.92
        )
        tifffile.imwrite(
            tmp_path / 'a.tif',
            light.astype(np.float32),
            photometric='rgb',
            iccprofile=linear,
        )
        rgb, picture = seen(tmp_path / 'a.tif')
        assert picture.pixels.dtype == np.float32
        assert np.abs(rgb.mean((0, 1)) - unit.mean((0, 1))).max() < 0.03

    def test_gray_and_16_bits(self, tmp_path: Path) -> None:
        gray = bytes(imagecodecs.cms_profile('gray', gamma=1.0))
        Image.fromarray(GRAY).save(tmp_path / 'a.png', icc_profile=gray)
        rgb, picture = seen(tmp_path / 'a.png')
        assert picture.pixels.shape == GRAY.shape
        assert rgb.mean() > GRAY.mean() / 255 + 0.1
        tifffile.imwrite(
            tmp_path / 'b.tif',
            RGB.astype(np.uint16) * 257,
            photometric='rgb',
            iccprofile=profile_of('adobergb'),
        )
        deep = read_picture(tmp_path / 'b.tif').pixels
        PICTURE.save(tmp_path / 'c.png', icc_profile=profile_of('adobergb'))
        shallow = read_picture(tmp_path / 'c.png').pixels
        assert deep.dtype == np.uint16
        assert np.abs(deep / 257 - shallow).max() <= 2

    @pytest.mark.parametrize('profile', [b'no profile', bytes(200)])
    def test_a_damaged_one_is_left_out(
        self, profile: bytes, tmp_path: Path
    ) -> None:
        PICTURE.save(tmp_path / 'a.png', icc_profile=profile)
        check(tmp_path / 'a.png', RGB)

    def test_gamma_of_png(self, tmp_path: Path) -> None:
        from PIL.PngImagePlugin import PngInfo

        about = PngInfo()
        about.add(b'gAMA', (100_000).to_bytes(4, 'big'))
        Image.fromarray(GRAY).save(tmp_path / 'a.png', pnginfo=about)
        rgb, _ = seen(tmp_path / 'a.png')
        expected = (GRAY / 255) ** (1 / 2.2)
        assert np.abs(rgb[..., 0] - expected).max() < 0.01


class TestOpacity:
    def hidden(self) -> np.ndarray:
        image = STRAIGHT.copy()
        image[20:, :, 3] = 0
        return image

    def test_hidden_pixels_are_neutral(self, tmp_path: Path) -> None:
        image = self.hidden()
        one, other = tmp_path / 'a.png', tmp_path / 'b.png'
        Image.fromarray(image).save(one)
        image[20:, :, :3] = 255 - image[20:, :, :3]
        Image.fromarray(image).save(other)
        first, second = seen(one)[0], seen(other)[0]
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first[20:], 0.5)
        np.testing.assert_allclose(first[:20], RGB[:20] / 255, atol=1e-6)

    def test_of_a_palette_and_of_gray(self, tmp_path: Path) -> None:
        FEW.save(tmp_path / 'a.png', transparency=3)
        hidden = np.asarray(FEW) == 3
        assert hidden.any()
        rgb = seen(tmp_path / 'a.png')[0]
        np.testing.assert_array_equal(rgb[hidden], 0.5)
        gray = np.dstack([GRAY, self.hidden()[..., 3]])
        Image.fromarray(gray).save(tmp_path / 'b.png')
        rgb = seen(tmp_path / 'b.png')[0]
        np.testing.assert_array_equal(rgb[20:], 0.5)

    def test_premultiplied_colors_are_divided(self, tmp_path: Path) -> None:
        alpha = np.full((ROWS, COLUMNS, 1), 255, np.uint8)
        alpha[:, 30:] = 128
        multiplied = (RGB * (alpha / 255)).round().astype(np.uint8)
        tifffile.imwrite(
            tmp_path / 'a.tif',
            np.dstack([multiplied, alpha]),
            photometric='rgb',
            extrasamples=['assocalpha'],
        )
        pixels = read_picture(tmp_path / 'a.tif').pixels
        assert np.abs(pixels[..., :3].astype(int) - RGB).max() <= 2

    def test_further_channels_are_named(self, tmp_path: Path) -> None:
        tifffile.imwrite(
            tmp_path / 'a.tif',
            np.dstack([RGB, GRAY, GRAY]),
            photometric='rgb',
            extrasamples=['unspecified', 'unspecified'],
        )
        picture = read_picture(tmp_path / 'a.tif')
        np.testing.assert_array_equal(picture.pixels, RGB)
        assert '2 more channels' in picture.notices[0]


class TestDepth:
    @pytest.mark.parametrize('suffix', ['.png', '.tif'])
    def test_16_bits_of_color_stay(self, suffix: str, tmp_path: Path) -> None:
        deep = RGB.astype(np.uint16) * 256 + 7
        path = tmp_path / f'a{suffix}'
        if suffix == '.png':
            path.write_bytes(imagecodecs.png_encode(deep))
        else:
            tifffile.imwrite(path, deep, photometric='rgb')
        np.testing.assert_array_equal(read_picture(path).pixels, deep)

    def test_of_gray_png(self, tmp_path: Path) -> None:
        deep = GRAY.astype(np.uint16) * 256 + 7
        Image.fromarray(deep).save(tmp_path / 'a.png')
        np.testing.assert_array_equal(
            read_picture(tmp_path / 'a.png').pixels, deep
        )


class TestSeveralPictures:
    @pytest.mark.parametrize(
        ('name', 'keywords'),
        [
            ('a.jpg', {'format': 'MPO', 'quality': 95}),
            ('a.gif', {}),
            ('a.webp', {'lossless': True}),
            ('a.png', {}),
        ],
    )
    def test_the_first_with_a_notice(
        self, name: str, keywords: dict[str, Any], tmp_path: Path
    ) -> None:
        second = Image.fromarray(RGB[::-1].copy())
        PICTURE.save(
            tmp_path / name, save_all=True, append_images=[second], **keywords
        )
        check(tmp_path / name, RGB, 0.05)
        (notice,) = read_picture(tmp_path / name).notices
        assert '2 pictures' in notice
        assert 'first' in notice
        rgb, picture = seen(tmp_path / name, page=1)
        assert np.abs(rgb - RGB[::-1] / 255).mean() < 0.05
        assert picture.notices == ()
        with pytest.raises(InputError, match='from 0 to 1'):
            read_picture(tmp_path / name, page=2)

    def test_a_preview_is_no_second_picture(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
            file.write(RGB, photometric='rgb')
            file.write(RGB[::4, ::4], photometric='rgb', subfiletype=1)
        assert read_picture(tmp_path / 'a.tif').notices == ()

    def test_pictures_of_other_sizes(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
            file.write(RGB, photometric='rgb')
            file.write(GRAY[:20], photometric='minisblack')
        picture = read_picture(tmp_path / 'a.tif')
        np.testing.assert_array_equal(picture.pixels, RGB)
        assert 'first' in picture.notices[0]
        second = read_picture(tmp_path / 'a.tif', page=1)
        np.testing.assert_array_equal(second.pixels, GRAY[:20])


class TestStacks:
    STACK = np.stack([GRAY, GRAY[::-1], 255 - GRAY])

    @pytest.mark.parametrize(
        'keywords',
        [
            {},
            {'photometric': 'minisblack'},
            {'imagej': True, 'metadata': {'axes': 'ZYX'}},
            {'metadata': {'axes': 'TYX'}, 'photometric': 'minisblack'},
        ],
        ids=['unnamed', 'gray pages', 'imagej', 'time'],
    )
    @pytest.mark.filterwarnings('ignore::DeprecationWarning')
    def test_is_refused_with_the_way_to_choose(
        self, keywords: dict[str, Any], tmp_path: Path
    ) -> None:
        path = tmp_path / 'a.tif'
        tifffile.imwrite(path, self.STACK, **keywords)
        with pytest.raises(InputError, match=r'3 .*--page') as caught:
            read_picture(path)
        assert '\n' not in str(caught.value)
        for page in range(3):
            picture = read_picture(path, page=page)
            np.testing.assert_array_equal(picture.pixels, self.STACK[page])
        with pytest.raises(InputError, match='from 0 to 2'):
            read_picture(path, page=3)

    @pytest.mark.parametrize(
        ('told', 'expected'),
        [
            ({'metadata': {'axes': 'SYX'}}, 3),
            ({'metadata': {'axes': 'CYX'}}, 3),
            ({'iccprofile': bytes(imagecodecs.cms_profile('srgb'))}, 3),
            ({'metadata': None}, 3),
            ({'extrasamples': ['unspecified']}, 3),
            ({'extrasamples': ['assocalpha']}, 4),
        ],
        ids=['samples', 'channels', 'profile', 'not shaped', 'more', 'alpha'],
    )
    def test_planes_that_are_said_to_be_colors_are(
        self, told: dict[str, Any], expected: int, tmp_path: Path
    ) -> None:
        planes = PLANAR
        if 'extrasamples' in told:
            planes = np.concatenate([PLANAR, np.full_like(PLANAR[:1], 99)])
        path = tmp_path / 'a.tif'
        tifffile.imwrite(
            path, planes, photometric='rgb', planarconfig='separate', **told
        )
        pixels = read_picture(path).pixels
        assert pixels.shape == (ROWS, COLUMNS, expected)
        if expected == 3:
            np.testing.assert_array_equal(pixels, RGB)

    @pytest.mark.filterwarnings('ignore::DeprecationWarning')
    def test_planes_of_which_nothing_is_said_are_named(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / 'a.tif'
        tifffile.imwrite(path, np.stack([PLANAR, PLANAR[:, ::-1]]))
        picture = read_picture(path, page=1)
        np.testing.assert_array_equal(picture.pixels, RGB[::-1])
        assert '3 planes a page' in picture.notices[0]

    def test_pages_as_channels(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.tif'
        tifffile.imwrite(path, self.STACK, photometric='minisblack')
        picture = read_picture(path, page='all')
        np.testing.assert_array_equal(picture.pixels, self.STACK)
        assert picture.channel_axis == 0

    def test_channels_within_a_stack(self, tmp_path: Path) -> None:
        data = np.random.default_rng(0).integers(0, 9, (2, 3, 20, 30), 'u2')
        path = tmp_path / 'a.tif'
        tifffile.imwrite(path, data, imagej=True, metadata={'axes': 'ZCYX'})
        with pytest.raises(InputError, match='2 planes'):
            read_picture(path)
        picture = read_picture(path, page=1)
        np.testing.assert_array_equal(picture.pixels, data[1])
        assert picture.channel_axis == 0
        one = read_picture(path, page=1, channel=2)
        np.testing.assert_array_equal(one.pixels, data[1, 2])
        with pytest.raises(InputError, match='from 0 to 2'):
            read_picture(path, page=1, channel=3)

    def test_color_pages(self, tmp_path: Path) -> None:
        colors = np.stack([RGB, RGB[::-1]])
        path = tmp_path / 'a.tif'
        tifffile.imwrite(path, colors, photometric='rgb')
        with pytest.raises(InputError, match='2 pages'):
            read_picture(path)
        np.testing.assert_array_equal(
            read_picture(path, page=1).pixels, RGB[::-1]
        )

    def test_axes_of_one_are_none(self, tmp_path: Path) -> None:
        for name, array, expected in (
            ('a.tif', GRAY[None], GRAY),
            ('b.tif', RGB[None, None], RGB),
            ('c.tif', GRAY[None, None, None], GRAY),
        ):
            kind = 'rgb' if array.shape[-1] == 3 else 'minisblack'
            tifffile.imwrite(tmp_path / name, array, photometric=kind)
            picture = read_picture(tmp_path / name)
            np.testing.assert_array_equal(picture.pixels, expected)

    def test_two_leading_axes_without_names(self, tmp_path: Path) -> None:
        data = np.random.default_rng(0).integers(0, 9, (2, 5, 20, 30), 'u2')
        path = tmp_path / 'a.tif'
        tifffile.imwrite(path, data, photometric='minisblack')
        with pytest.raises(InputError, match='from 0 to 9'):
            read_picture(path)
        np.testing.assert_array_equal(
            read_picture(path, page=7).pixels, data[1, 2]
        )

    def test_three_equal_planes_are_one(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.tif'
        tifffile.imwrite(
            path,
            np.stack([GRAY] * 3),
            photometric='rgb',
            planarconfig='separate',
        )
        check(path, GRAY)

    def test_arrays(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.npy'
        np.save(path, np.stack([GRAY] * 9))
        with pytest.raises(InputError, match='2-D image'):
            read_picture(path)
        np.testing.assert_array_equal(read_picture(path, page=4).pixels, GRAY)
        for one in (GRAY[None, None], RGB[None], RGB[None, None]):
            np.save(path, one)
            read = read_picture(path).pixels
            np.testing.assert_array_equal(read, one.reshape(read.shape))

    def test_a_page_of_one_picture(self, tmp_path: Path) -> None:
        for name in ('a.tif', 'a.png'):
            PICTURE.save(tmp_path / name)
            assert read_picture(tmp_path / name, page=0).notices == ()
            picture = read_picture(tmp_path / name, page=4)
            assert 'one picture' in picture.notices[0]
            np.testing.assert_array_equal(picture.pixels, RGB)


class TestRefusals:
    @pytest.mark.parametrize(
        ('name', 'content', 'says'),
        [
            ('a.pdf', b'%PDF-1.7', 'PDF'),
            ('a.nef', b'II*\0', 'camera'),
            ('a.png', b'', 'empty'),
            ('a.svg', b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'SVG'),
            ('a.jxl', b'\xff\x0a\0\0\0\0', 'JPEG XL'),
            ('a.txt', b'row,column\n1,2\n', 'no known format'),
            ('a.h5', b'\x89HDF\r\n\x1a\n', 'HDF5'),
        ],
    )
    def test_say_what_it_is(
        self, name: str, content: bytes, says: str, tmp_path: Path
    ) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=says) as caught:
            read_picture(path)
        assert name in str(caught.value)
        assert '\n' not in str(caught.value)

    def test_compression_that_cannot_be_checked(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.tif'
        tifffile.imwrite(path, RGB, photometric='rgb', compression='jpegxl')
        with pytest.raises(InputError, match='JPEGXL'):
            read_picture(path)

    @pytest.mark.parametrize(
        'compression', ['jpeg', 'webp', 'jpeg2000', 'png']
    )
    def test_a_picture_inside_that_claims_more(
        self, compression: str, tmp_path: Path
    ) -> None:
        path = tmp_path / 'a.tif'
        large = np.zeros((2048, 2048, 3), np.uint8)
        tifffile.imwrite(
            path,
            large,
            photometric='rgb',
            compression=compression,
            rowsperstrip=2048,
        )
        raw = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as content:
            tags = content.pages.first.tags
            for name in ('ImageLength', 'ImageWidth', 'RowsPerStrip'):
                at = tags[name].valueoffset
                size = {3: 2, 4: 4}[int(tags[name].dtype)]
                raw[at : at + size] = (16).to_bytes(size, 'little')
        path.write_bytes(raw)
        with pytest.raises(InputError, match='bomb'):
            read_picture(path)


class TestExtras:
    def test_heic(self, tmp_path: Path) -> None:
        heif = pytest.importorskip('pillow_heif')
        path = tmp_path / 'a.heic'
        heif.from_pillow(PICTURE).save(path, quality=95)
        check(path, RGB, 0.04)
        path.rename(tmp_path / 'b.jpg')
        check(tmp_path / 'b.jpg', RGB, 0.04)

    @pytest.mark.parametrize('inverted', [False, True])
    def test_dicom(self, inverted: bool, tmp_path: Path) -> None:
        pytest.importorskip('pydicom')
        path = tmp_path / 'a.dcm'
        values = GRAY.astype(np.uint16) * 16
        write_dicom(path, 4095 - values if inverted else values, inverted)
        picture = read_picture(path)
        expected = values.astype(int) - (0 if inverted else 1000)
        if inverted:
            # Only the order of brightness is told.
            rgb = to_rgb(picture.pixels)[..., 0]
            low, high = values.min(), values.max()
            np.testing.assert_allclose(
                rgb, (values - low) / (high - low), atol=0.01
            )
        else:
            np.testing.assert_array_equal(picture.pixels, expected)

    def test_dicom_with_frames(self, tmp_path: Path) -> None:
        pytest.importorskip('pydicom')
        path = tmp_path / 'a.dcm'
        frames = np.stack([GRAY, GRAY[::-1]]).astype(np.uint16)
        write_dicom(path, frames, False)
        with pytest.raises(InputError, match=r'2 frames .*--page'):
            read_picture(path)
        np.testing.assert_array_equal(
            read_picture(path, page=1).pixels, GRAY[::-1].astype(int) - 1000
        )

    @pytest.mark.parametrize(
        ('module', 'name', 'extra'),
        [
            ('pillow_heif', 'a.heic', 'heic'),
            ('pydicom', 'a.dcm', 'dicom'),
            ('SimpleITK', 'a.nrrd', 'volumes'),
        ],
    )
    def test_missing_packages_are_named(
        self,
        module: str,
        name: str,
        extra: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        import sys

        monkeypatch.setitem(sys.modules, module, None)
        path = tmp_path / name
        path.write_bytes(b'\0\0\0\x18ftypheic' + bytes(200))
        with pytest.raises(
            InputError, match=rf'pip install "napari-samnet\[{extra}\]"'
        ):
            read_picture(path)


def write_dicom(path: Path, pixels: np.ndarray, inverted: bool) -> None:
    """A picture of 12 bits, in Hounsfield units unless it is inverted."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = '1.2.840.10008.5.1.4.1.1.7'
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Rows, data.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = (
        'MONOCHROME1' if inverted else 'MONOCHROME2'
    )
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = 0
    if not inverted:
        data.RescaleSlope, data.RescaleIntercept = 1, -1000
    data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)
