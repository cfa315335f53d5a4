"""Any TIFF that can be written is read as seen, or refused in one line."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_rgb
from napari_samnet.io.image_files import read_picture

PHOTOMETRIC = (
    'minisblack', 'miniswhite', 'rgb', 'palette', 'separated', 'ycbcr',
    'cielab', 'icclab',
)  # fmt: skip
COMPRESSIONS = (
    None, 'zlib', 'lzw', 'packbits', 'lzma', 'zstd', 'jpeg', 'webp',
    'jpeg2000', 'lerc', 'png', 'jpegxr', 'jpegxl',
)  # fmt: skip
PICTURES = ('jpeg', 'webp', 'jpeg2000', 'jpegxr', 'jpegxl', 'png')
LOSSY = ('jpeg', 'webp', 'jpeg2000', 'jpegxr', 'jpegxl')
DTYPES = ('bool', 'u1', 'u2', 'u4', 'i1', 'i2', 'f2', 'f4', 'f8')
PILLOW = (
    '1',
    'L',
    'LA',
    'P',
    'I;16',
    'F',
    'RGB',
    'RGBA',
    'CMYK',
    'YCbCr',
    'LAB',
)
PILLOW_COMPRESSIONS = (
    None, 'group3', 'group4', 'jpeg', 'lzma', 'packbits', 'tiff_adobe_deflate',
    'tiff_ccitt', 'tiff_deflate', 'tiff_lzw', 'webp', 'zstd',
)  # fmt: skip


#: How a picture looks of which the file says that it lies otherwise (TIFF
#: 6.0, tag 274): what the first row and the first column are.
LYING = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.transpose(1, 0, 2),
    6: lambda seen: np.rot90(seen, -1),
    7: lambda seen: seen[::-1, ::-1].transpose(1, 0, 2),
    8: lambda seen: np.rot90(seen),
}


def smooth(rows: int, columns: int, channels: int) -> np.ndarray:
    """Values from 0 to 1 that change slowly, so that blur harms little."""
    down, across = np.mgrid[:rows, :columns]
    waves = [
        0.5 + 0.4 * np.sin(0.05 * (k + 1) * across + 0.07 * down + k)
        for k in range(channels)
    ]
    return np.stack(waves, axis=-1)


def lab_seen(lab: np.ndarray) -> np.ndarray:
    """What Little CMS makes of 8-bit L*a*b* with signed a and b."""
    image = Image.frombytes('LAB', lab.shape[1::-1], lab.tobytes())
    return np.asarray(image.convert('RGB')) / 255


def expected(photometric: str, unit: np.ndarray) -> np.ndarray:
    """What is seen of stored values from 0 to 1."""
    if photometric == 'miniswhite':
        return 1 - unit
    if photometric == 'separated':
        return (1 - unit[..., :3]) * (1 - unit[..., 3:])
    if photometric == 'ycbcr':
        bytes_ = np.round(unit * 255).astype(np.uint8)
        return (
            np.asarray(Image.fromarray(bytes_, 'YCbCr').convert('RGB')) / 255
        )
    return unit


def stored(unit: np.ndarray, dtype: str) -> np.ndarray:
    kind = np.dtype(dtype)
    if kind.kind == 'b':
        return unit > 0.5
    if kind.kind == 'f':
        return unit.astype(kind)
    info = np.iinfo(kind)
    span = float(info.max) - float(info.min)
    return np.round(unit * span + float(info.min)).astype(kind)


def compare(path: Path, wanted: np.ndarray, blur: float) -> None:
    """Up to the range, which is only known for 8 bits and floats."""
    try:
        picture = read_picture(path)
    except InputError as error:
        if '\n' in str(error) or path.name not in str(error):
            raise AssertionError(str(error)) from error
        return
    rgb = to_rgb(picture.pixels, channel_axis=picture.channel_axis)
    assert rgb.shape[:2] == wanted.shape[:2]
    if wanted.shape[2] == 1:
        wanted = np.repeat(wanted, 3, axis=2)
    if picture.pixels.dtype != np.uint8 and picture.pixels.dtype.kind != 'f':
        low, high = wanted.min(), wanted.max()
        wanted = (wanted - low) / (high - low)
        low, high = rgb.min(), rgb.max()
        rgb = (rgb - low) / (high - low)
    assert np.quantile(np.abs(rgb - wanted), 0.8) < blur


@pytest.mark.slow
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
@given(
    photometric=st.sampled_from(PHOTOMETRIC),
    compression=st.sampled_from(COMPRESSIONS),
    planar=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    byteorder=st.sampled_from('<>'),
    tile=st.booleans(),
    sides=st.tuples(st.integers(12, 70), st.integers(12, 70)),
    turn=st.sampled_from((1, 1, 1, *range(1, 9))),
    shaped=st.booleans(),
    extra=st.sampled_from(
        (None, None, 'unassalpha', 'assocalpha', 'unspecified')
    ),
)
def test_of_tifffile(
    photometric: str,
    compression: str | None,
    planar: bool,
    dtype: str,
    byteorder: str,
    tile: bool,
    sides: tuple[int, int],
    turn: int,
    shaped: bool,
    extra: str | None,
) -> None:
    channels = {'separated': 4, 'minisblack': 1, 'miniswhite': 1, 'palette': 1}
    unit = smooth(*sides, channels.get(photometric, 3))
    values = stored(unit, dtype)
    if values.dtype.kind != 'f':
        # What the rounding leaves, not what was meant.
        span = np.iinfo(dtype) if dtype != 'bool' else None
        low = float(span.min) if span else 0.0
        high = float(span.max) if span else 1.0
        unit = (values.astype(float) - low) / (high - low)
    wanted = expected(photometric, unit)
    options: dict[str, Any] = {'byteorder': byteorder}
    if not shaped:
        options['metadata'] = None
    if turn > 1:
        options['extratags'] = [(274, 3, 1, turn, True)]
    if photometric in ('cielab', 'icclab'):
        if dtype != 'u1':
            return
        raw = values.copy()
        if photometric == 'icclab':
            raw[..., 1:] ^= 128
        wanted = lab_seen(raw)
    if photometric == 'palette':
        if dtype not in ('u1', 'u2') or compression in LOSSY:
            # Between two indices there is nothing.
            return
        size = 1 << (8 * values.dtype.itemsize)
        table = np.linspace(0, 65535, size).astype(np.uint16)
        options['colormap'] = np.stack([table, table[::-1], table])
        wanted = np.concatenate([unit, 1 - unit, unit], axis=2)
    if extra and photometric in ('rgb', 'separated') and dtype != 'bool':
        # Nothing is hidden, so that it looks as without.
        full = 1 if values.dtype.kind == 'f' else np.iinfo(dtype).max
        opaque = np.full_like(values[..., :1], full)
        values = np.concatenate([values, opaque], axis=2)
        options['extrasamples'] = [extra]
    if values.shape[2] == 1:
        values = values[..., 0]
    elif planar:
        values = np.moveaxis(values, -1, 0)
        options['planarconfig'] = 'separate'
    else:
        options['planarconfig'] = 'contig'
    if compression in PICTURES and (
        byteorder == '>' or dtype not in ('u1', 'u2')
    ):
        # The encoders of pictures do not look at the order of bytes, and
        # hold no more than 16 bits.
        return
    if compression == 'jpeg' and dtype == 'u2':
        # JPEG holds no more than 12 bits.
        values = values >> 4
    if tile:
        options['tile'] = (16, 32)
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'any.tif'
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                tifffile.imwrite(
                    path,
                    values,
                    photometric=photometric,
                    compression=compression,
                    **options,
                )
        except Exception:  # noqa: BLE001
            # The writer does not know this combination.
            return
        looks = LYING[turn](wanted)
        compare(path, looks, 0.15 if compression in LOSSY else 0.02)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    mode=st.sampled_from(PILLOW),
    compression=st.sampled_from(PILLOW_COMPRESSIONS),
    sides=st.tuples(st.integers(12, 70), st.integers(12, 70)),
)
def test_of_pillow(
    mode: str, compression: str | None, sides: tuple[int, int]
) -> None:
    rgb = np.round(smooth(*sides, 3) * 255).astype(np.uint8)
    image = Image.fromarray(rgb)
    if mode == 'P':
        image = image.quantize(64)
    elif mode == 'I;16':
        image = Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    if mode in ('I;16', 'F'):
        wanted = np.asarray(image).astype(float)[..., None]
        low, high = wanted.min(), wanted.max()
        wanted = (wanted - low) / (high - low)
    else:
        wanted = np.asarray(image.convert('RGB')) / 255
    with TemporaryDirectory() as folder:
        path = Path(folder) / 'any.tif'
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                image.save(path, compression=compression)
        except Exception:  # noqa: BLE001
            return
        lossy = compression in ('jpeg', 'webp')
        compare(path, wanted, 0.15 if lossy else 0.02)
