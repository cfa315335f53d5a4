"""How the recurrence of Fig. 3 runs, and what each iteration gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

__all__ = ['Clues', 'Feedback', 'Iteration', 'Recurrence', 'schedule']

Feedback = Literal['feature', 'continue', 'image']


def schedule(index: int, maximum: float = 1.0) -> float:
    """lambda^l = 1 - exp(-l), limited to `maximum`."""
    return min(1.0 - math.exp(-index), maximum)


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """How the recurrence runs; see :class:`napari_samnet.MatchOptions`.

    Parameters
    ----------
    window : int
        Side of P_i in cells.
    iterations : int
        Largest number L of iterations.
    attributes : bool
        Synthesize and match with the transferred image. Without it, the
        recurrence is that of RTNs.
    feedback : {'feature', 'continue', 'image'}
        F^{s<-t} is the matching feature blended by (8), the blended content
        carried on through the rest of the feature network, or encoded from
        the decoded image, as in the paper.
    init : {'global', 'identity'}
        First field T^0: 'global' or 'identity'.
    motions : int
        Affine maps among which each cell finds its start; with more than
        one, supported local matches come on top. Only where `init` is
        'global' and `alikeness` above 0.
    alikeness : float
        h, the difference of cosines at which a neighbor counts 37 % in the
        fit of W_G's parameter-free part. The window is round with 0, and
        with the start 'identity', which is too far off for residuals from it
        to mean anything.
    learned : bool
        Add the residual that W_G has learned to its parameter-free part.
    coarse_iterations : int
        Leading iterations on the map of half the resolution.
    lambda_max : float
        Limit of lambda^l in the matching (5).
    skip : float
        Share b_h of equation (10), from 0 to 1.
    gate : bool
        Blend matchable points only; without it, (8) literally.
    beta : float
        Inverse temperature of (9).
    tolerance : float
        Converged when f changes by less than this many cells on average. 0
        never stops early.
    reference : bool
        Literal kernels (unfold, grid_sample, two terms) instead of the fast
        ones, and F^{s<-t} after the last iteration too: the oracle of every
        fast path.
    """

    window: int = 9
    iterations: int = 10
    attributes: bool = True
    feedback: Feedback = 'feature'
    init: str = 'global'
    motions: int = 4
    alikeness: float = 0.3
    learned: bool = False
    coarse_iterations: int = 0
    lambda_max: float = 0.1
    skip: float = 0.5
    gate: bool = True
    beta: float = 10.0
    tolerance: float = 0.0
    reference: bool = False


class Clues(NamedTuple):
    """What is known about how far a match can be relied on.

    Attributes
    ----------
    uniqueness : Tensor
        ``(B, 1, H, W)`` in [0, 1]: probability of each cell's best match,
        in both directions, among all cells.
    support : Tensor
        ``(B, 1, H, W)`` in [0, 1]: share of the single matches around, by
        alikeness, that agree with the motion that was taken at the start.
    choice : Tensor
        ``(B, 1, H, W)`` in [0, 1]: lead of that motion over the next, 1
        where there was only one.
    """

    uniqueness: Tensor
    support: Tensor
    choice: Tensor


class Iteration(NamedTuple):
    """State after one iteration.

    Attributes
    ----------
    step : int
        Number l of the iteration, from 0.
    field : Tensor
        T^{l+1}, ``(B, 6, H, W)`` in cells.
    correlation : Tensor
        C^l, raw cosines, ``(B, K*K, H, W)``.
    alpha : Tensor
        Confidence (9), ``(B, 1, H, W)``.
    change : float
        Mean change of f in cells.
    last : bool
        Whether the recurrence ends here.
    clues : Clues or None
        Of the start; None with a round window.
    """

    step: int
    field: Tensor
    correlation: Tensor
    alpha: Tensor
    change: float
    last: bool
    clues: Clues | None = None
