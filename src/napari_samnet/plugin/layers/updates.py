"""Write new values into layers that are there, plane by plane.

Labels are written as one step of undo whatever its size. Points and shapes
have no undo in napari: their state before a write can be taken and put back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.masks import INHERITED

__all__ = [
    'LookSeen',
    'Snapshot',
    'Written',
    'restore',
    'take_snapshot',
    'update_image',
    'update_labels',
    'update_points',
    'update_shapes',
    'update_vectors',
    'write_labels',
]

#: Planes that a product covers; None for all there are.
Planes = Collection[Index] | None

#: What the user may have changed on our layer, and a new run leaves alone.
KEPT_STYLE = ('opacity', 'blending')

#: Pixels that are compared and written at a time, which bounds the memory.
BLOCK = 4_000_000

#: More ids than this are counted rather than listed.
LISTED_IDS = 8

Indices = tuple[NDArray[np.integer[Any]], ...]


@dataclass(frozen=True)
class Written:
    """What was written into a layer of labels.

    Parameters
    ----------
    name : str
        Name of the layer that was written.
    ids : tuple of int
        Ids that were written, in order, without the background.
    pixels : int
        Pixels that were set to one of them, or cleared.
    """

    name: str
    ids: tuple[int, ...]
    pixels: int

    def __str__(self) -> str:
        if not self.pixels:
            return f'nothing to change in {self.name!r}'
        shown = ', '.join(map(str, self.ids))
        if len(self.ids) > LISTED_IDS:
            shown = f'{len(self.ids)} ids'
        elif self.ids:
            shown = f'id{"s" if len(self.ids) > 1 else ""} {shown}'
        else:
            shown = 'background'
        unit = 'pixel' if self.pixels == 1 else 'pixels'
        return f'wrote {shown} ({self.pixels:,} {unit}) into {self.name!r}'


def write_labels(
    layer: Any, pieces: Iterable[tuple[Indices, NDArray[Any]]]
) -> Written:
    """Write labels as one step of undo.

    Parameters
    ----------
    layer : napari.layers.Labels
        Labels layer whose data is in memory.
    pieces : iterable of (indices, values)
        What to write: one index array for each axis, and as many values.

    Returns
    -------
    Written
        Ids and number of pixels.
    """
    layer = getattr(layer, '__wrapped__', layer)
    ids: set[int] = set()
    count = 0
    with layer.block_history():
        for indices, values in pieces:
            if not values.size:
                continue
            # Half the memory of numpy's own indices, in the history too.
            small = tuple(axis.astype(np.int32) for axis in indices)
            layer.data_setitem(small, values, refresh=False)
            ids.update(int(value) for value in pd.unique(values))
            count += values.size
    if count:
        layer.refresh()
    return Written(layer.name, tuple(sorted(ids - {0})), count)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Parts of the first axis that hold about `BLOCK` pixels each."""
    per_row = max(1, int(np.prod(shape[1:], dtype=np.int64)))
    step = max(1, BLOCK // per_row)
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def update_labels(
    layer: Any,
    data: NDArray[Any],
    planes: Planes = None,
    ids: Collection[int] | None = None,
) -> Written | None:
    """Bring a result up to date.

    Parameters
    ----------
    layer : napari.layers.Labels
        The result of an earlier run.
    data : ndarray of int
        New labels, of the same shape.
    planes : collection of tuple of int, optional
        Planes that the new labels cover; others stay as they are.
    ids : collection of int, optional
        The only ids to touch: pixels of others stay, unless one of these
        comes to lie there.

    Returns
    -------
    Written or None
        None if shape or data type differ, so that nothing was written.
    """
    old = layer.data
    if old.shape != data.shape or old.dtype != data.dtype:
        return None
    chosen = None if ids is None else np.array(sorted(ids), old.dtype)

    def pieces() -> Iterator[tuple[Indices, NDArray[Any]]]:
        for index in [()] if planes is None else sorted(planes):
            for block in _blocks(old[index].shape):
                before, after = old[index][block], data[index][block]
                if chosen is not None:
                    rest = np.where(np.isin(before, chosen), 0, before)
                    after = np.where(after != 0, after, rest)
                at = np.nonzero(before != after)
                values = after[at]
                at = (at[0] + block.start, *at[1:])
                yield (*_constant(index, values.size), *at), values

    return write_labels(layer, pieces())


def _constant(index: Index, count: int) -> Indices:
    """The same position on the leading axes for several pixels."""
    return tuple(np.full(count, place, np.int32) for place in index)


def update_image(
    layer: Any,
    data: NDArray[Any],
    planes: Planes,
    keywords: Mapping[str, Any],
) -> bool:
    """Bring an image up to date; False if its shape or type differ.

    Parameters
    ----------
    layer : napari.layers.Image
        The result of an earlier run. Its look stays, but for contrast limits
        that are still the ones it was given.
    data : ndarray
        Pixels that replace those of the layer.
    planes : collection of tuple of int or None
        Planes that they cover, None for all.
    keywords : mapping
        Style of a new layer.

    Returns
    -------
    bool
        Whether it was written.
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
    """How a layer looks, to tell whether the user changed it.

    Parameters
    ----------
    text : str
        Contrast limits of an image, colors of arrows.
    """

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
) -> bool:
    """Move the arrows; how thick, long or colored the user made them stays.

    Parameters
    ----------
    layer : napari.layers.Vectors
        The result of an earlier run.
    data : ndarray, shape (n, 2, ndim)
        Arrows that replace those of the layer.
    planes : collection of tuple of int or None
        Planes that they cover, None for all.
    keywords : mapping
        Features and colors of a new layer.

    Returns
    -------
    bool
        Always True: any number of arrows can be written.
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
    return True


def update_points(
    layer: Any,
    data: NDArray[Any],
    planes: Planes,
    keywords: Mapping[str, Any],
) -> bool:
    """Move the points, whose number may have changed.

    Parameters
    ----------
    layer : napari.layers.Points
        The result of an earlier run.
    data : ndarray, shape (n, ndim)
        Points that replace those of the layer.
    planes : collection of tuple of int or None
        Planes that they cover, None for all.
    keywords : mapping
        Features, colors and the like, by point.

    Returns
    -------
    bool
        Always True: any number of points can be written.
    """
    old = np.asarray(layer.data)
    rows = _rows_to_keep(old, planes)
    if len(rows):
        keywords = _joined(layer, rows, len(old), keywords, len(data))
        data = np.concatenate([old[rows], data])
    layer.data = data
    for name in keywords:
        # No colors are no colors to napari, which then warns.
        if name not in KEPT_STYLE and (len(data) or name == 'features'):
            setattr(layer, name, keywords[name])
    return True


def update_shapes(
    layer: Any,
    data: Sequence[NDArray[Any]],
    planes: Planes,
    keywords: Mapping[str, Any],
) -> bool:
    """Replace the shapes, whose number may have changed.

    Parameters
    ----------
    layer : napari.layers.Shapes
        The result of an earlier run.
    data : sequence of ndarray, shape (k, ndim)
        Outlines that replace those of the layer.
    planes : collection of tuple of int or None
        Planes that they cover, None for all.
    keywords : mapping
        Type, colors and the like, by shape.

    Returns
    -------
    bool
        Always True: any number of shapes can be written.
    """
    old = [np.array(outline) for outline in layer.data]
    starts = [outline.mean(axis=0) for outline in old]
    rows = _rows_to_keep(np.reshape(starts, (len(old), layer.ndim)), planes)
    if len(rows):
        keywords = _joined(layer, rows, len(old), keywords, len(data))
        data = [*(old[row] for row in rows), *data]
    layer.data = []
    by_row = {n: x for n, x in keywords.items() if n not in KEPT_STYLE}
    features = by_row.pop('features', {})
    if len(data):
        layer.add(list(data), **by_row)
    layer.features = features
    return True


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
    """Points or shapes as they were.

    Parameters
    ----------
    data : ndarray or list of ndarray
        Coordinates as they were then.
    keywords : mapping
        What is kept by point or shape.
    """

    data: Any
    keywords: Mapping[str, Any]


def take_snapshot(layer: Any, kind: str) -> Snapshot:
    """Copy the state of a layer of points or shapes.

    Parameters
    ----------
    layer : napari.layers.Points or Shapes
        Layer of the viewer that is meant.
    kind : {'points', 'shapes'}
        Which of the two it is.

    Returns
    -------
    Snapshot
        Independent of the layer from now on.
    """
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
    """Put a layer of points or shapes back to an earlier state.

    Parameters
    ----------
    layer : napari.layers.Points or Shapes
        Layer of the viewer that is meant.
    kind : {'points', 'shapes'}
        Which of the two it is.
    snapshot : Snapshot
        State that :func:`take_snapshot` kept.
    """
    update = update_points if kind == 'points' else update_shapes
    update(layer, snapshot.data, None, snapshot.keywords)
