"""Matches of category pairs that the network makes itself, as labels.

Nobody annotated these pairs. Where the network, matching as `match` does by
default, comes back to where it began, its match is mostly right, and learning
from it makes the features of one kind of thing more alike. Cells count by how
exactly they come back and by how sharp their match is: smooth fields agree
with themselves where nothing is to be seen, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_samnet.samnet.features import Features
from napari_samnet.samnet.field import flow_of, grid, warp
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Recurrence
from napari_samnet.training.feature_store import FeatureStore
from napari_samnet.training.taught_examples import MatchExamples
from napari_samnet.training.viewpairs import choose_pairs

#: Error in cells, there and back, beyond which a match is no label, and at
#: which a label counts 61 %.
AGREED, CONSISTENT = 1.2, 0.8

#: Share of the cells of a pair that must agree.
LEAST_AGREEMENT = 0.35

#: Inverse temperature at which the sharpness of a match is judged.
SHARPNESS_BETA = 33.0


@torch.no_grad()
def category_matches(
    model: SAMNet,
    store: FeatureStore,
    indices: Sequence[int],
    categories: Sequence[str],
    *,
    most: int = 100,
    tell: Callable[[int], None] = lambda _: None,
) -> MatchExamples:
    """Match similar views of one category, and keep what agrees.

    ``store``: features of the images, not projected. ``most``: pairs that are
    matched at most, evenly chosen.
    """
    projection = model.features.projection
    assert projection is not None
    kept, goals, weights = [], [], []
    maps = [store.maps(index, projection).half() for index in indices]
    pairs = torch.zeros(0, 2, dtype=torch.long)
    if maps:
        pairs = choose_pairs(torch.cat(maps), categories, per_image=2)
    step = max(1, -(-len(pairs) // most))
    for number, pair in enumerate(pairs[::step]):
        target_flow, weight = _agreement(
            model, *(maps[int(index)].float() for index in pair)
        )
        tell(number + 1)
        if float((weight > 0).float().mean()) >= LEAST_AGREEMENT:
            kept.append(torch.tensor([indices[int(i)] for i in pair]))
            goals.append(target_flow)
            weights.append(weight)
    if not kept:
        empty = torch.zeros(0, store.side**2)
        none = torch.zeros(0, 2, dtype=torch.long)
        return MatchExamples(none, empty[..., None], empty, store.side)
    return MatchExamples(
        torch.stack(kept),
        torch.stack(goals),
        torch.stack(weights),
        store.side,
    )


def _agreement(
    model: SAMNet, source: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Where the cells of the source go, and how much that is a label.

    Returns: ``goals``: ``(cells, 2)`` in (x, y) cells of the target;
    ``weight``: ``(cells,)`` in [0, 1], 0 where the match is no label.
    """
    none = source.new_zeros(2, 0, 1, 1)
    both = torch.cat((source, target))
    options = Recurrence(window=model.config.window, tolerance=0.25)
    flow = none
    for state in model.iterate(
        Features(both, none, ()), Features(both.flip(0), none, ()), options
    ):
        flow = flow_of(state.field)
    there, back = flow[:1], flow[1:]
    error = (there + warp(back, there)).norm(dim=1).flatten()
    height, width = flow.shape[-2:]
    cells = grid(height, width, like=flow)
    goals = (cells + there[0]).flatten(1).T
    size = goals.new_tensor((width, height))
    inside = ((goals >= -0.5) & (goals <= size - 0.5)).all(1)
    weight = torch.exp(-(error**2) / (2 * CONSISTENT**2))
    weight = weight * _sharpness(source, target, goals)
    weight = torch.where(inside & (error < AGREED), weight, 0.0)
    return goals, weight


def _sharpness(source: Tensor, target: Tensor, goals: Tensor) -> Tensor:
    """Share of the likelihood of all cells that lies close to the goal."""
    height, width = target.shape[-2:]
    likeness = source[0].flatten(1).T @ target[0].flatten(1)
    mutual = (SHARPNESS_BETA * likeness).softmax(1)
    mutual = mutual * (SHARPNESS_BETA * likeness).softmax(0)
    cells = grid(height, width, like=target).view(2, -1).T
    distance = (goals[:, None] - cells[None]).square().sum(-1)
    near = (mutual * torch.exp(-distance / 2)).sum(1)
    return near.clamp(0, 1).sqrt()
