"""Measures of how far each match of a pair can be trusted.

The paper's confidence (9) compares the cells of a window with one another: it
is high wherever a field fits its surroundings, also where the object is
somewhere else in the image or not in it at all. Here all cells of both images
are asked, at three scales: the cell and its match, the neighbors that look
like the cell and so stand for its object, and the pair as a whole, which says
how hard the pair is. That is not in the paper.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.cell_matches import (
    GLOBAL_CELLS,
    TEMPERATURE,
    argmax,
    consensus_inside,
    few_cells,
)
from napari_samnet.samnet.correlation import all_pairs
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import (
    flow_of,
    grid,
    resize_field,
    step_of,
    warp,
)
from napari_samnet.samnet.match_direction import (
    Direction,
    Volume,
)
from napari_samnet.samnet.match_neighbors import RIVAL, SAME, Neighbors
from napari_samnet.samnet.recurrence import Clues

#: Half the side of the square around a match that counts as the match, and
#: the width of its Gaussian in cells.
AROUND, SPREAD = 2, 1.0

#: Squared distance of cells beyond the rim.
FAR = 1e3

#: Weight of how little a cell is like the mean of its image, where those
#: cells count most that stand out.
STAND_OUT = 1.5

#: Of a cell and its match.
_CELL = (
    'row',
    'dual',
    'cosine',
    'lead',
    'round trip',
    'row of 3x3',
    'dual of 3x3',
    'cosine of 3x3',
    'margin',
    'distance of the best',
    'mean distance',
    'uniqueness',
    'support',
    'choice',
    'alpha',
    'scale',
    'stretch',
    'bend',
    'likeness to itself',
    'outside',
    'close agreement',
    'wide agreement',
    'residual',
)

#: Of these, the ones that are averaged over the object as over the image.
_AVERAGED = (
    'row',
    'dual',
    'cosine',
    'lead',
    'round trip',
    'row of 3x3',
    'dual of 3x3',
    'margin',
    'mean distance',
    'uniqueness',
)
_AGREEMENT = ('close agreement', 'wide agreement')

#: All that is averaged over the object, and over the whole image.
_OBJECT = (*_AVERAGED, *_AGREEMENT, 'support')
_PAIR = (*_AVERAGED, 'support', 'choice', 'alpha', 'mutual', *_AGREEMENT)

#: The same over the cells that stand out from their image.
_STANDING_OUT = ('dual of 3x3', 'cosine', 'mean distance')

#: Whether what lies farther right, or down, also matches farther right, or
#: down: small where poses differ, negative where left and right are exchanged.
_ORDER = ('order of columns', 'order of rows')

#: Names of the channels of :func:`confidence_measures`, in their order.
MEASURES = (
    *_CELL,
    *(f'{name}, object' for name in _OBJECT),
    'size, object',
    *(f'{name}, pair' for name in _PAIR),
    'likeness, pair',
    *(f'{name}, standing out' for name in _STANDING_OUT),
    'scale, pair',
    *(f'{name}, object' for name in _ORDER),
    *(f'{name}, pair' for name in _ORDER),
)

#: What is averaged over 3 x 3 cells, since single cells are noisy.
_SMOOTHED = (
    'row',
    'dual',
    'cosine',
    'lead',
    'round trip',
    'row of 3x3',
    'dual of 3x3',
    'mean distance',
    'margin',
)


class PairSimilarities(NamedTuple):
    """What the cells of two images say about any field between them."""

    #: ``(2, C, h, w)``, features of unit length along C.
    maps: Tensor
    #: ``single``, ``averaged``: cosines of single cells, and over 3 x 3 equal
    #: displacements, from the first image to the second.
    single: Volume
    averaged: Volume
    #: ``best``, ``back``: ``(N,)``, most similar cell by `averaged`, of each
    #: cell of the first and of the second image.
    best: Tensor
    back: Tensor
    #: Cosine of the mean features.
    likeness: Tensor
    #: Of the cells of both images.
    neighbors: tuple[Neighbors, Neighbors]

    @classmethod
    def of(cls, features: Tensor, *, whole: bool = False) -> PairSimilarities:
        """Compare all cells of two images, ``(2, C, H, W)``.

        ``whole``: in whole numbers, see :func:`~.correlation.all_pairs`.
        """
        maps = _many_cells(few_cells(features.float()))
        cosines = all_pairs(maps[:1], maps[1:], whole=whole)
        averaged = Volume.of(
            consensus_inside(cosines)[0].flatten(2).flatten(0, 1)
        )
        best = argmax(averaged.cosines, 1)
        back = argmax(averaged.cosines.T.contiguous(), 1)
        means = maps.mean((2, 3))
        return cls(
            maps,
            Volume.of(cosines.view(len(best), -1)),
            averaged,
            best,
            back,
            F.cosine_similarity(means[0], means[1], dim=0),
            (Neighbors.of(maps[0]), Neighbors.of(maps[1])),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the cells."""
        return self.maps.shape[-2], self.maps.shape[-1]

    def measures(self, field: Tensor, clues: Clues, alpha: Tensor) -> Tensor:
        """Measures of a field's matches; see :func:`confidence_measures`."""
        height, width = self.size
        known = torch.cat((*clues, alpha), 1).float()
        if known.shape[-2:] != self.size:
            known = F.interpolate(
                known, size=self.size, mode='bilinear', antialias=True
            )
        if field.shape[-2:] != self.size:
            field = resize_field(field, height, width)
        field = field.float()
        flow = flow_of(field)
        error = (flow + warp(flow.flip(0), flow)).norm(dim=1).flatten(1)
        ways = (
            (self.single, self.averaged, self.best, self.back),
            (self.single.T, self.averaged.T, self.back, self.best),
        )
        directions = [
            _gathered(
                Direction(
                    self.maps[one],
                    *way,
                    field[one],
                    error[one],
                    known[one].flatten(1),
                ),
                self.neighbors[one],
                self.likeness,
            )
            for one, way in enumerate(ways)
        ]
        return torch.stack(directions).view(2, -1, height, width)


def confidence_measures(
    features: Tensor, field: Tensor, clues: Clues, alpha: Tensor
) -> Tensor:
    """Measures of all matches of a field, in both directions.

    ``features``: matching features of the two images, ``(2, C, H, W)`` of unit
    length along C.
    ``field``: ``(2, 6, H, W)``, from the first image to the second and back.
    ``clues``: what is known of the start, ``(2, 1, H, W)`` each.
    ``alpha``: ``(2, 1, H, W)`` of (9).
    Returns: ``(2, len(MEASURES), h, w)`` for the cells of either image;
    the larger of h and w is `GLOBAL_CELLS`.
    """
    return PairSimilarities.of(features).measures(field, clues, alpha)


def _many_cells(maps: Tensor) -> Tensor:
    """Features on GLOBAL_CELLS a side where there are fewer.

    How likely a match is among all cells depends on how many there are.
    """
    sides = maps.shape[-2:]
    factor = GLOBAL_CELLS / max(sides)
    if factor <= 1:
        return maps
    size = [max(2, round(factor * side)) for side in sides]
    larger = F.interpolate(
        maps, size=size, mode='bilinear', align_corners=False
    )
    return normalize(larger)


def _gathered(
    pair: Direction, neighbors: Neighbors, likeness: Tensor
) -> Tensor:
    """All channels of one direction, ``(K, N)``."""
    points = grid(*pair.size, pair.field).flatten(1)
    goals = points + pair.field[4:].flatten(1)
    answers = _likelihood(pair, goals)
    _elsewhere(answers, pair, points, goals)
    _of_the_start(answers, pair)
    _of_the_map(answers, pair)
    edge = goals.new_tensor([[pair.size[1] - 1], [pair.size[0] - 1]])
    beyond = (-goals).clamp_min(0) + (goals - edge).clamp_min(0)
    answers['outside'] = beyond.norm(dim=0).clamp_max(6)
    answers |= neighbors.agreement(pair, goals)
    answers['likeness to itself'] = neighbors.likeness_to_itself()
    for name in _SMOOTHED:
        smooth = F.avg_pool2d(
            answers[name].view(1, *pair.size),
            3,
            1,
            1,
            count_include_pad=False,
        )
        answers[name] = smooth.flatten()
    around = torch.stack([answers[name] for name in _OBJECT])
    cells = pair.features.flatten(1)
    middle = F.normalize(cells.mean(1), dim=0)
    unlike = 1 - middle @ cells
    deviation = (unlike - unlike.mean()) / unlike.std().clamp_min(1e-6)
    weight = (STAND_OUT * deviation).softmax(0)
    whole = torch.stack(
        [
            *(answers[name].mean() for name in _PAIR),
            likeness,
            *((answers[name] * weight).sum() for name in _STANDING_OUT),
            answers['scale'].median(),
        ]
    )
    return torch.cat(
        (
            torch.stack([answers[name] for name in _CELL]),
            neighbors.means(around),
            whole[:, None].expand(-1, cells.shape[1]),
            *neighbors.order(pair),
        )
    )


def _window(
    pair: Direction, goals: Tensor, reach: int
) -> tuple[Tensor, Tensor]:
    """Cells around each goal, ``(N, K)``, and their squared distances.

    Cells beyond the rim are infinitely far.
    """
    height, width = pair.size
    steps = torch.arange(-reach, reach + 1, device=goals.device)
    down, right = torch.meshgrid(steps, steps, indexing='ij')
    index, distance = _along(goals[1], down.flatten(), height)
    columns, apart = _along(goals[0], right.flatten(), width)
    index = index.mul_(width).add_(columns)
    return index, distance.add_(apart).clamp_max_(FAR)


def _along(goal: Tensor, step: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Cells ``(N, K)`` along one axis, and their squared distances."""
    cells = goal.round().long()[:, None] + step
    distance = (cells - goal[:, None]).square_()
    distance.masked_fill_((cells < 0) | (cells >= side), FAR)
    return cells.clamp_(0, side - 1), distance


def _likelihood(pair: Direction, goals: Tensor) -> dict[str, Tensor]:
    """How likely the match is among all cells, there and back."""
    index, distance = _window(pair, goals, AROUND)
    near = -distance.clamp_max(60) / (2 * SPREAD**2)
    answers = {}
    for name, volume in (('', pair.single), (' of 3x3', pair.averaged)):
        cosine = volume.cosines.gather(1, index)
        at = (cosine - 1) / TEMPERATURE
        row = (at + near).logsumexp(1) - volume.rows
        dual = 2 * at - volume.rows[:, None] - volume.columns[index] + near
        answers[f'row{name}'] = row.clamp(-8, 0)
        answers[f'dual{name}'] = dual.logsumexp(1).clamp(-12, 0)
        answers[f'cosine{name}'] = (cosine * near.softmax(1)).sum(1)
    answers['lead'] = pair.single.cosines.amax(1) - answers['cosine']
    return answers


def _elsewhere(
    answers: dict[str, Tensor],
    pair: Direction,
    points: Tensor,
    goals: Tensor,
) -> None:
    """Add what other places have, and whether the best match is mutual."""
    cosines = pair.averaged.cosines
    index, distance = _window(pair, goals, round(RIVAL))
    at = cosines.gather(1, index)
    here = at.masked_fill(distance >= SAME**2, -0.2).amax(1)
    # Cells near the match are no rivals; -1 where no others are left.
    others = cosines.scatter(1, index, at.masked_fill(distance < RIVAL**2, -1))
    answers['margin'] = here - others.amax(1)
    away = (points[:, pair.best] - goals).norm(dim=0)
    answers['distance of the best'] = (away + 0.5).log()
    # With the long axis last in memory, a fraction of the time.
    moments = torch.stack((*points, points.square().sum(0)))
    mean = (moments @ pair.averaged.likely.T) / pair.averaged.rows.exp()
    square = mean[2] - 2 * (mean[:2] * goals).sum(0) + goals.square().sum(0)
    answers['mean distance'] = (square.clamp_min(0).sqrt() + 0.5).log()
    back = points[:, pair.back[pair.best]] - points
    # Coming back to a neighboring cell counts as coming back.
    answers['mutual'] = (back.square().sum(0) <= 2).float()


def _of_the_start(answers: dict[str, Tensor], pair: Direction) -> None:
    """Add what was known before the iterations, and (9)."""
    uniqueness, support, choice, alpha = pair.clues
    answers['uniqueness'] = (uniqueness.clamp_min(0) + 1e-4).log()
    answers['support'], answers['choice'] = support, choice
    answers['alpha'] = (alpha + 1e-3).log()
    answers['round trip'] = (pair.error.clamp(0, 8) + 0.25).log()


def _of_the_map(answers: dict[str, Tensor], pair: Direction) -> None:
    """Add how the affine maps scale and stretch, and how the flow bends."""
    matrix = step_of(pair.field[None])[0].flatten(2)
    a, b, c, d = matrix[0, 0] + 1, matrix[0, 1], matrix[1, 0], matrix[1, 1] + 1
    area = (a * d - b * c).clamp_min(0.02)
    answers['scale'] = area.log().clamp(-3, 3)
    square = (a * a + b * b + c * c + d * d) / (2 * area)
    answers['stretch'] = square.clamp(1, 20).log()
    flow = pair.field[None, 4:]
    mean = F.avg_pool2d(flow, 5, 1, 2, count_include_pad=False)
    answers['bend'] = ((flow - mean).norm(dim=1).flatten() + 0.05).log()
