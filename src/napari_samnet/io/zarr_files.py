"""Arrays and images of Zarr and OME-Zarr (NGFF 0.1 to 0.5), by zarr."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.io.array_planes import plane_of_array
from napari_samnet.io.extras import require
from napari_samnet.io.picture import Stored, choose_plane
from napari_samnet.io.size_limits import check_memory

#: Axes of the versions that do not name them.
_USUAL_AXES = 'tczyx'


def is_zarr(path: Path) -> bool:
    """Tell a folder of zarr from others.

    Returns: True for a folder with the metadata of a group or an array.
    """
    return path.is_dir() and any(
        (path / name).is_file() for name in ('zarr.json', '.zgroup', '.zarray')
    )


def metadata(group: Any) -> dict[str, Any]:
    """OME's part of the attributes, of any version."""
    attributes = dict(group.attrs)
    return dict(attributes.get('ome', attributes))


def read_plane(
    array: Any, page: int | None, *, name: str, file: Path, channel: int = -1
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read one plane of an array whose last two axes are rows and columns.

    ``page``: which plane, counted from 0 over all other axes.
    ``channel``: axis of the channels, which are all read; -1 for none.
    Returns: ``plane``: (H, W): in the array's dtype; ``notices``: what was
    decided.
    Raises InputError if there are several planes and none is chosen, or too
    much is claimed.
    """
    counted = [axis for axis in range(array.ndim - 2) if axis != channel]
    sizes = [array.shape[axis] for axis in counted]
    plane, notices = choose_plane(
        page, prod(sizes), 'plane', name=name, file=file
    )
    where: list[Any] = [slice(None)] * array.ndim
    for axis, index in zip(
        counted, np.unravel_index(plane, sizes or (1,)), strict=False
    ):
        where[axis] = int(index)
    size = prod(array.shape) // max(1, prod(sizes))
    largest = max(size, prod(getattr(array, 'chunks', None) or (1,)))
    check_memory(name, file, largest * array.dtype.itemsize)
    return np.asarray(array[tuple(where)]), notices


def read_zarr(path: Path, name: str, page: int | None = None) -> Stored:
    """Read one picture at full resolution.

    ``path``: an image of OME-Zarr, or an array.
    ``page``: which plane, counted from 0 over all axes but rows, columns and
    channels.
    Raises InputError if zarr is missing, or the folder holds no single
    picture.
    """
    zarr = require('zarr', f'{name}: folders of Zarr such as {path}')
    opened: Any = zarr.open(path, mode='r')
    if isinstance(opened, zarr.Group):
        if '0' in opened and 'multiscales' not in metadata(opened):
            # Converters put each series below the folder.
            opened = opened['0']
        about = metadata(opened)['multiscales'][0]
        array = opened[about['datasets'][0]['path']]
        axes = [
            axis if isinstance(axis, str) else str(axis['name'])
            for axis in about.get('axes') or _USUAL_AXES
        ]
    else:
        array = opened
        axes = [str(axis) for axis in _names_of(array)]
    if array.ndim < 2 or array.dtype.kind not in 'biuf':
        raise InputError(
            f'{name}: {path} must hold numbers in rows and columns, got '
            f'{array.dtype} of shape {array.shape}'
        )
    if not axes and array.ndim == 3:
        check_memory(name, path, prod(array.shape) * array.dtype.itemsize)
        return plane_of_array(np.asarray(array[...]), page, name, path)
    channel = axes.index('c') if 'c' in axes[: array.ndim - 2] else -1
    pixels, notices = read_plane(
        array, page, name=name, file=path, channel=channel
    )
    if pixels.ndim == 2:
        return Stored(pixels=pixels, space='gray', notices=notices)
    if len(pixels) == 1:
        return Stored(pixels=pixels[0], space='gray', notices=notices)
    return Stored(
        pixels=pixels, space='channels', channel_axis=0, notices=notices
    )


def _names_of(array: Any) -> tuple[Any, ...]:
    """Names of the axes of an array, as far as it has some."""
    return tuple(getattr(array.metadata, 'dimension_names', None) or ())
