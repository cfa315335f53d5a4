"""Shapes that tell which part of an image is matched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.grids import Grid, Index, grid_of
from napari_samnet.plugin.model.masks import HALF_PLANE, ellipse_in

#: Corners that stand for an ellipse.
CORNERS = 72


@dataclass(frozen=True)
class Region:
    """Outlines on an image, captured from a layer of shapes."""

    #: (n, ndim): corners in data coordinates of the image; without leading
    #: axes they are on every plane.
    outlines: Sequence[NDArray[np.float64]]
    #: Rows and columns of the image.
    shape: tuple[int, int]
    #: Whether what is inside is left out; else it is all that is matched.
    leave_out: bool

    def plane(self, index: Index) -> NDArray[np.bool_] | None:
        """Pixels of a plane that are matched.

        Returns: (rows, columns): None for all, which is so where nothing was
        drawn.
        """
        from skimage.draw import polygon

        inside = np.zeros(self.shape, bool)
        for outline in self.outlines:
            lead = outline[:, :-2]
            away = np.abs(lead - np.array(index[len(index) - lead.shape[1] :]))
            if lead.size and away.max() > HALF_PLANE:
                continue
            inside[polygon(outline[:, -2], outline[:, -1], self.shape)] = True
        if not inside.any():
            return None
        return ~inside if self.leave_out else inside


def capture_region(layer: Any, image: Grid, *, leave_out: bool) -> Region:
    """Copy shapes that tell which part of an image is matched.

    ``leave_out``: whether what is inside is left out; else it is all that is
    matched.
    Returns: what is edited afterwards does not change it.
    Raises InputError if none of the shapes has an inside, or none lies on
    the image.
    """
    place = grid_of(layer, (1,) * layer.ndim)
    outlines = [
        ellipse_in(np.asarray(data, float), CORNERS)
        if kind == 'ellipse'
        else np.asarray(data, np.float64)
        for data, kind in zip(layer.data, layer.shape_type, strict=True)
        if kind not in ('line', 'path')
    ]
    if not outlines:
        raise InputError(
            f'{layer.name!r} has no shape with an inside: draw a polygon, a '
            'rectangle or an ellipse'
        )
    if layer.ndim < len(image.shape):
        # Flat shapes show on every plane.
        image = image.plane()
    there = [image.from_grid(corners, place) for corners in outlines]
    limits = np.array(image.plane_shape) - 0.5
    if not any(
        (ring[:, -2:].max(0) > -0.5).all()
        and (ring[:, -2:].min(0) < limits).all()
        for ring in there
    ):
        raise InputError(
            f'no shape of {layer.name!r} lies on the image that it is a '
            'region of: draw it there, or choose the other image at Region'
        )
    return Region(
        outlines=there,
        shape=image.plane_shape,
        leave_out=leave_out,
    )
