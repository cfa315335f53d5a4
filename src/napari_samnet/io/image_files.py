"""Image files: one reader for every part of the package, and writers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_samnet.errors import InputError, refused
from napari_samnet.files import atomic_write
from napari_samnet.images.rgb import check_image, to_rgb
from napari_samnet.io.array_planes import plane_of_array
from napari_samnet.io.color_codes import bands_of
from napari_samnet.io.color_spaces import as_seen
from napari_samnet.io.dicom import read_dicom
from napari_samnet.io.extras import require
from napari_samnet.io.file_kinds import existing_file, file_kind
from napari_samnet.io.icc_profiles import from_srgb
from napari_samnet.io.npy import read_npy
from napari_samnet.io.npz import only_array
from napari_samnet.io.picture import ALL_PAGES, Picture, Stored
from napari_samnet.io.pillow_files import read_with_pillow
from napari_samnet.io.tiff_files import read_tiff, read_tiff_stack
from napari_samnet.io.volumes import read_volume
from napari_samnet.io.zarr_files import read_zarr


def read_picture(
    path: str | os.PathLike[str],
    *,
    name: str = 'image',
    page: int | str | None = None,
    channel: int | None = None,
) -> Picture:
    """Read one 2-D image as a person sees it.

    What a file is, is told by its content, not its name. Color spaces,
    palettes, ICC profiles, orientation and opacity are taken into account.

    ``path``: TIFF, PNG, JPEG, JPEG 2000, WebP, AVIF, GIF, BMP, PPM, NumPy's
    .npy, and .npz with one array; with the extra `heic` HEIC, with the extra
    `dicom` DICOM, with the extra `formats` a folder of OME-Zarr, with the
    extra `volumes` a plane of NRRD, MetaImage and NIfTI.
    ``page``: which plane of a stack or picture of an animated file, from 0;
    'all' to take the pages of a stack as the channels of one picture.
    ``channel``: which channel to take alone, from 0.
    Returns: gray, RGB or RGBA in sRGB, or channels, with notices.
    Raises InputError if there is no such file, or it is not a 2-D image.
    """
    file = existing_file(path, name)
    stored = read_stored(file, name, page)
    with _readable(file, name):
        picture = as_seen(stored, file.name)
    if channel is not None:
        picture = _one_channel(picture, channel, name, file)
    check_image(
        picture.pixels,
        name=f'{name} {file}',
        channel_axis=picture.channel_axis,
    )
    pixels = picture.pixels
    if pixels.dtype.kind == 'f' and not any(
        np.isfinite(pixels[rows]).any() for rows in bands_of(pixels)
    ):
        raise InputError(f'{name}: {file} holds no finite number')
    return picture


def read_image(
    path: str | os.PathLike[str], *, name: str = 'image'
) -> tuple[NDArray[Any], int | None]:
    """Read the pixels of one 2-D image, where nobody reads notices.

    Returns: ``array``: the pixels, in the file's own dtype; ``channel_axis``:
    axis of the channels where the file says so.
    Raises InputError if there is no such file, or it is not a 2-D image.
    """
    picture = read_picture(path, name=name)
    return picture.pixels, picture.channel_axis


def read_stored(
    path: str | os.PathLike[str],
    name: str,
    page: int | str | None = None,
) -> Stored:
    """Read the numbers of one picture as the file holds them.

    Raises InputError if there is no such file, or it holds no single picture.
    """
    file = existing_file(path, name)
    kind = file_kind(file, name)
    with _readable(file, name):
        if kind in ('npy', 'npz'):
            return plane_of_array(
                _read_numpy(file, kind, name), page, name, file
            )
        if kind == 'tiff':
            return _read_any_tiff(file, name, page)
        if page == ALL_PAGES:
            raise InputError(
                f'{name}: only the pages of a TIFF file can be channels, '
                f'{file} is none'
            )
        number = None if page is None else int(page)
        if kind == 'zarr':
            return read_zarr(file, name, number)
        if kind == 'dicom':
            return read_dicom(file, name, number)
        if kind == 'volume':
            return read_volume(file, name, number)
        if kind == 'heic':
            return _read_heic(file, name, number)
        return read_with_pillow(file, name, number)


def read_stack(
    path: str | os.PathLike[str], *, name: str = 'stack'
) -> NDArray[Any] | None:
    """Read an array of any number of axes.

    ``path``: TIFF or NumPy's .npy and .npz.
    Returns: in the file's own dtype; None for a file of another kind.
    Raises InputError if there is no such file, or it cannot be read.
    """
    file = existing_file(path, name)
    kind = file_kind(file, name)
    with _readable(file, name):
        if kind in ('npy', 'npz'):
            return _read_numpy(file, kind, name)
        if kind == 'tiff':
            return read_tiff_stack(file, name)
        return None


def write_tiff(
    path: Path,
    array: NDArray[Any],
    *,
    channel_axis: int | None = None,
    profile: bytes | None = None,
    palette: NDArray[np.uint8] | None = None,
) -> None:
    """Write a 2-D image or map, compressed without loss.

    ``path``: file to write, whole or not at all.
    ``array`` (rows, columns): any real dtype, kept.
    ``channel_axis``: axis of the channels; by default the last of three.
    ``profile``: ICC profile that the colors, given as sRGB, are written with.
    ``palette`` (N, 3): colors of the labels from 0 to N - 1, which other
    programs show; for arrays of uint8 or uint16.
    Raises InputError if it cannot be written.
    """
    options: dict[str, Any] = {'photometric': 'minisblack'}
    if array.ndim == 3:
        last = channel_axis in (None, 2, -1)
        if last and array.shape[2] in (3, 4):
            options['photometric'] = 'rgb'
        else:
            array = np.moveaxis(array, 2 if last else channel_axis or 0, 0)
            options['metadata'] = {'axes': 'CYX'}
            profile = None
    if profile is not None:
        converted = from_srgb(array, profile)
        if converted is not None:
            array, options['iccprofile'] = converted, profile
    if palette is not None and array.dtype in (np.uint8, np.uint16):
        table = np.zeros((3, 1 << (8 * array.dtype.itemsize)), np.uint16)
        table[:, : len(palette)] = palette.T.astype(np.uint16) * 257
        options |= {'photometric': 'palette', 'colormap': table}
    with atomic_write(path) as file:
        tifffile.imwrite(file, array, compression='zlib', **options)


def write_png(
    path: Path,
    image: NDArray[Any],
    *,
    channel_axis: int | None = None,
    profile: bytes | None = None,
) -> None:
    """Write an image for viewing.

    8-bit gray, RGB and RGBA, and 16-bit gray are kept; anything else is
    brought to 8-bit RGB.

    ``path``: file to write, whole or not at all.
    ``image``: a 2-D image of any kind.
    ``profile``: ICC profile that the colors, given as sRGB, are written with.
    Raises InputError if it cannot be written.
    """
    if not fits_png(image, channel_axis):
        rgb = to_rgb(image, channel_axis=channel_axis)
        image = np.round(rgb * 255).astype(np.uint8)
    options: dict[str, Any] = {}
    if profile is not None:
        converted = from_srgb(image, profile)
        if converted is not None:
            image, options['icc_profile'] = converted, profile
    picture = Image.fromarray(np.ascontiguousarray(image))
    with atomic_write(path) as file:
        picture.save(file, format='png', **options)


def fits_png(image: NDArray[Any], channel_axis: int | None = None) -> bool:
    """Whether a PNG file that we write holds the very numbers of an image."""
    if image.ndim == 2:
        return image.dtype in (np.uint8, np.uint16)
    color = channel_axis in (None, 2, -1) and image.shape[2] in (3, 4)
    return color and image.dtype == np.uint8


@contextmanager
def _readable(file: Path, name: str) -> Iterator[None]:
    """Tell in one line why a file cannot be read as an image."""
    with refused(f'{name}: {file} cannot be read as an image'):
        try:
            yield
        except UnidentifiedImageError:
            raise ValueError(
                'no known format (TIFF, PNG, JPEG, JPEG 2000, WebP, AVIF, '
                'GIF, BMP, PPM, npy, HEIC and DICOM are read)'
            ) from None
        except Image.DecompressionBombError as error:
            raise ValueError(f'{error}; save it as TIFF if it is none') from (
                error
            )


def _read_numpy(file: Path, kind: str, name: str) -> NDArray[Any]:
    return read_npy(file) if kind == 'npy' else only_array(file, name)


def _read_any_tiff(file: Path, name: str, page: int | str | None) -> Stored:
    """By tifffile, or by Pillow where only that knows the layout."""
    try:
        return read_tiff(file, name, page)
    except InputError:
        raise
    except Exception as error:
        words = str(error)
        if not isinstance(error, NotImplementedError) and not any(
            part in words for part in ('support', 'subsampling', 'mismatch')
        ):
            # Damaged, which Pillow would not read either.
            raise
        # Pillow counts pages as they lie in the file, and knows no series.
        number = None if page is None or page == ALL_PAGES else int(page)
        try:
            stored = read_with_pillow(file, name, number, formats=('TIFF',))
        except Exception:  # noqa: BLE001
            raise error from None
        if stored.notices and page is None:
            raise
        return stored


def _read_heic(file: Path, name: str, page: int | None) -> Stored:
    what = f'{name}: HEIC pictures such as {file}'
    pillow_heif = require('pillow_heif', what, extra='heic')
    pillow_heif.register_heif_opener()
    return read_with_pillow(file, name, page, formats=('HEIF',))


def _one_channel(
    picture: Picture, channel: int, name: str, file: Path
) -> Picture:
    """A channel alone, as a gray picture."""
    pixels, axis = picture.pixels, picture.channel_axis
    if axis is None and pixels.ndim == 3:
        axis = 2 if pixels.shape[2] <= pixels.shape[0] else 0
    if axis is None:
        notice = f'{file.name} has one channel; no other is looked for'
        notices = (*picture.notices, *([notice] if channel else []))
        return replace(picture, notices=notices)
    count = pixels.shape[axis]
    if not 0 <= channel < count:
        raise InputError(
            f'{name}: channel must be from 0 to {count - 1}, as {file} has '
            f'{count} of them, got {channel}'
        )
    return Picture(
        pixels=np.take(pixels, channel, axis),
        notices=picture.notices,
        orientation=picture.orientation,
    )
