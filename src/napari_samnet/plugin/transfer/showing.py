"""What a run has made, into the viewer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.layers.arrange import bring_into_view, covers
from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.layers.series_memory import remember
from napari_samnet.plugin.model.masks import LabelsMask
from napari_samnet.plugin.model.remedies import BESIDE, Remedy
from napari_samnet.plugin.model.request import Outcome, Product, Request
from napari_samnet.plugin.run.series import Course, series_key
from napari_samnet.plugin.transfer.control import Control, DockParts
from napari_samnet.plugin.transfer.going_on import (
    is_known,
    painted_since,
    write_back,
)
from napari_samnet.plugin.transfer.judging import ResultInspection
from napari_samnet.series.verdicts import named_planes


class Showing(Control):
    """Brings outcomes into the viewer, part by part."""

    def __init__(self, dock: DockParts, judging: ResultInspection) -> None:
        super().__init__(dock)
        self._judging = judging
        #: The correspondence that was found last.
        self.last: Correspondence | None = None

    def show(
        self, request: Request, into: Any, outcome: Outcome
    ) -> Iterator[Any]:
        """Add or update the layers of a run.

        ``into`` (napari.layers.Labels or None): Labels of the user that
        carried ones are written into.
        Yields: after each part, so that the window can breathe.
        """
        pair = request.images
        if not {*pair} & {layer.unique_id for layer in self._viewer.layers}:
            self._status.note('both images were removed: nothing was added')
            return
        if outcome.products and not self._matches.has_pair(pair):
            self._look_at(pair)
        self._matches.take(request, outcome)
        if outcome.last is not None:
            self.last = outcome.last
        self._worst.take(request, outcome)
        products = self._where_images_are(request, outcome.products)
        threshold = self._judging.threshold_for(pair)
        for product in [p for p in products if p.kind == 'labels']:
            grid = request.target.grid
            written = self._write_into(into, product, grid, threshold)
            if written is not None:
                products.remove(product)
                yield written
        layers = []
        for layer in self._put(products, threshold, partial=outcome.partial):
            layers.append(layer)
            remember(layer)
            yield layer
        self._judging.results_changed(layers)
        self._panel.restore.setVisible(bool(self._results.restorable))
        self._suggest_beside(request, layers)
        self._select_propagated(request)

    def _suggest_beside(self, request: Request, layers: list[Any]) -> None:
        """Offer to move the target, where nobody sees what was added on it."""
        source, target = self._panel.source.layer, self._panel.target.layer
        if source is None or target is None:
            return
        pair = source.unique_id, target.unique_id
        there = {about_layer(layer).get('on') for layer in layers}
        if (
            request.images == pair
            and target.unique_id in there
            and covers(self._viewer, source, target)
        ):
            self._status.suggest(Remedy(BESIDE))

    def _select_propagated(self, request: Request) -> None:
        """Let the brush correct the labels of all planes, not the drawn ones.

        A stroke on the annotation of another plane would be all that counts
        as drawn there. Whoever went on annotating meanwhile is not disturbed.
        """
        selection = self._viewer.layers.selection
        active = selection.active
        for mask in request.masks:
            result = self._results.find(series_key(mask, request.source))
            if (
                active is not None
                and active.unique_id == mask.uid
                and isinstance(mask, LabelsMask)
                and result is not None
                and np.array_equal(np.asarray(mask.data), active.data)
            ):
                selection.active = result
                return

    def show_more(self, request: Request, outcome: Outcome) -> Iterator[Any]:
        """Add or update layers of a match that was judged before.

        ``outcome``: what was made. Its verdict does not count, since it was
        reached without the labels.
        Yields: after each part, so that the window can breathe.
        """
        self._matches.take(request, outcome)
        verdict = self._worst.verdict
        about = {} if verdict is None else {'verdict': verdict.as_dict()}
        products = [
            replace(product, about={**product.about, **about})
            for product in self._where_images_are(request, outcome.products)
        ]
        layers = []
        for layer in self._put(products):
            layers.append(layer)
            yield layer
        self._judging.results_changed(layers)

    def show_continued(
        self, request: Request, course: Course, onto: Any, outcome: Outcome
    ) -> Iterator[Any]:
        """Write what was carried on into the result that was corrected.

        Yields: after each part, so that the window can breathe.
        """
        self._worst.take(request, outcome)
        for product in outcome.products:
            written = None
            if onto in self._viewer.layers:
                known = is_known(onto)
                painted = painted_since(onto, product, course)
                written = write_back(onto, product, course, painted)
                if written is not None and painted:
                    planes = named_planes(sorted(painted))
                    self._status.note(
                        f'{planes} of {onto.name!r} changed during the run '
                        f'and stayed as you left them'
                    )
                if written is not None:
                    self._say_what_stayed(onto, course, known=known)
            if written is None:
                # It was removed or changed during the run.
                yield from self._results.show([product])
                continue
            self._status.note(str(written))
            yield onto

    def _say_what_stayed(
        self, layer: Any, course: Course, *, known: bool
    ) -> None:
        """Say which planes no run has changed, besides where it began.

        ``known``: whether it is known what the user has corrected.
        """
        if course.taken:
            planes = named_planes(sorted(course.taken))
            self._status.note(f'{planes} taken from the annotation')
        annotated = course.annotated or frozenset()
        kept = sorted(annotated - course.taken - {course.start})
        if kept:
            self._status.note(f'{named_planes(kept)} kept as annotated')
        if not known:
            self._status.note(
                f'{layer.name!r} was opened from a file, which does not say '
                f'what was corrected: plane {course.start}, annotated and '
                f'locked ones stayed as they were'
            )

    def _where_images_are(
        self, request: Request, products: Sequence[Product]
    ) -> list[Product]:
        """Let results follow images that were moved during the run."""
        layers = {layer.unique_id: layer for layer in self._viewer.layers}
        images = {x.uid: x for x in (request.source, request.target)}
        for uid in images.keys() & layers.keys():
            stack = images[uid]
            now = self._inputs.stack(layers[uid]).grid
            if now.shape != stack.grid.shape:
                self._status.note(
                    f'{stack.name!r} got another picture during the run; the '
                    'results are of the one before'
                )
        placed = []
        for product in products:
            grid = product.grid
            for stack in (request.source, request.target):
                if stack.uid == product.owner and stack.uid in layers:
                    now = self._inputs.stack(layers[stack.uid]).grid
                    grid = grid.moved_with(stack.grid, now)
                    break
            placed.append(replace(product, grid=grid))
        return placed

    def _look_at(self, pair: tuple[Any, ...]) -> None:
        """See both images, as long as they are in the viewer."""
        layers = [x for x in self._viewer.layers if x.unique_id in pair]
        if layers:
            bring_into_view(self._viewer, layers)
