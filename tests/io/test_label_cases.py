"""Labels as people have them: every kind with several members.

The ids are drawn here and written by other programs' writers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samnet.errors import InputError
from napari_samnet.io.label_files import read_label_picture

ROWS, COLUMNS = 60, 90
IDS = np.zeros((ROWS, COLUMNS), np.uint8)
IDS[5:15, 5:25] = 1
IDS[30:50, 40:80] = 2
COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
PAINTED = COLORS[IDS]
Write = Callable[[Path], object]
Case = tuple[str, Write, np.ndarray]


def pil(array: np.ndarray | Image.Image, **keywords: Any) -> Write:
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    return lambda path: image.save(path, **keywords)


def tiff(array: np.ndarray, **keywords: Any) -> Write:
    return lambda path: tifffile.imwrite(path, array, **keywords)


def npy(array: np.ndarray) -> Write:
    return lambda path: np.save(path, array)


def numbers() -> Iterator[Case]:
    for dtype in (
        'u1', 'u2', 'u4', 'u8', 'i1', 'i2', 'i4', 'i8', 'f2', 'f4', 'f8',
    ):  # fmt: skip
        for order in '<>':
            ids = IDS.astype(dtype)
            name = f'{dtype}{ord(order)}'
            yield f'{name}.tif', tiff(ids, byteorder=order), IDS
            for how in ('zlib', 'lzw'):
                write = tiff(ids, byteorder=order, compression=how)
                yield f'{name}{how}.tif', write, IDS
            yield f'{name}.npy', npy(ids.astype(order + dtype)), IDS
    for dtype in ('f2', 'f4', 'f8'):
        holes = np.where(IDS == 0, np.nan, IDS).astype(dtype)
        for order in '<>':
            name = f'nan{dtype}{ord(order)}'
            yield f'{name}.tif', tiff(holes, byteorder=order), IDS
            yield f'{name}.npy', npy(holes.astype(order + dtype)), IDS
    for dtype in ('i2', 'f4'):
        below = IDS.astype(dtype) - 1
        yield f'below{dtype}.tif', tiff(below), below


def wide_ids() -> Iterator[Case]:
    for number, ids in enumerate(
        (
            (0, 300, 65_000),
            (0, 576_073_732, 312_782_640),
            (0, 2**31, 2**32 - 1),
            (0, 2**40, 2**63 - 1),
        )
    ):
        table = np.array(ids, np.uint64)[IDS]
        for order in '<>':
            write = tiff(table, byteorder=order)
            yield f'{number}{ord(order)}.tif', write, table
        yield f'{number}.npy', npy(table), table
        if ids[-1] < 2**32:
            small = table.astype(np.uint32)
            yield f'{number}.small.tif', tiff(small, compression='lzw'), table
    deep = IDS.astype(np.uint16) * 300
    content = imagecodecs.png_encode(deep)
    yield 'deep.png', lambda path: path.write_bytes(content), deep


def channels() -> Iterator[Case]:
    three = np.dstack([IDS] * 3)
    opaque = np.full_like(IDS, 255)
    for suffix in ('.png', '.bmp', '.ppm', '.jp2'):
        yield f'a{suffix}', pil(three), IDS
    for how in ('tiff_lzw', 'packbits', None):
        yield f'{how}.tif', pil(three, compression=how), IDS
    yield 'a.webp', pil(three, lossless=True), IDS
    yield 'opaque.png', pil(np.dstack([three, opaque])), IDS
    yield 'two.png', pil(np.dstack([IDS, opaque])), IDS
    for name, more in (
        ('planar', {'planarconfig': 'separate', 'metadata': None}),
        ('shaped', {'planarconfig': 'separate'}),
    ):
        planes = np.stack([IDS] * 3)
        yield f'{name}.tif', tiff(planes, photometric='rgb', **more), IDS
    for dtype in (np.uint16, np.float32):
        deep = three.astype(dtype) * 3
        yield f'{deep.dtype}.tif', tiff(deep, photometric='rgb'), IDS * 3
    yield 'a.npy', npy(three), IDS
    for lead in ((1,), (1, 1)):
        array = IDS.reshape(*lead, *IDS.shape)
        yield f'{len(lead)}.npy', npy(array), IDS
        yield f'{len(lead)}.tif', tiff(array, photometric='minisblack'), IDS


def palettes() -> Iterator[Case]:
    for bits, count in ((1, 2), (2, 3), (4, 3), (8, 3)):
        ids = np.minimum(IDS, count - 1)
        image = Image.fromarray(ids)
        image.putpalette(COLORS[:count].ravel().tolist())
        yield f'{bits}.png', pil(image, bits=bits), ids
    image = Image.fromarray(IDS)
    image.putpalette(COLORS.ravel().tolist() + [0] * 759)
    for suffix in ('.gif', '.bmp', '.png'):
        yield f'a{suffix}', pil(image), IDS
    for suffix in ('.gif', '.png'):
        yield f'glass{suffix}', pil(image, transparency=0), IDS
    for how in ('tiff_lzw', 'packbits', 'tiff_adobe_deflate', None):
        yield f'{how}.tif', pil(image, compression=how), IDS
    for dtype in (np.uint8, np.uint16):
        table = np.zeros((3, 1 << 8 * np.dtype(dtype).itemsize), np.uint16)
        table[:, :3] = COLORS.T.astype(np.uint16) * 257
        for order in '<>':
            write = tiff(
                IDS.astype(dtype),
                photometric='palette',
                colormap=table,
                byteorder=order,
            )
            yield f'{np.dtype(dtype)}{ord(order)}.tif', write, IDS
    # Pascal VOC: the last index marks what is not to be looked at.
    void = np.where(IDS == 2, 255, IDS).astype(np.uint8)
    image = Image.fromarray(void)
    colors = [(k * 37 % 256, k * 91 % 256, k * 53 % 256) for k in range(256)]
    image.putpalette([value for color in colors for value in color])
    yield 'void.png', pil(image), void


def one_bit() -> Iterator[Case]:
    mask = IDS > 0
    for how in (
        'group3', 'group4', 'tiff_ccitt', 'packbits', 'tiff_lzw',
        'tiff_adobe_deflate', None,
    ):  # fmt: skip
        yield f'{how}.tif', pil(mask, compression=how), mask
    for suffix in ('.png', '.bmp'):
        yield f'a{suffix}', pil(mask), mask
    yield 'white.tif', tiff(~mask, photometric='miniswhite'), mask
    yield 'black.tif', tiff(mask, photometric='minisblack'), mask
    yield 'a.npy', npy(mask), mask


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    ('name', 'write', 'ids'),
    [
        pytest.param(*case, id=f'{kind.__name__}-{case[0]}')
        for kind in (numbers, wide_ids, channels, palettes, one_bit)
        for case in kind()
    ],
)
def test_ids_stay(
    name: str, write: Write, ids: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path / name)
    read = read_label_picture(tmp_path / name)
    assert read.labels.dtype.kind in 'biu'
    assert read.labels.dtype.isnative
    np.testing.assert_array_equal(
        read.labels.astype(object), ids.astype(object)
    )
    if name.startswith('nan'):
        assert 'NaN' in read.notices[0]


def painted() -> Iterator[tuple[str, Write]]:
    for suffix in ('.png', '.bmp', '.ppm', '.tif', '.gif', '.jp2'):
        yield f'a{suffix}', pil(PAINTED)
    yield 'a.webp', pil(PAINTED, lossless=True)
    yield 'white.png', pil(255 - PAINTED)
    ground = np.where(IDS[..., None] == 0, 200, PAINTED).astype(np.uint8)
    yield 'ground.png', pil(ground)
    glass = np.where(IDS > 0, 255, 0).astype(np.uint8)
    yield 'glass.png', pil(np.dstack([PAINTED, glass]))
    yield 'thin.png', pil(np.dstack([PAINTED, glass // 3]))
    for dtype, scale in ((np.uint16, 257), (np.float32, 1 / 255)):
        deep = (PAINTED * np.array(scale, dtype)).astype(dtype)
        yield f'{deep.dtype}.tif', tiff(deep, photometric='rgb')
        yield f'{deep.dtype}.npy', npy(deep)
    for quality in (75, 90, 100):
        yield f'{quality}.jpg', pil(PAINTED, quality=quality)
        yield f'{quality}.avif', pil(PAINTED, quality=quality)
        yield f'{quality}.webp', pil(PAINTED, quality=quality)
        write = pil(PAINTED, quality=quality, compression='jpeg')
        yield f'{quality}.tif', write


@pytest.mark.parametrize(
    ('name', 'write'), [pytest.param(*case, id=case[0]) for case in painted()]
)
def test_paintings_become_ids(name: str, write: Write, tmp_path: Path) -> None:
    write(tmp_path / name)
    read = read_label_picture(tmp_path / name)
    assert len(np.unique(read.labels)) == 3
    assert '2 colors found' in read.notices[-1]
    # Compressed colors lie on a coarser grid than the pixels.
    different = [len(np.unique(read.labels[k == IDS])) > 1 for k in range(3)]
    if name[0].isdecimal():
        assert np.mean((read.labels > 0) != (IDS > 0)) < 0.04
    else:
        assert not any(different)
    assert read.colors is not None
    assert sorted(read.colors) == [1, 2]


REFUSED: dict[str, Write] = {
    'half.tif': tiff(IDS / 2),
    'half.npy': npy(IDS * 0.3),
    'infinite.tif': tiff(np.where(IDS == 0, np.inf, IDS)),
    'channels.tif': tiff(
        np.stack([k == IDS for k in range(5)]).astype(np.uint8),
        photometric='minisblack',
    ),
    'pages.tif': tiff(np.stack([IDS, IDS + 1, IDS]), metadata={'axes': 'ZYX'}),
    'inks.tif': pil(Image.fromarray(PAINTED).convert('CMYK')),
    'near.jpg': pil(IDS, quality=90),
    'complex.npy': npy(IDS * 1j),
}


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', REFUSED)
def test_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    REFUSED[name](tmp_path / name)
    with pytest.raises(InputError) as caught:
        read_label_picture(tmp_path / name)
    assert '\n' not in str(caught.value)
    assert name in str(caught.value)
