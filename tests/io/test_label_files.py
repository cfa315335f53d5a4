"""Labels of every kind, as files hold them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFilter

from napari_samnet.errors import InputError
from napari_samnet.io import lossy_labels
from napari_samnet.io.annotated import read_annotated
from napari_samnet.io.file_kinds import natural_order
from napari_samnet.io.image_files import read_picture
from napari_samnet.io.label_files import (
    read_label_picture,
    read_labels,
    write_labels,
)
from napari_samnet.io.label_numbers import smallest_dtype

ROWS, COLUMNS = 48, 64


def drawn() -> np.ndarray:
    """Three objects; two of them touch."""
    labels = np.zeros((ROWS, COLUMNS), np.uint8)
    labels[4:20, 6:30] = 1
    labels[20:36, 6:30] = 2
    labels[10:40, 40:58] = 3
    return labels


LABELS = drawn()
COLORS = np.array(
    [[0, 0, 0], [230, 25, 75], [60, 180, 75], [0, 130, 200]], np.uint8
)
PAINTED = COLORS[LABELS]


def same_areas(labels: np.ndarray, expected: np.ndarray = LABELS) -> None:
    """The same parts, whatever their ids."""
    pairs = np.unique(np.stack([labels.ravel(), expected.ravel()]), axis=1).T
    assert len(pairs) == len(np.unique(expected))
    np.testing.assert_array_equal(labels == 0, expected == 0)


def png_of_bits(ids: np.ndarray, bits: int) -> bytes:
    """A gray PNG of few bits (ISO/IEC 15948), which Pillow does not write."""
    rows, columns = ids.shape
    planes = [ids >> (bits - 1 - k) & 1 for k in range(bits)]
    packed = np.packbits(np.stack(planes, -1).reshape(rows, -1), axis=1)
    lines = b''.join(b'\0' + row.tobytes() for row in packed)
    head = struct.pack('>IIBBBBB', columns, rows, bits, 0, 0, 0, 0)
    chunks = ((b'IHDR', head), (b'IDAT', zlib.compress(lines)), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(body))
        + kind
        + body
        + struct.pack('>I', zlib.crc32(kind + body))
        for kind, body in chunks
    )


class TestNumbers:
    @pytest.mark.parametrize(
        'dtype',
        ['u1', '>u2', '<i4', '>i8', '<u8', 'f2', '>f4', '<f8', 'i1'],
    )
    @pytest.mark.parametrize('suffix', ['.tif', '.npy'])
    def test_of_any_kind(
        self, dtype: str, suffix: str, tmp_path: Path
    ) -> None:
        path = tmp_path / f'mask{suffix}'
        if suffix == '.tif':
            tifffile.imwrite(
                path,
                LABELS.astype(dtype),
                photometric='minisblack',
                byteorder='>' if dtype[0] == '>' else '<',
            )
        else:
            np.save(path, LABELS.astype(dtype))
        read = read_label_picture(path)
        np.testing.assert_array_equal(read.labels, LABELS)
        assert read.labels.dtype.kind in 'iu'
        assert read.labels.dtype.isnative
        assert read.notices == ()

    @pytest.mark.parametrize('compression', ['lzw', 'zlib', 'packbits'])
    def test_of_any_compression(
        self, compression: str, tmp_path: Path
    ) -> None:
        path = tmp_path / 'mask.tif'
        tifffile.imwrite(
            path,
            LABELS,
            photometric='minisblack',
            compression=compression,
        )
        np.testing.assert_array_equal(read_labels(path), LABELS)

    @pytest.mark.parametrize('dtype', ['f4', 'f8'])
    def test_nan_is_background(self, dtype: str, tmp_path: Path) -> None:
        path = tmp_path / 'mask.tif'
        holes = np.where(LABELS == 0, np.nan, LABELS).astype(dtype)
        tifffile.imwrite(path, holes)
        read = read_label_picture(path)
        np.testing.assert_array_equal(read.labels, LABELS)
        assert 'NaN' in read.notices[0]

    @pytest.mark.parametrize('bad', [0.25, np.inf, -np.inf])
    def test_that_are_not_whole_are_refused(
        self, bad: float, tmp_path: Path
    ) -> None:
        path = tmp_path / 'mask.tif'
        values = LABELS.astype(np.float32)
        values[0, 0] = bad
        tifffile.imwrite(path, values)
        with pytest.raises(InputError, match=f'such as {bad:g}'):
            read_labels(path)

    @pytest.mark.parametrize(
        'ids',
        [(576073732, 312782640, 997), (1, 5, 2961), (2**40, 2**40 + 1, 7)],
    )
    def test_that_are_large_or_have_gaps_stay(
        self, ids: tuple[int, ...], tmp_path: Path
    ) -> None:
        path = tmp_path / 'mask.tif'
        table = np.array([0, *ids], np.int64)
        tifffile.imwrite(path, table[LABELS])
        np.testing.assert_array_equal(read_labels(path), table[LABELS])

    def test_that_a_float_may_have_rounded_are_named(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / 'mask.tif'
        table = np.array([0, 576073732, 312782640, 1], np.float32)
        tifffile.imwrite(path, table[LABELS])
        assert 'rounded' in read_label_picture(path).notices[0]

    @pytest.mark.parametrize('compression', ['group4', 'group3', 'tiff_ccitt'])
    def test_of_one_bit(self, compression: str, tmp_path: Path) -> None:
        path = tmp_path / 'mask.tif'
        Image.fromarray(LABELS > 0).save(path, compression=compression)
        np.testing.assert_array_equal(read_labels(path), LABELS > 0)

    def test_of_one_bit_where_white_is_zero(self, tmp_path: Path) -> None:
        path = tmp_path / 'mask.tif'
        tifffile.imwrite(path, LABELS == 0, photometric='miniswhite')
        np.testing.assert_array_equal(read_labels(path), LABELS > 0)

    @pytest.mark.parametrize('bits', [1, 2, 4])
    @pytest.mark.parametrize('suffix', ['.png', '.tif'])
    def test_of_few_bits(self, bits: int, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f'mask{suffix}'
        ids = np.minimum(LABELS, 2**bits - 1)
        if suffix == '.tif':
            tifffile.imwrite(
                path,
                ids.astype(bool) if bits == 1 else ids,
                photometric='minisblack',
                bitspersample=bits,
            )
        else:
            path.write_bytes(png_of_bits(ids, bits))
        np.testing.assert_array_equal(read_labels(path), ids)
        image = read_picture(path).pixels
        assert image.max() == (
            1 if image.dtype == bool else 255 * int(ids.max()) // (2**bits - 1)
        )


class TestChannels:
    @pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tif'])
    def test_three_equal_ones_are_one(
        self, suffix: str, tmp_path: Path
    ) -> None:
        path = tmp_path / f'mask{suffix}'
        Image.fromarray(np.dstack([LABELS] * 3)).save(path)
        np.testing.assert_array_equal(read_labels(path), LABELS)

    def test_with_opacity(self, tmp_path: Path) -> None:
        opaque = np.full(LABELS.shape, 255, np.uint8)
        Image.fromarray(np.dstack([LABELS] * 3 + [opaque])).save(
            tmp_path / 'a.png'
        )
        np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), LABELS)
        opaque[LABELS == 2] = 0
        Image.fromarray(np.dstack([LABELS, opaque])).save(tmp_path / 'b.png')
        read = read_label_picture(tmp_path / 'b.png')
        np.testing.assert_array_equal(
            read.labels, np.where(LABELS == 2, 0, LABELS)
        )
        assert 'transparent' in read.notices[0]

    def test_of_16_bits(self, tmp_path: Path) -> None:
        ids = np.array([0, 300, 4000, 50000], np.uint16)[LABELS]
        (tmp_path / 'a.png').write_bytes(
            imagecodecs.png_encode(np.dstack([ids] * 3))
        )
        np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), ids)

    def test_that_are_measured_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.tif'
        channels = np.random.default_rng(0).integers(0, 9, (5, 20, 30), 'u2')
        tifffile.imwrite(
            path,
            channels,
            photometric='minisblack',
            metadata={'axes': 'CYX'},
        )
        with pytest.raises(InputError, match='5 channels'):
            read_labels(path)

    def test_a_stack_is_refused_with_the_way_to_choose(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / 'a.tif'
        tifffile.imwrite(
            path, np.stack([LABELS] * 4), photometric='minisblack'
        )
        with pytest.raises(InputError, match=r'4 pages .*--page'):
            read_labels(path)
        np.testing.assert_array_equal(
            read_label_picture(path, page=2).labels, LABELS
        )


class TestPalettes:
    @pytest.mark.parametrize('suffix', ['.png', '.gif', '.tif', '.bmp'])
    def test_give_indices_and_colors(
        self, suffix: str, tmp_path: Path
    ) -> None:
        path = tmp_path / f'mask{suffix}'
        image = Image.fromarray(LABELS)
        image.putpalette(COLORS.ravel().tolist() + [0] * 756)
        image.save(path)
        read = read_label_picture(path)
        np.testing.assert_array_equal(read.labels, LABELS)
        assert read.colors is not None
        assert read.colors[2] == tuple(COLORS[2])
        assert sorted(read.colors) == [0, 1, 2, 3]

    def test_of_painted_colors_in_any_order(self, tmp_path: Path) -> None:
        # Programs that make a palette of a painting begin anywhere.
        order = np.array([2, 1, 0, 3], np.uint8)
        image = Image.fromarray(order[LABELS])
        image.putpalette(COLORS[[2, 1, 0, 3]].ravel().tolist())
        image.save(tmp_path / 'mask.gif')
        read = read_label_picture(tmp_path / 'mask.gif')
        same_areas(read.labels)
        assert 'colors found' in read.notices[-1]

    def test_of_few_bits(self, tmp_path: Path) -> None:
        path = tmp_path / 'mask.png'
        image = Image.fromarray(LABELS)
        image.putpalette(COLORS.ravel().tolist())
        image.save(path, bits=2)
        np.testing.assert_array_equal(read_labels(path), LABELS)

    def test_colors_are_written_again(self, tmp_path: Path) -> None:
        colors = {k: tuple(map(int, COLORS[k])) for k in range(4)}
        write_labels(tmp_path / 'a.tif', LABELS, colors=colors)
        read = read_label_picture(tmp_path / 'a.tif')
        np.testing.assert_array_equal(read.labels, LABELS)
        assert read.colors == colors
        with Image.open(tmp_path / 'a.tif') as image:
            np.testing.assert_array_equal(image, LABELS)
            np.testing.assert_array_equal(image.convert('RGB'), PAINTED)


class TestPainted:
    @pytest.mark.parametrize('suffix', ['.png', '.tif', '.bmp', '.webp'])
    def test_colors_are_counted(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f'mask{suffix}'
        keywords = {'lossless': True} if suffix == '.webp' else {}
        Image.fromarray(PAINTED).save(path, **keywords)
        read = read_label_picture(path)
        same_areas(read.labels)
        assert '3 colors found, used as 1 to 3' in read.notices[-1]
        assert read.colors is not None
        for number, color in read.colors.items():
            where = read.labels == number
            np.testing.assert_array_equal(PAINTED[where][0], color)

    @pytest.mark.parametrize('ground', [(255, 255, 255), (90, 90, 90)])
    def test_on_any_ground(
        self, ground: tuple[int, int, int], tmp_path: Path
    ) -> None:
        path = tmp_path / 'mask.png'
        painted = PAINTED.copy()
        painted[LABELS == 0] = ground
        Image.fromarray(painted).save(path)
        read = read_label_picture(path)
        same_areas(read.labels)
        assert str(ground) in read.notices[-1]

    def test_on_glass(self, tmp_path: Path) -> None:
        path = tmp_path / 'mask.png'
        alpha = np.where(LABELS > 0, 255, 0).astype(np.uint8)
        painted = PAINTED.copy()
        painted[LABELS == 0] = (7, 8, 9)
        painted[LABELS == 3] = 0
        Image.fromarray(np.dstack([painted, alpha])).save(path)
        read = read_label_picture(path)
        same_areas(read.labels)
        assert 'transparent' in read.notices[-1]

    @pytest.mark.parametrize('paint', [0, 90, 255])
    def test_in_one_gray_on_glass(self, paint: int, tmp_path: Path) -> None:
        alpha = np.where(LABELS > 0, 255, 0).astype(np.uint8)
        gray = np.full_like(alpha, paint)
        Image.fromarray(np.dstack([gray] * 3 + [alpha])).save(
            tmp_path / 'a.png'
        )
        read = read_label_picture(tmp_path / 'a.png')
        np.testing.assert_array_equal(read.labels > 0, LABELS > 0)
        assert 'transparent' in read.notices[0]

    @pytest.mark.parametrize('opacity', [1, 0.3])
    def test_smooth_edges_on_glass_end_in_the_middle(
        self, opacity: float, tmp_path: Path
    ) -> None:
        wide = np.kron(LABELS > 0, np.ones((4, 4), np.uint8)) * 255
        small = Image.fromarray(wide).rotate(10).resize((COLUMNS, ROWS), 3)
        truth = np.asarray(small) > 127
        alpha = np.round(np.asarray(small) * opacity).astype(np.uint8)
        paint = np.full((*alpha.shape, 3), (200, 30, 60), np.uint8)
        Image.fromarray(np.dstack([paint, alpha])).save(tmp_path / 'a.png')
        read = read_label_picture(tmp_path / 'a.png')
        assert np.mean((read.labels == 1) == truth) > 0.98

    def test_in_hundreds_of_colors(self, tmp_path: Path) -> None:
        numbers = np.arange(900).reshape(30, 30)
        table = np.stack([numbers % 251, numbers // 251 * 80, numbers % 7], -1)
        cells = np.kron(numbers, np.ones((4, 4), int))
        painted = np.kron(table, np.ones((4, 4, 1), int)).astype(np.uint8)
        Image.fromarray(painted).save(tmp_path / 'cells.png')
        same_areas(read_labels(tmp_path / 'cells.png'), cells)

    def test_with_smooth_edges(self, tmp_path: Path) -> None:
        path = tmp_path / 'mask.png'
        smooth = Image.fromarray(PAINTED).filter(ImageFilter.GaussianBlur(0.8))
        smooth.save(path)
        read = read_label_picture(path)
        assert len(np.unique(read.labels)) == 4
        agree = np.mean((read.labels > 0) == (LABELS > 0))
        assert agree > 0.97
        assert 'smooth edges' in read.notices[0]

    def test_a_photograph_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / 'photo.png'
        noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), 'u1')
        Image.fromarray(noise).save(path)
        with pytest.raises(InputError, match='colors found'):
            read_labels(path)


class TestLossy:
    @pytest.mark.parametrize('quality', [60, 80, 95])
    @pytest.mark.parametrize('ids', [(0, 85, 170, 255), (0, 120, 0, 240)])
    def test_gray_is_repaired_with_a_warning(
        self, quality: int, ids: tuple[int, ...], tmp_path: Path
    ) -> None:
        path = tmp_path / 'mask.jpg'
        values = np.array(ids, np.uint8)[LABELS]
        Image.fromarray(values).save(path, quality=quality)
        read = read_label_picture(path)
        assert 'JPEG' in read.notices[0]
        assert 'values found' in read.notices[0]
        assert len(np.unique(read.labels)) == len({*ids})
        difference = np.abs(read.labels.astype(int) - values)
        assert np.mean(difference > 12) < 0.02

    def test_two_values_are_a_mask(self, tmp_path: Path) -> None:
        path = tmp_path / 'mask.jpeg'
        mask = np.where(LABELS > 0, 255, 0).astype(np.uint8)
        Image.fromarray(mask).save(path, quality=75)
        read = read_label_picture(path)
        assert np.unique(read.labels).tolist() == [0, 1]
        assert np.mean((read.labels > 0) != (mask > 0)) < 0.01

    def test_nothing_at_all_stays_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / 'mask.jpg'
        Image.fromarray(np.zeros_like(LABELS)).save(path)
        assert not read_labels(path).any()

    @pytest.mark.parametrize('suffix', ['.jpg', '.tif'])
    def test_painted_colors(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f'mask{suffix}'
        keywords: dict[str, Any] = {'quality': 90}
        if suffix == '.tif':
            keywords['compression'] = 'jpeg'
        Image.fromarray(PAINTED).save(path, **keywords)
        read = read_label_picture(path)
        assert len(np.unique(read.labels)) == 4
        assert 'JPEG' in read.notices[0]

    def test_ids_near_each_other_are_lost(self, tmp_path: Path) -> None:
        path = tmp_path / 'photo.jpg'
        noise = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
        Image.fromarray(noise).save(path)
        with pytest.raises(InputError, match='JPEG, which does not keep ids'):
            read_labels(path)

    @pytest.mark.parametrize('ids', [(0, 1, 2, 3), (0, 10, 200, 255)])
    def test_no_id_is_lost_silently(
        self, ids: tuple[int, ...], tmp_path: Path
    ) -> None:
        values = np.array(ids, np.uint8)[LABELS]
        Image.fromarray(values).save(tmp_path / 'mask.jpg', quality=90)
        with pytest.raises(InputError, match='do not stand apart'):
            read_labels(tmp_path / 'mask.jpg')

    @pytest.mark.parametrize('quality', [75, 95])
    @pytest.mark.parametrize('suffix', ['.webp', '.avif', '.heic'])
    def test_by_other_compressions(
        self, suffix: str, quality: int, tmp_path: Path
    ) -> None:
        path = tmp_path / f'mask{suffix}'
        image = Image.fromarray(LABELS * 80).convert('RGB')
        if suffix == '.heic':
            heif = pytest.importorskip('pillow_heif')
            heif.from_pillow(image).save(path, quality=quality)
        else:
            image.save(path, quality=quality)
        read = read_label_picture(path)
        assert len(np.unique(read.labels)) == 4
        assert np.mean((read.labels > 0) != (LABELS > 0)) < 0.02
        # AVIF keeps so few values exactly.
        assert read.notices or suffix == '.avif'

    def test_without_loss_all_ids_stay(self, tmp_path: Path) -> None:
        gray = Image.fromarray(LABELS)
        gray.save(tmp_path / 'a.jp2')
        gray.convert('RGB').save(tmp_path / 'a.webp', lossless=True)
        for name in ('a.jp2', 'a.webp'):
            np.testing.assert_array_equal(read_labels(tmp_path / name), LABELS)

    @pytest.mark.parametrize('mode', ['L', 'RGB'])
    def test_large_ones_are_repaired_in_bands(
        self, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / 'mask.jpg'
        large = np.kron(LABELS, np.ones((4, 4), np.uint8))
        gray, color = (
            Image.fromarray(large * 80),
            Image.fromarray(COLORS[large]),
        )
        (gray if mode == 'L' else color).save(path, quality=70)
        whole = read_labels(path)
        monkeypatch.setattr(lossy_labels, '_BAND', 20)
        monkeypatch.setattr(lossy_labels, '_OVERLAP', 12)
        np.testing.assert_array_equal(read_labels(path), whole)
        assert np.mean((whole > 0) == (large > 0)) > 0.98

    def test_png_of_a_jpeg_is_warned_of(self, tmp_path: Path) -> None:
        Image.fromarray(LABELS * 80).save(tmp_path / 'a.jpg', quality=70)
        Image.open(tmp_path / 'a.jpg').save(tmp_path / 'b.png')
        (notice,) = read_label_picture(tmp_path / 'b.png').notices
        assert 'without a solid part' in notice

    def test_many_small_objects_are_not(self, tmp_path: Path) -> None:
        path = tmp_path / 'cells.png'
        blocks = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16) + 1
        Image.fromarray(np.kron(blocks, np.ones((4, 4), np.uint8))).save(path)
        assert read_label_picture(path).notices == ()


class TestWriting:
    def test_64_bits_become_as_few_as_hold_the_ids(
        self, tmp_path: Path
    ) -> None:
        for ids, dtype in (
            ((0, 1, 2, 3), 'uint8'),
            ((0, 1, 5, 2961), 'uint16'),
            ((0, 576073732, 1, 2), 'uint32'),
            ((0, -5, 1, 2), 'int8'),
            ((0, 2**40, 1, 2), 'uint64'),
        ):
            labels = np.array(ids, np.int64)[LABELS]
            write_labels(tmp_path / 'a.tif', labels)
            read = read_labels(tmp_path / 'a.tif')
            assert read.dtype == dtype
            np.testing.assert_array_equal(read, labels)
            if read.dtype.itemsize < 8 and dtype != 'int8':
                with Image.open(tmp_path / 'a.tif') as image:
                    np.testing.assert_array_equal(image, labels)

    def test_unless_asked_otherwise(self, tmp_path: Path) -> None:
        labels = LABELS.astype(np.int64)
        write_labels(tmp_path / 'a.tif', labels, keep_dtype=True)
        assert read_labels(tmp_path / 'a.tif').dtype == np.int64

    def test_other_types_stay(self, tmp_path: Path) -> None:
        for dtype in ('bool', 'uint8', 'uint16', 'int32'):
            write_labels(tmp_path / 'a.tif', (LABELS % 2).astype(dtype))
            assert read_labels(tmp_path / 'a.tif').dtype == dtype

    def test_what_no_type_holds(self) -> None:
        with pytest.raises(InputError, match='64 bits'):
            smallest_dtype(-1, 2**63)


class TestOrientationOfBoth:
    @pytest.mark.parametrize('turn', [2, 3, 4, 5, 6, 7, 8])
    def test_masks_lie_on_their_image(self, turn: int, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = turn
        stored = np.dstack([LABELS * 60] * 3)
        Image.fromarray(stored).save(tmp_path / 'a.png', exif=exif)
        image = read_annotated(tmp_path / 'a.png')
        upright = image.picture.pixels[..., 0] // 60
        Image.fromarray(upright).save(tmp_path / 'upright.png')
        Image.fromarray(LABELS).save(tmp_path / 'stored.png')
        Image.fromarray(LABELS).save(tmp_path / 'alike.png', exif=exif)

        def read(name: str) -> tuple[np.ndarray, tuple[str, ...]]:
            found = read_annotated(tmp_path / 'a.png', labels=tmp_path / name)
            assert found.labels is not None
            return found.labels.labels, found.notices

        labels, notices = read('alike.png')
        np.testing.assert_array_equal(labels, upright)
        assert notices == ()
        labels, notices = read('upright.png')
        np.testing.assert_array_equal(labels, upright)
        if turn < 5:
            # It fits either way.
            assert f'orientation {turn}' in notices[0]
            return
        assert notices == ()
        labels, notices = read('stored.png')
        np.testing.assert_array_equal(labels, upright)
        assert 'turned alike' in notices[0]

    def test_a_turned_mask_of_an_image_that_is_not(
        self, tmp_path: Path
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray(LABELS).save(tmp_path / 'a.png')
        Image.fromarray(LABELS).save(tmp_path / 'b.png', exif=exif)
        found = read_annotated(tmp_path / 'a.png', labels=tmp_path / 'b.png')
        assert 'look whether' in found.notices[0]

    def test_another_size_is_refused(self, tmp_path: Path) -> None:
        Image.fromarray(LABELS).save(tmp_path / 'a.png')
        Image.fromarray(LABELS[::2, ::2]).save(tmp_path / 'b.png')
        with pytest.raises(InputError, match=r'\(48, 64\), got \(24, 32\)'):
            read_annotated(tmp_path / 'a.png', labels=tmp_path / 'b.png')


@pytest.mark.parametrize(
    'name', ['mit Leerzeichen', '細胞', 'клетки', 'ö ü', "it's", 'a%20b#c']
)
def test_any_path(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    write_labels(folder / f'{name}.tif', LABELS)
    np.testing.assert_array_equal(read_labels(folder / f'{name}.tif'), LABELS)
    Image.fromarray(PAINTED).save(folder / f'{name}.png')
    same_areas(read_labels(folder / f'{name}.png'))


def test_natural_order() -> None:
    names = [
        'img10.png',
        'img2.png',
        'Img1.png',
        'b/img1.png',
        'a10/x',
        'a9/x',
    ]
    ordered = sorted(map(Path, names), key=natural_order)
    assert [str(path) for path in ordered] == [
        'a9/x', 'a10/x', 'b/img1.png', 'Img1.png', 'img2.png', 'img10.png',
    ]  # fmt: skip


def test_true_of_a_one_bit_file_is_one(tmp_path: Path) -> None:
    mask = np.zeros((6, 9), bool)
    mask[2:4, 3:7] = True
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    read = read_labels(tmp_path / 'mask.png')
    assert read.dtype == bool
    # Pillow's own bytes are 0 and 255, and 255 sorts behind True.
    assert np.unique(read.view(np.uint8)).tolist() == [0, 1]
    assert np.searchsorted([False, True], read).max() == 1
