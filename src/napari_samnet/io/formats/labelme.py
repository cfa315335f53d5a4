"""labelme's JSON: outlines, boxes, circles, and masks as PNG."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_samnet.errors import InputError, in_one_line
from napari_samnet.files import write_text
from napari_samnet.io.formats.json_text import check_sides
from napari_samnet.io.formats.objects import (
    LabelObject,
    Ring,
    has_holes,
    pixels_of,
)


def read_labelme(
    content: dict[str, Any], shape: tuple[int, int], name: str
) -> list[LabelObject]:
    """Objects of labelme's format.

    Ids are the group numbers where every shape has one, else the order;
    points and lines, which cover nothing, are left out.
    """
    check_sides(
        content.get('imageHeight'), content.get('imageWidth'), shape, name
    )
    shapes = [
        entry
        for entry in content['shapes']
        if isinstance(entry, dict)
        and entry.get('shape_type', 'polygon') in _LABELME
    ]
    groups = [entry.get('group_id') for entry in shapes]
    grouped = [g for g in groups if isinstance(g, int) and g > 0]
    all_grouped = len(grouped) == len(shapes)
    objects: dict[int, LabelObject] = {}
    for k, entry in enumerate(shapes, start=1):
        number = grouped[k - 1] if all_grouped else k
        kind = entry.get('shape_type', 'polygon')
        try:
            points = np.asarray(entry['points'], float).reshape(-1, 2)
            parts, mask = _LABELME[kind](points, entry, shape)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            reason = in_one_line(error)
            raise InputError(
                f'labels: shape {k} of {name} is damaged: {reason}'
            ) from None
        known = objects.get(number)
        if known is not None:
            parts = known.parts + parts
            if known.mask is not None:
                mask = known.mask if mask is None else known.mask | mask
        objects[number] = LabelObject(
            number=number,
            parts=parts,
            mask=mask,
            name=str(entry.get('label', '')),
        )
    return list(objects.values())


def _polygon(points: Ring, entry: Any, shape: Any) -> tuple[Any, None]:  # noqa: ARG001
    return ((points,),), None


def _rectangle(points: Ring, entry: Any, shape: Any) -> tuple[Any, None]:  # noqa: ARG001
    (x, y), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return ((np.array([[x, y], [x2, y], [x2, y2], [x, y2]]),),), None


def _circle(points: Ring, entry: Any, shape: Any) -> tuple[Any, None]:  # noqa: ARG001
    radius = float(np.hypot(*(points[1] - points[0])))
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    ring = points[0] + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    return ((ring,),), None


def _mask(
    points: Ring, entry: Any, shape: tuple[int, int]
) -> tuple[tuple[()], Any]:
    """A PNG within the text, placed by its box."""
    raw = base64.b64decode(entry['mask'])
    with Image.open(io.BytesIO(raw), formats=['PNG']) as image:
        if image.width > shape[1] + 1 or image.height > shape[0] + 1:
            raise ValueError('its mask is larger than the image')
        small = np.asarray(image).astype(bool)
    full = np.zeros(shape, bool)
    left, top = (round(float(value)) for value in points[0])
    block = full[max(0, top) : top + small.shape[0], max(0, left) :]
    rows, columns = min(block.shape[0], small.shape[0]), small.shape[1]
    block[:rows, :columns] |= small[:rows, : block.shape[1]]
    return (), full


_LABELME = {
    'polygon': _polygon,
    'rectangle': _rectangle,
    'circle': _circle,
    'mask': _mask,
}


def write_labelme(
    path: Path,
    objects: list[LabelObject],
    shape: tuple[int, int],
    image: str,
) -> tuple[str, ...]:
    """Write objects in labelme's format, those with holes as masks."""
    shapes, with_holes = [], []
    for each in objects:
        base = {
            'label': each.name or f'label {each.number}',
            'group_id': each.number,
            'description': '',
            'flags': {},
        }
        if has_holes(each):
            with_holes.append(each.number)
            shapes.append({**base, **_mask_shape(each, shape)})
            continue
        shapes += [
            {
                **base,
                'points': part[0].tolist(),
                'shape_type': 'polygon',
                'mask': None,
            }
            for part in each.parts
        ]
    content: dict[str, Any] = {
        'version': '5.4.1',
        'flags': {},
        'shapes': shapes,
        'imagePath': image,
        'imageData': None,
        'imageHeight': shape[0],
        'imageWidth': shape[1],
    }
    write_text(path, json.dumps(content, indent=1))
    notices = []
    if with_holes:
        told = ', '.join(map(str, with_holes))
        notices.append(
            f'outlines of labelme hold no holes: {told} written as masks'
        )
    if any(each.color for each in objects):
        notices.append('labelme keeps no colors')
    return tuple(notices)


def _mask_shape(each: LabelObject, shape: tuple[int, int]) -> dict[str, Any]:
    """Pixels of an object as a PNG within the text, and its box."""
    mask, (left, top, width, height) = pixels_of(each, shape)
    content: Any = io.BytesIO()
    cut = mask[top : top + height, left : left + width]
    Image.fromarray(cut.astype(np.uint8)).save(content, 'PNG')
    corners = [[left, top], [left + width - 1, top + height - 1]]
    return {
        'points': [[float(v) for v in corner] for corner in corners],
        'shape_type': 'mask',
        'mask': base64.b64encode(content.getvalue()).decode(),
    }
