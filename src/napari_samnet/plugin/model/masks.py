"""Annotations that travel: labels, points and shapes.

A mask is captured from a layer on the GUI thread and carried plane by plane
in the worker. Each kind knows how a plane of it is read, carried through a
correspondence, and put together again for a new layer.
"""

from __future__ import annotations

from collections.abc import (
    Collection,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.plugin.model.capture import is_loaded
from napari_samnet.plugin.model.grids import Grid, Index, grid_of
from napari_samnet.plugin.model.resampled import (
    ResampledLabels,
    never_placed,
    same_pixels,
)

__all__ = ['LabelsMask', 'Mask', 'PointsMask', 'ShapesMask']

Coordinates = NDArray[np.floating[Any]]

#: Rows of a plane's points that belong to it.
_HALF_PLANE = 0.5


class Mask(Protocol):
    """What the worker asks of an annotation."""

    @property
    def kind(self) -> str:
        """Type of its layer, as napari writes it."""

    @property
    def name(self) -> str:
        """Name of its layer."""

    @property
    def uid(self) -> Hashable:
        """Identity of its layer."""

    def plane(self, index: Index) -> Any:
        """Read what lies on one plane of the source."""

    def is_empty(self, plane: Any) -> bool:
        """Tell whether there is nothing on a plane."""

    def carry(
        self, plane: Any, found: Correspondence, *, min_confidence: float
    ) -> Any:
        """Take one plane to the target."""

    def assemble(
        self, planes: Mapping[Index, Any], grid: Grid
    ) -> tuple[Any, dict[str, Any]]:
        """Join carried planes: data and keywords of a new layer."""


@dataclass(frozen=True)
class LabelsMask:
    """A Labels layer.

    Parameters
    ----------
    name, uid : str, hashable
        Name and identity of the layer.
    data : array-like of int or bool
        Rows and columns, with or without the source's leading axes.
    keywords : mapping
        Colormap, features and the like for the new layer.
    ids : frozenset of int, optional
        The only ids that are carried; all if None.
    """

    name: str
    uid: Hashable
    data: Any
    keywords: Mapping[str, Any] = field(default_factory=dict)
    kind: str = 'labels'
    ids: frozenset[int] | None = None

    def plane(self, index: Index) -> NDArray[Any]:
        """Read one plane, with the chosen ids alone."""
        flat = len(self.data.shape) == 2
        plane = np.array(self.data if flat else self.data[index])
        if self.ids is None:
            return plane
        plane[~np.isin(plane, list(self.ids))] = 0
        return plane

    def is_empty(self, plane: NDArray[Any]) -> bool:
        """Tell whether a plane has no label."""
        return not plane.any()

    def carry(
        self,
        plane: NDArray[Any],
        found: Correspondence,
        *,
        min_confidence: float = 0.0,
    ) -> NDArray[Any]:
        """Take one plane to the target."""
        return found.warp_labels(plane, min_confidence=min_confidence)

    def assemble(
        self, planes: Mapping[Index, NDArray[Any]], grid: Grid
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Join planes to an array of the grid's shape."""
        if len(planes) == 1 and set(grid.leading) <= {1}:
            (plane,) = planes.values()
            return plane.reshape(grid.shape), dict(self.keywords)
        dtype = next(iter(planes.values())).dtype
        data = np.zeros(grid.shape, dtype)
        for index, plane in planes.items():
            data[index] = plane
        return data, dict(self.keywords)


@dataclass(frozen=True)
class _Located:
    """Coordinates of one plane and the rows they have in the layer."""

    rows: NDArray[np.intp]
    coords: Sequence[Coordinates]


def _take(
    keywords: Mapping[str, Any], rows: NDArray[np.intp], count: int
) -> dict[str, Any]:
    """Keep what belongs to some rows of everything that is kept by row."""
    kept: dict[str, Any] = {}
    for name, value in keywords.items():
        if name == 'features':
            kept[name] = value.iloc[rows].reset_index(drop=True)
        elif isinstance(value, np.ndarray) and len(value) == count:
            kept[name] = value[rows]
        elif isinstance(value, list) and len(value) == count:
            kept[name] = [value[row] for row in rows]
        else:
            kept[name] = value
    return kept


@dataclass(frozen=True)
class PointsMask:
    """A Points layer.

    Parameters
    ----------
    name, uid : str, hashable
        Name and identity of the layer.
    coords : ndarray, shape (n, ndim)
        Points in data coordinates of the source image.
    keywords : mapping
        Size, symbol, colors, features for the new layer, by point.
    """

    name: str
    uid: Hashable
    coords: Coordinates
    keywords: Mapping[str, Any] = field(default_factory=dict)
    kind: str = 'points'

    def plane(self, index: Index) -> _Located:
        """Points that lie on a plane."""
        off = np.abs(self.coords[:, :-2] - np.array(index, float))
        here = (off <= _HALF_PLANE).all(axis=1)
        rows = np.flatnonzero(here & np.isfinite(self.coords).all(axis=1))
        return _Located(rows, [self.coords[rows, -2:]])

    def is_empty(self, plane: _Located) -> bool:
        """Tell whether no point lies on a plane."""
        return not len(plane.rows)

    def carry(
        self,
        plane: _Located,
        found: Correspondence,
        *,
        min_confidence: float = 0.0,  # noqa: ARG002
    ) -> _Located:
        """Take the points to the target."""
        (coords,) = plane.coords
        return replace(plane, coords=[found.warp_points(coords)])

    def assemble(
        self, planes: Mapping[Index, _Located], grid: Grid
    ) -> tuple[Coordinates, dict[str, Any]]:
        """Join planes to points with leading coordinates."""
        ndim = len(grid.shape)
        parts: list[Coordinates] = [np.empty((0, ndim))]
        rows = [np.empty(0, np.intp)]
        for index, plane in planes.items():
            parts += [_lift(part, index) for part in plane.coords]
            rows.append(plane.rows)
        order = np.concatenate(rows)
        kept = _take(self.keywords, order, len(self.coords))
        return np.concatenate(parts), kept


def _lift(coords: Coordinates, index: Index) -> Coordinates:
    """Put leading coordinates before rows and columns."""
    lead = np.broadcast_to(np.array(index, float), (len(coords), len(index)))
    return np.concatenate([lead, coords], axis=1)


#: Corners to a side of a carried rectangle, and of a carried ellipse.
_SIDE, _ROUND = 8, 48


def _outline(corners: Coordinates, kind: str) -> tuple[Coordinates, str]:
    """Vertices of a shape that stay true to it when they are moved freely.

    A rectangle or an ellipse is no longer one after a warp.
    """
    if kind == 'rectangle':
        along = np.arange(_SIDE)[:, None] / _SIDE
        following = np.roll(corners, -1, axis=0)
        pairs = zip(corners, following, strict=True)
        sides = [a + along * (b - a) for a, b in pairs]
        return np.concatenate(sides), 'polygon'
    if kind == 'ellipse':
        center = corners.mean(axis=0)
        first = (corners[1] - corners[0]) / 2
        second = (corners[3] - corners[0]) / 2
        angle = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, None]
        turn = np.cos(angle) * first + np.sin(angle) * second
        return center + turn, 'polygon'
    return corners, kind


@dataclass(frozen=True)
class ShapesMask:
    """A Shapes layer.

    Parameters
    ----------
    name, uid : str, hashable
        Name and identity of the layer.
    outlines : sequence of ndarray, shape (k, ndim)
        Vertices in data coordinates of the source image.
    types : sequence of str
        Type of each shape.
    keywords : mapping
        Colors, widths, features for the new layer, by shape.
    """

    name: str
    uid: Hashable
    outlines: Sequence[Coordinates]
    types: Sequence[str]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    kind: str = 'shapes'

    def plane(self, index: Index) -> _Located:
        """Shapes that lie on a plane, as outlines that can be bent."""
        rows, coords = [], []
        pairs = zip(self.outlines, self.types, strict=True)
        for row, (outline, kind) in enumerate(pairs):
            off = np.abs(outline[:, :-2] - np.array(index, float))
            if (off <= _HALF_PLANE).all() and np.isfinite(outline).all():
                rows.append(row)
                coords.append(_outline(outline[:, -2:], kind)[0])
        return _Located(np.array(rows, np.intp), coords)

    def is_empty(self, plane: _Located) -> bool:
        """Tell whether no shape lies on a plane."""
        return not len(plane.rows)

    def carry(
        self,
        plane: _Located,
        found: Correspondence,
        *,
        min_confidence: float = 0.0,  # noqa: ARG002
    ) -> _Located:
        """Take the outlines to the target."""
        return replace(
            plane, coords=[found.warp_points(c) for c in plane.coords]
        )

    def assemble(
        self,
        planes: Mapping[Index, _Located],
        grid: Grid,  # noqa: ARG002
    ) -> tuple[list[Coordinates], dict[str, Any]]:
        """Join planes to outlines with leading coordinates."""
        data: list[Coordinates] = []
        rows = [np.empty(0, np.intp)]
        for index, plane in planes.items():
            data += [_lift(part, index) for part in plane.coords]
            rows.append(plane.rows)
        order = np.concatenate(rows)
        kept = _take(self.keywords, order, len(self.outlines))
        kept['shape_type'] = [
            _outline(np.zeros((4, 2)), self.types[row])[1] for row in order
        ]
        return data, kept


#: What a new layer inherits from the layer that was carried, by kind.
INHERITED: dict[str, tuple[str, ...]] = {
    'labels': ('colormap', 'features', 'opacity', 'blending'),
    'points': (
        'features',
        'size',
        'symbol',
        'border_width_is_relative',
        'border_width',
        'border_color',
        'face_color',
        'shown',
        'opacity',
        'blending',
    ),
    'shapes': (
        'features',
        'edge_width',
        'edge_color',
        'face_color',
        'z_index',
        'opacity',
        'blending',
    ),
}


def capture_mask(
    layer: Any,
    source: Grid,
    *,
    at: Index = (),
    shown: Index = (),
    target: Grid | None = None,
    planes: Iterable[Index] | None = None,
    ids: Collection[int] | None = None,
) -> Mask:
    """Copy an annotation layer for a source image.

    What is edited afterwards does not change the copy. Labels on disk are
    not copied but read when they are needed.

    Parameters
    ----------
    layer : napari.layers.Labels, Points or Shapes
        The annotation, anywhere in the world: it is taken to the source by
        world coordinates, units included.
    source : Grid
        Grid of the source image.
    at : tuple of int
        Plane of the source that annotations without leading axes are on.
    shown : tuple of int
        Plane of the annotation that the viewer shows, which is meant where
        it has more axes than the source.
    target : Grid, optional
        Grid that it is carried to, to which the size of points and the width
        of lines are scaled.
    planes : iterable of tuple of int, optional
        Planes of the source that will be read; all of them by default.
    ids : collection of int, optional
        The only labels to carry.

    Returns
    -------
    Mask
        The annotation, as the worker sees it.

    Raises
    ------
    InputError
        If the layer cannot annotate this image.
    """
    kind = layer.as_layer_data_tuple()[2]
    if kind not in INHERITED:
        raise InputError(
            f'a {kind} layer cannot be transferred; expected Labels, Points '
            'or Shapes'
        )
    keywords = {
        name: _copied(getattr(layer, name)) for name in INHERITED[kind]
    }
    about: dict[str, Any] = {'name': layer.name, 'uid': layer.unique_id}
    if kind == 'labels':
        return LabelsMask(
            data=_labels_on(layer, source, shown, planes),
            keywords=keywords,
            ids=None if ids is None else frozenset(map(int, ids)),
            **about,
        )
    place = grid_of(layer, (1,) * layer.ndim)
    if target is not None:
        _scale_sizes(keywords, target.pixel_of(place))

    def to_source(coords: Any) -> Coordinates:
        coords = np.asarray(coords, float)
        there = source.from_grid(coords, place)
        if layer.ndim < len(source.shape):
            # Flat annotations show on every plane; the current is meant.
            there[:, : len(at)] = at
        surplus = layer.ndim - len(source.shape)
        if surplus > 0 and len(coords):
            # The others are on planes that the viewer does not show.
            away = np.abs(coords[:, :surplus] - np.array(shown[:surplus]))
            there[(away > _HALF_PLANE).any(axis=1)] = np.nan
        return there

    if kind == 'points':
        return PointsMask(
            coords=to_source(layer.data), keywords=keywords, **about
        )
    return ShapesMask(
        outlines=[to_source(outline) for outline in layer.data],
        types=list(layer.shape_type),
        keywords=keywords,
        **about,
    )


def _copied(value: Any) -> Any:
    """Copy what is kept by label, point or shape."""
    kept_by_row = isinstance(value, (np.ndarray, list, DataFrame))
    return value.copy() if kept_by_row else value


def _scale_sizes(keywords: dict[str, Any], factor: float) -> None:
    """Give points and lines the size in the world that they had."""
    names = ['size', 'edge_width']
    if not keywords.get('border_width_is_relative', True):
        names.append('border_width')
    for name in names:
        value = keywords.get(name)
        if isinstance(value, list):
            keywords[name] = [factor * width for width in value]
        elif value is not None:
            keywords[name] = factor * np.asarray(value, float)


def check_labels(name: str, grid: Grid, source: Grid) -> None:
    """Refuse labels that do not lie on an image.

    Parameters
    ----------
    name : str
        Name of the labels.
    grid, source : Grid
        Grid of the labels, and of the image.

    Raises
    ------
    InputError
        If they lie elsewhere, or were never given a place and have another
        shape.
    """
    if same_pixels(grid, source):
        return
    if never_placed(grid, source):
        raise InputError(
            f'{name!r} has shape {_sizes(grid.shape)}, the source has '
            f'{_sizes(source.shape)}; if it shows the same, set its scale so '
            'that it covers the source'
        )
    if min(grid.share_on(source), source.share_on(grid)) <= 0:
        raise InputError(
            f'{name!r} does not lie on the source; choose the image that it '
            'lies on as the source, or move the layer'
        )


def _labels_on(
    layer: Any,
    source: Grid,
    shown: Index,
    planes: Iterable[Index] | None,
) -> Any:
    """Labels on the pixels of the source."""
    data = layer.data[0] if layer.multiscale else layer.data
    grid = grid_of(layer)
    check_labels(layer.name, grid, source)
    if same_pixels(grid, source):
        return _copied_planes(data, planes)
    looked_up = ResampledLabels(data, grid, source, shown)
    if not is_loaded(data):
        return looked_up
    if not source.leading:
        return looked_up[()]
    copied = np.zeros(source.shape, looked_up.dtype)
    for index in np.ndindex(source.leading) if planes is None else planes:
        copied[index] = looked_up[index]
    return copied


def _copied_planes(data: Any, planes: Iterable[Index] | None) -> Any:
    """Copy the planes that are needed, where they are in memory."""
    if not is_loaded(data):
        return data
    if planes is None or data.ndim == 2:
        return data.copy()
    # Pages of zeros that nobody writes to take no memory.
    copied = np.zeros(data.shape, data.dtype)
    for index in planes:
        copied[index] = data[index]
    return copied


def _sizes(shape: Sequence[int]) -> str:
    """Write a shape as people do."""
    return ' × '.join(str(size) for size in shape)
