"""Products become layers: added once, updated by the next run.

A layer of ours is known by the key in its metadata. The user's own layers
are never touched, nor are the camera, the position on the sliders and the
selection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes, Vectors
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.plugin.model.grids import Grid, Index, grid_of
from napari_samnet.plugin.model.request import Product

__all__ = ['METADATA', 'Results', 'Warped', 'add_into', 'undisturbed']

#: Where our part of a layer's metadata is.
METADATA = 'napari-samnet'

_KINDS: dict[str, type[Any]] = {
    'image': Image,
    'labels': Labels,
    'points': Points,
    'shapes': Shapes,
    'vectors': Vectors,
}

#: What the user may have changed on our layer, and a new run leaves alone.
KEPT_STYLE = ('opacity', 'blending')

#: More changed pixels than this are replaced rather than kept for undo.
UNDO_LIMIT = 16_000_000


@dataclass
class Warped:
    """Labels that a run carried, and what is known of each pixel.

    Parameters
    ----------
    full : ndarray
        The labels before any were hidden.
    found : mapping
        Correspondence behind each plane.
    threshold : float
        Confidence below which labels are hidden now.
    """

    full: NDArray[Any]
    found: Mapping[Index, Correspondence]
    threshold: float = 0.0


@contextmanager
def undisturbed(viewer: Any) -> Iterator[None]:
    """Keep camera, sliders and selection while layers come and go."""
    # The camera moved to the scene in napari 0.9.
    camera = getattr(viewer, 'scene', viewer).camera
    view = camera.center, camera.zoom, camera.angles
    point = viewer.dims.point
    selected = set(viewer.layers.selection)
    try:
        yield
    finally:
        viewer.dims.point = (
            *viewer.dims.point[: viewer.dims.ndim - len(point)],
            *point,
        )
        kept = {layer for layer in selected if layer in viewer.layers}
        if kept or not selected:
            viewer.layers.selection = kept
        camera.center, camera.zoom, camera.angles = view


def _unwrapped(layer: Any) -> Any:
    """The layer itself, where a proxy of the viewer handed it out."""
    return getattr(layer, '__wrapped__', layer)


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
    """Adds and updates the layers of runs.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where they go.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._warped: dict[str, Warped] = {}

    def show(
        self, products: Sequence[Product], threshold: float = 0.0
    ) -> Iterator[Layer]:
        """Add or update a layer for each product.

        Adding a layer takes napari a while; between two of them the caller
        can let the window breathe.

        Parameters
        ----------
        products : sequence of Product
            What to show.
        threshold : float
            Confidence below which warped labels are hidden.

        Yields
        ------
        Layer
            The layer of each product.
        """
        for product in products:
            data = product.data
            if product.full is not None:
                warped = Warped(product.full, product.found, threshold)
                self._warped[product.key] = warped
                data = hide_unsure(data, warped)
            with undisturbed(self._viewer):
                layer = self.find(product.key)
                if layer is None or not self._update(layer, product, data):
                    layer = self._add(product, data, layer)
            yield layer

    def add_beside(self, layer: Layer, owner: Any) -> None:
        """Add a layer just above the image that it belongs to."""
        with undisturbed(self._viewer):
            self._viewer.layers.insert(self._place(owner), layer)

    def find(self, key: str) -> Layer | None:
        """Our layer of a key, if the user has not removed it."""
        for layer in self._viewer.layers:
            if layer.metadata.get(METADATA, {}).get('key') == key:
                return layer
        return None

    def warped_of(self, layer: Any) -> Warped | None:
        """What is known of a layer of warped labels."""
        key = layer.metadata.get(METADATA, {}).get('key')
        return self._warped.get(key)

    def forget_removed(self) -> None:
        """Let go of what belongs to layers that are gone."""
        present = {
            layer.metadata.get(METADATA, {}).get('key')
            for layer in self._viewer.layers
        }
        for key in set(self._warped) - present:
            del self._warped[key]

    def _add(self, product: Product, data: Any, old: Any) -> Layer:
        keywords = dict(product.keywords)
        name = product.name
        if old is not None:
            name = old.name
            keywords['visible'] = old.visible
            keywords['opacity'] = old.opacity
        layer = _KINDS[product.kind](
            data,
            name=name,
            metadata=_metadata(product),
            **self._extra(product),
            **keywords,
            **product.grid.spatial,
        )
        layers = self._viewer.layers
        if old is not None:
            place = layers.index(old)
            layers.remove(old)
        else:
            place = self._place(product.owner)
        layers.insert(place, layer)
        return layer

    @staticmethod
    def _extra(product: Product) -> dict[str, Any]:
        """Dimensions of a layer that has no points or shapes to tell."""
        empty = product.kind in ('points', 'shapes') and not len(product.data)
        return {'ndim': len(product.grid.shape)} if empty else {}

    def _place(self, owner: Any) -> int:
        """Just above the image that a result lies on, and what is ours."""
        layers = list(self._viewer.layers)
        for place, layer in enumerate(layers):
            if layer.unique_id == owner:
                place += 1
                while place < len(layers) and _ours(layers[place]):
                    place += 1
                return place
        return len(layers)

    def _update(self, layer: Any, product: Product, data: Any) -> bool:
        """Update a layer in place; False if it must be made anew."""
        if not _same_grid(layer, product.grid):
            return False
        if product.kind == 'labels':
            done = _update_labels(layer, data)
        elif product.kind == 'image':
            done = _update_image(layer, product, data)
        elif product.kind == 'vectors':
            done = _update_vectors(layer, product.keywords, data)
        elif product.kind == 'points':
            done = _update_points(layer, product.keywords, data)
        else:
            done = _update_shapes(layer, product.keywords, data)
        if done:
            layer.metadata = {**layer.metadata, **_metadata(product)}
        return done


def _ours(layer: Any) -> bool:
    return METADATA in layer.metadata


def _metadata(product: Product) -> dict[str, Any]:
    about = {**product.about, 'key': product.key, 'on': product.owner}
    return {METADATA: about}


def _update_labels(layer: Any, data: NDArray[Any]) -> bool:
    """Write labels so that the user can undo it."""
    if layer.data.shape != data.shape or layer.data.dtype != data.dtype:
        return False
    changed = np.nonzero(layer.data != data)
    if changed[0].size > UNDO_LIMIT:
        return False
    _unwrapped(layer).data_setitem(changed, data[changed])
    return True


def _update_image(layer: Any, product: Product, data: NDArray[Any]) -> bool:
    if (
        layer.data.shape != data.shape
        or layer.data.dtype != data.dtype
        or layer.rgb != product.keywords.get('rgb', False)
    ):
        return False
    layer.data = data
    if 'contrast_limits' in product.keywords:
        layer.contrast_limits = product.keywords['contrast_limits']
    return True


def _update_vectors(
    layer: Any, keywords: Mapping[str, Any], data: NDArray[Any]
) -> bool:
    """Move the arrows; how thick or long the user made them stays."""
    layer.data = data
    layer.features = keywords['features']
    layer.edge_color = keywords['edge_color']
    layer.edge_colormap = keywords['edge_colormap']
    layer.edge_contrast_limits = keywords['edge_contrast_limits']
    layer.refresh_colors()
    return True


def _update_points(
    layer: Any, keywords: Mapping[str, Any], data: NDArray[Any]
) -> bool:
    """Move the points, whose number may have changed."""
    layer.data = data
    for name in keywords:
        # No colors are no colors to napari, which then warns.
        if name not in KEPT_STYLE and (len(data) or name == 'features'):
            setattr(layer, name, keywords[name])
    return True


def _update_shapes(
    layer: Any, keywords: Mapping[str, Any], data: Sequence[NDArray[Any]]
) -> bool:
    """Bend the shapes, whose number may have changed."""
    layer.data = []
    rows = {n: x for n, x in keywords.items() if n not in KEPT_STYLE}
    features = rows.pop('features', {})
    if data:
        layer.add(data, **rows)
    layer.features = features
    return True


def hide_unsure(labels: NDArray[Any], warped: Warped) -> NDArray[Any]:
    """Labels without those whose confidence is below the threshold.

    Parameters
    ----------
    labels : ndarray
        As they are in the layer; those the user painted stay.
    warped : Warped
        What is known of them, and the threshold.

    Returns
    -------
    ndarray
        The same array if nothing is hidden.
    """
    if warped.threshold <= 0:
        return labels
    hidden = labels.copy()
    for index, found in warped.found.items():
        unsure = found.backward_confidence_map < warped.threshold
        same = hidden[index] == warped.full[index]
        hidden[index][unsure & same] = 0
    return hidden


def add_into(
    layer: Any, product: Product, target: Grid, threshold: float = 0.0
) -> int:
    """Write carried labels into an existing layer, as one step of undo.

    Parameters
    ----------
    layer : napari.layers.Labels
        Layer on the target's grid. Where the carried labels are 0 it stays
        as it is.
    product : Product
        Carried labels, on a plane of `target` or all of it.
    target : Grid
        Grid of the target image.
    threshold : float
        Confidence below which they are left out.

    Returns
    -------
    int
        Number of pixels written.

    Raises
    ------
    InputError
        If the layer has another shape, is not in memory, or cannot hold the
        ids.
    """
    existing = layer.data
    data = product.data
    if product.full is not None:
        data = hide_unsure(
            data, Warped(product.full, product.found, threshold)
        )
    if not isinstance(existing, np.ndarray):
        raise InputError(f'{layer.name!r} is not in memory, so not editable')
    if existing.dtype != bool:
        top = np.iinfo(existing.dtype).max
        if data.size and int(data.max()) > top:
            raise InputError(
                f'{layer.name!r} holds ids up to {top} ({existing.dtype}), '
                f'the mask has {int(data.max())}'
            )
    flat = existing.ndim == 2
    if existing.shape not in (target.shape, target.plane_shape) or (
        flat and data.size != existing.size
    ):
        raise InputError(
            f'{layer.name!r} has shape {existing.shape}, the target '
            f'{target.shape}'
        )
    written = np.nonzero(data)
    values = data[written]
    if flat:
        indices = written[-2:]
    else:
        offset = _offset(product.grid, target)
        indices = tuple(
            axis + start for axis, start in zip(written, offset, strict=True)
        )
    _unwrapped(layer).data_setitem(indices, values.astype(existing.dtype))
    return int(values.size)


def _offset(grid: Grid, target: Grid) -> Index:
    """Index of a grid's first plane in the target."""
    if grid.shape == target.shape:
        return (0,) * len(target.shape)
    origin = grid.to_world()[:-1, -1]
    return tuple(int(v) for v in np.round(target.from_world(origin[None])[0]))
