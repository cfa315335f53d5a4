"""Labels of another grid, read on the pixels of an image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.plugin.model.grids import Grid, Index

#: Rows that are looked up at a time. Few, since memory that was not used
#: before takes longer to get than to fill.
BAND = 64

#: Pixels by which rows and columns may be turned over a whole plane and still
#: count as straight: what rounding of numbers leaves.
STRAIGHT = 1e-6

#: Shares of two planes that must overlap for one to lie on the other.
OVERLAP = 0.5

#: Distance in pixels up to which two grids are the same.
SAME = 0.01


def same_pixels(labels: Grid, image: Grid) -> bool:
    """Whether labels have the pixels of an image, or of each of its planes.

    ``labels``, ``image``: the two. Labels in pixels that were never given a
    place lie on any image of their shape that has one, since the two cannot be
    compared.
    Returns: whether no pixel need be looked up elsewhere.
    """
    if labels.shape == image.shape:
        other = image
    elif labels.shape == image.plane_shape:
        other = image.plane()
    else:
        return False
    if _without_place(labels, other):
        return True
    size = np.array(labels.shape) - 1.0
    corners = np.array(list(np.ndindex(*(2,) * len(size)))) * size
    moved = labels.from_grid(corners, other)
    return bool(np.abs(moved - corners).max() <= SAME)


def _without_place(labels: Grid, image: Grid) -> bool:
    """Whether labels in pixels lie at the origin, and the image has units."""
    one, other = labels.spatial['units'], image.spatial['units']
    apart = any(
        a.dimensionality != b.dimensionality
        for a, b in zip(one, other, strict=True)
    )
    return apart and np.allclose(
        labels.to_world(), np.eye(len(labels.shape) + 1)
    )


def never_placed(labels: Grid, image: Grid) -> bool:
    """Whether labels of another shape begin where an image does.

    With pixels of its size they would cover but a corner, or more than all
    of it: nobody has told where they lie.
    """
    flat, plane = labels.plane(), image.plane()
    return flat.shape != plane.shape and np.allclose(
        flat.to_world(), plane.to_world()
    )


def lies_on(labels: Grid, image: Grid) -> bool:
    """Whether labels cover an image, or the image them, by half at least."""
    if same_pixels(labels, image):
        return True
    if never_placed(labels, image):
        return False
    shares = labels.share_on(image), image.share_on(labels)
    return min(shares) > 0 and max(shares) >= OVERLAP


@dataclass(frozen=True)
class ResampledLabels:
    """Labels on the pixels of an image, nearest neighbor, read by plane."""

    #: The labels, in memory or not.
    data: Any
    #: Grid that the labels lie on.
    grid: Grid
    #: Grid whose pixels are asked for.
    image: Grid
    #: Plane of the labels that is meant where they have more leading axes than
    #: the image.
    shown: Index = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image, without channels."""
        return self.image.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the image, without channels."""
        return len(self.image.shape)

    @property
    def size(self) -> int:
        """Number of pixels of the image."""
        return math.prod(self.image.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number type of the labels."""
        return np.dtype(self.data.dtype)

    #: The plane that was read last, since a run reads it several times.
    _last: dict[Index, NDArray[Any]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __getitem__(self, index: Index) -> NDArray[Any]:
        """Labels on one plane of the image; 0 where there are none."""
        plane = self._last.get(index)
        if plane is None:
            plane = np.concatenate([*self.bands(index)])
            self._last.clear()
            self._last[index] = plane
        return plane

    def bands(self, index: Index) -> Iterator[NDArray[Any]]:
        """Labels on one plane of the image, some rows at a time."""
        rows, cols = self.image.plane_shape
        known: dict[Index, NDArray[Any]] = {}
        for start in range(0, rows, BAND):
            stop = min(start + BAND, rows)
            places = (np.arange(start, stop), np.arange(cols))
            band = self._straight(index, places, known)
            if band is None:
                at = _lattice(index, *places)
                band = self._lookup(at, known).reshape(stop - start, cols)
            yield band

    def _straight(
        self,
        index: Index,
        places: tuple[NDArray[np.intp], NDArray[np.intp]],
        known: dict[Index, NDArray[Any]],
    ) -> NDArray[Any] | None:
        """Look up rows and columns apart, a tenth of the work.

        Returns: None where that is not all, as the two grids are turned.
        """
        rows, cols = places
        down = self._coords(_lattice(index, rows, cols[:1]))
        across = self._coords(_lattice(index, rows[:1], cols))
        own = [*range(len(self.grid.shape))]
        # Of what is turned by ever so little, some pixel in the middle may
        # lie nearer to another one, where those at the rim do not.
        if (
            np.ptp(down[:, [*own[:-2], own[-1]]], axis=0).max() > STRAIGHT
            or np.ptp(across[:, own[:-1]], axis=0).max() > STRAIGHT
        ):
            return None
        return self._read(_rounded(down), _rounded(across), known)

    def _read(
        self,
        down: NDArray[np.int64],
        across: NDArray[np.int64],
        known: dict[Index, NDArray[Any]],
    ) -> NDArray[Any]:
        """Labels at rows and columns; 0 where there are none."""
        band = np.zeros((len(down), len(across)), self.dtype)
        lead = down[0, :-2]
        if not ((lead >= 0) & (lead < self.grid.leading)).all():
            return band
        key = tuple(int(number) for number in lead)
        if key not in known:
            known[key] = np.asarray(self.data[key])
        height, width = self.grid.plane_shape
        there = (down[:, -2] >= 0) & (down[:, -2] < height)
        beside = (across[:, -1] >= 0) & (across[:, -1] < width)
        band[np.ix_(there, beside)] = known[key][
            np.ix_(down[there, -2], across[beside, -1])
        ]
        return band

    def _coords(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Data coordinates of the labels at some of the image."""
        coords = self.grid.from_grid(at, self.image)
        surplus = len(self.grid.shape) - self.ndim
        if surplus > 0:
            coords[:, :surplus] = self.shown[:surplus]
        return coords

    def _lookup(
        self, at: NDArray[np.float64], known: dict[Index, NDArray[Any]]
    ) -> NDArray[Any]:
        """Labels at data coordinates of the image."""
        values = np.zeros(len(at), self.dtype)
        nearest = _rounded(self._coords(at))
        inside = (nearest >= 0) & (nearest < np.array(self.grid.shape))
        rows = np.flatnonzero(inside.all(axis=1))
        if not len(rows):
            return values
        lead = nearest[rows, :-2]
        for place in np.unique(lead, axis=0):
            key = tuple(int(number) for number in place)
            if key not in known:
                known[key] = np.asarray(self.data[key])
            here = rows[(lead == place).all(axis=1)]
            values[here] = known[key][nearest[here, -2], nearest[here, -1]]
        return values


def _rounded(coords: NDArray[np.float64]) -> NDArray[np.int64]:
    """The pixels that are nearest to data coordinates."""
    # Half way between two pixels it is the first, whichever the side.
    return np.ceil(np.round(coords, 6) - 0.5).astype(np.int64)


def _lattice(
    index: Index, rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Data coordinates of some rows and columns of a plane, one by one."""
    axes = [*[np.array([float(place)]) for place in index], rows, cols]
    at = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)
    return at.reshape(-1, len(axes)).astype(float)
