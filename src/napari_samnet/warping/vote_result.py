"""The outcome of a vote on labels, and how it gets into blocks of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import centers, linear_taps
from napari_samnet.arrays.tiles import Tile
from napari_samnet.warping.fields import Mapping
from napari_samnet.warping.kernels import Nearest

__all__ = ['HEAD_START', 'Ballot', 'Voted']

FloatArray = npt.NDArray[np.float32]
Labels = npt.NDArray[Any]
Shape = tuple[int, int]

#: Lead of the label that the field brings.
HEAD_START = 0.2

#: So many labels are few.
FEW = 4


@dataclass(frozen=True, eq=False)
class Ballot:
    """Outcome of a vote.

    Parameters
    ----------
    values : ndarray, shape (L,)
        The labels that were voted on, in ascending order.
    shares : ndarray of float32, shape (L, n, m)
        Their votes on a grid over the target.
    contested : ndarray of bool, shape (n, m)
        Where another label than the field's has won, and around it.
    """

    values: Labels
    shares: FloatArray
    contested: npt.NDArray[np.bool_]

    def settle(
        self, tile: Tile, grid: Shape, block: Labels, allowed: Any = None
    ) -> None:
        """Put the winners into a block of labels.

        Parameters
        ----------
        tile : tuple of slice
            Rows and columns of the block.
        grid : tuple of int
            Rows and columns of the target.
        block : ndarray
            What the field brings; changed in place.
        allowed : ndarray of bool, optional
            Where it may be changed.
        """
        at = [
            (np.arange(side)[part] * count) // side
            for side, part, count in zip(
                grid, tile, self.contested.shape, strict=True
            )
        ]
        here = self.contested[np.ix_(*at)]
        rows, columns = (np.flatnonzero(here.any(1 - k)) for k in range(2))
        if not rows.size:
            return
        inner = (
            slice(rows[0], rows[-1] + 1),
            slice(columns[0], columns[-1] + 1),
        )
        here, own = here[inner], block[inner]
        if allowed is not None:
            here = here & allowed[inner]
        share = self._shares(tile, inner, grid)
        best = np.full(own.shape, -1, np.float32)
        won = own.copy()
        known = np.zeros(own.shape, bool)
        # To look for each of a few is faster than to find out which are there.
        few = len(self.values) <= FEW
        present: Any = few or np.isin(self.values, own)
        for index, value in enumerate(self.values):
            brought = bool(few or present[index])
            votes = share(index, always=brought)
            if votes is None:
                continue
            if brought:
                same = own == value
                known |= same
                np.add(votes, HEAD_START, out=votes, where=same)
            better = votes > best
            np.copyto(best, votes, where=better)
            np.copyto(won, value, where=better)
        np.copyto(own, won, where=here & known)

    def _shares(self, tile: Tile, inner: Tile, grid: Shape) -> Any:
        """Bilinear votes for a label within a block."""
        taps = []
        for side, part, cut, count in zip(
            grid, tile, inner, self.contested.shape, strict=True
        ):
            low, high, weight = linear_taps(count, centers(side)[part][cut])
            taps.append((low, high, weight))
        (above, below, down), (left, right, along) = taps
        top, bottom = int(above[0]), int(below[-1]) + 1
        first, last = int(left[0]), int(right[-1]) + 1

        def share(index: int, *, always: bool) -> FloatArray | None:
            near = self.shares[index, top:bottom, first:last]
            if not always and not near.any():
                return None
            start = near[:, left - first]
            wide = start + along * (near[:, right - first] - start)
            upper = wide[above - top]
            found: FloatArray = wide[below - top] - upper
            found *= down[:, None]
            found += upper
            return found

        return share


@dataclass(frozen=True, eq=False)
class Voted:
    """The nearest label, or the one that has won there.

    Parameters
    ----------
    nearest : Nearest
        What the field brings.
    ballot : Ballot
        Of the same labels.
    """

    nearest: Nearest
    ballot: Ballot

    @property
    def fill(self) -> float:
        """What stands outside."""
        return self.nearest.fill

    def __call__(
        self,
        mapping: Mapping,
        tile: Tile,
        found: Labels,
        corner: Shape,
        target: Labels,
    ) -> None:
        """Fill one block, see :class:`.kernels.Nearest`."""
        self.nearest(mapping, tile, found, corner, target)
        self.ballot.settle(
            tile, self.nearest.grid, target, self.nearest.trusted(tile)
        )
