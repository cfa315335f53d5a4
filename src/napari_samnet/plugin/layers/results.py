"""Products become layers: added once, updated by the next run.

A layer of ours is known by its metadata, see :mod:`.edits`. It is updated
only while nobody edited it; a result that was corrected by hand is the
user's from then on, and the next one goes beside it. Other layers are never
touched, nor are the camera, the position on the sliders and the selection.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes, Vectors

from napari_samnet.plugin.layers.confidence import (
    Warped,
    hide_unsure,
    joined,
    merged,
)
from napari_samnet.plugin.layers.edits import (
    about_layer,
    digests_written,
    find_result,
    is_edited,
    is_moved,
    mark_written,
    planes_drawn,
    release,
)
from napari_samnet.plugin.layers.label_writes import update_labels
from napari_samnet.plugin.layers.missed import emptied, leave_missed
from napari_samnet.plugin.layers.outlined import (
    OUTLINED,
    TOLD,
    as_before,
    is_outlined,
    outlined,
)
from napari_samnet.plugin.layers.updates import (
    LookSeen,
    Snapshot,
    restore,
    take_snapshot,
    update_image,
    update_points,
    update_shapes,
    update_vectors,
)
from napari_samnet.plugin.model.capture import METADATA
from napari_samnet.plugin.model.grids import Grid, grid_of
from napari_samnet.plugin.model.request import Product

_KINDS: dict[str, type[Any]] = {
    'image': Image,
    'labels': Labels,
    'points': Points,
    'shapes': Shapes,
    'vectors': Vectors,
}

#: Kinds that napari cannot undo.
RESTORED = ('points', 'shapes')


@contextmanager
def undisturbed(viewer: Any) -> Iterator[None]:
    """Keep camera, sliders and selection while layers come and go."""
    # The camera moved to the scene in napari 0.9.
    camera = getattr(viewer, 'scene', viewer).camera
    view = camera.center, camera.zoom, camera.angles
    point = viewer.dims.point
    selection = viewer.layers.selection
    selected = set(selection)
    try:
        # Nobody hears that a new layer is selected for a moment: its controls
        # would come and go, which holds up the window.
        with selection.events.blocker_all():
            yield
            kept = {layer for layer in selected if layer in viewer.layers}
            if kept == selected:
                viewer.layers.selection = kept
        if kept != selected:
            wanted = kept or set(selection)
            selection.clear()
            viewer.layers.selection = wanted
    finally:
        viewer.dims.point = (
            *viewer.dims.point[: viewer.dims.ndim - len(point)],
            *point,
        )
        camera.center, camera.zoom, camera.angles = view


def _same_grid(layer: Any, grid: Grid) -> bool:
    """Whether a layer lies where a product belongs."""
    there = grid_of(layer, grid.shape)
    return (
        layer.ndim == len(grid.shape)
        and np.allclose(there.to_world(), grid.to_world())
        and all(
            tuple(there.spatial[name]) == tuple(grid.spatial[name])
            for name in ('units', 'axis_labels')
        )
    )


class Results:
    """Adds and updates the layers of runs."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._warped: dict[Hashable, Warped] = {}
        self._before: dict[Hashable, tuple[str, Snapshot]] = {}
        self._notes: list[str] = []

    def show(
        self,
        products: Sequence[Product],
        threshold: float = 0.0,
        *,
        partial: bool = False,
    ) -> Iterator[Layer]:
        """Add or update a layer for each product.

        Adding a layer takes napari a while; between two of them the caller
        can let the window breathe.

        ``partial``: whether they come from a run that was cut short. They then
        never replace those of a complete one.
        """
        for product in products:
            with undisturbed(self._viewer):
                layer = self._show(product, threshold, partial)
            yield layer

    def take_notes(self) -> list[str]:
        """What the user should know of the layers shown since last asked."""
        notes, self._notes = self._notes, []
        return notes

    def add_beside(self, layer: Layer, owner: Any) -> None:
        """Add a layer just above the image that it belongs to."""
        with undisturbed(self._viewer):
            self._viewer.layers.insert(self._place(owner), layer)

    def find(self, key: str) -> Layer | None:
        """Our layer of a key, if the user has not removed it."""
        layer: Layer | None = find_result(self._viewer.layers, key)
        return layer

    def warped_of(self, layer: Any) -> Warped | None:
        """What is known of a layer of warped labels."""
        return self._warped.get(layer.unique_id)

    def forget_removed(self) -> None:
        """Let go of what belongs to layers that are gone."""
        present = {layer.unique_id for layer in self._viewer.layers}
        for held in (self._warped, self._before):
            for uid in set(held) - present:
                del held[uid]

    @property
    def restorable(self) -> list[Any]:
        """Points and shapes that runs changed, the latest last."""
        layers = {layer.unique_id: layer for layer in self._viewer.layers}
        return [layers[uid] for uid in self._before if uid in layers]

    def restore(self, layer: Any) -> None:
        """Exchange points or shapes with their state before the last run."""
        kind, earlier = self._before[layer.unique_id]
        now = take_snapshot(layer, kind)
        restore(layer, kind, earlier)
        self._before[layer.unique_id] = kind, now

    # How a product becomes a layer.

    def _show(
        self, product: Product, threshold: float, partial: bool
    ) -> Layer:
        if partial:
            product = self._apart_from_complete(product)
        layer = self.find(product.key)
        if layer is None:
            layer = self._add(product, threshold, None, partial=partial)
            if product.missed:
                self._notes.append(f'no labels were found for {layer.name!r}')
            return layer
        other_planes, note = leave_missed(product, layer.name)
        if note:
            self._notes.append(note)
        if other_planes is None:
            return layer
        product = other_planes
        same = as_before(layer, product, self._viewer.layers)
        if self._update(layer, same):
            self._mark(layer, same, partial=partial)
            return layer
        same = joined(layer, self.warped_of(layer), same)
        if self._may_replace(layer, same):
            return self._add(same, threshold, layer, partial=partial)
        beside = self._beside(layer, product)
        return self._add(beside, threshold, None, partial=partial)

    def _apart_from_complete(self, product: Product) -> Product:
        """Give a product of a run cut short a layer of its own if needed."""
        layer = self.find(product.key)
        if layer is None or about_layer(layer).get('partial'):
            return product
        apart = replace(
            product,
            key=f'{product.key} stopped',
            name=f'{product.name}, stopped',
        )
        return outlined(apart, layer.unique_id)

    def _update(self, layer: Any, product: Product) -> bool:
        """Update a layer in place; False if it must not or cannot be."""
        if self._why_kept(layer, product):
            return False
        if not _same_grid(layer, product.grid):
            return False
        data, planes = product.data, product.planes
        if product.kind == 'labels':
            return self._update_labels(layer, product)
        if product.kind == 'image':
            return update_image(layer, data, planes, product.keywords)
        if product.kind == 'vectors':
            update_vectors(layer, data, planes, product.keywords)
            return True
        before = product.kind, take_snapshot(layer, product.kind)
        update = update_points if product.kind == 'points' else update_shapes
        update(layer, data, planes, product.keywords)
        # The latest comes last.
        self._before.pop(layer.unique_id, None)
        self._before[layer.unique_id] = before
        return True

    def _update_labels(self, layer: Any, product: Product) -> bool:
        known = self.warped_of(layer)
        threshold = 0.0 if known is None else known.threshold
        warped = merged(known, product, threshold)
        data = product.data
        if warped is not None:
            assert product.full is not None
            new = Warped(product.full, product.correspondences, threshold)
            data = hide_unsure(data, new)
        cleared = emptied(layer, product)
        written = update_labels(layer, data, product.planes, product.ids)
        if written is None:
            return False
        self._notes += [note for note in (str(written), cleared) if note]
        if warped is not None:
            self._warped[layer.unique_id] = warped
        return True

    @staticmethod
    def _why_kept(layer: Any, product: Product) -> str:
        """Why a result is the user's now; empty if it is not."""
        if about_layer(layer).get('role') == 'preview':
            # It only shows what there is, and changes with every slider.
            return ''
        if is_edited(layer):
            return 'was edited'
        if not layer.editable or getattr(layer, 'preserve_labels', False):
            return 'is protected'
        if is_moved(layer) and not _same_grid(layer, product.grid):
            return 'was moved'
        return ''

    def _may_replace(self, layer: Any, product: Product) -> bool:
        """Whether a result of another size or type can give way."""
        return (
            not self._why_kept(layer, product)
            and product.planes is None
            and product.ids is None
        )

    def _beside(self, layer: Any, product: Product) -> Product:
        """Leave a result to the user, and name the one beside it."""
        why = self._why_kept(layer, product) or 'has other planes'
        # What is kept may be outlines itself, and filled is the other then.
        outlines = product.kind in OUTLINED and not is_outlined(layer)
        release(layer)
        name = self._free_name(product.name, 'run')
        self._notes.append(
            f'{layer.name!r} {why} and is kept; the new result is {name!r}'
            + (TOLD if outlines else '')
        )
        product = replace(product, name=name)
        return outlined(product, layer.unique_id) if outlines else product

    def _free_name(self, name: str, what: str, first: int = 2) -> str:
        """A name that no layer has: itself, or with a number behind it."""
        taken = {layer.name for layer in self._viewer.layers}
        free, number = name, first
        while free in taken:
            free = f'{name}, {what} {number}'
            number += 1
        return free

    def _new_name(self, product: Product) -> str:
        """Name of a new layer, which tells its plane where others have it."""
        planes = [plane for plane in product.about.get('plane', ()) if plane]
        taken = {layer.name for layer in self._viewer.layers}
        if planes and product.name in taken:
            at = ' → '.join(','.join(map(str, plane)) for plane in planes)
            return self._free_name(f'{product.name}, plane {at}', 'run')
        return product.name

    def _mark(self, layer: Any, product: Product, *, partial: bool) -> None:
        about = {**product.about, 'key': product.key, 'on': product.owner}
        if partial:
            about['partial'] = True
        if product.planes is not None:
            about = _with_other_planes(about_layer(layer), about)
            if product.kind == 'labels' and 'annotated' in about:
                about['digests'] = digests_written(layer, product.planes)
                about['drawn'] = planes_drawn(
                    layer, product.planes, about['drawn']
                )
        if product.kind in ('image', 'vectors'):
            about['look'] = LookSeen.of(layer).text
        mark_written(layer, about)

    def _add(
        self, product: Product, threshold: float, old: Any, *, partial: bool
    ) -> Layer:
        """Add a layer, in the place of an old one if there is one."""
        keywords = dict(product.keywords)
        # No layer takes the width of its outlines when it is made.
        contour = keywords.pop('contour', 0)
        name = self._new_name(product)
        data = product.data
        warped = merged(None, product, threshold)
        if warped is not None:
            data = hide_unsure(data, warped)
        if old is not None:
            name = old.name
            keywords['visible'] = old.visible
            keywords['opacity'] = old.opacity
        layer = _KINDS[product.kind](
            data,
            name=name,
            # Whoever hears that it is added knows it for ours.
            metadata={METADATA: {**product.about, 'on': product.owner}},
            **_dimensions(product),
            **keywords,
            **product.grid.spatial,
        )
        if contour:
            layer.contour = contour
        layers = self._viewer.layers
        if old is not None:
            place = layers.index(old)
            layers.remove(old)
        else:
            place = self._place(product.owner)
        layers.insert(place, layer)
        if warped is not None:
            self._warped[layer.unique_id] = warped
        self._mark(layer, product, partial=partial)
        return layer

    def _place(self, owner: Any) -> int:
        """Just above the image that a result lies on, and what is ours."""
        layers = list(self._viewer.layers)
        for place, layer in enumerate(layers):
            if layer.unique_id == owner:
                place += 1
                while place < len(layers) and about_layer(layers[place]):
                    place += 1
                return place
        return len(layers)


def _with_other_planes(
    before: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, Any]:
    """What metadata say of planes that a new run has not covered."""
    joined = dict(about)
    if 'axis' not in about or before.get('axis') != about['axis']:
        return joined
    reports = {
        plane['index']: plane
        for plane in (*before.get('planes', ()), *about.get('planes', ()))
    }
    joined['planes'] = [reports[place] for place in sorted(reports)]
    joined['locked'] = list(before.get('locked', ()))
    return joined


def _dimensions(product: Product) -> dict[str, Any]:
    """Dimensions of a layer that has no points or shapes to tell."""
    empty = product.kind in RESTORED and not len(product.data)
    return {'ndim': len(product.grid.shape)} if empty else {}
