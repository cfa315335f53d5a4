"""Tables of DeepLabCut: one line for each frame, columns for each point."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from math import isfinite
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.errors import InputError
from napari_samnet.files import write_text
from napari_samnet.io.csv_lines import SHOWN_LETTERS, CsvLines, csv_text

#: What its lines of names begin with, in order; individuals are optional.
HEADS = ('scorer', 'individuals', 'bodyparts', 'coords')

#: Who has made a table of ours, as DeepLabCut calls it.
_SCORER = 'napari-samnet'


def is_deeplabcut(content: CsvLines) -> bool:
    """Whether a table begins with the names of scorers and body parts."""
    heads = [cells[0].strip() for _, cells in content.lines[:4] if cells]
    return heads[:1] == [HEADS[0]] and 'bodyparts' in heads[1:3]


def frames_of(content: CsvLines) -> tuple[int, ...]:
    """Numbers of the frames of a table in order, also of those without points.

    Raises InputError if it does not say what its columns are.
    """
    names, first = _names(content)
    return tuple(
        int(_plane(cells[:first], order))
        for order, (_, cells) in enumerate(content.lines[len(names) :])
    )


def _names(content: CsvLines) -> tuple[dict[str, list[str]], int]:
    """Its lines of names, and the first column of coordinates.

    Raises InputError if there is none.
    """
    names = {
        cells[0].strip(): [cell.strip() for cell in cells]
        for _, cells in content.lines[: len(HEADS)]
        if cells[0].strip() in HEADS
    }
    coords = names.get('coords', [])
    if 'x' not in coords or 'y' not in coords:
        raise InputError(
            'those of DeepLabCut must have a line "coords" with x and y'
        )
    return names, coords.index('x')


def one_line_each(content: CsvLines) -> CsvLines:
    """Write a table of DeepLabCut with one line for each point.

    Returns: columns plane, row, column, name and, of predictions, likelihood.
    The plane is the number of the frame, or the last number in the name of its
    image. Points that were not marked are left out.
    Raises InputError if a coordinate is no number, or there are none.
    """
    names, first = _names(content)
    coords = names['coords']
    sure = 'likelihood' in coords
    lines: list[tuple[int, list[str]]] = []
    for order, (number, cells) in enumerate(content.lines[len(names) :]):
        plane = _plane(cells[:first], order)
        points: dict[str, dict[str, str]] = {}
        for place in range(first, len(coords)):
            cell = cells[place].strip() if place < len(cells) else ''
            points.setdefault(_name(names, place), {})[coords[place]] = cell
        for name, point in points.items():
            at = [point.get('y', ''), point.get('x', '')]
            if all(_is_there(content, cell, number) for cell in at):
                rest = [point.get('likelihood', '')] if sure else []
                lines.append((number, [plane, *at, name, *rest]))
    header = ['plane', 'row', 'column', 'name', *['likelihood'] * sure]
    return CsvLines([(1, header), *lines], content.separator)


def _name(names: dict[str, list[str]], place: int) -> str:
    """Name of the point that a column belongs to."""
    rows = (names.get('individuals'), names['bodyparts'])
    parts = [row[place] for row in rows if row is not None]
    return ' '.join(part for part in parts if part and part != 'single')


def _plane(index: list[str], order: int) -> str:
    """Number of a frame, by what stands before the points of a line."""
    numbers = re.findall(r'\d+', PurePath(index[-1]).stem) if index else []
    return str(int(numbers[-1])) if numbers else str(order)


def _is_there(content: CsvLines, cell: str, line: int) -> bool:
    """Whether a coordinate was marked."""
    try:
        return bool(cell) and isfinite(content.number(cell))
    except ValueError:
        raise InputError(
            f'those of DeepLabCut must be numbers; line {line} has '
            f'{cell[:SHOWN_LETTERS]!r}: correct the line, or leave it out'
        ) from None


def write_deeplabcut(
    path: str | os.PathLike[str],
    frames: Sequence[int],
    points: npt.NDArray[np.float64],
    names: Sequence[str],
    likelihood: Sequence[float] | None = None,
) -> None:
    """Write a table of one animal, with a line for each frame that has points.

    ``path``: CSV file that appears whole or not at all.
    ``frames``, ``points`` (N, 2), ``names``: number of the frame, row and
    column, and body part of each point. ``likelihood``: of each, if known.
    Raises InputError if a frame has two points of a name, or the file cannot
    be written.
    """
    parts = list(dict.fromkeys(names))
    values = ['x', 'y', *['likelihood'] * (likelihood is not None)]
    known: dict[int, dict[str, list[str]]] = {}
    for number, (frame, name) in enumerate(zip(frames, names, strict=True)):
        row = known.setdefault(frame, {})
        if name in row:
            raise InputError(
                f'a table of DeepLabCut holds one {name!r} in each frame, '
                f'frame {frame} has two: remove one of them'
            )
        y, x = points[number]
        row[name] = [f'{x:.10g}', f'{y:.10g}']
        if likelihood is not None:
            row[name].append(f'{likelihood[number]:.10g}')
    heads = {
        'scorer': [_SCORER for _ in parts],
        'bodyparts': parts,
        'coords': None,
    }
    lines: list[list[Any]] = [
        [head, *(values * len(parts))]
        if cells is None
        else [head, *(cell for cell in cells for _ in values)]
        for head, cells in heads.items()
    ]
    blank = [''] * len(values)
    lines += [
        [frame, *(cell for part in parts for cell in row.get(part, blank))]
        for frame, row in sorted(known.items())
    ]
    write_text(path, csv_text(lines))
