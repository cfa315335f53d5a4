"""GeoJSON (RFC 7946) as QuPath writes and reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError, in_one_line
from napari_samnet.files import write_text
from napari_samnet.io.formats.objects import (
    LabelObject,
    Part,
    number_objects,
    parse_color,
)

#: The measurement in which an id travels; QuPath keeps measurements.
_ID = 'label id'

#: Pixels that an outline may lie outside of its image.
_MARGIN = 1.0


def read_geojson(
    content: Any,
    shape: tuple[int, int],
    name: str,
    *,
    pixel_size: float | None = None,
    unit: str = '',
) -> tuple[list[LabelObject], tuple[str, ...]]:
    """Objects of GeoJSON.

    ``content`` (dict or list): a collection of features, one feature, or a
    list of them.
    ``pixel_size``: side of a pixel of the image in micrometers.
    ``unit``: 'px' or 'um'; by default told apart: coordinates beyond the image
    are micrometers if they lie in it then.
    Returns: ``objects``: ids are those that :func:`write_geojson` wrote, of
    others the next free ones; ``notices``: what was decided, one line each.
    Raises InputError if a feature is damaged, or all of it lies outside the
    image.
    """
    features = content
    if isinstance(content, dict):
        features = content.get('features', [content])
    if not isinstance(features, list):
        raise InputError(f'labels: {name} has no list of features')
    read: list[tuple[dict[str, Any], tuple[Part, ...]]] = []
    left_out = 0
    for k, feature in enumerate(features, start=1):
        try:
            parts = tuple(_parts(feature['geometry'] or {}))
        except (KeyError, TypeError, ValueError) as error:
            reason = in_one_line(error)
            raise InputError(
                f'labels: feature {k} of {name} is damaged: {reason}'
            ) from None
        if not parts:
            left_out += 1
            continue
        read.append((feature, parts))
    numbers, given = number_objects([_id(x) for x, _ in read], name)
    objects = [
        _object(feature, parts, number)
        for number, (feature, parts) in zip(numbers, read, strict=True)
    ]
    notices = [*given]
    if left_out:
        notices.append(
            f'{name}: {left_out} points or lines cover nothing and are left '
            f'out'
        )
    scale, notice = _scale(objects, shape, name, pixel_size, unit)
    if notice:
        notices.append(notice)
    if scale != 1:
        objects = [_scaled(each, scale) for each in objects]
    return objects, tuple(notices)


def _parts(geometry: dict[str, Any]) -> Iterator[Part]:
    kind = geometry.get('type')
    if kind == 'GeometryCollection':
        for part in geometry['geometries']:
            yield from _parts(part)
        return
    if kind not in ('Polygon', 'MultiPolygon'):
        return
    given = geometry['coordinates']
    for polygon in [given] if kind == 'Polygon' else given:
        rings = tuple(
            np.asarray(ring, float).reshape(len(ring), -1)[:, :2]
            for ring in polygon
        )
        if not all(np.isfinite(ring).all() for ring in rings):
            raise ValueError('its coordinates are not finite')
        if rings and all(ring.shape[1] == 2 for ring in rings):
            yield rings


def _id(feature: dict[str, Any]) -> Any:
    """The id that a feature came with; None for none."""
    about = feature.get('properties') or {}
    measured = about.get('measurements') or {}
    if isinstance(measured, list):
        measured = {x.get('name'): x.get('value') for x in measured}
    number = measured.get(_ID, about.get('label_id'))
    if number is None:
        # Older QuPath keeps only the name.
        numbered = re.fullmatch(r'label (\d{1,18})', _name(about))
        number = int(numbered[1]) if numbered else None
    return number


def _kind(about: dict[str, Any]) -> dict[str, Any]:
    """The class of a feature, which may be written as its name alone."""
    kind = about.get('classification') or {}
    return {'name': kind} if isinstance(kind, str) else kind


def _name(about: dict[str, Any]) -> str:
    return str(about.get('name') or _kind(about).get('name') or '')


def _object(
    feature: dict[str, Any], parts: tuple[Part, ...], number: int
) -> LabelObject:
    about = feature.get('properties') or {}
    kind, name = _kind(about), _name(about)
    color = kind.get('color', kind.get('colorRGB', about.get('color')))
    return LabelObject(
        number=number,
        parts=parts,
        name='' if name == f'label {_id(feature)}' else name,
        color=parse_color(color),
    )


def _scale(
    objects: list[LabelObject],
    shape: tuple[int, int],
    name: str,
    pixel_size: float | None,
    unit: str,
) -> tuple[float, str]:
    """Pixels of one unit of the coordinates, and a notice."""
    if unit == 'px' or not objects:
        return 1.0, ''
    if unit == 'um':
        if pixel_size is None:
            raise InputError(
                f'labels: {name} is in micrometers, but the image does not '
                f'say how large a pixel is: give its size (--pixel-size)'
            )
        return 1 / pixel_size, ''
    rings = [ring for each in objects for part in each.parts for ring in part]
    corners = np.concatenate(rings)
    low, high = corners.min(axis=0), corners.max(axis=0)
    sides = np.array(shape[::-1], float)

    def inside(factor: float) -> bool:
        return bool(
            (low * factor >= -_MARGIN).all()
            and (high * factor <= sides + _MARGIN).all()
        )

    if inside(1):
        if pixel_size not in (None, 1) and inside(1 / (pixel_size or 1)):
            return 1.0, (
                f'{name}: coordinates are taken as pixels, not as '
                f'micrometers (--label-unit um for those)'
            )
        return 1.0, ''
    if pixel_size is not None and inside(1 / pixel_size):
        return 1 / pixel_size, (
            f'{name}: coordinates reach beyond the image as pixels, and lie '
            f'in it as micrometers: taken as micrometers'
        )
    if (high < 0).any() or (low > sides).any():
        raise InputError(
            f'labels: {name} lies outside the image: its coordinates are '
            f'x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g}, the '
            f'image has {shape[1]} columns and {shape[0]} rows; if they are '
            f'micrometers, give the size of a pixel (--pixel-size)'
        )
    return 1.0, (
        f'{name}: some outlines reach beyond the image and are cut; if they '
        f'are micrometers, give the size of a pixel (--pixel-size)'
    )


def _scaled(each: LabelObject, scale: float) -> LabelObject:
    return LabelObject(
        number=each.number,
        parts=tuple(
            tuple(ring * scale for ring in part) for part in each.parts
        ),
        name=each.name,
        color=each.color,
    )


def write_geojson(path: Path, objects: list[LabelObject]) -> tuple[str, ...]:
    """Write objects as annotations of QuPath, in pixels."""
    features = []
    for each in objects:
        polygons = [
            [[*ring.tolist(), ring[0].tolist()] for ring in part]
            for part in each.parts
        ]
        one = len(polygons) == 1
        name = each.name or f'label {each.number}'
        about: dict[str, Any] = {
            'objectType': 'annotation',
            'name': name,
            'measurements': {_ID: each.number},
        }
        if each.name or each.color:
            kind: dict[str, Any] = {'name': name}
            if each.color:
                kind['color'] = list(each.color)
            about['classification'] = kind
        features.append(
            {
                'type': 'Feature',
                'geometry': {
                    'type': 'Polygon' if one else 'MultiPolygon',
                    'coordinates': polygons[0] if one else polygons,
                },
                'properties': about,
            }
        )
    content = {'type': 'FeatureCollection', 'features': features}
    write_text(path, json.dumps(content))
    return ()
