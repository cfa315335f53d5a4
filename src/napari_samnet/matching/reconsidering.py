"""Likelier matches where no pixels confirm the field that was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

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
CONFIRMED, MOVED, FEWEST = 0.1, 2.0, 14

#: By how much more likely such a match must be, and where pixels have led the
#: one in its place by more than so many cells.
LIKELIER, FOLLOWED, LIKELIER_THERE = 0.02, 3.0, 0.1

#: Cells next to each other that must take such matches for any of them to, and
#: from which share on, of what is confirmed neither here nor there, one does.
TOGETHER, FREE = 10, 0.5


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
        return _left_over(run, state, probability, exact, fields_of)


def _left_over(
    run: PairRun,
    state: Iteration,
    probability: Tensor,
    exact: Exact,
    fields_of: FieldsOf,
) -> Likelier:
    """Take likelier matches of what a confirmed part leaves over."""
    import torch

    rows, columns = probability.shape[-2:]
    confirmed = torch.from_numpy(exact.confirmed_shares((rows, columns)))
    confirmed = confirmed[:, None].to(probability)
    sure = probability.maximum((confirmed > CONFIRMED).to(probability))
    # Small maps are compared on more cells than they have.
    finer = max(1.0, confirmed[0].numel() / state.field[0, 0].numel())
    if run.free_cells(sure, state.field) < FEWEST * finer:
        return Likelier(exact, probability)
    refined = _refined(state, exact)
    now = run.match_probability(refined)
    assert now is not None
    better = run.reconsidered(refined, now)
    gain = better.probability - now
    taken = _taken((state, refined, better.state), gain, confirmed)
    least = round(TOGETHER * finer)
    patches = np.stack([_together(one, least) for one in taken.cpu().numpy()])
    fields, _ = fields_of(better.state)
    there = torch.from_numpy(patches)[:, None].to(gain.device)
    return Likelier(
        exact.mixed_with(fields, patches),
        torch.where(there, better.probability, now),
        float(patches.mean()),
    )


def _refined(state: Iteration, exact: Exact) -> Iteration:
    """The state whose matches are those that the pixels have led to."""
    import torch

    linear, size = state.field[:, :4], state.field.shape[-2:]
    flow = torch.from_numpy(exact.at_cells((size[0], size[1]))).to(linear)
    return state._replace(field=torch.cat((linear, flow), 1))


def _taken(
    states: Sequence[Iteration], gain: Tensor, confirmed: Tensor
) -> Tensor:
    """Which cells shall take the better match, ``(2, h, w)``.

    Those that have a likelier one elsewhere, where the pixels confirm neither
    the cell nor the place that it would then lead to.

    ``states``: as it came, refined by pixels, and with better matches.
    ``gain``: ``(2, 1, h, w)``, by how much likelier the latter are.
    """
    import torch

    from napari_samnet.samnet.field import flow_of, resize_field, warp

    rows, columns = confirmed.shape[-2:]
    came, now, new = (
        flow_of(resize_field(one.field.float(), rows, columns))
        for one in states
    )
    led = (now - came).norm(dim=1, keepdim=True) > FOLLOWED
    moved = (new - now).norm(dim=1, keepdim=True) > MOVED
    moved &= gain > torch.where(led, LIKELIER_THERE, LIKELIER)
    there = warp(confirmed.flip(0), new).clamp(0, 1)
    return (moved & ((1 - confirmed) * (1 - there) >= FREE))[:, 0]


def _together(cells: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Cells (h, w) of which so many or more lie next to each other."""
    patches, _ = ndimage.label(cells, np.ones((3, 3)))
    many = np.bincount(patches.ravel()) >= least
    many[0] = False
    return np.asarray(many[patches])
