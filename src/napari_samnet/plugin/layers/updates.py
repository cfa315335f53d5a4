"""Bring layers of results up to date, plane by plane.

Points and shapes have no undo in napari: their state before a write can be
taken and put back. Labels are in :mod:`.label_writes`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.masks import INHERITED

#: Planes that a product covers; None for all there are.
Planes = Collection[Index] | None

#: What the user may have changed on our layer, and a new run leaves alone.
KEPT_STYLE = ('opacity', 'blending', 'text')


def update_image(
    layer: Any,
    data: NDArray[Any],
    planes: Planes,
    keywords: Mapping[str, Any],
) -> bool:
    """Bring an image up to date; False if its shape or type differ.

    ``layer`` (napari.layers.Image): the result of an earlier run. Its look
    stays, but for contrast limits that are still the ones it was given.
    ``data``: pixels that replace those of the layer.
    ``planes``: planes that they cover, None for all.
    """
    if (
        layer.data.shape != data.shape
        or layer.data.dtype != data.dtype
        or layer.rgb != keywords.get('rgb', False)
    ):
        return False
    look = LookSeen.of(layer)
    if planes is not None:
        merged = layer.data.copy()
        for index in planes:
            merged[index] = data[index]
        data = merged
    layer.data = data
    if 'contrast_limits' in keywords and look.is_as_written(layer):
        layer.contrast_limits = keywords['contrast_limits']
    return True


@dataclass(frozen=True)
class LookSeen:
    """How a layer looks, to tell whether the user changed it."""

    #: Contrast limits of an image, colors of arrows.
    text: str

    @classmethod
    def of(cls, layer: Any) -> LookSeen:
        """Look of an image or of arrows as it is now."""
        if hasattr(layer, 'edge_color_mode'):
            parts = [str(layer.edge_color_mode), layer.edge_colormap.name]
            limits = layer.edge_contrast_limits
        else:
            parts, limits = [], layer.contrast_limits
        if limits is not None:
            parts += [f'{float(value):.6g}' for value in limits]
        return cls(' '.join(parts))

    def is_as_written(self, layer: Any) -> bool:
        """Whether it is the look that the last run gave the layer."""
        return about_layer(layer).get('look', self.text) == self.text


def _rows_to_keep(coords: NDArray[Any], planes: Planes) -> NDArray[np.intp]:
    """Rows that lie on none of the planes, by their leading coordinates."""
    if planes is None or not len(coords):
        return np.empty(0, np.intp)
    covered = {tuple(index) for index in planes}
    at = np.rint(coords[:, :-2]).astype(int)
    kept = [tuple(place) not in covered for place in at.tolist()]
    return np.flatnonzero(kept)


def update_vectors(
    layer: Any,
    data: NDArray[Any],
    planes: Planes,
    keywords: Mapping[str, Any],
) -> None:
    """Move the arrows; how thick, long or colored the user made them stays.

    ``data`` (n, 2, ndim): arrows that replace those of the layer. ``planes``:
    planes that they cover, None for all.
    """
    look = LookSeen.of(layer)
    as_written = look.is_as_written(layer)
    old = np.asarray(layer.data)
    rows = _rows_to_keep(old[:, 0], planes)
    features = pd.DataFrame(keywords['features'])
    if len(rows):
        kept = layer.features.iloc[rows]
        features = pd.concat([kept, features], ignore_index=True)
        data = np.concatenate([old[rows], data])
    layer.data = data
    layer.features = features
    if as_written:
        layer.edge_color = keywords['edge_color']
        layer.edge_colormap = keywords['edge_colormap']
        layer.edge_contrast_limits = keywords['edge_contrast_limits']
    layer.refresh_colors()


def update_points(
    layer: Any,
    data: NDArray[Any],
    planes: Planes,
    keywords: Mapping[str, Any],
) -> None:
    """Move the points, whose number may have changed.

    ``data`` (n, ndim): points that replace those of the layer. ``planes``:
    planes that they cover, None for all.
    """
    old = np.asarray(layer.data)
    kept, by_row = _with_rows_kept(layer, old, planes, data, keywords)
    text = _written_texts(layer, kept, keywords)
    data = np.concatenate([old[kept], data])
    layer.data = data
    for name in by_row:
        # No colors are no colors to napari, which then warns.
        if len(data) or name == 'features':
            setattr(layer, name, by_row[name])
    if text is not None:
        layer.text = text


def update_shapes(
    layer: Any,
    data: Sequence[NDArray[Any]],
    planes: Planes,
    keywords: Mapping[str, Any],
) -> None:
    """Replace the shapes, whose number may have changed.

    ``data`` (k, ndim): outlines that replace those of the layer.
    ``planes``: planes that they cover, None for all.
    ``keywords``: type, colors and the like, by shape.
    """
    old = [np.array(outline) for outline in layer.data]
    middles = [outline.mean(axis=0) for outline in old]
    at = np.reshape(middles, (len(old), layer.ndim))
    kept, by_row = _with_rows_kept(layer, at, planes, data, keywords)
    data = [*(old[row] for row in kept), *data]
    features = by_row.pop('features', {})
    text = _written_texts(layer, kept, keywords)
    layer.data = []
    if data:
        layer.add(data, **by_row)
    layer.features = features
    if text is not None:
        layer.text = text


def _written_texts(
    layer: Any, kept: NDArray[np.intp], keywords: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Texts that were given one by one, of rows that stay and of new ones.

    Returns: None where texts follow the features, and so need no update.
    """
    text = keywords.get('text') or {'string': {}}
    new = text['string'].get('array')
    if new is None:
        return None
    old = np.broadcast_to(layer.text.values, len(layer.data))[kept]
    string = {**text['string'], 'array': np.concatenate([old, new])}
    return {**layer.text.model_dump(), 'string': string}


def _with_rows_kept(
    layer: Any,
    at: NDArray[Any],
    planes: Planes,
    data: Sequence[Any] | NDArray[Any],
    keywords: Mapping[str, Any],
) -> tuple[NDArray[np.intp], dict[str, Any]]:
    """Rows of a layer on other planes, and what is kept by row after them.

    `at` are the coordinates of the rows that are there, `data` the new ones,
    and `keywords` belong to them.
    """
    kept = _rows_to_keep(at, planes)
    by_row = {
        name: value
        for name, value in keywords.items()
        if name not in KEPT_STYLE
    }
    if len(kept):
        by_row = _joined(layer, kept, len(at), by_row, len(data))
    return kept, by_row


def _joined(
    layer: Any,
    rows: NDArray[np.intp],
    old_count: int,
    keywords: Mapping[str, Any],
    count: int,
) -> dict[str, Any]:
    """Join what is kept by row: of rows that stay and of new ones."""
    joined: dict[str, Any] = {}
    for name, new in keywords.items():
        old = getattr(layer, name)
        if name == 'features':
            kept = old.iloc[rows]
            joined[name] = pd.concat([kept, new], ignore_index=True)
        elif isinstance(new, np.ndarray) and len(new) == count:
            joined[name] = np.concatenate([np.asarray(old)[rows], new])
        elif isinstance(new, list) and len(old) == old_count:
            joined[name] = [*(old[row] for row in rows), *new]
        else:
            joined[name] = new
    return joined


@dataclass(frozen=True)
class Snapshot:
    """Points or shapes as they were."""

    #: Coordinates as they were then.
    data: Any
    #: What is kept by point or shape.
    keywords: Mapping[str, Any]


def take_snapshot(layer: Any, kind: str) -> Snapshot:
    """Copy the state of a layer of points or shapes."""
    names = [name for name in INHERITED[kind] if name not in KEPT_STYLE]
    if kind == 'shapes':
        names.append('shape_type')
    keywords = {name: _copied(getattr(layer, name)) for name in names}
    if kind == 'points':
        return Snapshot(np.array(layer.data), keywords)
    return Snapshot([np.array(outline) for outline in layer.data], keywords)


def _copied(value: Any) -> Any:
    return value.copy() if hasattr(value, 'copy') else value


def restore(layer: Any, kind: str, snapshot: Snapshot) -> None:
    """Put a layer of points or shapes back to an earlier state."""
    update = update_points if kind == 'points' else update_shapes
    update(layer, snapshot.data, None, snapshot.keywords)
