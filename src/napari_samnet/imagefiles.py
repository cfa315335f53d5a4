"""Image and label files of the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_samnet.errors import InputError
from napari_samnet.images import to_rgb

__all__ = ['read_image', 'read_labels', 'write_png', 'write_tiff']

#: Axes of a TIFF file that make it a stack of images.
_STACKED = {'Z': 'planes', 'T': 'time points', 'I': 'pages', 'P': 'positions'}


def read_image(
    path: str | os.PathLike[str], *, name: str = 'image'
) -> tuple[NDArray[Any], int | None]:
    """Read one 2-D image, grey or in colour.

    Parameters
    ----------
    path : path-like
        TIFF, NumPy's .npy, or anything that Pillow reads.
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
    try:
        if file.suffix.lower() == '.npy':
            return np.load(file, allow_pickle=False), None
        if file.suffix.lower() in {'.tif', '.tiff'}:
            return _read_tiff(file, name)
        return _read_picture(file, name, palette=False), None
    except InputError:
        raise
    except Exception as error:
        # Decoders raise nearly anything on a damaged file.
        raise _unreadable(file, name, error) from error


def read_labels(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a label image; a palette image gives its indices.

    Parameters
    ----------
    path : path-like
        TIFF, NumPy's .npy, or anything that Pillow reads.

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
            f'in {file}: save them as a grey or palette image'
        )
    if labels.dtype.kind not in 'biu':
        raise InputError(
            f'labels must be whole numbers, got {labels.dtype} in {file}'
        )
    return labels


def write_tiff(path: Path, array: NDArray[Any]) -> None:
    """Write a 2-D array, compressed without loss.

    Parameters
    ----------
    path : Path
        File to write.
    array : ndarray, shape (rows, columns)
        Any real dtype, kept.
    """
    tifffile.imwrite(path, array, compression='zlib', photometric='minisblack')


def write_png(
    path: Path, image: NDArray[Any], *, channel_axis: int | None = None
) -> None:
    """Write an image for viewing.

    8-bit grey, RGB and RGBA, and 16-bit grey are kept; anything else is
    brought to 8-bit RGB.

    Parameters
    ----------
    path : Path
        File to write.
    image : ndarray
        Any 2-D image.
    channel_axis : int, optional
        Axis of its channels, found out by default.
    """
    colour = image.ndim == 3 and image.shape[2] in (3, 4)
    plain = image.dtype == np.uint8 and (image.ndim == 2 or colour)
    if channel_axis not in (None, 2, -1):
        plain = False
    if not plain and not (image.dtype == np.uint16 and image.ndim == 2):
        rgb = to_rgb(image, channel_axis=channel_axis)
        image = np.round(rgb * 255).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(image)).save(path)


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
    return InputError(f'{name}: {file} cannot be read as an image: {reason}')


def _read_tiff(file: Path, name: str) -> tuple[NDArray[Any], int | None]:
    with tifffile.TiffFile(file) as content:
        series = content.series[0]
        axes = series.axes
        for axis, size in zip(axes, series.shape, strict=True):
            if axis in _STACKED and size > 1:
                raise InputError(
                    f'{name} must be one 2-D image, got a stack of {size} '
                    f'{_STACKED[axis]} in {file}'
                )
        pixels = series.asarray()
    channels = [axes.index(axis) for axis in 'SC' if axis in axes]
    one = len(channels) == 1 and pixels.ndim == 3
    return pixels, channels[0] if one else None


def _read_picture(file: Path, name: str, *, palette: bool) -> NDArray[Any]:
    with Image.open(file) as image:
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
