"""Which format of other programs a label file has, and its reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_samnet.errors import InputError, in_one_line
from napari_samnet.io.formats import (
    coco,
    geojson,
    imagej,
    json_text,
    labelme,
    ome_zarr,
    yolo,
)
from napari_samnet.io.formats.names import FORMATS
from napari_samnet.io.formats.objects import (
    LabelObject,
    objects_of,
    paint,
)
from napari_samnet.io.picture import LabelPicture
from napari_samnet.io.zarr_files import is_zarr

_JSON_START = (b'{', b'[')


def format_of(path: Path) -> str:
    """Tell the format of a label file by its content.

    ``path``: a file or folder. Returns: a key of :data:`FORMATS`; '' for a
    picture, or anything else.
    """
    if path.is_dir():
        return 'ome-zarr' if is_zarr(path) else ''
    if not path.is_file():
        return ''
    if imagej.is_roi_file(path):
        return 'roi'
    with open(path, 'rb') as content:
        start = content.read(64).lstrip(b'\xef\xbb\xbf \t\r\n')
    if start.startswith(_JSON_START):
        return json_text.json_kind(json_text.load_json(path)) or 'json'
    return 'yolo' if yolo.is_yolo_file(path) else ''


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Name the file in what is wrong with it."""
    try:
        yield
    except InputError as error:
        if path.name in str(error):
            raise
        raise InputError(f'{path.name}: {error}') from None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        # Damage may turn any part of a file into something else.
        reason = in_one_line(error)
        raise InputError(f'labels: {path} is damaged: {reason}') from error


def read_label_format(
    path: Path,
    shape: tuple[int, int],
    *,
    image: str = '',
    page: int | None = None,
    pixel_size: float | None = None,
    unit: str = '',
) -> LabelPicture:
    """Read labels of another program for an image.

    ``path``: a file or folder for which :func:`format_of` tells a format.
    ``image``: name of the image's file, for files with several images.
    ``pixel_size``: side of a pixel in micrometers, for GeoJSON.
    ``unit``: 'px' or 'um' for GeoJSON, else told apart.
    Raises InputError if it is damaged, or of another image.
    """
    with _about(path):
        kind, name = format_of(path), path.name
        notices: tuple[str, ...] = ()
        if kind == 'ome-zarr':
            return ome_zarr.read_ome_zarr(path, 'labels', page)
        if kind == 'roi':
            objects, notices = imagej.read_rois(path, name)
            objects = _on_plane(objects, page, name)
        elif kind == 'yolo':
            objects, notices = yolo.read_yolo(path, shape, name)
        elif kind:
            content = json_text.load_json(path)
            if kind == 'coco':
                objects, notices = coco.read_coco(content, shape, image, name)
            elif kind == 'labelme':
                objects, notices = labelme.read_labelme(content, shape, name)
            elif kind == 'geojson':
                objects, notices = geojson.read_geojson(
                    content, shape, name, pixel_size=pixel_size, unit=unit
                )
            else:
                raise InputError(
                    f'labels: {path} is JSON, but neither COCO, labelme nor '
                    f'GeoJSON'
                )
        else:
            raise InputError(
                f'labels: {path} is of no known format: '
                f'{", ".join(FORMATS)} are read, and pictures'
            )
        read = paint(objects, shape, name)
        return LabelPicture(
            labels=read.labels,
            notices=(*notices, *read.notices),
            colors=read.colors or None,
            names=read.names or None,
        )


def _on_plane(
    objects: list[LabelObject], page: int | None, name: str
) -> list[LabelObject]:
    """Objects of one plane of a stack, and those that are on any."""
    planes = {each.plane for each in objects} - {None}
    if page is None and len(planes) > 1:
        raise InputError(
            f'labels: {name} holds regions on {len(planes)} planes of a '
            f'stack: choose one (--page N; in napari the current plane)'
        )
    if page is None:
        return objects
    return [each for each in objects if each.plane in (None, page)]


def write_label_format(
    path: Path,
    labels: NDArray[Any],
    kind: str,
    *,
    image: str,
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, tuple[int, int, int]] | None = None,
) -> tuple[str, ...]:
    """Write labels for another program.

    ``path``: file or folder to write, whole or not at all.
    ``labels`` (H, W): the labels; 0 is background.
    ``image``: name of the file of their image, which some formats hold.
    ``colors``: 8-bit color of each id.
    Returns: what the format could not hold as it was.
    Raises InputError if there is no such format, its library is missing, or it
    cannot be written.
    """
    if kind not in FORMATS:
        raise InputError(
            f'format of labels must be one of {", ".join(FORMATS)}, got '
            f'{kind!r}'
        )
    known = (dict(names or {}), dict(colors or {}))
    if kind == 'ome-zarr':
        return ome_zarr.write_ome_zarr(
            path, labels, names=known[0], colors=known[1]
        )
    objects = objects_of(labels, names=known[0], colors=known[1])
    shape = (labels.shape[0], labels.shape[1])
    if kind == 'coco':
        return coco.write_coco(path, objects, shape, image)
    if kind == 'labelme':
        return labelme.write_labelme(path, objects, shape, image)
    if kind == 'yolo':
        return yolo.write_yolo(path, objects, shape)
    if kind == 'geojson':
        return geojson.write_geojson(path, objects)
    return imagej.write_rois(path, objects)


def write_label_formats(
    stem: Path,
    labels: NDArray[Any],
    kinds: Sequence[str],
    *,
    image: str,
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, tuple[int, int, int]] | None = None,
) -> tuple[list[Path], tuple[str, ...]]:
    """Write labels in several formats beside each other.

    ``stem``: folder and name without an ending.
    ``labels`` (H, W): the labels; 0 is background.
    ``colors``: 8-bit color of each id.
    Returns: ``files``: the files that were written; ``notices``: what the
    formats could not hold as it was.
    """
    files: list[Path] = []
    notices: list[str] = []
    for kind in kinds:
        path = stem.with_name(f'{stem.name}{FORMATS[kind]}')
        notices += write_label_format(
            path, labels, kind, image=image, names=names, colors=colors
        )
        files.append(path)
    return files, tuple(notices)
