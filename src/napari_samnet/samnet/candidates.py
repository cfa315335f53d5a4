"""Likelier matches where those of the field are doubtful.

A field of motions that neighbors share cannot follow one pose into another:
there, the most similar cells are right more often. So each doubtful cell has
three candidates: the match of the field, the most similar cell within some
cells of it, and the most similar one of the whole image. The confidence that
was fitted to right and wrong matches judges all three, and the field is bent
to the likeliest ones. This is not part of the paper.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_samnet.samnet.bilateral import bilateral_fit
from napari_samnet.samnet.bilateral_window import bilateral_window
from napari_samnet.samnet.confidence import MatchConfidence
from napari_samnet.samnet.evidence import PEAK_BETA, argmax, window_mean
from napari_samnet.samnet.field import flow_of, grid, resize_field
from napari_samnet.samnet.match_evidence import PairSimilarities
from napari_samnet.samnet.recurrence import Iteration

#: Confidence of a cell from which on its match stays.
CELL_SURE = 0.6

#: Width in cells of the Gaussian around the field's match within which the
#: most similar cell is a candidate.
REACH = 8.0

#: Width in cells of the Gaussian around the most similar cell, whose mean
#: position has parts of a cell.
PEAK = 1.0

#: Width in cells of the window in which the field is bent to what was chosen.
FIT_SIGMA = 2.0


class Reconsidered(NamedTuple):
    """A state whose field follows the likeliest candidates."""

    state: Iteration
    #: ``(2, 1, H, W)`` in [0, 1], how likely its matches are right.
    probability: Tensor
    #: Share of the cells of both images that took another match.
    share: float


def reconsidered(
    confidence: MatchConfidence,
    similarities: PairSimilarities,
    state: Iteration,
    *,
    alikeness: float,
) -> Reconsidered | None:
    """Take likelier matches where there are any.

    ``similarities``: of the features that tell which are likelier.
    ``alikeness``: h, the difference of cosines at which a neighbor counts 37 %
    in the window that the field is bent in.
    Returns: None where no cell has a likelier match.
    """
    maps = similarities.maps
    matched = maps.square().sum(1, keepdim=True) > 0
    field = resize_field(state.field.float(), *similarities.size)
    before = confidence.of_field(similarities, field, state)
    flow = flow_of(field)
    points = grid(*similarities.size, field)
    goals = points + flow
    edge = goals.new_tensor(similarities.size[::-1]).view(2, 1, 1) - 0.5
    inside = ((goals > -0.5) & (goals < edge)).all(1, keepdim=True)
    doubtful = (before < CELL_SURE) & inside & matched
    chosen, likely = flow, before
    for candidate in (_most_similar(similarities), _near(similarities, goals)):
        motion = candidate.view_as(flow) - points
        trial = torch.cat((field[:, :4], motion), 1)
        chance = confidence.of_field(similarities, trial, state)
        better = doubtful & (chance > likely)
        chosen = torch.where(better, motion, chosen)
        likely = torch.where(better, chance, likely)
    changed = (chosen != flow).any(1)
    if not changed.any():
        return None
    window = bilateral_window(maps, sigma=FIT_SIGMA, alikeness=alikeness)

    def fit(motion: Tensor, weight: Tensor) -> Tensor:
        around = torch.cat((field[:, :4], motion), 1)
        return bilateral_fit(window, motion, weight, around, field).field

    # The difference of two fits, so that the field stays as it is where
    # nothing around was chosen anew.
    bent = fit(chosen, likely) - fit(flow, before)
    moved = state.field + resize_field(bent, *state.field.shape[-2:])
    return Reconsidered(
        state._replace(field=moved),
        confidence.of_field(similarities, moved, state),
        float(changed.float().mean()),
    )


def _most_similar(similarities: PairSimilarities) -> Tensor:
    """Most similar cells of the other image, ``(2, 2, N)`` in (x, y)."""
    points = grid(*similarities.size, similarities.maps).flatten(1)
    places = (similarities.best, similarities.back)
    return torch.stack([points[:, place] for place in places])


def _near(similarities: PairSimilarities, goals: Tensor) -> Tensor:
    """Most similar places near goals ``(2, 2, h, w)``, ``(2, 2, N)``."""
    points = grid(*similarities.size, goals).flatten(1)
    volume = similarities.averaged.cosines
    found = []
    for cosines, goal in zip(
        (volume, volume.T), goals.flatten(2), strict=True
    ):
        apart = torch.cdist(goal.T, points.T).square()
        best = argmax(PEAK_BETA * cosines - apart / (2 * REACH**2), 1)
        place = window_mean(
            cosines[None], points[:, best][None], points, cells=PEAK
        )
        found.append(place[0])
    return torch.stack(found)
