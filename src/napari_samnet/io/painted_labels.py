"""Labels that were painted in colors, one for each object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.io.color_codes import (
    codes_of,
    colors_of,
    lookup,
    present_codes,
)
from napari_samnet.io.label_numbers import smallest_dtype
from napari_samnet.io.lossy_labels import (
    has_mixed_edges,
    repaired,
    unsolid_ids,
)
from napari_samnet.io.picture import LabelPicture, Stored

#: Number of pixels in which nothing was painted.
GLASS = -1

#: Of more colors than this, only a small share may have no solid part; a
#: photograph has large even parts as well.
MANY_COLORS = 256
THIN_SHARE = 0.1


def painted(
    colors: NDArray[np.uint8],
    glass: NDArray[np.bool_] | None,
    stored: Stored,
    name: str,
    file: Path,
) -> LabelPicture:
    """Make labels of painted colors.

    ``colors`` (H, W, 3): what was painted, pixel by pixel.
    ``glass`` (H, W): where nothing was painted, as far as the file says.
    Returns: ids from 1 on, red before green before blue, with the colors.
    Raises InputError if no colors stand out.
    """
    notices: list[str] = []
    codes = _codes(colors, glass)
    present, _ = present_codes(codes)
    share = THIN_SHARE if len(present) > MANY_COLORS else 0.5
    blurred = (
        bool(stored.lossy)
        or unsolid_ids(codes, share) is not None
        or has_mixed_edges(codes)
    )
    if blurred:
        mended = repaired(colors)
        if mended is None:
            reason = (
                f'is a {stored.lossy}, which does not keep ids'
                if stored.lossy
                else 'is a color picture'
            )
            raise InputError(
                f'{name}: {file} {reason}: {len(present):,} colors found, and '
                f'none stand out; paint each object in one color, without '
                f'smooth edges, and save it as PNG'
            )
        index, levels = mended
        cause = f'saved as {stored.lossy}' if stored.lossy else 'smooth edges'
        notices.append(
            f'{file.name}: {len(present):,} colors found ({cause}), taken '
            f'for the {len(levels)} that stand out'
        )
        red, green, blue = levels.T.astype(np.int32)
        numbers = red << 16 | green << 8 | blue
        codes = lookup(index, np.arange(len(levels)), numbers)
        if glass is not None:
            codes[glass] = GLASS
        present, _ = present_codes(codes)
    has_glass = glass is not None and bool(glass.any())
    background = GLASS if has_glass else _background(codes, present)
    # Red before green before blue, whatever else the picture holds.
    objects = present[present != background][::-1]
    dtype = smallest_dtype(0, len(objects))
    ids = np.arange(1, len(objects) + 1, dtype=dtype)
    labels = lookup(codes, objects, ids)
    table = dict(
        zip(ids.tolist(), map(rgb_of, colors_of(objects, 3)), strict=True)
    )
    notices.append(_told(file, background, len(objects)))
    return LabelPicture(labels=labels, notices=tuple(notices), colors=table)


def is_painted_palette(stored: Stored) -> bool:
    """Tell whether a palette was made of painted colors, in any order.

    Then black or white surrounds the picture under some other index than 0,
    and index 0 is a color like the others.
    """
    table, pixels = stored.palette, stored.pixels
    assert table is not None
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    around = int(np.bincount(edge).argmax())
    if not 0 < around < len(table):
        return False
    ground, first = rgb_of(table[around]), rgb_of(table[0])
    grounds = ((0, 0, 0), (255, 255, 255))
    return ground in grounds and first not in grounds


def _told(file: Path, background: int, count: int) -> str:
    below = (
        'the transparent part'
        if background < 0
        else f'rgb{_unpacked(background)}'
    )
    used = '1' if count == 1 else f'1 to {count}'
    return (
        f'{file.name}: painted labels, {count} '
        f'{"color" if count == 1 else "colors"} found, used as {used}; '
        f'{below} is the background'
    )


def _codes(
    colors: NDArray[np.uint8], glass: NDArray[np.bool_] | None
) -> NDArray[np.int32]:
    """Color of every pixel as a number; GLASS where nothing was painted."""
    codes = codes_of(colors)
    if glass is not None:
        codes[glass] = GLASS
    return codes


def _unpacked(color: int) -> tuple[int, int, int]:
    return color >> 16, (color >> 8) & 255, color & 255


def _background(codes: NDArray[np.int32], present: NDArray[Any]) -> int:
    """What stands for no label: black, white, or what surrounds."""
    if not present[0]:
        return 0
    edge = np.concatenate([codes[0], codes[-1], codes[:, 0], codes[:, -1]])
    around, times = np.unique(edge, return_counts=True)
    if around[-1] == 0xFFFFFF:
        return 0xFFFFFF
    return int(around[times.argmax()])


def rgb_of(color: NDArray[Any]) -> tuple[int, int, int]:
    """Red, green and blue of a color of a palette, as ints."""
    red, green, blue = (int(value) for value in color[:3])
    return red, green, blue
