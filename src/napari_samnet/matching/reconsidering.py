"""Likelier matches where no pixels confirm the field that was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from napari_samnet.arrays.types import FloatArray
from napari_samnet.matching.refinement import Exact

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samnet.matching.pair import PairRun
    from napari_samnet.samnet.recurrence import Iteration

#: Fields between the images as they came, and confidence (9), of a state.
FieldsOf = Callable[
    ['Iteration'], tuple[tuple[FloatArray, FloatArray], FloatArray]
]

#: Where pixels confirm a part of two images, other cells, confirmed by less
#: than this, may take matches that are away from theirs by more than so many
#: cells. Where fewer cells than the last number could, nothing is done.
CONFIRMED, MOVED, FEWEST = 0.1, 3.0, 28

#: Cells of a square of nine that must take another match for its middle to,
#: and cells by which pixels have moved the match of one that may not any more.
TOGETHER, FOLLOWED = 5, 1.5


class Likelier(NamedTuple):
    """Fields with likelier matches, if there are any."""

    exact: Exact
    #: ``(2, 1, h, w)`` in [0, 1], how likely the matches are right.
    probability: Tensor
    #: Share of the cells of both images that took another match.
    share: float = 0.0
    #: Confidence (9) of all matches, where all were free to change.
    seen: FloatArray | None = None


def likelier_matches(
    run: PairRun,
    state: Iteration,
    probability: Tensor,
    exact: Exact,
    fields_of: FieldsOf,
    *,
    upright: bool,
) -> Likelier:
    """Take likelier matches where the pixels confirm nothing.

    Where they confirm nothing at all, the whole field is free to change. Where
    they confirm a part, as of a background that stands still, what they leave
    over in one image belongs to what they leave over in the other: a small
    animal there is another one, or has changed, and is easily missed by a
    field that the background shares.

    ``probability``: ``(2, 1, h, w)``, how likely the matches of the state are
    right.
    ``exact``: its fields, down to the pixel where that could be had.
    ``upright``: whether the target was seen as it is. If not, a part of the
    field is not changed.
    """
    import torch

    with torch.inference_mode():
        if exact.about is None:
            better = run.reconsidered(state, probability)
            fields, seen = fields_of(better.state)
            return Likelier(
                Exact(*fields), better.probability, better.share, seen
            )
        if exact.confirmed is None or not upright:
            return Likelier(exact, probability)
        rows, columns = probability.shape[-2:]
        confirmed = torch.from_numpy(exact.confirmed_shares((rows, columns)))
        confirmed = confirmed[:, None].to(probability)
        known = (confirmed > CONFIRMED).to(probability)
        if run.free_cells(probability.maximum(known), state.field) < FEWEST:
            return Likelier(exact, probability)
        better = run.reconsidered(state, probability)
        taken = _left_over(state, better.state, exact, confirmed)
        taken = taken * (better.probability > probability)
        taken = taken * (_around(taken > 0) >= TOGETHER)
        fields, _ = fields_of(better.state)
        return Likelier(
            exact.mixed_with(fields, taken[:, 0].cpu().numpy()),
            probability + taken * (better.probability - probability),
            float((taken > 0).float().mean()),
        )


def _left_over(
    state: Iteration, better: Iteration, exact: Exact, confirmed: Tensor
) -> Tensor:
    """How far each cell shall take the better match, ``(2, 1, h, w)``.

    As far as the pixels confirm neither the cell nor the place that it would
    then lead to, by a match elsewhere; not at all where the pixels have led
    elsewhere already.
    """
    import torch

    from napari_samnet.samnet.field import flow_of, resize_field, warp

    rows, columns = confirmed.shape[-2:]
    old, new = (
        flow_of(resize_field(one.field.float(), rows, columns))
        for one in (state, better)
    )
    now = torch.from_numpy(exact.at_cells((rows, columns))).to(old)
    moved = (new - old).norm(dim=1, keepdim=True) > MOVED
    moved &= (now - old).norm(dim=1, keepdim=True) < FOLLOWED
    there = warp(confirmed.flip(0), new).clamp(0, 1)
    return moved * (1 - confirmed) * (1 - there)


def _around(cells: Tensor) -> Tensor:
    """How many of the nine cells around each one are such ones."""
    import torch.nn.functional as F

    return (9 * F.avg_pool2d(cells.float(), 3, 1, 1)).round()
