"""Likelier matches where those of the field are doubtful.

A field of motions that neighbors share cannot follow one pose into another:
there, the most similar cells are right more often. So each doubtful cell has
two candidates: the match of the field, and the most similar cell of the whole
image. The confidence that was fitted to right and wrong matches judges both,
and the field is bent to the likelier ones. This is not part of the paper.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.bilateral import bilateral_fit
from napari_samnet.samnet.bilateral_window import bilateral_window
from napari_samnet.samnet.confidence import MatchConfidence
from napari_samnet.samnet.confidence_measures import PairSimilarities
from napari_samnet.samnet.correlation import all_pairs
from napari_samnet.samnet.field import flow_of, grid, resize_field
from napari_samnet.samnet.recurrence import Iteration

#: Confidence of a cell from which on its match stays.
CELL_SURE = 0.6

#: Cells by which the most similar ones may miss each other there and back, and
#: from which on a place is elsewhere.
RETURNS, ELSEWHERE = 2.0, 3.0

#: Width in cells of the window in which the field is bent to what was chosen.
FIT_SIGMA = 2.0

#: Cells along a side of the square in which the confidence must gain.
GAIN_CELLS = 5


class Reconsidered(NamedTuple):
    """A state whose field follows the likeliest candidates."""

    state: Iteration
    #: ``(2, 1, h, w)`` in [0, 1], how likely its matches are right.
    probability: Tensor
    #: Share of the cells of both images that took another match.
    share: float


def reconsidered(
    confidence: MatchConfidence,
    similarities: PairSimilarities,
    state: Iteration,
    before: Tensor,
    *,
    alikeness: float,
    whole: bool = False,
) -> Reconsidered | None:
    """Take likelier matches where there are any.

    ``before``: ``(2, 1, h, w)``, how likely the matches of the state are right
    in the cells of the similarities.
    ``alikeness``: h, the difference of cosines at which a neighbor counts 37 %
    in the window that the field is bent in.
    ``whole``: whether that is told in whole numbers, see
    :func:`~.correlation.all_pairs`.
    Returns: None where no cell has a likelier match.
    """
    maps = similarities.maps
    field = resize_field(state.field.float(), *similarities.size)
    flow = flow_of(field)
    points = grid(*similarities.size, field)
    goals = points + flow
    edge = goals.new_tensor(similarities.size[::-1]).view(2, 1, 1) - 0.5
    doubtful = before < CELL_SURE
    doubtful &= ((goals > -0.5) & (goals < edge)).all(1, keepdim=True)
    doubtful &= maps.square().sum(1, keepdim=True) > 0
    if not doubtful.any():
        return None
    candidates = candidate_field(similarities, field)
    motion = flow_of(candidates)
    chance = confidence.of_field(similarities, candidates, state)
    better = doubtful & (chance > before)
    if not better.any():
        return None
    window = bilateral_window(
        maps,
        sigma=FIT_SIGMA,
        alikeness=alikeness,
        cosines=all_pairs(maps, maps, whole=whole).flatten(3).flatten(1, 2),
    )

    def fit(motion: Tensor, weight: Tensor) -> Tensor:
        around = torch.cat((field[:, :4], motion), 1)
        return bilateral_fit(window, motion, weight, around, field).field

    # The difference of two fits, so that the field stays as it is where
    # nothing around was chosen anew.
    chosen = torch.where(better, motion, flow)
    likely = torch.where(better, chance, before)
    bent = fit(chosen, likely) - fit(flow, before)
    after = confidence.of_field(similarities, field + bent, state)
    # The chosen cells may not go together: what they bend must gain as well.
    gained = _mean(_mean(after - before, GAIN_CELLS).gt(0).float(), 3)
    bent = gained * bent
    moved = state.field + resize_field(bent, *state.field.shape[-2:])
    return Reconsidered(
        state._replace(field=moved),
        gained * after + (1 - gained) * before,
        float((gained * better).mean()),
    )


def free_cells(
    similarities: PairSimilarities, sure: Tensor, field: Tensor
) -> int:
    """How many doubtful cells find another doubtful one elsewhere.

    ``sure``: ``(2, 1, h, w)``, how likely each match is right. ``field``:
    ``(2, 6, H, W)``, that the matches are of.
    """
    size = similarities.size
    doubtful = (sure < CELL_SURE).flatten(1)
    flow = flow_of(resize_field(field.float(), *size)).flatten(2)
    points = grid(*size, sure).flatten(1)
    ways = similarities.best, similarities.back
    free = 0
    for one, (there, back) in enumerate((ways, ways[::-1])):
        error = (points[:, back[there]] - points).norm(dim=0)
        away = (points[:, there] - points - flow[one]).norm(dim=0)
        elsewhere = (error < RETURNS) & (away > ELSEWHERE)
        both = doubtful[one] & doubtful[1 - one][there]
        free += int((both & elsewhere).sum())
    return free


def _mean(maps: Tensor, side: int) -> Tensor:
    """Mean over squares of cells, of those inside."""
    return F.avg_pool2d(maps, side, 1, side // 2, count_include_pad=False)


def candidate_field(similarities: PairSimilarities, field: Tensor) -> Tensor:
    """Most similar cells of the other image as matches, with a field's maps.

    ``field``: ``(2, 6, h, w)``, in the cells of the similarities.
    Returns: of the same shape.
    """
    points = grid(*similarities.size, field)
    goals = [
        points.flatten(1)[:, place]
        for place in (similarities.best, similarities.back)
    ]
    motion = torch.stack(goals).view_as(field[:, 4:]) - points
    return torch.cat((field[:, :4], motion), 1)
