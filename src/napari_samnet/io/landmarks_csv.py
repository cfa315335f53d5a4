"""Pairs of points as CSV files: our own, BigWarp's, and two of napari's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_samnet.errors import InputError
from napari_samnet.files import write_text
from napari_samnet.io.csv_lines import CsvLines, place_of, read_csv_of
from napari_samnet.io.points_csv import read_points

#: Columns of our own files.
COLUMNS = ('source-row', 'source-column', 'target-row', 'target-column')

#: Columns of a file of BigWarp: name, active, moving x and y, fixed x and y.
BIGWARP_COLUMNS = 6

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Pairs of points."""

    #: ``source``, ``target``: (K, 2): row and column in pixels; 0 is the
    #: center of the first pixel.
    source: Points
    target: Points
    #: (K,): pairs that are to be used.
    active: npt.NDArray[np.bool_]

    @property
    def used(self) -> tuple[Points, Points]:
        """Source and target points of the pairs that are to be used."""
        return self.source[self.active], self.target[self.active]


def read_landmarks(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
) -> Landmarks:
    """Read pairs of points.

    ``path``: our own file, with the columns source-row, source-column,
    target-row, target-column and, if some are switched off, active; or a
    landmark file of BigWarp, whose moving image is the source. With `target`,
    the points of the source as napari saves them, which is how the pairs
    clicked in affinder are saved.
    ``target``: the points of the target as napari saves them, in the same
    order.
    Raises InputError if there is no such file, or it holds no pairs.
    """
    if target is not None:
        ends = read_points(path), read_points(target)
        if len(ends[0]) != len(ends[1]):
            raise InputError(
                f'landmarks must be pairs: {path} has {len(ends[0])} points, '
                f'{target} has {len(ends[1])}'
            )
        return Landmarks(*ends, np.ones(len(ends[0]), bool))
    file = Path(path)
    content = read_csv_of('landmarks', file)
    header = content.header
    at = [place_of(header, name) for name in COLUMNS]
    places = [place for place in at if place is not None]
    if len(places) == len(COLUMNS):
        return _by_columns(content, places, file)
    if len(header) == BIGWARP_COLUMNS and header[1].lower() in (
        'true',
        'false',
    ):
        return _bigwarp(content, file)
    raise InputError(
        f'landmarks must have the columns {", ".join(COLUMNS)}, or be a 2-D '
        f'landmark file of BigWarp; {file} begins with '
        f'{content.shown_header}'
    )


def _by_columns(content: CsvLines, places: list[int], file: Path) -> Landmarks:
    """Read our own rows; ``places``: columns of the coordinates."""
    rows = [row for _, row in content.lines[1:]]
    values = content.numbers(places, f'landmarks of {file}')
    active = np.ones(len(rows), bool)
    place = place_of(content.header, 'active')
    if place is not None:
        # A line that ends before it says nothing of it.
        cells = [[*row, 'true'][min(place, len(row))] for row in rows]
        active = np.array([_is_true(cell) for cell in cells], bool)
    return Landmarks(values[:, :2], values[:, 2:], active)


def _bigwarp(content: CsvLines, file: Path) -> Landmarks:
    """Read rows of BigWarp, which writes x before y."""
    rows = [row for _, row in content.lines]
    values = content.numbers(
        range(2, 6), f'landmarks of {file}', after=0, finite=False
    )
    active = np.array([_is_true(row[1]) for row in rows], bool)
    # A point that was set in one image alone is at infinity in the other.
    complete = np.isfinite(values).all(1)
    values = values[complete]
    return Landmarks(values[:, [1, 0]], values[:, [3, 2]], active[complete])


def _is_true(text: str) -> bool:
    return text.strip().lower() in ('true', '1', 'yes')


def write_landmarks(
    path: str | os.PathLike[str], landmarks: Landmarks
) -> None:
    """Write pairs of points, so that :func:`read_landmarks` reads them.

    ``path``: file to write. It appears whole or not at all. A name that ends
    in ``bigwarp.csv`` is written as BigWarp does.
    """
    bigwarp = Path(path).name.lower().endswith('bigwarp.csv')
    lines = [] if bigwarp else [','.join((*COLUMNS, 'active'))]
    for place, (one, other, active) in enumerate(
        zip(landmarks.source, landmarks.target, landmarks.active, strict=True)
    ):
        on = str(bool(active)).lower()
        if bigwarp:
            numbers = (one[1], one[0], other[1], other[0])
            texts = [f'"{float(value)!r}"' for value in numbers]
            lines.append(','.join([f'"Pt-{place}"', f'"{on}"', *texts]))
        else:
            numbers = (*one, *other)
            lines.append(
                ','.join([*(repr(float(value)) for value in numbers), on])
            )
    write_text(path, '\n'.join(lines) + '\n')
