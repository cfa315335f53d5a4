"""Image and label files of the command line."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_samnet.arrays.lazy import is_large, new_array
from napari_samnet.errors import InputError
from napari_samnet.files import atomic_write
from napari_samnet.images.rgb import check_image, to_rgb
from napari_samnet.io.npy import read_npy
from napari_samnet.io.size_limits import check_pages, check_picture, check_tiff

__all__ = [
    'read_image',
    'read_labels',
    'read_stack',
    'write_png',
    'write_tiff',
]

_TIFF = ('.tif', '.tiff')

#: Formats that Pillow may read; some of its others start programs.
_PICTURES = (
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

#: Axes of a TIFF file that make it a stack of images.
_STACKED = {'Z': 'planes', 'T': 'time points', 'I': 'pages', 'P': 'positions'}


def read_image(
    path: str | os.PathLike[str], *, name: str = 'image'
) -> tuple[NDArray[Any], int | None]:
    """Read one 2-D image, gray or in color.

    Parameters
    ----------
    path : path-like
        TIFF, NumPy's .npy, PNG, JPEG, JPEG 2000, WebP, AVIF, GIF, BMP, PPM.
    name : str
        What the messages call it.

    Returns
    -------
    array : ndarray
        The pixels, in the file's own dtype.
    channel_axis : int or None
        Axis of the channels where the file says so.

    Raises
    ------
    InputError
        If there is no such file, or it is not a 2-D image.
    """
    file = _existing(path, name)
    axis = None
    try:
        if file.suffix.lower() == '.npy':
            pixels = _read_npy(file)
        elif file.suffix.lower() in _TIFF:
            pixels, axis = _read_tiff(file, name)
        else:
            pixels = _read_picture(file, name, palette=False)
    except InputError:
        raise
    except Exception as error:
        # Decoders raise nearly anything on a damaged file.
        raise _unreadable(file, name, error) from error
    check_image(pixels, name=f'{name} {file}', channel_axis=axis)
    return pixels, axis


def read_labels(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a label image; a palette image gives its indices.

    Parameters
    ----------
    path : path-like
        As for :func:`read_image`.

    Returns
    -------
    ndarray of int or bool, shape (rows, columns)
        The labels, in the file's own dtype.

    Raises
    ------
    InputError
        If there is no such file, or it holds no labels.
    """
    file = _existing(path, 'labels')
    if file.suffix.lower() in {'.npy', '.tif', '.tiff'}:
        labels, _ = read_image(file, name='labels')
    else:
        try:
            labels = _read_picture(file, 'labels', palette=True)
        except InputError:
            raise
        except Exception as error:
            raise _unreadable(file, 'labels', error) from error
    if labels.ndim != 2:
        raise InputError(
            f'labels must be one number per pixel, got shape {labels.shape} '
            f'in {file}: save them as a gray or palette image'
        )
    if labels.dtype.kind not in 'biu':
        raise InputError(
            f'labels must be whole numbers, got {labels.dtype} in {file}'
        )
    return labels


def read_stack(
    path: str | os.PathLike[str], *, name: str = 'stack'
) -> NDArray[Any] | None:
    """Read an array of any number of axes.

    Parameters
    ----------
    path : path-like
        TIFF or NumPy's .npy.
    name : str
        What the messages call it.

    Returns
    -------
    ndarray or None
        In the file's own dtype; None for a file of another kind.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read.
    """
    file = _existing(path, name)
    try:
        if file.suffix.lower() == '.npy':
            return _read_npy(file)
        if file.suffix.lower() in _TIFF:
            check_pages(name, file)
            with tifffile.TiffFile(file) as content:
                series = content.series[0]
                return _pixels(name, file, content, series)
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(file, name, error) from error
    return None


def write_tiff(
    path: Path, array: NDArray[Any], *, channel_axis: int | None = None
) -> None:
    """Write a 2-D image or map, compressed without loss.

    Parameters
    ----------
    path : Path
        File to write, whole or not at all.
    array : ndarray, shape (rows, columns), or with channels
        Any real dtype, kept.
    channel_axis : int, optional
        Axis of the channels; by default the last of three.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    how: dict[str, Any] = {'photometric': 'minisblack'}
    if array.ndim == 3:
        last = channel_axis in (None, 2, -1)
        if last and array.shape[2] in (3, 4):
            how['photometric'] = 'rgb'
        else:
            array = np.moveaxis(array, 2 if last else channel_axis or 0, 0)
            how['metadata'] = {'axes': 'CYX'}
    with atomic_write(path) as file:
        tifffile.imwrite(file, array, compression='zlib', **how)


def write_png(
    path: Path, image: NDArray[Any], *, channel_axis: int | None = None
) -> None:
    """Write an image for viewing.

    8-bit gray, RGB and RGBA, and 16-bit gray are kept; anything else is
    brought to 8-bit RGB.

    Parameters
    ----------
    path : Path
        File to write, whole or not at all.
    image : ndarray
        Any 2-D image.
    channel_axis : int, optional
        Axis of its channels, found out by default.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    color = image.ndim == 3 and image.shape[2] in (3, 4)
    plain = image.dtype == np.uint8 and (image.ndim == 2 or color)
    if channel_axis not in (None, 2, -1):
        plain = False
    if not plain and not (image.dtype == np.uint16 and image.ndim == 2):
        rgb = to_rgb(image, channel_axis=channel_axis)
        image = np.round(rgb * 255).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(image))
    with atomic_write(path) as file:
        picture.save(file, format='png')


def _existing(path: str | os.PathLike[str], name: str) -> Path:
    file = Path(path)
    if not file.exists():
        raise InputError(f'{name}: there is no file {file}')
    if not file.is_file():
        raise InputError(f'{name}: {file} is not a file')
    return file


def _unreadable(file: Path, name: str, error: Exception) -> InputError:
    reason = ' '.join(str(error).split()) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = 'no known format'
    elif isinstance(error, Image.DecompressionBombError):
        reason += '; save it as TIFF if it is none'
    return InputError(f'{name}: {file} cannot be read as an image: {reason}')


def _read_npy(file: Path) -> NDArray[Any]:
    with open(file, 'rb') as content:
        return read_npy(content, file.name)


def _read_tiff(file: Path, name: str) -> tuple[NDArray[Any], int | None]:
    check_pages(name, file)
    with tifffile.TiffFile(file) as content:
        series = content.series[0]
        axes = series.axes
        for axis, size in zip(axes, series.shape, strict=True):
            if axis in _STACKED and size > 1:
                raise InputError(
                    f'{name} must be one 2-D image, got a stack of {size} '
                    f'{_STACKED[axis]} in {file}'
                )
        pixels = _pixels(name, file, content, series)
    channels = [axes.index(axis) for axis in 'SC' if axis in axes]
    one = len(channels) == 1 and pixels.ndim == 3
    return pixels, channels[0] if one else None


def _pixels(
    name: str,
    file: Path,
    content: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
) -> NDArray[Any]:
    """Pixels of a TIFF image; large ones are mapped, not read."""
    size = prod(series.shape) * series.dtype.itemsize
    start = series.dataoffset
    dtype = np.dtype(content.byteorder + series.dtype.char)
    if (
        is_large(size)
        and start is not None
        and series.keyframe.is_memmappable
        and dtype.isnative
        and start + size <= file.stat().st_size
    ):
        mapped = np.memmap(file, dtype, 'r', start, series.shape)
        return mapped.view(np.ndarray)
    check_tiff(name, file, series)
    if not is_large(size):
        return series.asarray()
    return series.asarray(out=new_array(series.shape, series.dtype))


def _read_picture(file: Path, name: str, *, palette: bool) -> NDArray[Any]:
    Image.init()
    formats = [kind for kind in _PICTURES if kind in Image.OPEN]
    with Image.open(file, formats=formats) as image:
        check_picture(name, file, image)
        frames = getattr(image, 'n_frames', 1)
        if frames > 1:
            raise InputError(
                f'{name} must be one 2-D image, got {frames} frames in {file}'
            )
        if image.mode == 'P' and not palette:
            opaque = 'transparency' not in image.info
            pixels = np.asarray(image.convert('RGB' if opaque else 'RGBA'))
        elif image.mode == 'LA':
            pixels = np.asarray(image.getchannel('L'))
        elif image.mode in {'CMYK', 'YCbCr', 'LAB', 'HSV'}:
            pixels = np.asarray(image.convert('RGB'))
        else:
            pixels = np.asarray(image)
    # Some files store the other byte order.
    return pixels.astype(pixels.dtype.newbyteorder('='), copy=False)
