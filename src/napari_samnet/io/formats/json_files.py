"""JSON of annotation programs: COCO, labelme, and GeoJSON as in QuPath."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.files import write_text
from napari_samnet.io.formats.objects import (
    LabelObject,
    Ring,
    has_holes,
    parse_color,
    require,
)

__all__ = [
    'json_kind',
    'load_json',
    'read_coco',
    'read_labelme',
    'write_coco',
    'write_labelme',
]

#: Bytes of a JSON file that are read; outlines of a million corners fit.
MAX_JSON = 1 << 28


def load_json(file: Path) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    file : Path
        The file to read, in UTF-8.

    Returns
    -------
    object
        Objects, lists, texts and numbers that it holds.

    Raises
    ------
    InputError
        If it is too large or no JSON.
    """
    if file.stat().st_size > MAX_JSON:
        raise InputError(
            f'labels: {file} is larger than {MAX_JSON >> 20} MB, which is '
            f'too much for outlines'
        )
    try:
        return json.loads(file.read_text(encoding='utf-8-sig'))
    except (OSError, ValueError, RecursionError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise InputError(f'labels: {file} is no JSON: {reason}') from None


def json_kind(content: Any) -> str:
    """Tell the format of annotations.

    Parameters
    ----------
    content : object
        What a JSON file holds.

    Returns
    -------
    str
        'coco', 'labelme', 'geojson', or '' for anything else.
    """
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict)]
        return (
            'geojson' if any(p.get('type') == 'Feature' for p in parts) else ''
        )
    if not isinstance(content, dict):
        return ''
    if isinstance(content.get('annotations'), list):
        return 'coco'
    if isinstance(content.get('shapes'), list):
        return 'labelme'
    if content.get('type') in ('FeatureCollection', 'Feature'):
        return 'geojson'
    return ''


def read_coco(
    content: dict[str, Any], shape: tuple[int, int], image: str, name: str
) -> list[LabelObject]:
    """Objects of one image in COCO's format.

    Parameters
    ----------
    content : dict
        The file: images, annotations and categories.
    shape : tuple of int
        Rows and columns of the image.
    image : str
        Name of the image's file, which chooses among several.
    name : str
        What the messages call the file.

    Returns
    -------
    list of LabelObject
        Ids are those of the annotations, names those of the categories.

    Raises
    ------
    InputError
        If none of its images is this one, or an annotation is damaged.
    """
    images = [x for x in content.get('images') or [] if isinstance(x, dict)]
    chosen = [
        entry
        for entry in images
        if Path(str(entry.get('file_name', ''))).name == Path(image).name
    ] or (images if len(images) == 1 else [])
    if images and not chosen:
        raise InputError(
            f'labels: {name} holds {len(images)} images, none of them named '
            f'{Path(image).name}: rename the image, or take its annotations '
            f'alone'
        )
    for entry in chosen[:1]:
        sides = (entry.get('height'), entry.get('width'))
        if None not in sides and sides != shape:
            raise InputError(
                f'labels: {name} is for an image of {sides[0]} rows and '
                f'{sides[1]} columns, the image has {shape[0]} and {shape[1]}'
            )
    wanted = {entry.get('id') for entry in chosen}
    categories = {
        entry.get('id'): entry
        for entry in content.get('categories') or []
        if isinstance(entry, dict)
    }
    objects = []
    for k, entry in enumerate(content['annotations'], start=1):
        if not isinstance(entry, dict):
            raise InputError(f'labels: annotation {k} of {name} is no object')
        if wanted and entry.get('image_id') not in wanted:
            continue
        number = entry.get('id', k)
        if not isinstance(number, int) or number < 1:
            number = k
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
    return objects


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
        reason = ' '.join(str(error).split())
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
    """Write objects in COCO's format.

    Parameters
    ----------
    path : Path
        File to write, whole or not at all.
    objects : list of LabelObject
        Objects with outlines, not masks.
    shape : tuple of int
        Rows and columns of the image.
    image : str
        Name of the image's file.

    Returns
    -------
    tuple of str
        What the format could not hold as it was.
    """
    coder = require('pycocotools.mask', 'masks of COCO')
    from napari_samnet.io.formats.objects import paint

    names = [each.name or f'label {each.number}' for each in objects]
    table = {text: k for k, text in enumerate(dict.fromkeys(names), start=1)}
    annotations, with_holes = [], []
    for each, text in zip(objects, names, strict=True):
        mask = paint([each], shape, image).labels == each.number
        box = [int(v) for v in _box(mask)]
        entry: dict[str, Any] = {
            'id': each.number,
            'image_id': 1,
            'category_id': table[text],
            'bbox': box,
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


def _box(mask: Any) -> tuple[int, int, int, int]:
    """Left, top, width and height."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    left, top = columns[0], rows[0]
    return left, top, columns[-1] + 1 - left, rows[-1] + 1 - top


def read_labelme(
    content: dict[str, Any], shape: tuple[int, int], name: str
) -> list[LabelObject]:
    """Objects of labelme's format.

    Parameters
    ----------
    content : dict
        The file to read; nothing in it is trusted.
    shape : tuple of int
        Rows and columns of the image.
    name : str
        What the messages call the file.

    Returns
    -------
    list of LabelObject
        Ids are the group numbers where every shape has one, else the order;
        points and lines, which cover nothing, are left out.

    Raises
    ------
    InputError
        If it is for another image, or a shape is damaged.
    """
    sides = (content.get('imageHeight'), content.get('imageWidth'))
    if None not in sides and sides != shape:
        raise InputError(
            f'labels: {name} is for an image of {sides[0]} rows and '
            f'{sides[1]} columns, the image has {shape[0]} and {shape[1]}'
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
            reason = ' '.join(str(error).split())
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
    import base64
    import io

    from PIL import Image

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
    """Write objects in labelme's format.

    Parameters
    ----------
    path : Path
        File to write, whole or not at all.
    objects : list of LabelObject
        Objects with outlines, not masks.
    shape : tuple of int
        Rows and columns of the image.
    image : str
        Name of the image's file, beside the new one.

    Returns
    -------
    tuple of str
        What the format could not hold as it was.
    """
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
            shapes.append({**base, **_mask_shape(each, shape, image)})
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


def _mask_shape(
    each: LabelObject, shape: tuple[int, int], image: str
) -> dict[str, Any]:
    """Pixels of an object as a PNG within the text, and its box."""
    import base64
    import io

    from PIL import Image

    from napari_samnet.io.formats.objects import paint

    mask = paint([each], shape, image).labels == each.number
    left, top, width, height = (int(v) for v in _box(mask))
    content: Any = io.BytesIO()
    cut = mask[top : top + height, left : left + width]
    Image.fromarray(cut.astype(np.uint8)).save(content, 'PNG')
    corners = [[left, top], [left + width - 1, top + height - 1]]
    return {
        'points': [[float(v) for v in corner] for corner in corners],
        'shape_type': 'mask',
        'mask': base64.b64encode(content.getvalue()).decode(),
    }
