"""The start T^0 from several motions, of which each cell takes one.

One affine map is right where one object fills both images. Where several
things move, or one moves against its background, there are more: first the
global map, then maps of what it leaves, last the matches that neighbors of
the same feature support. Each cell takes the one with which most of the
matches around it agree, counted by alikeness, in a mean field whose
smoothness is weighed by the same window, so that labels change at outlines.
A motion with more freedom agrees more by chance alone; it must do so by a
margin. The margin of the global map grows with the share of all matches that
it explains, so that one object which fills both images keeps one motion, and
shrinks where single matches are unique among all cells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_samnet.samnet.bilateral import bilateral_fit
from napari_samnet.samnet.bilateral_window import BilateralWindow
from napari_samnet.samnet.cell_matches import CellMatches, window_mean
from napari_samnet.samnet.field import (
    affine_field,
    flow_of,
    grid,
    identity_field,
)
from napari_samnet.samnet.regions import RegionMaps

#: Width of the window of the labeling, in cells, and its alikeness: tighter
#: than those of the fit, for a small object must outvote its surroundings.
LABEL_SIGMA = 3.0
LABEL_ALIKENESS = 0.15

#: Lead in support that the global map has over all others, and further
#: affine maps over the supported local matches, which bend to agree.
GLOBAL_LEAD = 0.6
AFFINE_LEAD = 0.1

#: What is added to the lead of the global map, times the share of all matches
#: that it explains beyond this one.
EXPLAINED_GAIN = 0.6
EXPLAINED_SHARE = 0.3

#: What the mean confidence around a cell, up to a limit, takes off the lead of
#: the global map: where single matches are unique, they are to be believed.
CONFIDENCE_GAIN = 2.0
CONFIDENCE_LIMIT = 0.4

#: Mean field: temperature of the labels, weight of the neighbors', rounds.
LABEL_TEMPERATURE = 0.05
LABEL_SMOOTHNESS = 0.3
LABEL_ROUNDS = 5

#: Width of a match's residual, in cells, in the search for further maps.
RESIDUAL_CELLS = 2.0

#: Width in cells of the Gaussian around a motion in which it is refined.
NEAR_CELLS = 3.0

#: Rounds of reweighted least squares of each further map.
ROUNDS = 3

#: Width in cells of the region that a further map is first fitted to.
REGION_CELLS = 8.0


class Hypotheses(NamedTuple):
    """Motions, and which one each cell has taken."""

    #: ``(B, M, 6, h, w)``.
    fields: Tensor
    #: ``(B, h, w)`` int64, 0 to M - 1.
    labels: Tensor
    #: ``(B, 1, h, w)`` in [0, 1]: lead in probability of the motion taken over
    #: the next. Low where the choice is unsure.
    margin: Tensor
    #: ``(B, 1, h, w)`` in [0, 1]: share of the matches around that agree with
    #: the motion taken.
    support: Tensor

    @property
    def field(self) -> Tensor:
        """What every cell has taken, ``(B, 6, h, w)``."""
        index = self.labels[:, None, None].expand_as(self.fields[:, :1])
        return self.fields.gather(1, index)[:, 0]


def refine(
    field: Tensor,
    matches: CellMatches,
    window: BilateralWindow,
) -> Tensor:
    """Let a motion bend to the likely matches near it.

    ``field``: ``(B, 6, h, w)``.
    ``matches``: best match of each single cell.
    ``window``: neighbors of each cell.
    Returns: ``(B, 6, h, w)``.
    """
    height, width = field.shape[-2:]
    points = grid(height, width, field)
    there = (points + flow_of(field)).flatten(2)
    seen = window_mean(
        matches.volume, there, points.flatten(1), cells=NEAR_CELLS
    )
    motion = seen.view(-1, 2, height, width) - points
    return bilateral_fit(
        window, motion, matches.confidence, field, field
    ).field


def supported(matches: CellMatches, window: BilateralWindow) -> Tensor:
    """Local maps through the best match of each cell, ``(B, 6, h, w)``.

    Each starts from its own match as a shift; neighbors with features alike
    and matches that agree then draw it to themselves.
    """
    batch, _, height, width = matches.motion.shape
    field = identity_field(batch, height, width, matches.motion)
    field[:, 4:] = matches.motion
    start = field
    for cells in (1.5 * RESIDUAL_CELLS, RESIDUAL_CELLS):
        field = bilateral_fit(
            window,
            matches.motion,
            matches.confidence,
            field,
            start,
            residual_cells=cells,
        ).field
    return field


def further_affines(
    first: Tensor,
    matches: CellMatches,
    agreed: Tensor,
    *,
    count: int,
) -> list[Tensor]:
    """Affine maps of the matches that the maps before do not explain.

    Each begins with the local map that explains the most confidence not yet
    explained, among cells that are near and alike, and is then fitted to all
    that agrees with it, by iteratively reweighted least squares.

    ``first``: the global map, ``(B, 6, h, w)``.
    ``matches``: best match of each single cell.
    ``agreed``: ``(B, N, N)``, with how much weight and confidence the match of
    the second cell agrees with the local map of the first.
    ``count``: number of affines at most.
    Returns: fields ``(B, 6, h, w)``.
    """
    motion = matches.motion
    batch, _, height, width = motion.shape
    confidence = matches.confidence.flatten(1)
    points = grid(height, width, motion).flatten(1).T
    scale = max(height, width) / 2
    middle = points.mean(0)
    one = torch.ones_like(points[:, :1])
    x = torch.cat(((points - middle) / scale, one), 1)
    y = (points + motion.flatten(2).transpose(1, 2) - middle) / scale
    prior = torch.eye(3, 2, device=x.device)
    left = 1 - _near(first, motion)
    images = torch.arange(batch, device=x.device)
    fields = []
    for _ in range(count):
        seed = _sums(agreed, left.unsqueeze(-1)).squeeze(-1).argmax(1)
        weight = agreed[images, seed] * left
        apart = (points - points[seed].unsqueeze(1)).square().sum(-1)
        region = torch.exp(-apart / (4 * REGION_CELLS**2)) * left
        for _ in range(ROUNDS):
            weighted = x * weight.unsqueeze(-1)
            damping = 0.002 * weight.sum(1).clamp_min(1.0).view(-1, 1, 1)
            normal = weighted.transpose(1, 2) @ x
            normal = normal + damping * torch.eye(3, device=x.device)
            right = weighted.transpose(1, 2) @ y + damping * prior
            solved = torch.linalg.solve_ex(normal, right).result
            linear = solved[:, :2].transpose(1, 2)
            shift = scale * solved[:, 2] + middle - linear @ middle
            matrix = torch.cat((linear, shift.unsqueeze(-1)), 2)
            field = affine_field(matrix, height, width)
            close = _near(field, motion)
            weight = confidence * close * region
        left = left * (1 - close)
        fields.append(field)
    return fields


def _sums(weights: Tensor, columns: Tensor) -> Tensor:
    """Matrices ``(B, N, N)`` times a few columns ``(B, N, k)``.

    With the long axis last in memory, which takes half the time.
    """
    rows = columns.transpose(1, 2).contiguous()
    return (rows @ weights.transpose(1, 2)).transpose(1, 2)


def _near(field: Tensor, motion: Tensor) -> Tensor:
    """How near each cell's match is to a field, ``(B, N)`` in [0, 1]."""
    squared = (flow_of(field) - motion).square().sum(1).flatten(1)
    return torch.exp(-squared / (2 * RESIDUAL_CELLS**2))


def choose(
    maps: list[Tensor],
    leads: list[float],
    local: Tensor,
    matches: CellMatches,
    weights: tuple[Tensor, Tensor],
    regions: RegionMaps | None = None,
) -> Hypotheses:
    """Give each cell one of several motions.

    ``maps``: motions ``(B, 6, h, w)`` of large regions, the global one first.
    ``leads``: what is added to the support of each of them.
    ``local``: the supported local maps, ``(B, 6, h, w)``, without a lead.
    ``matches``: best match of each single cell.
    ``weights``: ``(B, N, N)``: of the neighbors in the labels' window, and how
    much of it, times confidence, agrees with the local map.
    ``regions``: motions of regions that are known, with leads of their own.
    """
    batch, _, height, width = local.shape
    window, agreed = weights
    known = regions.fields if regions else []
    maps = [*maps, *known]
    confidence = matches.confidence.flatten(1).unsqueeze(-1)
    near = [_near(field, matches.motion).unsqueeze(-1) for field in maps]
    columns = torch.cat([confidence * part for part in near], -1)
    total = _sums(window, confidence)
    shares = torch.cat(
        (_sums(window, columns), agreed.sum(-1, keepdim=True)), -1
    ) / total.clamp_min(1e-9)
    explained = columns[..., :1].sum(1) / confidence.sum(1).clamp_min(1e-9)
    further = EXPLAINED_GAIN * (explained - EXPLAINED_SHARE).clamp_min(0)
    around = total / window.sum(-1, keepdim=True).clamp_min(1e-9)
    unique = CONFIDENCE_GAIN * around.clamp_max(CONFIDENCE_LIMIT)
    data = shares + shares.new_tensor([*leads, *[0.0] * len(known), 0.0])
    data = torch.cat(
        (data[..., :1] + further.unsqueeze(1), data[..., 1:] + unique), -1
    )
    if regions and known:
        data[..., len(leads) : -1] += regions.leads
    probability = (data / LABEL_TEMPERATURE).softmax(-1)
    # Without the cell itself: its neighbors' opinion.
    itself = window.diagonal(dim1=1, dim2=2).unsqueeze(-1)
    others = (window.sum(-1, keepdim=True) - itself).clamp_min(1e-9)
    for _ in range(LABEL_ROUNDS):
        around = (_sums(window, probability) - itself * probability) / others
        data_and_around = data + LABEL_SMOOTHNESS * around
        probability = (data_and_around / LABEL_TEMPERATURE).softmax(-1)
    labels = probability.argmax(-1)
    two = probability.topk(2, -1).values
    taken = shares.gather(2, labels.unsqueeze(-1))
    return Hypotheses(
        torch.stack([*maps, local], 1),
        labels.view(batch, height, width),
        (two[..., 0] - two[..., 1]).view(batch, 1, height, width),
        taken.view(batch, 1, height, width).clamp(0, 1),
    )
