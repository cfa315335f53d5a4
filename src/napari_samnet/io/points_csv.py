"""Points as CSV files: those of napari, and others that name their axes."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_samnet.errors import InputError

#: Names of the row and the column, napari's first.
NAMES = (('axis-0', 'axis-1'), ('row', 'column'), ('y', 'x'))


def read_points(path: str | os.PathLike[str]) -> npt.NDArray[np.float64]:
    """Read points of one image.

    ``path``: CSV file as napari saves a points layer, or with the columns row
    and column, or y and x. Further columns are ignored.
    Returns: (N, 2): row and column of each, in pixels; 0 is the center of the
    first.
    Raises InputError if there is no such file, or it holds no points.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f'points: there is no file {file}')
    try:
        with file.open(newline='', encoding='utf-8-sig') as content:
            reader = csv.DictReader(content)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            names = next(
                (pair for pair in NAMES if set(pair) <= set(header)), None
            )
            if names is None:
                raise InputError(
                    f'points must have the columns axis-0 and axis-1, row '
                    f'and column, or y and x, got '
                    f'{", ".join(header) or "none"} in {file}'
                )
            cells = [[row[name] for name in names] for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f'points: {file} cannot be read: {error}') from None
    try:
        points = np.array(cells, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise InputError(f'points must be numbers in {file}') from None
    if not np.isfinite(points).all():
        raise InputError(f'points must be finite numbers in {file}')
    return points


def write_points(
    path: str | os.PathLike[str], points: npt.NDArray[np.float64]
) -> None:
    """Write points as napari does, so that it opens them as a layer.

    ``points`` (N, 2): row and column of each.
    """
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(('index', *NAMES[0]))
        writer.writerows(
            (index, *map(float, point)) for index, point in enumerate(points)
        )
