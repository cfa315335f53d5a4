"""Points as CSV files: those of napari, and others that name their axes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.errors import InputError
from napari_samnet.files import write_text
from napari_samnet.io.csv_lines import (
    CsvLines,
    csv_text,
    place_of,
    read_csv_of,
)
from napari_samnet.io.deeplabcut import (
    frames_of,
    is_deeplabcut,
    one_line_each,
)

#: Names of the row and the column.
NAMES = (('row', 'column'), ('y', 'x'))

#: What napari calls the axes of points, before their number.
AXIS = 'axis-'

#: Names of the column that says the plane of a stack, outside napari.
PLANES = ('plane', 'z')


@dataclass(frozen=True, eq=False)
class PointTable:
    """Points of one image, and what else their file says of each."""

    #: (N, 2): row and column of each, in pixels; 0 is the center of the first.
    points: npt.NDArray[np.float64]
    #: Names of the other columns, and what each point has there.
    columns: tuple[str, ...] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, eq=False)
class StackPoints:
    """Points on the planes of a stack, and what their file says of each."""

    #: (N, 2): row and column of each, see :class:`PointTable`.
    points: npt.NDArray[np.float64]
    #: (N, K): plane of each, as K numbers from 0; K is 0 where none is told.
    planes: npt.NDArray[np.int64]
    #: Numbers of all frames that a table of DeepLabCut has a line for.
    frames: tuple[int, ...]
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]


def read_points(path: str | os.PathLike[str]) -> npt.NDArray[np.float64]:
    """Read points of one image.

    Returns: (N, 2): row and column of each, see :func:`read_point_table`.
    """
    return read_point_table(path).points


def read_point_table(
    path: str | os.PathLike[str], page: int | None = None
) -> PointTable:
    """Read points or shapes of one image, with all that their file says.

    ``path``: CSV file as napari saves a points or shapes layer, with the
    columns row and column, or y and x, or one of DeepLabCut.
    ``page``: plane of a stack; points of other planes are left out.
    Raises InputError if there is no such file, it holds no points, or they
    lie on several planes of which none is chosen.
    """
    read = read_stack_points(path)
    kept = _on_plane(read.planes, page, Path(path))
    return PointTable(
        read.points[kept],
        read.columns,
        [read.rows[n] for n in np.flatnonzero(kept).tolist()],
    )


def read_stack_points(path: str | os.PathLike[str]) -> StackPoints:
    """Read points or shapes of all planes, with all that their file says.

    ``path``: see :func:`read_point_table`.
    Raises InputError if there is no such file, or it holds no points.
    """
    file = Path(path)
    content = read_csv_of('points', file)
    frames: tuple[int, ...] = ()
    if is_deeplabcut(content):
        try:
            frames, content = frames_of(content), one_line_each(content)
        except InputError as error:
            raise InputError(f'points: {file}: {error}') from None
    header = content.header
    places = _places(content, file)
    leading = _leading(header, places)
    for number, row in content.lines:
        if len(row) != len(header):
            raise InputError(
                f'points: line {number} of {file} must have {len(header)} '
                f'values, as its first line has'
            )
    rows = [row for _, row in content.lines[1:]]
    values = content.numbers((*leading, *places), f'points of {file}')
    others = [k for k in range(len(header)) if k not in (*leading, *places)]
    return StackPoints(
        values[:, -2:],
        np.rint(values[:, :-2]).astype(np.int64),
        frames,
        tuple(header[k] for k in others),
        [[row[k] for k in others] for row in rows],
    )


def about_places(
    points: npt.NDArray[np.float64],
    shape: tuple[int, int],
    file: str,
    image: str,
) -> tuple[str, ...]:
    """What to say of points that do not lie in their image.

    ``points`` (N, 2): row and column. ``shape``: rows and columns of the
    image. ``file``, ``image``: names of both files.
    Returns: one line; nothing where all points lie in the image.
    """
    if not len(points):
        return (f'{file} holds no point',)
    beyond = (points < -0.5) | (points > np.array(shape) - 0.5)
    count = int(beyond.any(axis=1).sum())
    if not count:
        return ()
    lie = 'lies' if count == 1 else 'lie'
    return (
        f'{count} of {len(points)} points of {file} {lie} outside {image}, '
        f'which has {shape[0]} rows and {shape[1]} columns: points must be '
        f'in pixels of it',
    )


def _places(content: CsvLines, file: Path) -> tuple[int, int]:
    """Columns of the row and the column: of napari's axes the last two."""
    header = content.header
    axes = _axes(header)
    if len(axes) >= 2:
        return axes[-2], axes[-1]
    for names in NAMES:
        row, column = (place_of(header, name) for name in names)
        if row is not None and column is not None:
            return row, column
    raise InputError(
        f'points must have a first line with the names of the columns: '
        f'axis-0 and axis-1, row and column, or y and x; {file} begins with '
        f'{content.shown_header}'
    )


def _leading(header: list[str], places: tuple[int, int]) -> list[int]:
    """Columns of the plane."""
    axes = _axes(header)
    if places[0] in axes:
        return axes[:-2]
    planes = (place_of(header, name) for name in PLANES)
    return [place for place in planes if place is not None][:1]


def _axes(header: Sequence[str]) -> list[int]:
    """Columns of napari's axes, in order."""
    count = 0
    while f'{AXIS}{count}' in header:
        count += 1
    return [header.index(f'{AXIS}{k}') for k in range(count)]


def _on_plane(
    planes: npt.NDArray[np.int64], page: int | None, file: Path
) -> npt.NDArray[np.bool_]:
    """Which points are on the plane that is asked for."""
    there = np.unique(planes, axis=0)
    if page is not None and planes.shape[1] == 1:
        if len(there) and page not in there:
            raise InputError(
                f'points: none of {file} lies on plane {page}, but on '
                f'{", ".join(str(plane[0]) for plane in there[:8])}'
            )
        return np.asarray((planes == page).all(1))
    if planes.shape[1] and len(there) > 1:
        told = ', '.join(' '.join(map(str, plane)) for plane in there[:8])
        raise InputError(
            f'points: those of {file} lie on {len(there)} planes of a stack '
            f'({told}): choose one with --page, or keep those of one plane'
        )
    return np.ones(len(planes), bool)


def write_points(
    path: str | os.PathLike[str],
    points: npt.NDArray[np.float64],
    table: PointTable | None = None,
) -> None:
    """Write points as napari does, so that it opens them as a layer.

    ``path``: file that appears whole or not at all.
    ``points`` (N, 2): row and column of each.
    ``table``: what they were before they were carried; what it says of each
    is written as well. A rectangle is none any more, but a polygon.
    """
    if table is None:
        table = PointTable(points)
    if 'index' not in table.columns:
        rows = table.rows or [()] * len(points)
        table = replace(
            table,
            columns=('index', *table.columns),
            rows=[(str(k), *row) for k, row in enumerate(rows)],
        )
    shape = None
    if 'shape-type' in table.columns:
        shape = table.columns.index('shape-type')
    # napari's columns come first, in its order.
    first = [
        table.columns.index(name)
        for name in ('index', 'shape-type', 'vertex-index')
        if name in table.columns
    ]
    others = [k for k in range(len(table.columns)) if k not in first]

    def ordered(cells: Sequence[str], place: Iterable[Any]) -> list[Any]:
        return [
            *(cells[k] for k in first),
            *place,
            *(cells[k] for k in others),
        ]

    lines = [ordered(table.columns, (f'{AXIS}{k}' for k in range(2)))]
    for point, row in zip(points, table.rows, strict=True):
        cells = list(row)
        if shape is not None and cells[shape] == 'rectangle':
            cells[shape] = 'polygon'
        lines.append(ordered(cells, map(float, point)))
    write_text(path, csv_text(lines))
