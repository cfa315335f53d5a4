"""One picture of a file that Pillow reads, and what its numbers mean."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_samnet.io.picture import (
    Stored,
    check_page,
    one_picture,
    plural,
)
from napari_samnet.io.size_limits import check_picture

#: Formats that Pillow may read; some of its others start programs.
PILLOW_FORMATS = (
    'PNG',
    'JPEG',
    'BMP',
    'GIF',
    'WEBP',
    'AVIF',
    'JPEG2000',
    'PPM',
    'TIFF',
)

#: Formats that always change values.
_LOSSY = {'JPEG': 'JPEG', 'MPO': 'JPEG', 'HEIF': 'HEIC'}

#: Pillow's names of gray numbers of fewer than eight bits, which it widens.
_FEW_BITS = {'L;2': 2, 'L;4': 4}

#: Bytes of a file within which its compression is named.
_HEAD = 1 << 16

_SPACES = {
    'RGB': 'rgb',
    'RGBA': 'rgb',
    'CMYK': 'cmyk',
    'P': 'palette',
    'PA': 'palette',
}

_EXIF_COLORS = 0xA001
_EXIF_INTEROP = 0xA005

#: What PNG writes for the exponent of sRGB, 1 / 2.2.
_USUAL_GAMMA = 0.45455


def read_with_pillow(
    file: Path,
    name: str,
    page: int | None = None,
    *,
    formats: tuple[str, ...] = PILLOW_FORMATS,
) -> Stored:
    """Read one picture.

    ``page``: which picture of an animated file; by default the first, with a
    notice if there are others.
    Raises InputError if it claims more than it can hold, or has no such page.
    """
    Image.init()
    known = [kind for kind in formats if kind in Image.OPEN]
    with _quiet(), Image.open(file, formats=known) as image:
        check_picture(name, file, image)
        frames = getattr(image, 'n_frames', 1)
        notices: tuple[str, ...] = ()
        if page is not None and frames == 1:
            notices = one_picture(file, page)
        elif page is not None:
            image.seek(
                check_page(page, frames, 'picture', name=name, file=file)
            )
            check_picture(name, file, image)
        elif frames > 1:
            notices = (
                f'{file.name} holds {plural(frames, "picture")}; the first '
                f'is used',
            )
        stored = _stored(file, image)
        return stored.changed(
            profile=image.info.get('icc_profile') or _exif_profile(image),
            gamma=_gamma(image),
            orientation=_orientation(image),
            lossy=_lossy(file, image.format or ''),
            notices=notices,
        )


def _lossy(file: Path, kind: str) -> str:
    """Name of a compression that has changed values; '' for none.

    WebP names its codec, VP8 or the lossless VP8L (RFC 9649); JPEG 2000 its
    wavelet, of which 0 cannot be undone (ITU-T T.800, table A.20).
    """
    if kind not in ('WEBP', 'JPEG2000'):
        return _LOSSY.get(kind, '')
    with open(file, 'rb') as content:
        head = content.read(_HEAD)
    if kind == 'WEBP':
        return 'WebP' if b'VP8 ' in head else ''
    _, _, style = head.partition(b'\xff\x52')
    return 'JPEG 2000' if style[11:12] == b'\0' else ''


def _stored(file: Path, image: Image.Image) -> Stored:
    """Pixels in their own mode, and what the mode says of them."""
    tile = getattr(image, 'tile', None)
    layout = str(tile[0][3]) if tile else ''
    if image.format == 'PNG' and layout.endswith(';16B'):
        return _deep_png(file)
    if layout in _FEW_BITS and 'transparency' not in image.info:
        bits = _FEW_BITS[layout]
        step = 255 // ((1 << bits) - 1)
        return Stored(
            pixels=np.asarray(image) // step, space='gray', bits=bits
        )
    if image.mode not in ('P', 'PA') and 'transparency' in image.info:
        if image.mode in ('1', 'L', 'I', 'I;16'):
            if image.mode == 'L':
                image = image.convert('LA')
        elif image.mode == 'RGB':
            image = image.convert('RGBA')
    if image.mode in ('P', 'PA'):
        return Stored(
            pixels=np.asarray(image),
            space='palette',
            channel_axis=2 if image.mode == 'PA' else None,
            alpha='straight' if image.mode == 'PA' else '',
            palette=_palette(image),
        )
    if image.mode in {'YCbCr', 'LAB', 'HSV', 'RGBX'}:
        image = image.convert('RGB')
    elif image.mode in {'RGBa', 'La'}:
        image = image.convert(image.mode.upper())
    pixels = np.asarray(image)
    if (
        image.mode == 'CMYK'
        and image.format in ('JPEG', 'MPO')
        and 'adobe' not in image.info
    ):
        # Pillow takes all for files of Adobe, which store the opposite.
        pixels = ~pixels
    if pixels.dtype.kind == 'b':
        # Pillow's True is the byte 255, which sorts behind numpy's.
        pixels = pixels != 0
    # Some files store the other byte order.
    pixels = pixels.astype(pixels.dtype.newbyteorder('='), copy=False)
    return Stored(
        pixels=pixels,
        space=_SPACES.get(image.mode, 'gray'),
        channel_axis=2 if pixels.ndim == 3 else None,
        alpha='straight' if image.mode in ('LA', 'RGBA') else '',
    )


def _deep_png(file: Path) -> Stored:
    """A PNG of 16 bits a number, of which Pillow would drop eight."""
    import imagecodecs

    pixels = imagecodecs.png_decode(file.read_bytes())
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return Stored(
        pixels=pixels,
        space='rgb' if channels > 2 else 'gray',
        channel_axis=2 if pixels.ndim == 3 else None,
        bits=16,
        alpha='straight' if channels in (2, 4) else '',
    )


def _palette(image: Image.Image) -> NDArray[np.uint8]:
    """Colors of the indices, with opacity where some are transparent."""
    colors = np.array(image.getpalette('RGB') or [], np.uint8).reshape(-1, 3)
    transparency: Any = image.info.get('transparency')
    if transparency is None:
        return colors
    alpha = np.full((len(colors), 1), 255, np.uint8)
    if isinstance(transparency, bytes):
        given = np.frombuffer(transparency, np.uint8)[: len(colors)]
        alpha[: len(given), 0] = given
    elif 0 <= int(transparency) < len(colors):
        alpha[int(transparency)] = 0
    return np.hstack([colors, alpha])


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Pillow says of damaged data beside the pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)
        yield


def _exif(image: Image.Image) -> Any:
    """EXIF data; empty where they are damaged, which harms no pixel."""
    try:
        with _quiet():
            return image.getexif()
    except Exception:  # noqa: BLE001
        return {}


def _orientation(image: Image.Image) -> int:
    value = _exif(image).get(0x0112, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _exif_profile(image: Image.Image) -> bytes | None:
    """Adobe RGB, which cameras name in EXIF data without a profile."""
    exif = _exif(image)
    try:
        colors = exif.get_ifd(0x8769).get(_EXIF_COLORS)
        interop = exif.get_ifd(_EXIF_INTEROP).get(1)
    except Exception:  # noqa: BLE001
        return None
    if interop != 'R03' or colors == 1:
        return None
    import imagecodecs

    return bytes(imagecodecs.cms_profile('adobergb'))


def _gamma(image: Image.Image) -> float | None:
    """Exponent of a PNG without a profile; None for the usual one."""
    if 'icc_profile' in image.info or 'srgb' in image.info:
        return None
    value = image.info.get('gamma')
    if not isinstance(value, int | float) or not 0.01 < value < 100:
        return None
    return None if abs(value / _USUAL_GAMMA - 1) < 0.05 else float(value)
