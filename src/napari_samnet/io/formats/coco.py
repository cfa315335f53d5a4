"""COCO's JSON: outlines, or run lengths of masks."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError, in_one_line
from napari_samnet.files import write_text
from napari_samnet.io.extras import require
from napari_samnet.io.formats.json_text import check_sides
from napari_samnet.io.formats.objects import (
    LabelObject,
    has_holes,
    number_objects,
    parse_color,
    pixels_of,
)


def read_coco(
    content: dict[str, Any], shape: tuple[int, int], image: str, name: str
) -> tuple[list[LabelObject], tuple[str, ...]]:
    """Objects of one image in COCO's format.

    Of several images, `image` chooses by the name of its file, with or
    without its ending. Ids are those of the annotations, names those of the
    categories.
    Returns: ``objects``: of this image alone; ``notices``: ids that could not
    be kept.
    """
    images = [x for x in content.get('images') or [] if isinstance(x, dict)]
    chosen = _named(images, image) or (images if len(images) == 1 else [])
    if images and not chosen:
        raise InputError(
            f'labels: {name} holds {len(images)} images, none of them named '
            f'{Path(image).name or "like the source"}: rename the image, or '
            f'take its annotations alone'
        )
    for entry in chosen[:1]:
        check_sides(entry.get('height'), entry.get('width'), shape, name)
    wanted = {entry.get('id') for entry in chosen}
    categories = {
        entry.get('id'): entry
        for entry in content.get('categories') or []
        if isinstance(entry, dict)
    }
    entries = []
    for k, entry in enumerate(content['annotations'], start=1):
        if not isinstance(entry, dict):
            raise InputError(f'labels: annotation {k} of {name} is no object')
        if not wanted or entry.get('image_id') in wanted:
            entries.append(entry)
    numbers, notices = number_objects([x.get('id') for x in entries], name)
    objects = []
    for number, entry in zip(numbers, entries, strict=True):
        category = categories.get(entry.get('category_id'), {})
        parts, mask = _segmentation(entry, shape, name)
        color = entry.get('color', category.get('color'))
        objects.append(
            LabelObject(
                number=number,
                parts=parts,
                mask=mask,
                name=str(category.get('name', '')),
                color=parse_color(color),
            )
        )
    return objects, notices


def _named(images: list[dict[str, Any]], image: str) -> list[dict[str, Any]]:
    """Entries of an image: of its name, else of that without the ending."""
    wanted = Path(image)
    if not wanted.name:
        return []
    pairs = [
        (entry, Path(str(entry.get('file_name', '')).replace('\\', '/')))
        for entry in images
    ]
    return [entry for entry, file in pairs if file.name == wanted.name] or [
        entry for entry, file in pairs if file.stem == wanted.stem
    ]


def _segmentation(
    entry: dict[str, Any], shape: tuple[int, int], name: str
) -> tuple[Any, Any]:
    """Outlines or pixels of one annotation."""
    given = entry.get('segmentation')
    number = entry.get('id', '?')
    try:
        if isinstance(given, dict):
            return (), _decode_rle(given, shape)
        if isinstance(given, list) and given:
            rings = [np.asarray(x, float).reshape(-1, 2) for x in given]
            if all(np.isfinite(ring).all() for ring in rings):
                return tuple((ring,) for ring in rings), None
        box = entry.get('bbox')
        if not given and box is not None:
            x, y, width, height = (float(value) for value in box)
            corners = [[x, y], [x + width, y], [x + width, y + height]]
            return ((np.array([*corners, [x, y + height]]),),), None
    except (KeyError, TypeError, ValueError) as error:
        reason = in_one_line(error)
        raise InputError(
            f'labels: annotation {number} of {name} is damaged: {reason}'
        ) from None
    raise InputError(
        f'labels: annotation {number} of {name} has no outline, mask or box'
    )


def _decode_rle(given: dict[str, Any], shape: tuple[int, int]) -> Any:
    """Pixels from run lengths, column by column."""
    sides = tuple(int(side) for side in given['size'])
    if sides != shape:
        raise ValueError(f'its mask is {sides}, the image {shape}')
    counts = given['counts']
    if isinstance(counts, list):
        runs = np.asarray(counts, np.int64)
        if runs.min(initial=0) < 0 or runs.sum() != shape[0] * shape[1]:
            raise ValueError('its run lengths do not fill the image')
        values = np.arange(len(runs)) % 2 == 1
        return np.repeat(values, runs).reshape(shape, order='F')
    coder = require('pycocotools.mask', 'compressed masks of COCO')
    packed = {'size': list(sides), 'counts': str(counts).encode()}
    if coder.area(packed) > shape[0] * shape[1]:
        raise ValueError('its run lengths do not fill the image')
    with warnings.catch_warnings():
        # What numpy says of how pycocotools is written.
        warnings.simplefilter('ignore', DeprecationWarning)
        return coder.decode(packed).astype(bool)


def write_coco(
    path: Path,
    objects: list[LabelObject],
    shape: tuple[int, int],
    image: str,
) -> tuple[str, ...]:
    """Write objects in COCO's format, those with holes as run lengths."""
    coder = require('pycocotools.mask', 'masks of COCO')
    names = [each.name or f'label {each.number}' for each in objects]
    table = {text: k for k, text in enumerate(dict.fromkeys(names), start=1)}
    annotations, with_holes = [], []
    for each, text in zip(objects, names, strict=True):
        mask, box = pixels_of(each, shape)
        entry: dict[str, Any] = {
            'id': each.number,
            'image_id': 1,
            'category_id': table[text],
            'bbox': list(box),
            'area': int(mask.sum()),
            'iscrowd': 0,
        }
        if has_holes(each):
            packed = coder.encode(np.asfortranarray(mask.astype(np.uint8)))
            counts = packed['counts'].decode()
            entry['segmentation'] = {'size': list(shape), 'counts': counts}
            with_holes.append(each.number)
        else:
            entry['segmentation'] = [
                part[0].ravel().tolist() for part in each.parts
            ]
        if each.color is not None:
            entry['color'] = list(each.color)
        annotations.append(entry)
    content = {
        'images': [
            {
                'id': 1,
                'file_name': image,
                'height': shape[0],
                'width': shape[1],
            }
        ],
        'categories': [
            {'id': k, 'name': text, 'supercategory': ''}
            for text, k in table.items()
        ],
        'annotations': annotations,
    }
    write_text(path, json.dumps(content))
    if not with_holes:
        return ()
    told = ', '.join(map(str, with_holes))
    return (f'outlines of COCO hold no holes: {told} written as run lengths',)
