"""Labels of napari as files of other programs, by *Save Selected Layers*."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.plugin.contributions.refusals import shown_refusals
from napari_samnet.plugin.model.capture import METADATA
from napari_samnet.plugin.model.grids import sizes


@shown_refusals()
def write_labels(
    kind: str, path: str, data: Any, meta: dict[str, Any]
) -> list[str]:
    """Write a layer of labels, with its names and colors.

    ``kind``: one of the formats of :mod:`napari_samnet.io.formats`.
    ``data``: the labels, at full resolution if there are several.
    ``meta``: what napari keeps of the layer.
    Returns: the file, as napari wants it.
    Raises InputError if there are several planes and the format has no room
    for them, or it cannot be written.
    """
    from napari.utils.notifications import show_info

    from napari_samnet.io.formats import ome_zarr
    from napari_samnet.io.formats.registry import write_label_format

    labels = data[0] if isinstance(data, list | tuple) else data
    if not hasattr(labels, 'ndim'):
        labels = labels[0]
    planes = labels.shape[:-2]
    file = Path(path)
    if kind == 'ome-zarr':
        ids = _ids_of(labels)
        ome_zarr.write_ome_zarr(
            file,
            labels,
            names=_names(meta, ids),
            colors=_colors(meta, ids),
            scale=[float(step) for step in meta.get('scale', ())],
            units=[_unit(unit) for unit in meta.get('units') or ()],
        )
        return [path]
    if any(size > 1 for size in planes):
        raise InputError(
            f'{meta.get("name", "the layer")!r} has {sizes(planes)} planes, '
            'and such a file holds one: save it as .zarr, or slice a plane'
        )
    plane = np.asarray(labels).reshape(labels.shape[-2:])
    ids = _ids_of(plane)
    about = meta.get('metadata', {}).get(METADATA, {})
    image = about.get('target', '') if isinstance(about, dict) else ''
    notices = write_label_format(
        file,
        plane,
        kind,
        image=str(image or meta.get('name', file.stem)),
        names=_names(meta, ids),
        colors=_colors(meta, ids),
    )
    for notice in notices:
        show_info(notice)
    return [path]


#: What the manifest names, one for each format.
write_coco = partial(write_labels, 'coco')
write_labelme = partial(write_labels, 'labelme')
write_yolo = partial(write_labels, 'yolo')
write_geojson = partial(write_labels, 'geojson')
write_rois = partial(write_labels, 'roi')
write_ome_zarr = partial(write_labels, 'ome-zarr')


def _ids_of(labels: Any) -> list[int]:
    """All ids but the background, read plane by plane."""
    ids: set[int] = set()
    for index in np.ndindex(labels.shape[:-2]):
        ids.update(np.unique(np.asarray(labels[index])).tolist())
    return sorted(ids - {0})


def _names(meta: dict[str, Any], ids: list[int]) -> dict[int, str]:
    """Names of the ids, from the features."""
    table = meta.get('features')
    if table is None or 'name' not in table:
        return {}
    numbers = table['index'] if 'index' in table else range(len(table['name']))
    known = dict(zip(map(int, numbers), table['name'], strict=True))
    return {
        number: str(known[number])
        for number in ids
        if isinstance(known.get(number), str)
    }


def _colors(
    meta: dict[str, Any], ids: list[int]
) -> dict[int, tuple[int, int, int]]:
    """Colors of the ids as they are shown."""
    from napari.layers import Labels

    colormap = meta.get('colormap')
    if colormap is None:
        return {}
    shown = Labels(np.zeros((1, 1), np.uint8), colormap=colormap)
    colors = {}
    for number in ids:
        rgba = np.asarray(shown.colormap.map(number), float).ravel()
        if rgba[3]:
            red, green, blue = (round(255 * float(v)) for v in rgba[:3])
            colors[number] = (red, green, blue)
    return colors


def _unit(unit: Any) -> str:
    """Name of a unit of length; empty for pixels."""
    name = str(unit)
    return '' if name in ('pixel', 'dimensionless') else name


@shown_refusals()
def write_series(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a propagated result with what was annotated and corrected.

    ``data``, ``meta``: the labels, and what napari keeps of the layer.
    Returns: the file, as napari wants it.
    Raises InputError if it is no propagated result.
    """
    from napari_samnet.plugin.layers.series_memory import (
        record_of,
        write_record,
    )

    about = meta.get('metadata', {}).get(METADATA, {})
    record = record_of(np.asarray(data), about)
    if record is None:
        raise InputError(
            f'{meta.get("name", "the layer")!r} is no result of a '
            f'propagation: save it as plain labels'
        )
    write_record(Path(path), np.asarray(data), record)
    return [path]
