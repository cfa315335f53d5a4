"""Each match at the peak of likeness that lies next to it.

A field that neighbors share is smooth, and passes the most similar cell by a
little. Where no pixels can say where exactly a place belongs, since the images
show two different things, the cells around it are asked once more, without the
neighbors. This is not part of the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_samnet.samnet.candidates import CELL_SURE
from napari_samnet.samnet.cell_matches import argmax, window_mean
from napari_samnet.samnet.confidence_measures import PairSimilarities
from napari_samnet.samnet.field import flow_of, grid, resize_field
from napari_samnet.samnet.recurrence import Iteration

#: Standard deviation in cells of the window around a match, and the inverse
#: temperature of the cosines in it.
CELLS, BETA = 1.5, 50.0


def at_peaks(
    similarities: PairSimilarities, state: Iteration, probability: Tensor
) -> Iteration:
    """Move each match to the mean of the likely cells around it.

    A doubtful one goes to the mean around the likeliest of them: of two peaks
    one is taken, and not what lies between them.

    ``state``: both directions of a pair.
    ``probability``: ``(2, 1, h, w)`` in the cells of the similarities, how
    likely its matches are right.
    Returns: the same state with another field. Matches beyond the edge and
    cells that are left out, which look like nothing, stay.
    """
    size = similarities.size
    field = resize_field(state.field.float(), *size)
    points = grid(*size, field).flatten(1)
    goals = points + flow_of(field).flatten(2)
    volume = torch.stack(
        (similarities.averaged.cosines, similarities.averaged.cosines.T)
    )
    away = _squared_distances(goals, points).div_(2 * CELLS**2)
    likeliest = argmax(away.add_(volume, alpha=-BETA).neg_(), 2)
    middles = torch.where(
        probability.flatten(2) < CELL_SURE,
        points[:, likeliest].transpose(0, 1),
        goals,
    )
    peaks = window_mean(volume, middles, points, cells=CELLS, beta=BETA)
    edge = goals.new_tensor(size[::-1]).view(2, 1) - 0.5
    inside = ((goals > -0.5) & (goals < edge)).all(1, keepdim=True)
    known = similarities.maps.flatten(2).square().sum(1, keepdim=True) > 0
    step = (peaks - goals) * (inside & known)
    change = torch.zeros_like(field)
    change[:, 4:] = step.view(2, 2, *size)
    change = resize_field(change, *state.field.shape[-2:])
    return state._replace(field=state.field + change)


def _squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """Squared distances of places ``(B, 2, n)`` and ``(2, m)``, (B, n, m)."""
    squares = one.square().sum(1)[..., None] + other.square().sum(0)
    return squares.sub_(2 * one.transpose(1, 2) @ other)
