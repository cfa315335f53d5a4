"""ICC profiles to sRGB and back, by Little CMS through imagecodecs."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.lazy import new_array
from napari_samnet.arrays.tiles import run_tiles, tiles

Array = NDArray[Any]
Convert = Callable[[Array], Array]


def from_srgb(pixels: Array, profile: bytes) -> Array | None:
    """Bring sRGB to the colors of a profile, to be written with it.

    ``pixels`` (H, W): 8-bit, 16-bit or float in [0, 1].
    ``profile``: ICC profile of the file that the picture comes from.
    Returns: the same shape and dtype; None if the profile is for other
    pictures.
    """
    color = pixels.ndim == 3
    if profile_space(profile) != ('RGB ' if color else 'GRAY'):
        return None
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        return None
    import imagecodecs

    srgb = bytes(imagecodecs.cms_profile('srgb'))

    def convert(block: Array) -> Array:
        colors = block[..., :3] if color else np.stack([block] * 3, -1)
        moved = _shallow(
            imagecodecs.cms_transform(
                _deep(np.ascontiguousarray(colors)),
                srgb,
                profile,
                colorspace='rgb',
                outcolorspace='rgb' if color else 'gray',
            ),
            block.dtype,
        )
        if color and block.shape[2] > 3:
            return np.concatenate([moved, block[..., 3:]], axis=2)
        return np.asarray(moved)

    return by_bands(pixels, convert)


def by_bands(pixels: Array, convert: Convert) -> Array:
    """Convert bands of rows, so that temporaries stay small.

    ``pixels`` (H, W) or (H, W, C): the picture, which may be mapped from its
    file.
    ``convert``: takes some rows and returns as many; dtype and channels may
    change.
    Returns: all converted rows; mapped to a file where they are many.
    """
    if not pixels.size:
        return pixels
    bands = [rows for rows, _ in tiles((pixels.shape[0], pixels.shape[1]))]
    first = convert(np.ascontiguousarray(pixels[bands[0]]))
    out = new_array((pixels.shape[0], *first.shape[1:]), first.dtype)
    out[bands[0]] = first

    def work(rows: slice) -> None:
        out[rows] = convert(np.ascontiguousarray(pixels[rows]))

    run_tiles(work, bands[1:])
    return out


def by_profile(space: str, profile: bytes) -> Convert | None:
    """Make a conversion to sRGB by Little CMS.

    ``space``: 'gray', 'rgb' or 'cmyk'.
    ``profile``: ICC profile of such colors; nothing in it is trusted.
    Returns: converts colors in their dtype; None for a damaged profile, which
    is left out, as other programs do.
    """
    import imagecodecs

    srgb = bytes(imagecodecs.cms_profile('srgb'))

    def convert(block: Array) -> Array:
        kind = block.dtype
        given = _deep(block)
        if given is None:
            return block
        moved = imagecodecs.cms_transform(
            given,
            profile,
            srgb,
            colorspace=space,
            outcolorspace='rgb',
        )
        if space == 'gray':
            moved = moved[..., 0]
        return _shallow(np.asarray(moved), kind)

    try:
        convert(_probe(space))
    except Exception:  # noqa: BLE001
        return None
    return convert


def _deep(block: Array) -> Array | None:
    """Numbers for Little CMS, which is coarse near black at 8 bits."""
    if block.dtype == np.uint8:
        return block.astype(np.uint16) * 257
    if block.dtype.kind == 'f':
        return block.astype(np.float32)
    return block if block.dtype == np.uint16 else None


def _shallow(block: Array, dtype: np.dtype[Any]) -> Array:
    """The same numbers in the dtype that they came in."""
    if dtype == np.uint8:
        return ((block.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return block.astype(dtype, copy=False)


def _probe(space: str) -> Array:
    """Colors from all over the space."""
    steps = np.arange(0, 256, 51).astype(np.uint8)
    channels = {'gray': 1, 'rgb': 3, 'cmyk': 4}[space]
    colors = np.stack(np.meshgrid(*[steps] * channels), -1)
    flat = colors.reshape(1, -1, channels)
    return flat[..., 0] if channels == 1 else flat


def is_visible(convert: Convert, space: str) -> bool:
    """Tell whether a conversion makes a difference that can be seen.

    Returns: False for a profile that is sRGB but for rounding.
    """
    if space == 'cmyk':
        return True
    probe = _probe(space)
    return bool(np.abs(convert(probe).astype(int) - probe).max() > 2)


def profile_space(profile: bytes) -> str:
    """Color space of an ICC profile (ICC.1, 7.2.6).

    Returns: four letters, such as 'RGB ' or 'GRAY'.
    """
    return profile[16:20].decode('latin-1')


def describe_profile(profile: bytes) -> str:
    """Name of a profile for people.

    Returns: what the profile calls itself, at most 60 letters.
    """
    from PIL import ImageCms

    try:
        held = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        text = ImageCms.getProfileDescription(held)
    except Exception:  # noqa: BLE001
        text = ''
    return ' '.join(text.split())[:60] or 'its ICC profile'
