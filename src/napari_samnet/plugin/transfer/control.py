"""What the parts of the dock have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.into import add_into
from napari_samnet.plugin.layers.label_writes import Written
from napari_samnet.plugin.layers.results import Results
from napari_samnet.plugin.model.grids import Grid
from napari_samnet.plugin.model.request import Product
from napari_samnet.plugin.run.tasks import TaskQueue
from napari_samnet.plugin.transfer.inputs import Inputs
from napari_samnet.plugin.transfer.matches import Matches
from napari_samnet.plugin.transfer.panel import Panel
from napari_samnet.plugin.transfer.status import Status
from napari_samnet.plugin.transfer.worst import WorstPlaces


@dataclass(frozen=True)
class DockParts:
    """The controls of a dock, what they act on, and where it is kept."""

    viewer: Any
    panel: Panel
    inputs: Inputs
    tasks: TaskQueue
    results: Results
    matches: Matches
    worst: WorstPlaces
    status: Status


class Control:
    """Acts for one group of the controls."""

    def __init__(self, dock: DockParts) -> None:
        self._viewer = dock.viewer
        self._panel = dock.panel
        self._inputs = dock.inputs
        self._tasks = dock.tasks
        self._results = dock.results
        self._matches = dock.matches
        self._worst = dock.worst
        self._status = dock.status

    def _write_into(
        self, into: Any, product: Product, grid: Grid, threshold: float = 0.0
    ) -> Written | None:
        """Write carried labels into those of the user, and say so.

        ``into`` (napari.layers.Labels or None): those that were chosen.
        Returns: None where there are none, or they were changed during the
        run; then the product becomes a layer of its own.
        """
        if into is None or into not in self._viewer.layers:
            return None
        try:
            written = add_into(into, product, grid, threshold)
        except InputError as error:
            self._status.note(str(error))
            return None
        self._status.note(str(written))
        return written

    def _put(self, *what: Any, **how: Any) -> Iterator[Any]:
        """Do as :meth:`Results.show`, and say what is to be said of it."""
        yield from self._results.show(*what, **how)
        for note in self._results.take_notes():
            self._status.note(note)
