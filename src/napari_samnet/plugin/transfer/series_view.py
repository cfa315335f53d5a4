"""One row for each plane of a propagation, and a click goes there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.edits import about_layer, plane_digest
from napari_samnet.plugin.layers.series_memory import index_of
from napari_samnet.plugin.model.grids import at_place, index_key
from napari_samnet.plugin.transfer.going_on import (
    axis_of,
    find_propagated,
    lock_planes,
)
from napari_samnet.plugin.transfer.inputs import Inputs
from napari_samnet.plugin.transfer.panel import Panel
from napari_samnet.plugin.transfer.series_reopened import SeriesReopened
from napari_samnet.plugin.transfer.worst import show_plane
from napari_samnet.plugin.widgets.plane_table import PlaneRow

#: Text and color of each state of a plane.
STATES = {
    'annotated': ('annotated', (70, 130, 200)),
    'corrected': ('corrected', (150, 90, 210)),
    'good': ('good', (34, 160, 90)),
    'look': ('look', (210, 140, 0)),
    'empty': ('nothing seen', (150, 150, 150)),
    'skipped': ('skipped', (150, 150, 150)),
    'ended': ('ended', (200, 60, 60)),
}


class SeriesView:
    """Shows how the planes of the propagated result turned out.

    ``panel``: where the table is.
    """

    def __init__(self, viewer: Any, panel: Panel, inputs: Inputs) -> None:
        self._viewer = viewer
        self._panel = panel
        self._inputs = inputs
        self._reopened = SeriesReopened(viewer)
        #: The result that is shown, and places of it that were painted on
        #: since a run has written them.
        self._shown_layer: Any = None
        self._painted: set[int] = set()
        self._soon = QTimer(panel)
        self._soon.setSingleShot(True)
        self._soon.setInterval(100)
        self._soon.timeout.connect(self.refresh)
        panel.series.chosen.connect(self._on_chosen)
        panel.series.locked.connect(self._on_locked)

    def refresh(self) -> None:
        """Bring the table up to date with result and sliders."""
        result = self._result()
        self._panel.show_series(offered=result is not None)
        self._follow(None if result is None else result[0])
        if result is None:
            self._panel.series.show_rows([])
            return
        layer, axis = result
        about = about_layer(layer)
        place = self._shown()[axis]
        if self._is_painted(layer, at_place(self._shown(), axis, place)):
            self._painted.add(place)
        else:
            self._painted.discard(place)
        self._panel.series.show_rows(_rows(about, self._painted))
        self._panel.series.mark(place)

    def stop(self) -> None:
        """Hear of no more strokes."""
        self._follow(None)
        self._soon.stop()

    def _follow(self, layer: Any) -> None:
        """Hear of strokes on the result that is shown."""
        if layer is self._shown_layer:
            return
        if self._shown_layer is not None:
            self._shown_layer.events.labels_update.disconnect(self._on_stroke)
        self._shown_layer = layer
        self._painted.clear()
        if layer is not None:
            layer.events.labels_update.connect(self._on_stroke)

    def _on_stroke(self, event: Any = None) -> None:  # noqa: ARG002
        self._soon.start()

    @staticmethod
    def _is_painted(layer: Any, index: tuple[int, ...]) -> bool:
        """Whether a plane holds what no run has written."""
        about = about_layer(layer)
        if 'digests' not in about or not isinstance(layer.data, np.ndarray):
            return False
        plane = layer.data[index]
        written = about['digests'].get(index_key(index))
        if written is None:
            return bool(plane.any())
        return plane_digest(plane) not in written

    def _result(self) -> tuple[Any, int] | None:
        """The propagated result and its axis, if there is one."""
        source = self._panel.source.layer
        if source is None or self._inputs.mode != 'propagate':
            return None
        try:
            grid = self._inputs.stack(source).grid
            self._reopened.look(source, grid)
            layer = find_propagated(self._viewer, source, grid)
        except InputError:
            return None
        return layer, axis_of(layer, max(0, self._panel.axis.currentIndex()))

    def _shown(self) -> tuple[int, ...]:
        stack = self._inputs.stack(self._panel.source.layer)
        return self._inputs.index_of(stack.grid)

    def _on_chosen(self, place: int) -> None:
        result = self._result()
        if result is None:
            return
        layer, axis = result
        at = list(self._shown())
        anchor = about_layer(layer).get('anchor', at)
        if len(anchor) == len(at):
            # The planes are those along one axis, through its anchor.
            at = list(anchor)
        at[axis] = place
        grid = self._inputs.stack(self._panel.source.layer).grid
        show_plane(self._viewer, grid, (*at, 0, 0))

    def _on_locked(self, place: int, locked: bool) -> None:
        result = self._result()
        if result is not None:
            lock_planes(result[0], [place], locked=locked)
            self.refresh()


def _rows(about: Any, painted: Collection[int]) -> list[PlaneRow]:
    """Lines of the table, by what the metadata of a result say.

    ``painted``: places that were corrected since.
    """
    locked = set(map(int, about.get('locked', ())))
    reports = {int(plane['index']): plane for plane in about.get('planes', ())}
    annotated = set(map(int, about.get('annotated', ())))
    corrected = {*painted, *_corrected_here(about)}
    rows = []
    for place in sorted(annotated | corrected | set(reports)):
        report = reports.get(place, {})
        state = 'annotated' if place in annotated else report.get('state')
        if place in corrected:
            state = 'corrected'
        text, color = STATES.get(str(state), (str(state), (150, 150, 150)))
        tip = str(report.get('reason', ''))
        missing = report.get('missing', ())
        told = not missing or tip or place in annotated | corrected
        if not told:
            tip += f' Not seen here: id {", ".join(map(str, missing))}.'
        carried = state in ('good', 'look')
        rows.append(
            PlaneRow(
                place,
                text,
                color,
                float(report['quality']) if carried else None,
                tip.strip(),
                place in locked,
            )
        )
    return rows


def _corrected_here(about: Any) -> set[int]:
    """Corrected planes along the axis, of those on the way of the last run."""
    axis, anchor = about.get('axis', 0), tuple(about.get('anchor', ()))
    places = set()
    for key in about.get('corrected', ()):
        index = index_of(key)
        if index == at_place(anchor, axis, index[axis]):
            places.add(index[axis])
    return places
