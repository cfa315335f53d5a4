"""Label images of OME-Zarr (NGFF 0.4 and 0.5), by zarr."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError, cannot, refused
from napari_samnet.files import replace_folder
from napari_samnet.io.extras import require
from napari_samnet.io.picture import LabelPicture
from napari_samnet.io.size_limits import check_memory
from napari_samnet.io.zarr_files import metadata, read_plane

#: Where labels are below an image.
LABELS = 'labels'

#: Axes of label images, of which the last ones are used.
_AXES = 'tczyx'

#: Sides of a chunk of labels.
CHUNK = 1024


def read_ome_zarr(
    path: Path, name: str, page: int | None = None
) -> LabelPicture:
    """Read a plane of a label image at full resolution.

    ``path``: the label image, or the image that holds one.
    ``page``: which plane, counted from 0 over all axes but the last two.
    Raises InputError if there are no labels, or several planes and no page is
    chosen.
    """
    array, about, notices = _open_labels(path, name)
    labels, further = read_plane(array, page, name=name, file=path)
    return _picture(labels, about, (*notices, *further))


def read_label_stack(
    path: Path, name: str, shape: tuple[int, ...]
) -> LabelPicture | None:
    """Read all planes of a label image at full resolution.

    ``path``: the label image, or the image that holds one.
    ``shape``: leading axes, rows and columns that it must have; axes of one
    plane do not count.
    Returns: None if it has another shape.
    Raises InputError if there are no labels.
    """
    array, about, notices = _open_labels(path, name)
    if _without_ones(array.shape) != _without_ones(shape):
        return None
    check_memory(name, path, prod(array.shape) * array.dtype.itemsize)
    labels = np.asarray(array[...]).reshape(shape)
    return _picture(labels, about, notices)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape without leading axes of length 1."""
    return (*(size for size in shape[:-2] if size != 1), *shape[-2:])


def _open_labels(
    path: Path, name: str
) -> tuple[Any, dict[str, Any], tuple[str, ...]]:
    """Array of a label image, its metadata, and what was chosen."""
    zarr = require('zarr', 'files of OME-Zarr')
    with refused(f'{name}: {path} holds no label image of OME-Zarr'):
        group = zarr.open_group(path, mode='r')
        group, notices = _label_group(group, path.name)
        about = metadata(group)
        first = about['multiscales'][0]['datasets'][0]['path']
        array = group[first]
    if array.dtype.kind not in 'biu' or array.ndim < 2:
        raise InputError(
            f'{name}: labels must be whole numbers with rows and columns, got '
            f'{array.dtype} of shape {array.shape} in {path}'
        )
    return array, about, notices


def _picture(
    labels: NDArray[Any], about: dict[str, Any], notices: tuple[str, ...]
) -> LabelPicture:
    """Labels with the names and colors of their ids."""
    names, colors = _label_table(about)
    return LabelPicture(
        labels=labels,
        notices=notices,
        colors=colors or None,
        names=names or None,
    )


def _label_group(group: Any, name: str) -> tuple[Any, tuple[str, ...]]:
    """The label image itself, or the first one below an image."""
    if 'image-label' in metadata(group):
        return group, ()
    if LABELS in group:
        below = group[LABELS]
        names = metadata(below).get('labels') or sorted(below.group_keys())
        if names:
            notices: tuple[str, ...] = ()
            if len(names) > 1:
                notices = (
                    f'{name} holds {len(names)} label images; {names[0]!r} '
                    f'is used',
                )
            return below[str(names[0])], notices
    if 'multiscales' in metadata(group):
        return group, ()
    raise InputError(f'labels: {name} holds no label image of OME-Zarr')


def _label_table(
    about: dict[str, Any],
) -> tuple[dict[int, str], dict[int, tuple[int, int, int]]]:
    """Names and colors of the ids."""
    label = about.get('image-label') or {}
    colors, names = {}, {}
    for entry in label.get('colors') or []:
        rgba = entry.get('rgba') or []
        if len(rgba) >= 3:
            red, green, blue = (int(value) for value in rgba[:3])
            colors[int(entry['label-value'])] = (red, green, blue)
    for entry in label.get('properties') or []:
        if entry.get('name'):
            names[int(entry['label-value'])] = str(entry['name'])
    return names, colors


def write_ome_zarr(
    path: Path,
    labels: NDArray[Any],
    *,
    names: dict[int, str] | None = None,
    colors: dict[int, tuple[int, int, int]] | None = None,
    scale: Sequence[float] = (),
    units: Sequence[str] = (),
) -> tuple[str, ...]:
    """Write a label image of one resolution (NGFF 0.5), plane by plane.

    ``labels``: rows and columns, after up to three leading axes.
    ``scale``, ``units``: length of a step on each axis, and what it is in;
    1 and nothing by default.

    Labels, names and colors are those of
    :func:`~napari_samnet.io.formats.registry.write_label_format`; an earlier
    label image is replaced, but nothing else.
    Raises InputError if the folder holds anything else, or it cannot be
    written.
    """
    import shutil
    import uuid

    zarr = require('zarr', 'files of OME-Zarr')
    _check_replaceable(zarr, path)
    draft = path.with_name(f'.{path.name[:80]}.{uuid.uuid4().hex[:8]}.part')
    try:
        group = zarr.open_group(draft, mode='w', zarr_format=3)
        values = labels.astype(np.uint8) if labels.dtype == bool else labels
        array = group.create_array(
            '0',
            shape=values.shape,
            chunks=(
                *(1 for _ in values.shape[:-2]),
                *(min(CHUNK, side) for side in values.shape[-2:]),
            ),
            # zarr knows one of numpy's two names of 64-bit numbers.
            dtype=np.dtype(values.dtype.str),
            dimension_names=tuple(_AXES[-values.ndim :]),
        )
        for index in np.ndindex(values.shape[:-2]):
            for top in range(0, values.shape[-2], CHUNK):
                rows = slice(top, top + CHUNK)
                array[(*index, rows)] = np.asarray(values[(*index, rows)])
        group.attrs['ome'] = {
            **_multiscale(scale or (1.0,) * values.ndim, units),
            'image-label': _label_about(names or {}, colors or {}),
        }
        # The earlier one stays whole until the new one is in its place.
        replace_folder(draft, path)
    except OSError as error:
        raise cannot(f'write {path}', error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return ()


def _check_replaceable(zarr: Any, path: Path) -> None:
    """Refuse to write over a folder that is more than a label image."""
    if not path.exists():
        return
    try:
        group = zarr.open_group(path, mode='r')
        about = metadata(group)
        alone = 'image-label' in about and not list(group.group_keys())
    except (KeyError, OSError, TypeError, ValueError):
        alone = False
    if not alone:
        raise InputError(
            f'{path} is there already and is more than labels: choose another '
            'name'
        )


def _label_about(
    names: dict[int, str], colors: dict[int, tuple[int, int, int]]
) -> dict[str, Any]:
    """Names and colors of the ids."""
    label: dict[str, Any] = {}
    if colors:
        label['colors'] = [
            {'label-value': number, 'rgba': [*color, 255]}
            for number, color in colors.items()
        ]
    if names:
        label['properties'] = [
            {'label-value': number, 'name': name}
            for number, name in names.items()
        ]
    return label


def _multiscale(
    scale: Sequence[float], units: Sequence[str]
) -> dict[str, Any]:
    """What is said of the one resolution that there is."""
    axes = []
    for place, name in enumerate(_AXES[-len(scale) :]):
        kind = {'t': 'time', 'c': 'channel'}.get(name, 'space')
        axis = {'name': name, 'type': kind}
        if kind == 'space' and place < len(units) and units[place]:
            axis['unit'] = units[place]
        axes.append(axis)
    steps = {'type': 'scale', 'scale': [float(step) for step in scale]}
    return {
        'version': '0.5',
        'multiscales': [
            {
                'name': 'labels',
                'axes': axes,
                'datasets': [
                    {'path': '0', 'coordinateTransformations': [steps]}
                ],
            }
        ],
    }
