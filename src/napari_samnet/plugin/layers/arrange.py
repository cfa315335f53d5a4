"""Source and target in view together, and beside each other."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.model.grids import Grid, grid_of
from napari_samnet.plugin.model.resampled import OVERLAP
from napari_samnet.plugin.model.units import unit_factors, world_units

#: Space between two images, as a share of the width of both.
GAP = 0.03

Box = NDArray[np.float64]

#: Empty share of the canvas on each side of what is brought into view.
MARGIN = 0.05


def overlap(source: Any, target: Any) -> bool:
    """Whether two images lie on top of each other, by half at least."""
    here, there = grid_of(source), grid_of(target)
    return max(here.share_on(there), there.share_on(here)) >= OVERLAP


def covers(viewer: Any, source: Any, target: Any) -> bool:
    """Whether the source hides the target and what lies on it."""
    order = [layer.unique_id for layer in viewer.layers]
    if getattr(viewer, 'canvas', viewer).grid.enabled or not source.visible:
        return False
    above = order.index(source.unique_id) > order.index(target.unique_id)
    return above and overlap(source, target)


def _box(layer: Any, units: Any) -> Box:
    """First and last row and column of a layer, in the viewer's world."""
    corners = np.asarray(layer.extent.world, float)[:, -2:]
    factors = unit_factors(layer.units, units, layer.ndim)[-2:]
    box: Box = corners * factors
    return box


def are_in_view(viewer: Any, layers: Iterable[Any]) -> bool:
    """Whether the camera sees all of some layers, in two dimensions.

    ``viewer`` (napari.components.ViewerModel): a viewer; in 3-D, or with a
    grid, everything counts as in view.
    Returns: False if a part of one is outside the canvas.
    """
    canvas = getattr(viewer, 'canvas', viewer)
    if viewer.dims.ndisplay != 2 or canvas.grid.enabled:
        return True
    camera = getattr(viewer, 'scene', viewer).camera
    # Before napari 0.9 the size is not public; then the view is set anew.
    size = getattr(canvas, 'size', None)
    if size is None:
        return False
    half = np.asarray(size, float) / 2 / camera.zoom
    center = np.asarray(camera.center, float)[-2:]
    units = world_units(viewer)
    seen = np.stack([center - half, center + half])
    boxes = [_box(layer, units) for layer in layers]
    slack = 0.02 * 2 * half
    return all(
        (box[0] >= seen[0] - slack).all() and (box[1] <= seen[1] + slack).all()
        for box in boxes
    )


def bring_into_view(viewer: Any, layers: Iterable[Any]) -> None:
    """Move the camera so that it sees some layers, unless it does."""
    layers = list(layers)
    if are_in_view(viewer, layers):
        return
    canvas = getattr(viewer, 'canvas', viewer)
    size = getattr(canvas, 'size', None)
    if size is None:
        viewer.reset_view()
        return
    # napari's own cannot fit layers of fewer dimensions than the viewer has,
    # where a stack is open beside them.
    units = world_units(viewer)
    boxes = np.stack([_box(layer, units) for layer in layers])
    low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
    room = np.asarray(size, float) * (1 - 2 * MARGIN)
    camera = getattr(viewer, 'scene', viewer).camera
    camera.center = (0.0, *((low + high) / 2).tolist())
    camera.zoom = float((room / np.maximum(high - low, 1e-9)).min())


def _shift(layer: Any, grid: Grid, world: Box) -> None:
    """Move a layer in the world, by its translation."""
    affine = grid.spatial['affine']
    outer = np.asarray(getattr(affine, 'affine_matrix', affine), float)
    step = np.zeros(layer.ndim)
    step[-2:] = world
    linear = outer[: layer.ndim, : layer.ndim]
    layer.translate = np.asarray(layer.translate) + np.linalg.solve(
        linear, step
    )


class SideBySide:
    """Lays the target beside the source, with all results that lie on it.

    ``viewer``: where the layers are.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._moved: dict[Hashable, tuple[Hashable, Box]] = {}

    def is_beside(self, target: Any) -> bool:
        """Whether a target was moved by us and not put back."""
        return target is not None and target.unique_id in self._moved

    def lay(self, source: Any, target: Any) -> None:
        """Move the target to the right of the source.

        ``source``, ``target`` (napari.layers.Image): the two layers or
        choosers of the pair.
        """
        # The target moves in its own units.
        here, there = _box(source, target.units), _box(target, target.units)
        width = np.ptp(here[:, 1]) + np.ptp(there[:, 1])
        right = here[1, 1] + GAP * width - there[0, 1]
        step = np.array([here[0, 0] - there[0, 0], right])
        self._move(target, step)
        self._moved[target.unique_id] = source.unique_id, step
        bring_into_view(self._viewer, [source, target])

    def lay_back(self, target: Any) -> None:
        """Undo :meth:`lay`."""
        _, step = self._moved.pop(target.unique_id)
        self._move(target, -step)

    def _move(self, target: Any, step: Box) -> None:
        uid = target.unique_id
        for layer in self._viewer.layers:
            if uid in (layer.unique_id, about_layer(layer).get('on')):
                factors = unit_factors(target.units, layer.units, 2)
                _shift(
                    layer, grid_of(layer, (1,) * layer.ndim), step * factors
                )
