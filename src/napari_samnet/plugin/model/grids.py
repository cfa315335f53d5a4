"""Where the planes of a layer live in the world, and from one to another.

A result lies on the grid of one of the two images, often on a single plane
of a stack. :class:`Grid` keeps all seven spatial fields of a layer together:
dropping one of them, units above all, changes how napari shows *all* layers.

Layers meet in the world, and the world has units: 500 nm are half a µm. Axes
are aligned from the last one. How units are compared is told by
:mod:`.units`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from napari_samnet.plugin.model.units import Units, unit_factors

SPATIAL = (
    'scale',
    'translate',
    'rotate',
    'shear',
    'affine',
    'units',
    'axis_labels',
)

#: Position on the leading axes, empty for a plain image.
Index = tuple[int, ...]
Matrix = NDArray[np.float64]


def _shear_matrix(shear: Any, ndim: int) -> Matrix:
    """Full matrix of a shear that may be given as its upper triangle."""
    shear = np.asarray(shear, float)
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix


def _with_axis(matrix: Matrix, at: int) -> Matrix:
    """Matrix with one more axis, which it leaves as it is."""
    larger = np.insert(np.insert(matrix, at, 0.0, axis=0), at, 0.0, axis=1)
    larger[at, at] = 1.0
    return np.asarray(larger)


@dataclass(frozen=True)
class Grid:
    """Shape of a layer's data and the way it lies in the world."""

    #: Leading axes, rows and columns; no color channels.
    shape: tuple[int, ...]
    #: The layer's seven spatial fields.
    spatial: Mapping[str, Any]

    @property
    def leading(self) -> tuple[int, ...]:
        """Sizes of the axes before rows and columns."""
        return self.shape[:-2]

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[-2], self.shape[-1]

    def _linear(self) -> Matrix:
        ndim = len(self.shape)
        return np.asarray(
            np.asarray(self.spatial['rotate'], float)
            @ _shear_matrix(self.spatial['shear'], ndim)
            @ np.diag(np.asarray(self.spatial['scale'], float))
        )

    def to_world(self) -> Matrix:
        """Homogeneous matrix from data to world coordinates."""
        ndim = len(self.shape)
        physical = np.eye(ndim + 1)
        physical[:ndim, :ndim] = self._linear()
        physical[:ndim, ndim] = self.spatial['translate']
        return np.asarray(self._outer() @ physical)

    def single(self, index: Index) -> Grid:
        """Grid of one plane, which keeps its place on the leading axes."""
        if not index:
            return self
        offset = self._linear() @ np.array([*index, 0, 0], float)
        spatial = dict(self.spatial)
        spatial['translate'] = np.asarray(spatial['translate']) + offset
        return Grid((1,) * len(index) + self.plane_shape, spatial)

    def _outer(self) -> Matrix:
        """Matrix of the layer's affine transform."""
        affine = self.spatial['affine']
        return np.asarray(getattr(affine, 'affine_matrix', affine), float)

    def _select(self, keep: Sequence[int]) -> Grid:
        """Grid of some of the axes alone."""
        kept = list(keep)
        block = np.ix_(kept, kept)
        # The last row and column of an affine matrix are no axis.
        whole = [*kept, len(self.shape)]
        shear = _shear_matrix(self.spatial['shear'], len(self.shape))
        return Grid(
            tuple(self.shape[axis] for axis in kept),
            {
                'scale': np.asarray(self.spatial['scale'])[kept],
                'translate': np.asarray(self.spatial['translate'])[kept],
                'rotate': np.asarray(self.spatial['rotate'])[block],
                'shear': shear[block],
                'affine': self._outer()[np.ix_(whole, whole)],
                'units': tuple(self.spatial['units'][n] for n in kept),
                'axis_labels': tuple(
                    self.spatial['axis_labels'][n] for n in kept
                ),
            },
        )

    def plane(self) -> Grid:
        """Grid of rows and columns alone, without the leading axes."""
        ndim = len(self.shape)
        return self._select([ndim - 2, ndim - 1])

    def without(self, axis: int) -> Grid:
        """Grid without one leading axis, such as that of the channels."""
        return self._select([n for n in range(len(self.shape)) if n != axis])

    def in_order(self, order: Sequence[int]) -> Grid:
        """Grid with its axes in another order."""
        return self._select(order)

    def with_channels(self, count: int, like: Grid, axis: int) -> Grid:
        """Grid with an axis of channels before rows and columns.

        ``like``: grid that has such an axis, whose scale, units and label it
        gets.
        """
        at = len(self.leading)
        ndim = len(self.shape)
        mine, theirs = self.spatial, like.spatial
        shear = _shear_matrix(mine['shear'], ndim)

        def insert(name: str) -> Any:
            values = list(mine[name])
            values.insert(at, theirs[name][axis])
            return tuple(values)

        return Grid(
            (*self.leading, count, *self.plane_shape),
            {
                'scale': np.array(insert('scale'), float),
                'translate': np.array(insert('translate'), float),
                'rotate': _with_axis(np.asarray(mine['rotate'], float), at),
                'shear': _with_axis(shear, at),
                'affine': _with_axis(self._outer(), at),
                'units': insert('units'),
                'axis_labels': insert('axis_labels'),
            },
        )

    def along(self, other: Grid) -> Grid:
        """Repeat this plane along the leading axes of another grid."""
        count = len(other.leading)
        if not count or self.leading:
            return self
        mine, theirs = self.spatial, other.spatial
        still = np.eye(count)
        spatial = {
            'scale': np.r_[theirs['scale'][:count], mine['scale']],
            'translate': np.r_[theirs['translate'][:count], mine['translate']],
            'rotate': block_diag(still, np.asarray(mine['rotate'])),
            'shear': block_diag(
                np.eye(count), _shear_matrix(mine['shear'], 2)
            ),
            'affine': block_diag(still, self._outer()),
            'units': (*theirs['units'][:count], *mine['units']),
            'axis_labels': (
                *theirs['axis_labels'][:count],
                *mine['axis_labels'],
            ),
        }
        return Grid(other.leading + self.plane_shape, spatial)

    def index_at(self, world: Any, units: Units = None) -> Index:
        """Plane that lies nearest to a point of the world.

        ``world`` (sequence of float): world coordinates; where there are more
        than the grid has axes, the last ones count.
        ``units``: units of these coordinates; those of the grid if None.
        """
        coords = self.from_world(np.asarray(world, float)[None], units)[0]
        limits = np.array(self.leading) - 1
        return tuple(
            int(value)
            for value in np.clip(np.round(coords[:-2]), 0, limits).astype(int)
        )

    def from_world(
        self, world: NDArray[np.float64], units: Units = None
    ) -> NDArray[np.float64]:
        """Data coordinates of points given in the world.

        ``world`` (n, d): points. Missing leading axes count as 0, surplus ones
        are left out, as everywhere in napari.
        ``units``: units of these coordinates; those of the grid if None.
        Returns: (n, ndim): the same points in data coordinates.
        """
        ndim = len(self.shape)
        world = world[:, -ndim:]
        world = world * unit_factors(
            units, self.spatial['units'], world.shape[1]
        )
        lifted = np.zeros((len(world), ndim + 1))
        lifted[:, ndim] = 1
        lifted[:, ndim - world.shape[1] : ndim] = world
        coords = lifted @ np.linalg.inv(self.to_world()).T
        return np.asarray(coords[:, :ndim])

    def from_grid(
        self, coords: NDArray[np.float64], other: Grid
    ) -> NDArray[np.float64]:
        """Data coordinates of points given in those of another grid.

        ``coords`` (n, other's ndim): points in data coordinates of `other`.
        ``other``: where they come from.
        Returns: (n, ndim): the same places of the world in data coordinates of
        this grid.
        """
        if not len(coords):
            return np.empty((0, len(self.shape)))
        ones = np.ones((len(coords), 1))
        world = np.hstack([coords, ones]) @ other.to_world().T
        return self.from_world(world[:, :-1], other.spatial['units'])

    def moved_with(self, before: Grid, after: Grid) -> Grid:
        """Move this grid as another one was moved.

        ``before``, ``after``: where the other, whose last axes are those of
        this one, lay and lies now.
        Returns: this one itself if the other was not moved; else with the same
        place relative to the other.
        """
        then, now = before.to_world(), after.to_world()
        units = after.spatial['units']
        if np.allclose(then, now) and before.spatial['units'] == units:
            return self
        there = now @ np.linalg.inv(then)
        count = min(len(self.shape), len(before.shape))
        kept = [*range(len(before.shape) - count, len(before.shape) + 1)]
        motion = np.eye(len(self.shape) + 1)
        motion[-count - 1 :, -count - 1 :] = there[np.ix_(kept, kept)]
        mine = dict(self.spatial)
        mine['units'] = (*mine['units'][:-count], *units[-count:])
        outer = self._outer()
        if np.allclose(motion[:-1, :-1], np.eye(len(self.shape))):
            # A plain shift stays one, as napari's own tools make it.
            step = np.linalg.solve(outer[:-1, :-1], motion[:-1, -1])
            mine['translate'] = np.asarray(mine['translate'], float) + step
        else:
            mine['affine'] = motion @ outer
        return Grid(self.shape, mine)

    def pixel_of(self, other: Grid) -> float:
        """Length of another grid's pixel in pixels of this one.

        The geometric mean of rows and columns, to scale the size of points
        and the width of lines, which have no direction.
        """
        here, there = self.plane(), other.plane()
        base = np.zeros((1, 2))
        steps = np.vstack([base, np.eye(2)])
        moved = here.from_grid(steps, there)
        area = abs(np.linalg.det(moved[1:] - moved[0]))
        return float(np.sqrt(area))

    def share_on(self, other: Grid) -> float:
        """Share of this grid's plane that lies on another's, from 0 to 1."""
        rows, cols = (
            np.linspace(0, max(size - 1, 0), 9) for size in self.plane_shape
        )
        at = np.stack(np.meshgrid(rows, cols, indexing='ij'), -1)
        there = other.plane().from_grid(at.reshape(-1, 2), self.plane())
        limits = np.array(other.plane_shape) - 0.5
        return float(((there >= -0.5) & (there <= limits)).all(1).mean())


def at_place(at: Index, axis: int, place: int) -> Index:
    """The same position on another plane along an axis."""
    return (*at[:axis], place, *at[axis + 1 :])


def index_key(index: Index) -> str:
    """A plane as a key of metadata."""
    return ','.join(map(str, index))


def shape_of(layer: Any) -> tuple[int, ...]:
    """Shape of a layer's data without color channels, level 0 if several."""
    data = layer.data[0] if getattr(layer, 'multiscale', False) else layer.data
    shape = tuple(int(size) for size in data.shape)
    return shape[:-1] if getattr(layer, 'rgb', False) else shape


def grid_of(layer: Any, shape: tuple[int, ...] | None = None) -> Grid:
    """Grid of a layer.

    ``shape``: stands in for the shape of data that has none, such as points.
    Returns: shape and a copy of the spatial fields.
    """
    return Grid(
        shape_of(layer) if shape is None else shape,
        {name: getattr(layer, name) for name in SPATIAL},
    )


def sizes(shape: Sequence[int]) -> str:
    """Write a shape as people do, such as '3 × 480 × 640'."""
    return ' × '.join(map(str, shape))
