"""One direction of a pair, as the measures of its matches need it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from napari_samnet.samnet.cell_matches import TEMPERATURE
from napari_samnet.samnet.exponentials import exp_


class Volume(NamedTuple):
    """Cosines of all cells of an image with all of another."""

    #: ``(N, M)``, of cells of the first with cells of the other.
    cosines: Tensor
    #: ``(N, M)``, their exponentials, not normalized.
    likely: Tensor
    #: ``rows``, ``columns``: ``(N,)`` and ``(M,)``, logarithms of the sums of
    #: `likely`.
    rows: Tensor
    columns: Tensor

    @classmethod
    def of(cls, cosines: Tensor) -> Volume:
        """Volume of cosines, of which none is above 1."""
        likely = exp_(cosines.sub(1).div_(TEMPERATURE))
        rows, columns = (
            likely.sum(axis).clamp_min(1e-30).log() for axis in (1, 0)
        )
        return cls(cosines, likely, rows, columns)

    @property
    def T(self) -> Volume:
        """The other way round."""
        return Volume(self.cosines.T, self.likely.T, self.columns, self.rows)


class Direction(NamedTuple):
    """One direction of a pair of N cells each."""

    #: ``(C, h, w)`` of the image that the matches start from.
    features: Tensor
    #: ``single``, ``averaged``: of single cells, and over 3 x 3 equal
    #: displacements.
    single: Volume
    averaged: Volume
    #: ``best``, ``back``: ``(N,)``, most similar cell by `averaged` of each
    #: cell, and of each cell of the other image.
    best: Tensor
    back: Tensor
    #: ``(6, h, w)``, affine maps of the cells.
    field: Tensor
    #: ``(N,)``, how far the way there and back misses its start, in cells.
    error: Tensor
    #: ``(4, N)``: uniqueness, support and choice of the start, and (9).
    clues: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the cells."""
        return self.field.shape[-2], self.field.shape[-1]
