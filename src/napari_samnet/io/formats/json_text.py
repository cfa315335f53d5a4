"""JSON of annotation programs: which of them has written it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_samnet.errors import InputError, in_one_line

#: Bytes of a JSON file that are read; outlines of a million corners fit.
MAX_JSON = 1 << 28


def load_json(file: Path) -> Any:
    """Read a JSON file.

    ``file``: the file to read, in UTF-8. Raises InputError if it is too large
    or no JSON.
    """
    if file.stat().st_size > MAX_JSON:
        raise InputError(
            f'labels: {file} is larger than {MAX_JSON >> 20} MB, which is '
            f'too much for outlines'
        )
    try:
        return json.loads(file.read_text(encoding='utf-8-sig'))
    except (OSError, ValueError, RecursionError) as error:
        reason = in_one_line(error)
        raise InputError(f'labels: {file} is no JSON: {reason}') from None


def json_kind(content: Any) -> str:
    """Tell the format of annotations.

    Returns: 'coco', 'labelme', 'geojson', or '' for anything else.
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


def check_sides(
    rows: Any, columns: Any, shape: tuple[int, int], name: str
) -> None:
    """Refuse annotations of an image of another size.

    ``rows``, ``columns``: sides of the image as the annotations say; None
    where they do not. Raises InputError if the annotations name other sides.
    """
    if None not in (rows, columns) and (rows, columns) != shape:
        raise InputError(
            f'labels: {name} is for an image of {rows} rows and {columns} '
            f'columns, the image has {shape[0]} and {shape[1]}'
        )
