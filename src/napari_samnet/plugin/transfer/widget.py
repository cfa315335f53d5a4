"""The dock 'Semantic transfer', and its interface for scripts.

Examples
--------
In a running napari:

>>> _, transfer = viewer.window.add_plugin_dock_widget(
...     'napari-samnet', 'Semantic transfer'
... )  # doctest: +SKIP
>>> transfer.set_source('photo')  # doctest: +SKIP
>>> transfer.set_target('other photo')  # doctest: +SKIP
>>> transfer.set_options(size=128, iterations=3)  # doctest: +SKIP
>>> match = transfer.run(wait=True)  # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from napari.layers import Shapes
from qtpy.QtWidgets import QWidget

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.plugin.layers.arrange import SideBySide
from napari_samnet.plugin.layers.ask import Asked
from napari_samnet.plugin.layers.results import Results
from napari_samnet.plugin.model.request import Request
from napari_samnet.plugin.run.cache import CorrespondenceCache
from napari_samnet.plugin.run.job import run_steps
from napari_samnet.plugin.run.series import Course, series_key, series_steps
from napari_samnet.plugin.run.tasks import Task
from napari_samnet.plugin.transfer.bending import Bending
from napari_samnet.plugin.transfer.control import DockParts
from napari_samnet.plugin.transfer.going_on import locked_planes
from napari_samnet.plugin.transfer.images_shown import ImagesShown
from napari_samnet.plugin.transfer.inputs import Inputs
from napari_samnet.plugin.transfer.judging import ResultInspection
from napari_samnet.plugin.transfer.labels_kept import LabelsKept
from napari_samnet.plugin.transfer.landmarks import LandmarkControl, Shown
from napari_samnet.plugin.transfer.masks_opened import MasksOpened
from napari_samnet.plugin.transfer.matches import Matches
from napari_samnet.plugin.transfer.panel import Panel
from napari_samnet.plugin.transfer.references import ReferenceControl
from napari_samnet.plugin.transfer.saved_match import SavedMatch
from napari_samnet.plugin.transfer.scripting import Scripting
from napari_samnet.plugin.transfer.sentences import sentence
from napari_samnet.plugin.transfer.series_view import SeriesView
from napari_samnet.plugin.transfer.settings import (
    KEPT,
    load_settings,
    settings_events,
)
from napari_samnet.plugin.transfer.showing import Showing
from napari_samnet.plugin.transfer.status import Status
from napari_samnet.plugin.transfer.worst import WorstPlaces
from napari_samnet.plugin.widgets.choosers import unwrapped


class SemanticTransfer(Scripting):
    """Match two images and carry annotations and appearance across.

    ``napari_viewer``: viewer whose layers are matched, and to which results
    are added.
    """

    def __init__(
        self, napari_viewer: Any, parent: QWidget | None = None
    ) -> None:
        super().__init__(napari_viewer, Panel(napari_viewer), parent)
        self._inputs = Inputs(napari_viewer, self.panel)
        self._cache = CorrespondenceCache()
        self._results = Results(napari_viewer)
        self._masks_opened = MasksOpened()
        self._side_by_side = SideBySide(napari_viewer)
        self._images = ImagesShown(
            self.panel, self._inputs, self._side_by_side
        )
        self._images.changed.connect(self._on_pair)
        self._images.changed.connect(self.refresh)
        self._series = SeriesView(napari_viewer, self.panel, self._inputs)
        self._matches = Matches()
        self._labels_kept = LabelsKept()
        self._labels_set = False
        self._pair_set = False
        self._status = Status(self.panel, self._tasks, self._refusal)
        self._worst = WorstPlaces(napari_viewer)
        dock = DockParts(
            napari_viewer,
            self.panel,
            self._inputs,
            self._tasks,
            self._results,
            self._matches,
            self._worst,
            self._status,
        )
        self._judging = ResultInspection(dock, self._current_match)
        self._showing = Showing(dock, self._judging)
        self._bending = Bending(
            dock,
            self._cache,
            self._showing,
            lambda request: self._landmarks.used_by(request),
        )
        self._landmarks = LandmarkControl(
            dock, self._shown_planes, self._bending.bend
        )
        self._references = ReferenceControl(dock)
        self._saved = SavedMatch(
            dock,
            self._cache,
            self._showing,
            current=self._current_match,
            carry=self._carry_known,
            open_file=self._open_file,
        )
        self._tasks.succeeded.connect(self._on_succeeded)
        self._wire()
        self.panel.options.show(load_settings())
        self._prefer_selected()
        self._suggest_labels()
        self.refresh()

    def _wire(self) -> None:
        panel = self.panel
        for chooser in (panel.source, panel.target, panel.labels):
            chooser.chosen.connect(self._on_chosen)
        panel.labels.activated.connect(self._on_labels_activated)
        for chooser in (panel.source, panel.target):
            chooser.chosen.connect(self._on_pair)
            chooser.activated.connect(self._on_pair_activated)
        panel.swap.clicked.connect(self._on_swap)
        panel.options.changed.connect(self.refresh)
        panel.outputs.changed.connect(self._status.show)
        for combo in (panel.mode, panel.axis):
            combo.activated.connect(self.refresh)
        panel.reset.clicked.connect(self.reset_defaults)
        panel.ids.changed.connect(self.refresh)
        panel.region.connect_to(self._on_region)
        panel.add.connect_to(
            lambda name: self._status.attempt(partial(self.add, name)),
            lambda layer: self._status.attempt(partial(self.transfer, layer)),
            self._inputs.annotations,
        )
        panel.beside.clicked.connect(self._on_beside)
        panel.restore.clicked.connect(self._on_restore)
        panel.go_on.clicked.connect(self._on_go_on)
        panel.footer.verdict.asked.connect(self.show_worst)
        self._connect_drops()

    def _events(self) -> list[tuple[Any, Any]]:
        return [
            *super()._events(),
            (self.viewer.dims.events.current_step, self._on_step),
            (self.viewer.layers.selection.events.active, self._on_active),
            *((emitter, self._on_settings) for emitter in settings_events()),
        ]

    def hideEvent(self, event: Any) -> None:
        """Stop asking, too."""
        followed = self._listening
        super().hideEvent(event)
        if followed:
            self._landmarks.stop()
            self._series.stop()

    def refresh(self, *_: Any) -> None:
        """Bring the panel up to date with viewer and fields."""
        self.panel.show_planes(
            has_planes=self._inputs.has_planes, mode=self._inputs.mode
        )
        self.panel.follow_options()
        self._images.refresh()
        self._on_succeeded()
        self._status.show()

    def _on_layers(self, event: Any = None) -> None:  # noqa: ARG002
        fresh = self.source is None or self.target is None
        before = self.source
        for chooser in self.panel.choosers:
            chooser.refresh()
        if self.source is not before and self.labels is None:
            # What was chosen went with the image that it was chosen for.
            self._labels_set &= before is None
        if fresh:
            self._prefer_selected()
        self._suggest_labels()
        self._results.forget_removed()
        self.panel.restore.setVisible(bool(self._results.restorable))
        present = {layer.unique_id for layer in self.viewer.layers}
        self._matches.forget_others(present)
        self._landmarks.forget_others(present)
        self.refresh()

    def _prefer_selected(self) -> None:
        """Take two selected images as the pair; one alone says nothing."""
        chosen = {unwrapped(x) for x in self.viewer.layers.selection}
        images = [x for x in self.panel.source.layers if x in chosen]
        if len(images) > 1:
            self._pair_set = True
            self.panel.pair.prefer(images)

    def _on_pair_activated(self, index: int = 0) -> None:  # noqa: ARG002
        self._pair_set = True
        kept, _ = self._labels_kept.of(self.target)
        if kept is not None and kept is self.labels:
            # The image that they were used with became the target.
            self._on_swap()
        else:
            self._follow_pair()

    def _on_swap(self) -> None:
        labels = self.labels
        self._exchanged()
        if labels is not None and self.labels is None:
            self._status.say(
                f'{labels.name!r} stays with its image, which is the target '
                f'now; choose labels of the source at Labels if there are any'
            )

    def _on_labels_activated(self, index: int) -> None:  # noqa: ARG002
        self._labels_set = True

    def _on_succeeded(self, *_: Any) -> None:
        """Show what there is of the planes shown."""
        self._landmarks.refresh()
        self._series.refresh()
        self._references.refresh()
        propagates = self._inputs.mode == 'propagate'
        ready = not propagates and self._current_match() is not None
        self.panel.add.setEnabled(ready)

    def _on_step(self, event: Any = None) -> None:  # noqa: ARG002
        self._on_succeeded()
        if not self._inputs.has_planes:
            return
        if self._inputs.mode == 'current':
            # Another plane is another pair.
            self._status.clear()
        else:
            self._status.show()

    def _on_settings(self, event: Any = None) -> None:
        """Show a preference that was changed; other fields stay."""
        changed = load_settings()
        name = getattr(event, 'type', None)
        names = [name] if name in changed else list(KEPT)
        self.panel.options.show({name: changed[name] for name in names})
        self.refresh()

    def _on_active(self, event: Any = None) -> None:  # noqa: ARG002
        self._judging.follow_selection()
        self._series.refresh()

    def _on_region(self, layer: Any = None) -> None:
        """Take new shapes for a region of the image that they lie on."""
        if isinstance(layer, Shapes):
            self.panel.region.choose(
                leave_out=self.panel.region.leave_out,
                image=self._inputs.image_under(layer),
            )
        self.refresh()

    def _on_pair(self, layer: Any) -> None:  # noqa: ARG002
        """Let go of what belonged to the pair before."""
        self._judging.pair_changed()
        self._status.clear()

    def _on_chosen(self, layer: Any) -> None:  # noqa: ARG002
        self.panel.into.refresh()
        self.refresh()

    def _on_beside(self) -> None:
        back = self._side_by_side.is_beside(self.target)
        self._status.attempt(self.lay_back if back else self.lay_side_by_side)

    def _on_run(self) -> None:
        if not self._tasks.busy:
            self._status.attempt(self.run)

    def _on_restore(self) -> None:
        self._status.attempt(self.restore)

    # Inner workings.

    def _reason(self) -> str:
        refusal = self._refusal()
        return '' if refusal is None else sentence(str(refusal))

    def _refusal(self) -> InputError | None:
        self._catch_up()
        return self._inputs.refusal()

    def _catch_up(self) -> None:
        """Look at the layers where a hidden dock did not hear of them."""
        if not self._listening:
            for chooser in self.panel.choosers:
                chooser.refresh()
            self._suggest_labels()

    def _start(
        self,
        request: Request,
        into: Any = None,
        *,
        course: Course | None = None,
        onto: Any = None,
    ) -> None:
        if self._inputs.mode == 'propagate':
            axis = self._inputs.axis
            way = self.panel.direction.currentData()
            locked: frozenset[int] = frozenset()
            for mask in request.masks:
                made = self._results.find(series_key(mask, request.source))
                locked |= locked_planes(made, axis)
            make = partial(
                series_steps,
                request,
                axis,
                self._cache,
                course=course or Course(direction=way, skip=locked),
            )
            title = 'Propagating labels'
        else:
            request = replace(
                request, landmarks=self._landmarks.used_by(request)
            )
            make = partial(
                run_steps, request, self._cache, known=self._taken(request)
            )
            title = 'Semantic transfer'
        self._status.expect(request.options)
        done = partial(self._showing.show, request, into)
        if course is not None:
            done = partial(self._showing.show_continued, request, course, onto)
        pair = f'{request.source.name} → {request.target.name}'
        shown = partial(self._is_shown, request)
        self._tasks.add(Task(title, make, done, pair=pair, is_shown=shown))

    def _taken(self, request: Request) -> dict[Any, Correspondence]:
        """Matches that were opened, which do where any will do."""
        if not request.any_match:
            return {}
        return {
            planes: matched.unbent
            for planes, matched in self._matches.of(request).items()
            if self._saved.is_taken(matched.unbent)
        }

    def _carry_known(self, layer: Any) -> None:
        """Carry an annotation by the match that there is."""
        self._bending.make_more(self._inputs.request([layer], outputs=()))

    def _is_shown(self, request: Request) -> bool:
        """Whether a run was about the images and planes on the screen."""
        shown = self._shown_planes()
        if shown is None:
            return False
        source, target, at = shown
        if (source.uid, target.uid) != request.images:
            return False
        planes = [pair.planes for pair in request.pairs]
        return len(planes) > 1 or source is target or at in planes

    def _on_go_on(self) -> None:
        way = self.panel.direction.currentData()
        self._status.attempt(partial(self.go_on, direction=way))

    def _shown_planes(self) -> Shown | None:
        """The two images, and the planes of them that are shown."""
        try:
            source, target = self._inputs.stacks()
        except InputError:
            return None
        return source, target, self._inputs.planes(source, target)

    def _current_match(self) -> Asked | None:
        """The match of the planes shown, if they were matched."""
        shown = self._shown_planes()
        if shown is None:
            return None
        source, target, at = shown
        matched = self._matches.get((source.uid, target.uid, *at))
        return None if matched is None else (*shown, matched.match)
