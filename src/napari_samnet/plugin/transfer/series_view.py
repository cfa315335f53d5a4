"""One row for each plane of a propagation, and a click goes there."""

from __future__ import annotations

from typing import Any

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.transfer.going_on import (
    axis_of,
    find_propagated,
    lock_planes,
)
from napari_samnet.plugin.transfer.inputs import Inputs
from napari_samnet.plugin.transfer.panel import Panel
from napari_samnet.plugin.transfer.worst import show_plane
from napari_samnet.plugin.widgets.plane_table import PlaneRow

#: Text and color of each state of a plane.
STATES = {
    'annotated': ('annotated', (70, 130, 200)),
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
        panel.series.chosen.connect(self._on_chosen)
        panel.series.locked.connect(self._on_locked)

    def refresh(self) -> None:
        """Bring the table up to date with result and sliders."""
        result = self._result()
        self._panel.show_series(offered=result is not None)
        if result is None:
            self._panel.series.show_rows([])
            return
        layer, axis = result
        self._panel.series.show_rows(_rows(about_layer(layer)))
        self._panel.series.mark(self._shown()[axis])

    def _result(self) -> tuple[Any, int] | None:
        """The propagated result and its axis, if there is one."""
        source = self._panel.source.layer
        if source is None or self._inputs.mode != 'propagate':
            return None
        try:
            layer = find_propagated(self._viewer, source)
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


def _rows(about: Any) -> list[PlaneRow]:
    """Lines of the table, by what the metadata of a result say."""
    locked = set(map(int, about.get('locked', ())))
    reports = {int(plane['index']): plane for plane in about.get('planes', ())}
    annotated = set(map(int, about.get('annotated', ())))
    rows = []
    for place in sorted(annotated | set(reports)):
        report = reports.get(place, {})
        state = 'annotated' if place in annotated else report.get('state')
        text, color = STATES.get(str(state), (str(state), (150, 150, 150)))
        tip = str(report.get('reason', ''))
        missing = report.get('missing', ())
        if missing and place not in annotated:
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
