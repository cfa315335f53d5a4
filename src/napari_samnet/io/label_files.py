"""Label files of any kind: numbers, palettes, or painted colors.

Labels are one whole number per pixel. Files hold them in many ways, and some
have lost them to a compression for photographs; what is decided here is told
in a notice, and what cannot be decided is refused with the remedy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_samnet.arrays.tiles import tiles
from napari_samnet.errors import InputError, refused
from napari_samnet.io.color_codes import bands_of
from napari_samnet.io.file_kinds import existing_file
from napari_samnet.io.image_files import read_stored, write_tiff
from napari_samnet.io.label_numbers import smallest_dtype, whole
from napari_samnet.io.lossy_labels import repaired, unsolid_ids
from napari_samnet.io.painted_labels import (
    is_painted_palette,
    painted,
    rgb_of,
)
from napari_samnet.io.picture import LabelPicture, Stored, plural, upright

#: A darkest value below this is the background of a blurred file.
DARK = 12


def read_labels(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a label image, where nobody reads notices.

    Returns: (rows, columns): Labels, one whole number per pixel. Raises
    InputError if there is no such file, or it holds no labels.
    """
    return read_label_picture(path).labels


def read_label_picture(
    path: str | os.PathLike[str],
    *,
    name: str = 'labels',
    page: int | str | None = None,
) -> LabelPicture:
    """Read a label image; a palette image gives its indices.

    ``page``: which plane of a stack, from 0.
    Returns: one whole number per pixel, with the file's colors, and notices.
    Raises InputError if there is no such file, or it holds no labels.
    """
    file = existing_file(path, name)
    stored = read_stored(file, name, page)
    if not stored.pixels.size:
        raise InputError(
            f'{name} must have at least one pixel, got shape '
            f'{stored.pixels.shape} in {file}'
        )
    with refused(f'{name}: {file} cannot be read as labels'):
        made = _labels(stored, name, file)
    return LabelPicture(
        labels=upright(made.labels, stored.orientation),
        notices=(*stored.notices, *made.notices),
        colors=made.colors,
        orientation=stored.orientation,
    )


def labels_of_pixels(
    pixels: NDArray[Any],
    name: str,
    *,
    channel_axis: int | None = None,
) -> LabelPicture:
    """Take pixels in memory for labels, by the rules that files are read by.

    ``pixels`` (H, W): ids, or colors that are one id each.
    ``channel_axis``: axis of the colors; None for one number per pixel.
    Returns: one whole number per pixel, colors where there were any, and
    notices.
    Raises InputError if they hold no labels.
    """
    several = channel_axis is not None
    count = pixels.shape[channel_axis] if channel_axis is not None else 1
    stored = Stored(
        pixels=pixels,
        space='rgb' if several else 'array',
        channel_axis=channel_axis,
        alpha='straight' if count == 4 else '',
    )
    return _labels(stored, 'labels', Path(name))


def write_labels(
    path: Path,
    labels: NDArray[Any],
    *,
    colors: Mapping[int, tuple[int, int, int]] | None = None,
    keep_dtype: bool = False,
) -> None:
    """Write labels as a TIFF file that other programs open.

    ``path``: file to write, whole or not at all.
    ``labels`` (H, W): one id per pixel.
    ``colors``: 8-bit color of each id; written as a palette where all ids are
    from 0 to 255, and in the order that palettes have.
    ``keep_dtype``: write 64-bit labels as such. By default they are written in
    the smallest type that holds the ids, as few programs read 64 bits.
    Raises InputError if the file cannot be written.
    """
    if labels.dtype.itemsize == 8 and not keep_dtype:
        low = min(0, int(labels.min(initial=0)))
        dtype = smallest_dtype(low, int(labels.max(initial=0)))
        labels = labels.astype(dtype)
    palette = None
    if colors and labels.dtype == np.uint8:
        palette = np.zeros((256, 3), np.uint8)
        for number, color in colors.items():
            if 0 <= number < 256:
                palette[number] = color
    write_tiff(path, labels, palette=palette)


def _labels(stored: Stored, name: str, file: Path) -> LabelPicture:
    """Labels as the file holds them, not yet upright."""
    pixels, axis = stored.pixels, stored.channel_axis
    while pixels.ndim > 2 and 1 in pixels.shape:
        at = pixels.shape.index(1)
        pixels = pixels.squeeze(at)
        axis = None if axis is None or pixels.ndim == 2 else axis - (at < axis)
    if pixels.ndim == 3 and axis is None and pixels.shape[2] in (2, 3, 4):
        axis = 2
    if pixels.ndim != 2 and axis is None:
        raise InputError(
            f'{name} must be one number per pixel, got shape {pixels.shape} '
            f'in {file}: choose a page (--page N), or save one plane'
        )
    if pixels.ndim == 2:
        return _one_number(stored.changed(pixels=pixels), name, file)
    pixels = np.moveaxis(pixels, axis or 0, -1)
    colors, glass = pixels, None
    if stored.alpha or (pixels.shape[2] in (2, 4) and stored.space == 'array'):
        colors, glass = pixels[..., :-1], _is_glass(pixels[..., -1])
    if stored.space == 'palette' or _all_equal(colors):
        flat = stored.changed(pixels=colors[..., 0])
        made = _one_number(flat, name, file)
        if glass is None:
            return made
        if glass.any() and not made.labels.any():
            return LabelPicture(
                labels=~glass,
                notices=(
                    *made.notices,
                    f'{file.name}: what is not transparent is taken as 1',
                ),
            )
        if not (glass & (made.labels != 0)).any():
            return made
        return LabelPicture(
            labels=np.where(glass, 0, made.labels).astype(made.labels.dtype),
            notices=(
                *made.notices,
                f'{file.name}: transparent pixels are taken as background',
            ),
            colors=made.colors,
        )
    if colors.dtype.kind == 'f' and np.nanmax(colors) <= 1:
        colors = np.nan_to_num(colors) * 255
    if colors.shape[2] != 3 or stored.space not in ('rgb', 'array'):
        raise InputError(
            f'{name} must be one number per pixel, got {colors.shape[2]} '
            f'channels that differ in {file}: save them as a gray or palette '
            f'image'
        )
    if colors.dtype == np.uint16:
        colors = colors >> 8
    return painted(
        np.ascontiguousarray(colors).astype(np.uint8),
        glass,
        stored,
        name,
        file,
    )


def _all_equal(channels: NDArray[Any]) -> bool:
    """Whether every pixel has one number in all of its channels."""
    return all(
        (channels[rows] == channels[rows][..., :1]).all()
        for rows in bands_of(channels)
    )


def _is_glass(alpha: NDArray[Any]) -> NDArray[np.bool_]:
    """Where nothing was painted; smooth edges end where half is left.

    Half of what is around, as all of a painting may be translucent.
    """
    around = ndimage.maximum_filter(alpha, 3, mode='nearest')
    return (alpha == 0) | (alpha < around / 2)


def _one_number(stored: Stored, name: str, file: Path) -> LabelPicture:
    """One number per pixel: ids, unless a compression has blurred them."""
    pixels = stored.pixels
    if stored.lossy and pixels.dtype == np.uint8:
        return _from_lossy(pixels[..., None], stored, name, file)
    if stored.white_is_zero and stored.bits == 1:
        pixels = ~pixels if pixels.dtype == bool else 1 - pixels
    if stored.palette is not None and is_painted_palette(stored):
        colors = stored.palette[np.minimum(pixels, len(stored.palette) - 1)]
        return painted(
            np.ascontiguousarray(colors[..., :3]), None, stored, name, file
        )
    if stored.nodata:
        empty = pixels == stored.nodata
        pixels = np.where(empty, 0, pixels).astype(pixels.dtype)
    labels, notices = whole(pixels, name, file)
    if stored.space != 'palette':
        thin = unsolid_ids(labels)
        if thin:
            notices = (
                *notices,
                f'{file.name} holds {thin[1]} ids, {thin[0]} of them without '
                f'a solid part: it looks smoothed, or saved as JPEG once; if '
                f'so, save the labels anew without loss',
            )
    return LabelPicture(
        labels=labels, notices=notices, colors=_palette_colors(stored, labels)
    )


def _palette_colors(
    stored: Stored, labels: NDArray[Any]
) -> dict[int, tuple[int, int, int]] | None:
    """Colors of those indices that occur."""
    if stored.palette is None:
        return None
    counts = np.zeros(len(stored.palette), np.int64)
    for rows, _ in tiles((labels.shape[0], labels.shape[1])):
        band = labels[rows].ravel()
        counts += np.bincount(band[band < len(counts)], minlength=len(counts))
    present = np.flatnonzero(counts)
    return {int(index): rgb_of(stored.palette[index]) for index in present}


def _from_lossy(
    values: NDArray[np.uint8], stored: Stored, name: str, file: Path
) -> LabelPicture:
    """Ids that were blurred, where they still stand apart."""
    count = len(np.unique(values))
    mended = repaired(values)
    if mended is None or (len(mended[1]) == 1 and count > 1):
        raise InputError(
            f'{name}: {file} is a {stored.lossy}, which does not keep ids: '
            f'it holds {count} values from {values.min()} to {values.max()}, '
            f'which do not stand apart; save the labels as PNG or TIFF'
        )
    index, levels = mended
    ids = [int(level) for level in levels[:, 0]]
    if len(ids) == 2:
        ids = [0, 1]
    elif ids[0] < DARK:
        ids[0] = 0
    labels = np.array(ids, np.uint8)[index]
    told = ', '.join(str(int(level)) for level in levels[:, 0])
    return LabelPicture(
        labels=labels,
        notices=(
            f'{file.name} is a {stored.lossy}, which does not keep ids: '
            f'{plural(count, "value")} found, taken for the '
            f'{len(ids)} that stand out ({told}), used as '
            f'{", ".join(map(str, ids))}; better save labels as PNG',
        ),
    )
