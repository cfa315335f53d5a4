"""How one layer lies turned against another on the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.plugin.model.grids import Grid

Matrix = NDArray[np.float64]
Points = NDArray[np.floating[Any]]

#: Degrees within which a turn is a quarter turn, or none at all.
NEAR_QUARTER = 10.0


def orientation_seen(source: Grid, target: Grid) -> str:
    """Orientation in which a target is seen, by the axes of the source.

    ``source``, ``target``: where the layers lie, flips and turns included.
    Returns: how the data of the target must be turned to look as they do on
    the screen, as the option `orientation` takes it: degrees against the
    clock, 'mirror', or both. Empty where both are seen alike; then nothing is
    known.
    """
    # The reflection comes first in what takes offsets in the turned picture
    # to those in the data.
    matrix = _rigid(target).T @ _rigid(source)
    mirror = np.linalg.det(matrix) < 0
    rotation = np.diag([1.0, -1.0 if mirror else 1.0]) @ matrix
    degrees = np.rad2deg(np.arctan2(rotation[0, 1], rotation[0, 0])) % 360
    quarter = 90 * round(degrees / 90)
    if abs(degrees - quarter) <= NEAR_QUARTER:
        degrees = quarter
    words = [f'{degrees:.0f}'] if round(degrees) % 360 else []
    return ' '.join([*words, 'mirror'] if mirror else words)


@dataclass(frozen=True)
class SeenTurn:
    """Pixels of two images in the axes of each other, as they are seen.

    Arrows to an image that lies flipped point to where things are seen. As
    with images that are not, their upper left corners on the screen count as
    the same place.
    """

    #: ``source``, ``target``: where the layers lie.
    source: Grid
    target: Grid

    def to_source(self, points: Points) -> Points:
        """Take pixels ``(n, 2)`` of the target to the source's axes."""
        return _back(_seen(points, self.target), self.source)

    def to_target(self, points: Points) -> Points:
        """Take pixels ``(n, 2)`` of the source to the target's axes."""
        return _back(_seen(points, self.source), self.target)


def _seen(points: Points, grid: Grid) -> Points:
    """Pixels of an image, from the upper left corner on the screen."""
    rigid, sides = _rigid(grid), np.array(grid.plane_shape)
    return (points - (sides - 1) / 2) @ rigid.T + _middle(rigid, sides)


def _back(points: Points, grid: Grid) -> Points:
    """Undo :func:`_seen`."""
    rigid, sides = _rigid(grid), np.array(grid.plane_shape)
    return (points - _middle(rigid, sides)) @ rigid + (sides - 1) / 2


def _middle(rigid: Matrix, sides: NDArray[np.intp]) -> Matrix:
    """Center of an image, from the corner of the box that it is seen in."""
    return np.asarray((np.abs(rigid) @ sides - 1) / 2)


def _rigid(grid: Grid) -> Matrix:
    """Turn and reflection of a plane in the world, without its scales."""
    linear = grid.plane().to_world()[:2, :2]
    one, _, other = np.linalg.svd(linear / np.abs(linear).max())
    return np.asarray(one @ other)
