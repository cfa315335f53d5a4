"""Outlines as YOLO reads them for training: one text line for each.

``class x1 y1 x2 y2 ...``, x and y as shares of the width and the height.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_samnet.errors import InputError, in_one_line
from napari_samnet.files import write_text
from napari_samnet.io.formats.names import CLASSES
from napari_samnet.io.formats.objects import LabelObject, has_holes


def is_yolo_file(file: Path) -> bool:
    """Tell YOLO's labels from other text files by the first line.

    Returns: True for a whole number with a box or an outline after it.
    """
    if file.suffix.lower() != '.txt':
        return False
    try:
        with file.open(encoding='utf-8') as content:
            words = content.readline(1 << 16).split()
        _ = [float(word) for word in words[1:9]]
    except (OSError, ValueError):
        return False
    return not words or (words[0].isdigit() and len(words) >= 5)


def read_yolo(
    file: Path, shape: tuple[int, int], name: str
) -> tuple[list[LabelObject], tuple[str, ...]]:
    """Objects of a file of YOLO, one for each class.

    An id is the class plus one, or the number in a name such as 'label 5';
    names are read from ``classes.txt`` beside the file.
    """
    names = _names(file)
    parts: dict[int, list[tuple[np.ndarray, ...]]] = {}
    boxes = 0
    sides = np.array(shape[::-1], float)
    lines = file.read_text(encoding='utf-8').splitlines()
    for k, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        words = line.split()
        try:
            number = int(words[0])
            values = np.array(words[1:], float)
            if len(values) == 4:
                x, y, half_width, half_height = values * (1, 1, 0.5, 0.5)
                ring = np.array(
                    [
                        [x - half_width, y - half_height],
                        [x + half_width, y - half_height],
                        [x + half_width, y + half_height],
                        [x - half_width, y + half_height],
                    ]
                )
                boxes += 1
            else:
                ring = values.reshape(-1, 2)
        except ValueError as error:
            raise InputError(
                f'labels: line {k} of {file} is damaged: {in_one_line(error)}'
            ) from None
        if number < 0 or len(ring) < 3 or not np.isfinite(ring).all():
            raise InputError(
                f'labels: line {k} of {file} is no class with an outline'
            )
        parts.setdefault(number, []).append((ring * sides,))
    objects = [
        _object(number, tuple(parts[number]), names)
        for number in sorted(parts)
    ]
    told = ', '.join(str(each.number) for each in objects[:12])
    # It has no holes: what lies inside another object is painted onto it.
    objects.sort(key=_area, reverse=True)
    notices = [f'{name}: classes of YOLO are used as ids: {told or "none"}']
    if boxes:
        notices.append(f'{name}: {boxes} boxes without an outline are filled')
    return objects, tuple(notices)


def _area(each: LabelObject) -> float:
    """Area inside the outlines of an object, in pixels."""
    total = 0.0
    for ring, *_ in each.parts:
        x, y = np.asarray(ring, float).T
        total += abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return total


def _object(
    number: int, parts: tuple[tuple[np.ndarray, ...], ...], names: list[str]
) -> LabelObject:
    text = names[number] if number < len(names) else ''
    word = text.removeprefix('label ')
    if text.startswith('label ') and word.isdigit() and int(word):
        return LabelObject(number=int(word), parts=parts)
    return LabelObject(number=number + 1, parts=parts, name=text)


def _names(file: Path) -> list[str]:
    table = file.with_name(CLASSES)
    if not table.is_file() or table == file:
        return []
    try:
        return table.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _known_names(table: Path) -> list[str]:
    """Names of classes that other files of the folder count on."""
    if not table.exists():
        return []
    try:
        return table.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f'{table} is there already and cannot be read, so that classes '
            f'cannot be added to it: {in_one_line(error)}'
        ) from None


def write_yolo(
    path: Path, objects: list[LabelObject], shape: tuple[int, int]
) -> tuple[str, ...]:
    """Write objects as classes with outlines.

    The names of the classes go to ``classes.txt`` beside the file; those that
    are in it keep their number, and new ones follow.
    """
    sides = np.array(shape[::-1], float)
    known = _known_names(path.with_name(CLASSES))
    free: dict[str, list[int]] = {}
    for place, name in reversed([*enumerate(known)]):
        free.setdefault(name, []).append(place)
    lines, numbers, with_holes = [], [], []
    for each in objects:
        name = each.name or f'label {each.number}'
        if free.get(name):
            k = free[name].pop()
        else:
            k = len(known)
            known.append(name)
        numbers.append(k)
        if has_holes(each):
            with_holes.append(each.number)
        for part in each.parts:
            corners = ' '.join(f'{v:.8g}' for v in (part[0] / sides).ravel())
            lines.append(f'{k} {corners}\n')
    write_text(path, ''.join(lines))
    write_text(path.with_name(CLASSES), ''.join(f'{n}\n' for n in known))
    pairs = zip(objects[:12], numbers, strict=False)
    told = ', '.join(f'{each.number} as {k}' for each, k in pairs)
    notices = [f'YOLO counts classes from 0: written {told or "none"}']
    if with_holes:
        told = ', '.join(map(str, with_holes))
        notices.append(f'YOLO holds no holes: those of {told} are filled')
    if any(each.color for each in objects):
        notices.append('YOLO keeps no colors')
    return tuple(notices)
