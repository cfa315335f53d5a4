"""Show me: from one doubtful place of a result to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from napari_samnet.outputs.verdict import Verdict
from napari_samnet.plugin.model.grids import Grid, Index
from napari_samnet.plugin.model.request import Outcome, Request
from napari_samnet.plugin.model.units import unit_factors, world_units


class WorstPlaces:
    """Leads the view to the places that a verdict names."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._stops: list[Callable[[], str]] = []
        self._next = 0
        #: Verdict on the last run, None before the first.
        self.verdict: Verdict | None = None

    def take(self, request: Request, outcome: Outcome) -> None:
        """Take the places of a run that has ended."""
        self.verdict = outcome.verdict
        self._stops, self._next = [], 0
        for index in outcome.worst_planes:
            self._stops.append(self._plane(request.source.grid, index))
        if outcome.verdict is None or outcome.judged is None:
            return
        for place in outcome.verdict.places:
            at = (*outcome.judged[1], *place.target)
            self._stops.append(self._place(request.target.grid, at))

    def take_alone(self, verdict: Verdict | None) -> None:
        """Take a verdict that names no places."""
        self.verdict = verdict
        self._stops, self._next = [], 0

    def show_next(self) -> str:
        """Go to the next place, after the last one to the first.

        Returns: one line that names the place; empty if there is none.
        """
        if not self._stops:
            return ''
        number = self._next % len(self._stops)
        self._next += 1
        return f'{number + 1} of {len(self._stops)}: {self._stops[number]()}'

    def _plane(self, grid: Grid, index: Index) -> Callable[[], str]:
        def go() -> str:
            show_plane(self._viewer, grid, (*index, 0, 0))
            return f'plane {", ".join(map(str, index))}'

        return go

    def _place(self, grid: Grid, at: tuple[float, ...]) -> Callable[[], str]:
        def go() -> str:
            look_at(self._viewer, grid, at)
            return f'row {at[-2]:.0f}, column {at[-1]:.0f} of the target'

        return go


def look_at(viewer: Any, grid: Grid, at: tuple[float, ...]) -> None:
    """Bring a place of an image to the middle of the canvas."""
    world = show_plane(viewer, grid, at)
    # The camera moved to the scene in napari 0.9.
    getattr(viewer, 'scene', viewer).camera.center = tuple(world[-2:])


def show_plane(viewer: Any, grid: Grid, at: tuple[float, ...]) -> Any:
    """Move the sliders to the plane of a place."""
    ndim = len(grid.shape)
    world = (grid.to_world() @ np.array([*at, 1.0]))[:ndim]
    world = world * unit_factors(
        grid.spatial['units'], world_units(viewer), ndim
    )
    point = list(viewer.dims.point)
    lead = len(world) - 2
    if lead:
        point[-len(world) : -2] = world[:lead]
        viewer.dims.point = tuple(point)
    return world
