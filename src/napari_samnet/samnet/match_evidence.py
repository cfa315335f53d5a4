"""What speaks for and against each match of a pair.

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

from napari_samnet.samnet.correlation import all_pairs
from napari_samnet.samnet.evidence import (
    GLOBAL_CELLS,
    consensus,
    few_cells,
)
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import (
    flow_of,
    grid,
    resize_field,
    step_of,
    warp,
)
from napari_samnet.samnet.recurrence import Clues

__all__ = ['MATCH_EVIDENCE', 'match_evidence']

#: Temperature of the softmax over all cells.
TEMPERATURE = 0.03

#: Half the side of the square around a match that counts as the match, and
#: the width of its Gaussian in cells.
AROUND, SPREAD = 2, 1.0

#: Neighbors that stand for the object: width of the Gaussian of their
#: distance in cells, and difference of the cosine at which they count 37 %.
NEIGHBOR_SIGMA, ALIKENESS = 6.0, 0.3

#: Distance in cells up to which a place is the match, and from which on it is
#: a rival.
SAME, RIVAL = 2.0, 4.0

#: Widths in cells within which the matches of neighbors agree with the
#: affine map of a cell.
CLOSE, WIDE = 1.0, 3.0

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

#: Of these, the ones that are averaged over the object.
_OBJECT = (
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
    'close agreement',
    'wide agreement',
    'support',
)

#: Of these, the ones that are averaged over the whole image.
_PAIR = (
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
    'support',
    'choice',
    'alpha',
    'mutual',
    'close agreement',
    'wide agreement',
)

#: The same over the cells that stand out from their image.
_STANDING_OUT = ('dual of 3x3', 'cosine', 'mean distance')

#: Whether what lies farther right, or down, also matches farther right, or
#: down: small where poses differ, negative where left and right are exchanged.
_ORDER = ('order of columns', 'order of rows')

#: Names of the channels of :func:`match_evidence`, in their order.
MATCH_EVIDENCE = (
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


class _Volume(NamedTuple):
    """Cosines of all cells of an image with all of another.

    Attributes
    ----------
    cosines : Tensor
        ``(N, M)``, of cells of the first with cells of the other.
    likely : Tensor
        ``(N, M)``, their exponentials, not normalized.
    rows, columns : Tensor
        ``(N,)`` and ``(M,)``, logarithms of the sums of `likely`.
    """

    cosines: Tensor
    likely: Tensor
    rows: Tensor
    columns: Tensor

    @classmethod
    def of(cls, cosines: Tensor) -> _Volume:
        """Volume of cosines, of which none is above 1."""
        likely = cosines.sub(1).div_(TEMPERATURE).exp_()
        rows, columns = (
            likely.sum(axis).clamp_min(1e-30).log() for axis in (1, 0)
        )
        return cls(cosines, likely, rows, columns)

    @property
    def T(self) -> _Volume:
        """The other way round."""
        return _Volume(self.cosines.T, self.likely.T, self.columns, self.rows)


class _Direction(NamedTuple):
    """One direction of a pair of N cells each.

    Attributes
    ----------
    features : Tensor
        ``(C, h, w)`` of the image that the matches start from.
    single, averaged : _Volume
        Of single cells, and over 3 x 3 equal displacements.
    best, back : Tensor
        ``(N,)``, most similar cell by `averaged` of each cell, and of each
        cell of the other image.
    field : Tensor
        ``(6, h, w)``, affine maps of the cells.
    error : Tensor
        ``(N,)``, how far the way there and back misses its start, in cells.
    clues : Tensor
        ``(4, N)``: uniqueness, support and choice of the start, and (9).
    """

    features: Tensor
    single: _Volume
    averaged: _Volume
    best: Tensor
    back: Tensor
    field: Tensor
    error: Tensor
    clues: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the cells."""
        return self.field.shape[-2], self.field.shape[-1]


def match_evidence(
    features: Tensor, field: Tensor, clues: Clues, alpha: Tensor
) -> Tensor:
    """Gather what speaks for and against the matches, in both directions.

    Parameters
    ----------
    features : Tensor
        Matching features of the two images, ``(2, C, H, W)`` of unit length
        along C.
    field : Tensor
        ``(2, 6, H, W)``, from the first image to the second and back.
    clues : Clues
        What is known of the start, ``(2, 1, H, W)`` each.
    alpha : Tensor
        ``(2, 1, H, W)`` of (9).

    Returns
    -------
    Tensor
        ``(2, len(MATCH_EVIDENCE), h, w)`` for the cells of either image; the
        larger of h and w is `GLOBAL_CELLS`.
    """
    maps = _many_cells(few_cells(features.float()))
    height, width = maps.shape[-2:]
    known = torch.cat((*clues, alpha), 1).float()
    if known.shape[-2:] != maps.shape[-2:]:
        field = resize_field(field, height, width)
        known = F.interpolate(
            known, size=(height, width), mode='bilinear', antialias=True
        )
    field = field.float()
    single = _Volume.of(all_pairs(maps[:1], maps[1:]).view(height * width, -1))
    averaged = _Volume.of(_averaged(maps))
    best, back = averaged.cosines.argmax(1), averaged.cosines.argmax(0)
    flow = flow_of(field)
    error = (flow + warp(flow.flip(0), flow)).norm(dim=1).flatten(1)
    means = maps.mean((2, 3))
    likeness = F.cosine_similarity(means[0], means[1], dim=0)
    found = [
        _gathered(
            _Direction(
                maps[one],
                single.T if one else single,
                averaged.T if one else averaged,
                back if one else best,
                best if one else back,
                field[one],
                error[one],
                known[one].flatten(1),
            ),
            likeness,
        )
        for one in range(2)
    ]
    return torch.stack(found).view(2, -1, height, width)


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


def _averaged(maps: Tensor) -> Tensor:
    """Cosines over 3 x 3 equal displacements, of those inside, ``(N, N)``."""
    ones = torch.ones_like(maps[:1, :1])
    total = consensus(maps[:1], maps[1:])
    return (total / consensus(ones, ones)).flatten(3).flatten(1, 2)[0]


def _gathered(pair: _Direction, likeness: Tensor) -> Tensor:
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
    neighbors = _Neighbors.of(pair)
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
    pair: _Direction, goals: Tensor, reach: int
) -> tuple[Tensor, Tensor]:
    """Cells around each goal, ``(N, K)``, and their squared distances.

    Cells beyond the rim are infinitely far.
    """
    height, width = pair.size
    steps = torch.arange(-reach, reach + 1, device=goals.device)
    down, right = torch.meshgrid(steps, steps, indexing='ij')
    offsets = torch.stack((right.flatten(), down.flatten()), 1)
    cells = goals.T.round().long()[:, None] + offsets
    size = cells.new_tensor((width, height))
    inside = ((cells >= 0) & (cells < size)).all(-1)
    distance = (cells - goals.T[:, None]).square().sum(-1)
    x = cells[..., 0].clamp(0, width - 1)
    index = cells[..., 1].clamp(0, height - 1) * width + x
    return index, distance.masked_fill(~inside, 1e3)


def _likelihood(pair: _Direction, goals: Tensor) -> dict[str, Tensor]:
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
    pair: _Direction,
    points: Tensor,
    goals: Tensor,
) -> None:
    """Add what other places have, and whether the best match is mutual."""
    cosines = pair.averaged.cosines
    index, distance = _window(pair, goals, round(RIVAL))
    at = cosines.gather(1, index)
    here = at.masked_fill(distance >= SAME**2, -0.2).amax(1)
    # Only what is no rival is taken out; where there is none, that is all.
    others = cosines.scatter(1, index, at.masked_fill(distance < RIVAL**2, -1))
    answers['margin'] = here - others.amax(1)
    away = (points[:, pair.best] - goals).norm(dim=0)
    answers['distance of the best'] = (away + 0.5).log()
    likely = pair.averaged.likely
    moments = torch.stack((*points, points.square().sum(0)), 1)
    mean = (likely @ moments) / pair.averaged.rows.exp()[:, None]
    square = (
        mean[:, 2] - 2 * (mean[:, :2].T * goals).sum(0) + goals.square().sum(0)
    )
    answers['mean distance'] = (square.clamp_min(0).sqrt() + 0.5).log()
    back = points[:, pair.back[pair.best]] - points
    # A neighbor is as good as the cell itself.
    answers['mutual'] = (back.square().sum(0) <= 2).float()


def _of_the_start(answers: dict[str, Tensor], pair: _Direction) -> None:
    """Add what was known before the iterations, and (9)."""
    uniqueness, support, choice, alpha = pair.clues
    answers['uniqueness'] = (uniqueness.clamp_min(0) + 1e-4).log()
    answers['support'], answers['choice'] = support, choice
    answers['alpha'] = (alpha + 1e-3).log()
    answers['round trip'] = (pair.error.clamp(0, 8) + 0.25).log()


def _of_the_map(answers: dict[str, Tensor], pair: _Direction) -> None:
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


class _Neighbors(NamedTuple):
    """Cells that stand for the object of a place, for every second place.

    Attributes
    ----------
    alike : Tensor
        ``(M, N)``, cosines of the places and all cells of their image.
    step : Tensor
        ``(2, M, N)``, from the places to the cells in (x, y) cells.
    apart : Tensor
        ``(M, N)``, its square.
    weight : Tensor
        ``(M, N)``, how much a cell counts.
    places : tuple of int
        Rows and columns of the places.
    size : tuple of int
        Rows and columns of the cells.
    """

    alike: Tensor
    step: Tensor
    apart: Tensor
    weight: Tensor
    places: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def of(cls, pair: _Direction) -> _Neighbors:
        """Neighbors in the image that the matches start from."""
        points = grid(*pair.size, pair.field)
        places = _coarse(points)
        features = normalize(_coarse(pair.features)[None])[0]
        alike = features.flatten(1).T @ pair.features.flatten(1)
        step = points.flatten(1)[:, None] - places.flatten(1)[:, :, None]
        apart = step.square().sum(0)
        logits = (alike - 1) / ALIKENESS - apart / (2 * NEIGHBOR_SIGMA**2)
        size = (places.shape[-2], places.shape[-1])
        return cls(alike, step, apart, logits.exp(), size, pair.size)

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

    def order(self, pair: _Direction) -> tuple[Tensor, Tensor]:
        """Order of the best matches: around each cell, and in all."""
        points = grid(*pair.size, pair.field).flatten(1)
        goals = points[:, pair.best]
        uniqueness = pair.clues[0].clamp_min(0).sqrt() + 1e-3
        around = _correlations(self.weight * uniqueness, points, goals)
        whole = _correlations(uniqueness[None], points, goals)
        return self.spread(around), whole.expand(-1, points.shape[1])

    def agreement(self, pair: _Direction, goals: Tensor) -> dict[str, Tensor]:
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
            (weight * (-square / (2 * width**2)).exp()).sum(1) / total
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
    return F.avg_pool2d(maps[None], 2, ceil_mode=True)[0]
