"""ImageJ's regions of interest, one or a zip archive of them, by roifile."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError, refused
from napari_samnet.files import atomic_write
from napari_samnet.io.extras import require
from napari_samnet.io.formats.objects import LabelObject, Ring, number_objects

#: Bytes that all regions of an archive may unpack to.
MAX_BYTES = 1 << 28

#: Steps of a path: move, line, close (ImageJ's RoiDecoder).
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0

_AREAS = ('POLYGON', 'RECT', 'OVAL', 'FREEHAND', 'TRACED')


def is_roi_file(file: Path) -> bool:
    """Tell regions of interest from other files.

    Returns: True for a region, for an archive of regions, and for an archive
    of nothing, which is how no region is written.
    """
    with open(file, 'rb') as content:
        start = content.read(4)
    if start == b'Iout':
        return True
    if start not in (b'PK\x03\x04', b'PK\x05\x06'):
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
    return not names or any(name.lower().endswith('.roi') for name in names)


def read_rois(
    file: Path, name: str
) -> tuple[list[LabelObject], tuple[str, ...]]:
    """Objects of a region file or archive.

    Ids are from names such as 'label 5' or '5', of others the next free ones.
    """
    roifile = require('roifile', 'regions of ImageJ')
    with refused(f'labels: {file} holds a damaged region'):
        rois = [
            roifile.ImagejRoi.frombytes(raw) for raw in _members(file, name)
        ]
        areas = [roi for roi in rois if roi.roitype.name in _AREAS]
        planes = [_plane(roi) for roi in areas]
        numbers, notices = number_objects(
            [_number(roi.name or '') for roi in areas], name, planes
        )
        objects = [
            LabelObject(
                number=number,
                parts=_parts(roi),
                name=_name(roi.name or ''),
                color=_color(roi.stroke_color),
                plane=plane,
            )
            for number, roi, plane in zip(numbers, areas, planes, strict=True)
        ]
    left_out = len(rois) - len(areas)
    if not left_out:
        return objects, notices
    return objects, (
        *notices,
        f'{name}: {left_out} points or lines cover nothing and are left out',
    )


def _members(file: Path, name: str) -> list[bytes]:
    with open(file, 'rb') as content:
        if content.read(4) == b'Iout':
            return [file.read_bytes()]
    with zipfile.ZipFile(file) as archive:
        infos = [
            info
            for info in archive.infolist()
            if info.filename.lower().endswith('.roi')
        ]
        if sum(info.file_size for info in infos) > MAX_BYTES:
            raise InputError(
                f'labels: the regions of {name} unpack to more than '
                f'{MAX_BYTES >> 20} MB'
            )
        return [archive.read(info) for info in infos]


def _parts(roi: Any) -> tuple[tuple[Ring, ...], ...]:
    """Outlines of a region; those of a composite are holes by turns."""
    outlines = roi.coordinates(multi=True)
    if isinstance(outlines, np.ndarray):
        outlines = [outlines]
    rings = [np.asarray(ring, float) for ring in outlines]
    rings = [ring for ring in rings if len(ring) > 2]
    if roi.roitype.name == 'RECT' and not rings:
        left, top, right, bottom = roi.left, roi.top, roi.right, roi.bottom
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        rings = [np.array(corners, float)]
    if not rings:
        return ()
    # Even-odd, as ImageJ fills them.
    return (tuple(rings),)


def _plane(roi: Any) -> int | None:
    """Plane of a stack that a region was drawn on, from 0; None for any."""
    for position in (roi.z_position, roi.t_position, roi.position):
        if position > 0:
            return int(position) - 1
    return None


def _number(name: str) -> int:
    match = re.fullmatch(r'(?:label )?(\d{1,18})|.*\(label (\d{1,18})\)', name)
    return int(match[1] or match[2]) if match else 0


def _name(text: str) -> str:
    """What a region is called, without its id."""
    if re.fullmatch(r'(?:label )?\d{1,18}', text):
        return ''
    return re.sub(r' \(label \d{1,18}\)$', '', text)


def _color(stored: bytes) -> tuple[int, int, int] | None:
    """Color of the line: opacity, red, green, blue; None for ImageJ's own."""
    if len(stored) != 4 or not any(stored):
        return None
    return stored[1], stored[2], stored[3]


def write_rois(path: Path, objects: list[LabelObject]) -> tuple[str, ...]:
    """Write objects as an archive of regions."""
    roifile = require('roifile', 'regions of ImageJ')
    with (
        atomic_write(path) as file,
        zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive,
    ):
        for each in objects:
            roi = _region(roifile, each)
            roi.name = (
                f'{each.name} (label {each.number})'
                if each.name
                else f'label {each.number}'
            )
            if each.color is not None:
                roi.stroke_color = bytes((255, *each.color))
            archive.writestr(f'label-{each.number}.roi', roi.tobytes())
    return ()


def _region(roifile: Any, each: LabelObject) -> Any:
    rings = [ring for part in each.parts for ring in part]
    if len(rings) == 1:
        return roifile.ImagejRoi.frompoints(rings[0])
    corners = np.concatenate(rings)
    low, high = np.floor(corners.min(0)), np.ceil(corners.max(0))
    path: list[float] = []
    for ring in rings:
        for k, (x, y) in enumerate(ring):
            path += [_LINE if k else _MOVE, float(x), float(y)]
        path.append(_CLOSE)
    roi = roifile.ImagejRoi()
    roi.roitype = roifile.ROI_TYPE.RECT
    roi.left, roi.top = int(low[0]), int(low[1])
    roi.right, roi.bottom = int(high[0]), int(high[1])
    roi.shape_roi_size = len(path)
    roi.multi_coordinates = np.asarray(path, np.float32)
    return roi
