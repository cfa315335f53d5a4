"""Annotations that travel: labels, points and shapes.

A mask is captured from a layer on the GUI thread and carried plane by plane
in the worker. Each kind knows how a plane of it is read, carried through a
correspondence, and put together again for a new layer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.model.grids import Grid, Index
from napari_samnet.plugin.model.resampled import BAND, ResampledLabels

Coordinates = NDArray[np.floating[Any]]

#: Rows of a plane's points that belong to it.
HALF_PLANE = 0.5


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

    def is_blank(self, index: Index) -> bool:
        """Tell whether there is nothing on a plane, reading little of it."""

    def carry(
        self,
        plane: Any,
        correspondence: Correspondence,
        *,
        min_confidence: float,
        image: Any = None,
        channel_axis: int | None = None,
    ) -> Any:
        """Take one plane to the target.

        With `image`, the plane of the target, outlines of labels follow its
        edges.
        """

    def assemble(
        self, planes: Mapping[Index, Any], grid: Grid
    ) -> tuple[Any, dict[str, Any]]:
        """Join carried planes: data and keywords of a new layer."""


@dataclass(frozen=True)
class LabelsMask:
    """A Labels layer."""

    #: ``name``, ``uid``: name and identity of the layer.
    name: str
    uid: Hashable
    #: Rows and columns, with or without the source's leading axes.
    data: Any
    #: Colormap, features and the like for the new layer.
    keywords: Mapping[str, Any] = field(default_factory=dict)
    kind: str = 'labels'
    #: The only ids that are carried; all if None.
    ids: frozenset[int] | None = None

    def plane(self, index: Index) -> NDArray[Any]:
        """Read one plane, with the chosen ids alone."""
        flat = len(self.data.shape) == 2
        plane = np.array(self.data[() if flat else index])
        if self.ids is None:
            return plane
        plane[~np.isin(plane, list(self.ids))] = 0
        return plane

    def is_empty(self, plane: NDArray[Any]) -> bool:
        """Tell whether a plane has no label."""
        return not plane.any()

    def is_blank(self, index: Index) -> bool:
        """Tell whether a plane has no label, up to the first that it has."""
        for band in self._bands(index):
            ids = band if self.ids is None else np.isin(band, [*self.ids])
            if ids.any() and (self.ids is None or band[ids].any()):
                return False
        return True

    def _bands(self, index: Index) -> Iterator[NDArray[Any]]:
        """Some rows of a plane at a time, not copied where they are there."""
        if isinstance(self.data, ResampledLabels):
            yield from self.data.bands(index)
            return
        flat = len(self.data.shape) == 2
        plane = np.asarray(self.data if flat else self.data[index])
        for start in range(0, len(plane), BAND):
            yield plane[start : start + BAND]

    def carry(
        self,
        plane: NDArray[Any],
        correspondence: Correspondence,
        *,
        min_confidence: float = 0.0,
        image: Any = None,
        channel_axis: int | None = None,
    ) -> NDArray[Any]:
        """Take one plane to the target."""
        return correspondence.warp_labels(
            plane,
            min_confidence=min_confidence,
            image=image,
            channel_axis=channel_axis,
        )

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
        elif name == 'text':
            kept[name] = _text_of_rows(value, rows)
        elif isinstance(value, np.ndarray) and len(value) == count:
            kept[name] = value[rows]
        elif isinstance(value, list) and len(value) == count:
            kept[name] = [value[row] for row in rows]
        else:
            kept[name] = value
    return kept


def _text_of_rows(
    text: Mapping[str, Any], rows: NDArray[np.intp]
) -> dict[str, Any]:
    """Keep the texts of some rows, where each was given by itself."""
    written = text['string'].get('array')
    if written is None:
        return dict(text)
    texts = np.asarray(written)[rows]
    return {**text, 'string': {**text['string'], 'array': texts}}


@dataclass(frozen=True)
class _LocatedMask:
    """A layer of points or shapes."""

    #: ``name``, ``uid``: name and identity of the layer.
    name: str
    uid: Hashable

    def is_empty(self, plane: _Located) -> bool:
        """Tell whether nothing lies on a plane."""
        return not len(plane.rows)

    def is_blank(self, index: Index) -> bool:
        """Tell whether nothing lies on a plane."""
        return self.is_empty(self.plane(index))

    def plane(self, index: Index) -> _Located:
        """Read what lies on one plane of the source."""
        raise NotImplementedError

    def carry(
        self,
        plane: _Located,
        correspondence: Correspondence,
        *,
        min_confidence: float = 0.0,  # noqa: ARG002
        image: Any = None,  # noqa: ARG002
        channel_axis: int | None = None,  # noqa: ARG002
    ) -> _Located:
        """Take points, or the vertices of outlines, to the target."""
        return replace(
            plane, coords=[correspondence.warp_points(c) for c in plane.coords]
        )


@dataclass(frozen=True)
class PointsMask(_LocatedMask):
    """A Points layer."""

    #: (n, ndim): points in data coordinates of the source image.
    coords: Coordinates
    #: Size, symbol, colors, features for the new layer, by point.
    keywords: Mapping[str, Any] = field(default_factory=dict)
    kind: str = 'points'

    def plane(self, index: Index) -> _Located:
        """Points that lie on a plane."""
        off = np.abs(self.coords[:, :-2] - np.array(index, float))
        here = (off <= HALF_PLANE).all(axis=1)
        rows = np.flatnonzero(here & np.isfinite(self.coords).all(axis=1))
        return _Located(rows, [self.coords[rows, -2:]])

    def assemble(
        self, planes: Mapping[Index, _Located], grid: Grid
    ) -> tuple[Coordinates, dict[str, Any]]:
        """Join planes to points with leading coordinates."""
        parts, rows = _joined(planes)
        none = np.empty((0, len(grid.shape)))
        kept = _take(self.keywords, rows, len(self.coords))
        return np.concatenate([none, *parts]), kept


def _lift(coords: Coordinates, index: Index) -> Coordinates:
    """Put leading coordinates before rows and columns."""
    lead = np.broadcast_to(np.array(index, float), (len(coords), len(index)))
    return np.concatenate([lead, coords], axis=1)


def _joined(
    planes: Mapping[Index, _Located],
) -> tuple[list[Coordinates], NDArray[np.intp]]:
    """Coordinates of all planes, and which points or shapes they are of."""
    parts: list[Coordinates] = []
    rows = [np.empty(0, np.intp)]
    for index, plane in planes.items():
        parts += [_lift(part, index) for part in plane.coords]
        rows.append(plane.rows)
    return parts, np.concatenate(rows)


#: Corners to a side of a carried rectangle, and of a carried ellipse.
_SIDE, _ROUND = 8, 48


def ellipse_in(corners: Coordinates, count: int) -> NDArray[np.float64]:
    """Points around the ellipse in a box, which is how napari gives one.

    ``corners`` (4, ndim): of the box. ``count``: how many points to make.
    """
    first, second = (corners[[1, 3]] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
    around = np.cos(angle) * first + np.sin(angle) * second
    return np.asarray(corners.mean(axis=0) + around, np.float64)


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
        return ellipse_in(corners, _ROUND), 'polygon'
    return corners, kind


@dataclass(frozen=True)
class ShapesMask(_LocatedMask):
    """A Shapes layer."""

    #: (k, ndim): vertices in data coordinates of the source image.
    outlines: Sequence[Coordinates]
    #: Type of each shape.
    types: Sequence[str]
    #: Colors, widths, features for the new layer, by shape.
    keywords: Mapping[str, Any] = field(default_factory=dict)
    kind: str = 'shapes'

    def plane(self, index: Index) -> _Located:
        """Shapes that lie on a plane, as outlines that can be bent."""
        rows, coords = [], []
        pairs = zip(self.outlines, self.types, strict=True)
        for row, (outline, kind) in enumerate(pairs):
            off = np.abs(outline[:, :-2] - np.array(index, float))
            if (off <= HALF_PLANE).all() and np.isfinite(outline).all():
                rows.append(row)
                coords.append(_outline(outline[:, -2:], kind)[0])
        return _Located(np.array(rows, np.intp), coords)

    def assemble(
        self,
        planes: Mapping[Index, _Located],
        grid: Grid,  # noqa: ARG002
    ) -> tuple[list[Coordinates], dict[str, Any]]:
        """Join planes to outlines with leading coordinates."""
        data, rows = _joined(planes)
        kept = _take(self.keywords, rows, len(self.outlines))
        kept['shape_type'] = [
            _outline(np.zeros((4, 2)), self.types[row])[1] for row in rows
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
        'text',
        'opacity',
        'blending',
    ),
    'shapes': (
        'features',
        'edge_width',
        'edge_color',
        'face_color',
        'z_index',
        'text',
        'opacity',
        'blending',
    ),
}
