"""Where the planes of a layer live in the world.

A result lies on the grid of one of the two images, often on a single plane
of a stack. :class:`Grid` keeps all seven spatial fields of a layer together:
dropping one of them, units above all, changes how napari shows *all* layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ['SPATIAL', 'Grid', 'Index', 'grid_of', 'shape_of']

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


def _beside(first: Matrix, second: Matrix) -> Matrix:
    """Block-diagonal matrix."""
    n, m = len(first), len(second)
    matrix = np.zeros((n + m, n + m))
    matrix[:n, :n] = first
    matrix[n:, n:] = second
    return matrix


@dataclass(frozen=True)
class Grid:
    """Shape of a layer's data and the way it lies in the world.

    Parameters
    ----------
    shape : tuple of int
        Leading axes, rows and columns; no color channels.
    spatial : mapping
        The layer's seven spatial fields.
    """

    shape: tuple[int, ...]
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
        affine = self.spatial['affine']
        outer = np.asarray(getattr(affine, 'affine_matrix', affine), float)
        return np.asarray(outer @ physical)

    def single(self, index: Index) -> Grid:
        """Grid of one plane, which keeps its place on the leading axes."""
        if not index:
            return self
        offset = self._linear() @ np.array([*index, 0, 0], float)
        spatial = dict(self.spatial)
        spatial['translate'] = np.asarray(spatial['translate']) + offset
        return Grid((1,) * len(index) + self.plane_shape, spatial)

    def plane(self) -> Grid:
        """Grid of rows and columns alone, without the leading axes."""
        lead = len(self.leading)
        affine = self.spatial['affine']
        outer = np.asarray(getattr(affine, 'affine_matrix', affine), float)
        keep = slice(lead, None)
        shear = _shear_matrix(self.spatial['shear'], len(self.shape))
        return Grid(
            self.plane_shape,
            {
                'scale': self.spatial['scale'][keep],
                'translate': self.spatial['translate'][keep],
                'rotate': np.asarray(self.spatial['rotate'])[keep, keep],
                'shear': shear[keep, keep],
                'affine': outer[keep, keep],
                'units': self.spatial['units'][keep],
                'axis_labels': self.spatial['axis_labels'][keep],
            },
        )

    def along(self, other: Grid) -> Grid:
        """Repeat this plane along the leading axes of another grid."""
        count = len(other.leading)
        if not count or self.leading:
            return self
        mine, theirs = self.spatial, other.spatial
        affine = np.asarray(
            getattr(mine['affine'], 'affine_matrix', mine['affine']), float
        )
        spatial = {
            'scale': np.r_[theirs['scale'][:count], mine['scale']],
            'translate': np.r_[theirs['translate'][:count], mine['translate']],
            'rotate': _beside(np.eye(count), np.asarray(mine['rotate'])),
            'shear': _beside(np.eye(count), _shear_matrix(mine['shear'], 2)),
            'affine': _beside(np.eye(count), affine),
            'units': (*theirs['units'][:count], *mine['units']),
            'axis_labels': (
                *theirs['axis_labels'][:count],
                *mine['axis_labels'],
            ),
        }
        return Grid(other.leading + self.plane_shape, spatial)

    def index_at(self, world: Any) -> Index:
        """Plane that lies nearest to a point of the world.

        Parameters
        ----------
        world : sequence of float
            World coordinates; where there are more than the grid has axes,
            the last ones count.

        Returns
        -------
        tuple of int
            Indices on the leading axes, kept inside the stack.
        """
        coords = self.from_world(np.asarray(world, float)[None])[0]
        limits = np.array(self.leading) - 1
        return tuple(
            int(value)
            for value in np.clip(np.round(coords[:-2]), 0, limits).astype(int)
        )

    def from_world(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        """Data coordinates of points given in the world.

        Parameters
        ----------
        world : ndarray, shape (n, d)
            Points. Missing leading axes count as 0, surplus ones are left
            out, as everywhere in napari.

        Returns
        -------
        ndarray, shape (n, ndim)
            The same points in data coordinates.
        """
        ndim = len(self.shape)
        world = world[:, -ndim:]
        lifted = np.zeros((len(world), ndim + 1))
        lifted[:, ndim] = 1
        lifted[:, ndim - world.shape[1] : ndim] = world
        coords = lifted @ np.linalg.inv(self.to_world()).T
        return np.asarray(coords[:, :ndim])


def shape_of(layer: Any) -> tuple[int, ...]:
    """Shape of a layer's data without color channels, level 0 if several."""
    data = layer.data[0] if getattr(layer, 'multiscale', False) else layer.data
    shape = tuple(int(size) for size in data.shape)
    return shape[:-1] if getattr(layer, 'rgb', False) else shape


def grid_of(layer: Any, shape: tuple[int, ...] | None = None) -> Grid:
    """Grid of a layer.

    Parameters
    ----------
    layer : napari layer
        Any layer with spatial fields.
    shape : tuple of int, optional
        Stands in for the shape of data that has none, such as points.

    Returns
    -------
    Grid
        Shape and a copy of the spatial fields.
    """
    return Grid(
        shape_of(layer) if shape is None else shape,
        {name: getattr(layer, name) for name in SPATIAL},
    )
