"""labelme's JSON: outlines, boxes, circles, and masks as PNG.

An instance of labelme is a label with a group number.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_samnet.errors import InputError, in_one_line
from napari_samnet.files import write_text
from napari_samnet.io.formats.json_text import check_sides
from napari_samnet.io.formats.labelme_pixels import drawn, polygons_of
from napari_samnet.io.formats.objects import (
    LabelObject,
    Ring,
    number_objects,
    pixels_of,
)

#: Shapes that cover something.
_AREAS = ('polygon', 'rectangle', 'oriented_rectangle', 'circle', 'mask')


def read_labelme(
    content: dict[str, Any], shape: tuple[int, int], name: str
) -> tuple[list[LabelObject], tuple[str, ...]]:
    """Objects of labelme's format.

    Shapes with one label and one group number are one object, whose id is
    that number where no other object has it.
    Returns: ``objects``: with the pixels that labelme gives them;
    ``notices``: what was left out, as points and lines cover nothing, and ids
    that could not be kept.
    """
    check_sides(
        content.get('imageHeight'), content.get('imageWidth'), shape, name
    )
    masks: dict[tuple[str, Any], NDArray[np.bool_]] = {}
    left_out = 0
    for k, entry in enumerate(content['shapes'], start=1):
        if _kind(entry) not in _AREAS:
            left_out += 1
            continue
        group = entry.get('group_id')
        # Without a group every shape is an object.
        key = str(entry.get('label', '')), (k,) if group is None else group
        try:
            mask = _pixels(entry, shape)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            reason = in_one_line(error)
            raise InputError(
                f'labels: shape {k} of {name} is damaged: {reason}'
            ) from None
        masks[key] = masks[key] | mask if key in masks else mask
    numbers, notices = number_objects([group for _, group in masks], name)
    if left_out:
        what = '1 point or line that covers'
        if left_out > 1:
            what = f'{left_out:,} points or lines that cover'
        notices = (f'{name}: {what} nothing left out', *notices)
    return [
        LabelObject(
            number=number,
            mask=mask,
            name=text,
        )
        for number, ((text, _), mask) in zip(
            numbers, masks.items(), strict=True
        )
    ], notices


def _kind(entry: Any) -> str:
    """Type of a shape; older files have polygons alone and do not say."""
    if not isinstance(entry, dict):
        return ''
    return str(entry.get('shape_type') or 'polygon')


def _pixels(entry: dict[str, Any], shape: tuple[int, int]) -> Any:
    """Pixels of one shape."""
    points = np.asarray(entry['points'], float).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError('its points are not finite')
    kind = _kind(entry)
    if kind == 'mask':
        return _mask(points, entry, shape)
    return drawn(points, kind, shape)


def _mask(points: Ring, entry: Any, shape: tuple[int, int]) -> Any:
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
    return full


def write_labelme(
    path: Path,
    objects: list[LabelObject],
    shape: tuple[int, int],
    image: str,
) -> tuple[str, ...]:
    """Write objects in labelme's format.

    Outlines lead through the centers of pixels, so that labelme covers the
    same pixels; what has holes, or no such outline, is written as masks.
    """
    shapes, as_masks = [], []
    for each in objects:
        base = {
            'label': each.name or f'label {each.number}',
            'group_id': each.number,
            'description': '',
            'flags': {},
        }
        polygons = polygons_of(each, shape)
        if polygons is None:
            as_masks.append(each.number)
            shapes.append({**base, **_mask_shape(each, shape)})
            continue
        shapes += [
            {
                **base,
                'points': ring.tolist(),
                'shape_type': 'polygon',
                'mask': None,
            }
            for ring in polygons
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
    if as_masks:
        told = ', '.join(map(str, as_masks))
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
