"""The neighbors that look like a cell, and so stand for its object."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.exponentials import exp_
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import grid
from napari_samnet.samnet.match_direction import Direction
from napari_samnet.samnet.pooling import pooled

#: Neighbors that stand for the object: width of the Gaussian of their
#: distance in cells, and difference of the cosine at which they count 37 %.
NEIGHBOR_SIGMA, ALIKENESS = 6.0, 0.3

#: Distance in cells up to which a place is the match, and from which on it is
#: a rival.
SAME, RIVAL = 2.0, 4.0

#: Widths in cells within which the matches of neighbors agree with the
#: affine map of a cell.
CLOSE, WIDE = 1.0, 3.0


class Neighbors(NamedTuple):
    """Cells that stand for the object of a place, for every second place."""

    #: ``(M, N)``, cosines of the places and all cells of their image.
    alike: Tensor
    #: ``(2, M, N)``, from the places to the cells in (x, y) cells.
    step: Tensor
    #: ``(M, N)``, its square.
    apart: Tensor
    #: ``(M, N)``, how much a cell counts.
    weight: Tensor
    #: Rows and columns of the places.
    places: tuple[int, int]
    #: Rows and columns of the cells.
    size: tuple[int, int]

    @classmethod
    def of(cls, features: Tensor) -> Neighbors:
        """Neighbors in an image, from its features ``(C, h, w)``."""
        cells = (features.shape[-2], features.shape[-1])
        points = grid(*cells, features)
        places = _coarse(points)
        coarse = normalize(_coarse(features)[None])[0]
        alike = coarse.flatten(1).T @ features.flatten(1)
        step = points.flatten(1)[:, None] - places.flatten(1)[:, :, None]
        apart = step.square().sum(0)
        logits = (alike - 1) / ALIKENESS - apart / (2 * NEIGHBOR_SIGMA**2)
        size = (places.shape[-2], places.shape[-1])
        return cls(alike, step, apart, exp_(logits), size, cells)

    def spread(self, values: Tensor) -> Tensor:
        """Values at the places, ``(K, M)``, for all cells, ``(K, N)``."""
        maps = values.view(1, -1, *self.places)
        return F.interpolate(
            maps, size=self.size, mode='bilinear', align_corners=False
        )[0].flatten(1)

    def means(self, values: Tensor) -> Tensor:
        """Means of values ``(K, N)`` over the object, and its size last."""
        total = self.weight.sum(1)
        means = (values @ self.weight.T) / total
        return self.spread(torch.cat((means, total.log()[None])))

    def likeness_to_itself(self) -> Tensor:
        """Largest cosine to a cell of the own image far away, ``(N,)``."""
        far = self.alike.masked_fill(self.apart < RIVAL**2, -1)
        return self.spread(far.amax(1)[None])[0]

    def order(self, pair: Direction) -> tuple[Tensor, Tensor]:
        """Order of the best matches: around each cell, and in all."""
        points = grid(*pair.size, pair.field).flatten(1)
        goals = points[:, pair.best]
        uniqueness = pair.clues[0].clamp_min(0).sqrt() + 1e-3
        around = _correlations(self.weight * uniqueness, points, goals)
        whole = _correlations(uniqueness[None], points, goals)
        return self.spread(around), whole.expand(-1, points.shape[1])

    def agreement(self, pair: Direction, goals: Tensor) -> dict[str, Tensor]:
        """How well the neighbors' best matches fit the map of a place."""
        points = grid(*pair.size, pair.field).flatten(1)
        matrix = _coarse(pair.field[:4]).view(2, 2, -1, 1)
        start = _coarse(goals.view(2, *pair.size)).flatten(1)
        square = torch.zeros_like(self.weight)
        for axis in range(2):
            predicted = start[axis][:, None] + self.step[axis]
            predicted += matrix[axis, 0] * self.step[0]
            predicted += matrix[axis, 1] * self.step[1]
            square += (predicted - points[axis][pair.best]).square()
        uniqueness = pair.clues[0].clamp_min(0).sqrt()
        weight = self.weight * (uniqueness + 1e-3)
        total = weight.sum(1)
        shares = [
            (weight * exp_(-square / (2 * width**2))).sum(1) / total
            for width in (CLOSE, WIDE)
        ]
        residual = (weight * square.clamp_max(64)).sum(1) / total
        values = self.spread(torch.stack((*shares, (residual + 0.1).log())))
        names = ('close agreement', 'wide agreement', 'residual')
        return dict(zip(names, values, strict=True))


def _correlations(weight: Tensor, points: Tensor, goals: Tensor) -> Tensor:
    """Weighted correlations of x with x and of y with y, ``(2, M)``.

    `weight` is ``(M, N)``, both others are ``(2, N)``.
    """
    one = torch.ones_like(points[:1])
    parts = (one, points, goals, points**2, goals**2, points * goals)
    sums = weight @ torch.cat(parts).T
    means = (sums[:, 1:] / sums[:, :1].clamp_min(1e-9)).T
    here, there, here2, there2, both = means.split(2)
    spread = (here2 - here**2) * (there2 - there**2)
    # Half a cell squared: where all matches are in one place there is none.
    return (both - here * there) / (spread.clamp_min(0) + 0.25).sqrt()


def _coarse(maps: Tensor) -> Tensor:
    """Means of 2 x 2 cells of ``(C, h, w)``."""
    if any(side % 2 for side in maps.shape[-2:]):
        return F.avg_pool2d(maps[None], 2, ceil_mode=True)[0]
    return pooled(maps, 2)
