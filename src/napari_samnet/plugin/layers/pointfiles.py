"""Points from files, as spreadsheets and other programs write them.

napari opens its own tables alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Points
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.io.points_csv import (
    StackPoints,
    about_places,
    read_stack_points,
)
from napari_samnet.plugin.model.grids import Grid, Index, grid_of, sizes
from napari_samnet.plugin.model.resampled import same_pixels

#: Columns that are no features: numbers of lines.
NUMBERED = ('', 'index')


def is_table(path: str) -> bool:
    """Whether a file is to be read as points."""
    return Path(path).suffix.lower() == '.csv'


def read_points_layer(
    path: str, grid: Grid, image: str, shown: Index = ()
) -> tuple[Points, tuple[str, ...]]:
    """Read the points of an image.

    ``grid``, ``image``: where the image lies, and its name.
    ``shown``: plane of a stack that points without one are taken to lie on.
    Returns: points on the image, with the other columns of the file as
    features, and what is to be said of them.
    Raises InputError if the file holds none, or not of these planes.
    """
    file = Path(path)
    read = read_stack_points(file)
    if 'shape-type' in read.columns:
        raise InputError(
            f'points: {file} holds shapes: open it with File › Open, and drop '
            f'the layer'
        )
    told: tuple[str, ...] = ()
    if grid.leading:
        planes, there, told = _planes_of(read, grid, shown, file)
    else:
        there = _all(len(read.points))
        planes = np.empty((len(read.points), 0), np.int64)
        if len(np.unique(read.planes, axis=0)) > 1:
            raise InputError(
                f'points: those of {file} lie on several planes of a stack, '
                f'and {image!r} is one picture: choose the stack as the source'
            )
    points = read.points[there]
    features = {
        name: _as_numbers(
            [read.rows[n][place] for n in np.flatnonzero(there).tolist()]
        )
        for place, name in enumerate(read.columns)
        if name not in NUMBERED
    }
    layer = Points(
        np.hstack([planes[there], points]),
        name=file.stem,
        features=pd.DataFrame(features, index=range(len(points))),
        **grid.spatial,
    )
    beyond = about_places(points, grid.plane_shape, file.name, image)
    return layer, (*told, *beyond)


def _planes_of(
    read: StackPoints, grid: Grid, shown: Index, file: Path
) -> tuple[NDArray[np.int64], NDArray[np.bool_], tuple[str, ...]]:
    """Planes of a stack that points of a file lie on.

    Returns: ``planes`` (N, leading axes); ``there`` (N,): which of them the
    stack has; ``told``: what is to be said.
    Raises InputError if it has none of them.
    """
    planes, leading = read.planes, grid.leading
    count = len(read.points)
    if not planes.shape[1]:
        if len(shown) != len(leading):
            shown = (0,) * len(leading)
        at = ', '.join(map(str, shown))
        said = (
            f'{file.name} names no planes: its points are taken to lie on '
            f'plane {at}, which is shown'
        )
        return (
            np.tile(np.array(shown, np.int64), (count, 1)),
            _all(count),
            (said,),
        )
    if planes.shape[1] != len(leading):
        raise InputError(
            f'points: those of {file} have {planes.shape[1]} numbers for '
            f'their plane, and the stack {len(leading)} axes of planes '
            f'({sizes(leading)}): give each point as many'
        )
    frames = sorted(set(read.frames))
    if frames and frames[-1] >= leading[0] and len(frames) == leading[0]:
        # Frames that were taken out of a film, which their names still count.
        planes = np.searchsorted(frames, planes).astype(np.int64)
        return (
            planes,
            _all(count),
            (
                f'{file.name} has {len(frames)} frames, from {frames[0]} to '
                f'{frames[-1]}, as many as there are planes: they are taken '
                f'in order',
            ),
        )
    inside = (planes >= 0) & (planes < np.array(leading))
    there: NDArray[np.bool_] = np.asarray(inside.all(axis=1))
    if there.all():
        return planes, there, ()
    away = sorted({*map(tuple, planes[~there].tolist())})
    named = ', '.join(' '.join(map(str, plane)) for plane in away[:4])
    said = (
        f'{count - there.sum()} of {count} points of {file.name} lie on '
        f'planes that the stack of {sizes(leading)} does not have ({named})'
    )
    if not there.any():
        raise InputError(
            f'points: {said}: open the whole film, or number the planes from 0'
        )
    return planes, there, (f'{said}, and are left out',)


def _all(count: int) -> NDArray[np.bool_]:
    return np.ones(count, bool)


def _as_numbers(cells: list[str]) -> Any:
    """Numbers of a column that holds nothing else."""
    try:
        return pd.to_numeric(pd.Series(cells, dtype=object))
    except ValueError:
        return cells


def same_points(
    points: Points, grid: Grid, layers: Iterable[Any]
) -> Points | None:
    """A layer that holds the same points of an image, if there is one."""
    for layer in layers:
        if (
            isinstance(layer, Points)
            and np.array_equal(layer.data, points.data)
            and same_pixels(grid_of(layer, grid.shape), grid)
        ):
            return layer
    return None
