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

from napari_samnet.errors import InputError
from napari_samnet.io.points_csv import about_places, read_point_table
from napari_samnet.plugin.model.grids import Grid, grid_of
from napari_samnet.plugin.model.resampled import same_pixels

#: Columns that are no features: numbers of lines.
NUMBERED = ('', 'index')


def is_table(path: str) -> bool:
    """Whether a file is to be read as points."""
    return Path(path).suffix.lower() == '.csv'


def read_points_layer(
    path: str, grid: Grid, image: str
) -> tuple[Points, tuple[str, ...]]:
    """Read the points of an image.

    ``grid``, ``image``: where the image lies, and its name.
    Returns: points on the image, with the other columns of the file as
    features, and what is to be said of them.
    Raises InputError if the file holds none, or not of one plane.
    """
    file = Path(path)
    opened = 'open it with File › Open, and drop the layer'
    if grid.leading:
        raise InputError(
            f'points: which planes of the stack those of {file} lie on is '
            f'for napari to tell: {opened}'
        )
    table = read_point_table(file)
    if 'shape-type' in table.columns:
        raise InputError(f'points: {file} holds shapes: {opened}')
    features = {
        name: _as_numbers([row[place] for row in table.rows])
        for place, name in enumerate(table.columns)
        if name not in NUMBERED
    }
    layer = Points(
        table.points,
        name=file.stem,
        features=pd.DataFrame(features, index=range(len(table.points))),
        **grid.spatial,
    )
    told = about_places(table.points, grid.plane_shape, file.name, image)
    return layer, told


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
