"""Points of napari as tables of DeepLabCut, by *Save Selected Layers*."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.io.deeplabcut import write_deeplabcut
from napari_samnet.plugin.contributions.refusals import shown_refusals


@shown_refusals()
def write_points(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the points of a film, by frame and body part.

    ``data`` (N, 3), ``meta``: frame, row and column of each, and what napari
    keeps of the layer, of which the feature ``name`` is the body part.
    Returns: the file, as napari wants it.
    Raises InputError if the points have no names or no frames, or a frame has
    one twice.
    """
    table, layer = meta.get('features'), meta.get('name', 'the layer')
    points = np.asarray(data, float)
    if table is None or 'name' not in table or points.ndim != 2:
        raise InputError(
            f'{layer!r} has no column "name" with the body part of each point '
            f'(Layers › Visualize › Features table): add it, or save as '
            f'napari does'
        )
    if points.shape[1] != 3:
        raise InputError(
            f'points of {layer!r} have {points.shape[1]} numbers; a table of '
            f'DeepLabCut needs frame, row and column'
        )
    sure = table.get('likelihood')
    write_deeplabcut(
        path,
        [int(frame) for frame in np.rint(points[:, 0])],
        points[:, 1:],
        [str(name) for name in table['name']],
        None if sure is None else [float(value) for value in sure],
    )
    return [path]
