"""How the recurrence of Fig. 3 runs, and what each iteration gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

Feedback = Literal['feature', 'continue', 'image']


def schedule(index: int, maximum: float = 1.0) -> float:
    """lambda^l = 1 - exp(-l), limited to `maximum`."""
    return min(1.0 - math.exp(-index), maximum)


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """How the recurrence runs; see :class:`napari_samnet.MatchOptions`."""

    #: Side of P_i in cells.
    window: int = 9
    #: Largest number L of iterations.
    iterations: int = 10
    #: Synthesize and match with the transferred image. Without it, the
    #: recurrence is that of RTNs.
    attributes: bool = True
    #: F^{s<-t} is the matching feature blended by (8), the blended content
    #: carried on through the rest of the feature network, or encoded from the
    #: decoded image, as in the paper.
    feedback: Feedback = 'feature'
    #: First field T^0: 'global' or 'identity'.
    init: str = 'global'
    #: Affine maps among which each cell finds its start; with more than one,
    #: supported local matches come on top. Only where `init` is 'global' and
    #: `alikeness` above 0.
    motions: int = 4
    #: h, the difference of cosines at which a neighbor counts 37 % in the fit
    #: of W_G's parameter-free part. The window is round with 0, and with the
    #: start 'identity', which is too far off for residuals from it to mean
    #: anything.
    alikeness: float = 0.3
    #: Leading iterations on the map of half the resolution.
    coarse_iterations: int = 0
    #: Limit of lambda^l in the matching (5).
    lambda_max: float = 0.1
    #: Share b_h of equation (10), from 0 to 1.
    skip: float = 0.5
    #: Blend matchable points only; without it, (8) literally.
    gate: bool = True
    #: Inverse temperature of (9).
    beta: float = 10.0
    #: Converged when f changes by less than this many cells on average. 0
    #: never stops early.
    tolerance: float = 0.0
    #: Literal kernels (unfold, grid_sample, two terms) instead of the fast
    #: ones, and F^{s<-t} after the last iteration too: the oracle of every
    #: fast path.
    reference: bool = False
    #: Compare all cells of small maps in whole numbers of eight bits, where
    #: the processor multiplies these faster; see :mod:`.whole_numbers`.
    whole_numbers: bool = False

    @property
    def guided(self) -> bool:
        """Whether fits follow the object, and the start tells of it."""
        return self.alikeness > 0 and self.init == 'global'


class Clues(NamedTuple):
    """What is known about how far a match can be relied on."""

    #: ``(B, 1, H, W)`` in [0, 1]: probability of each cell's best match, in
    #: both directions, among all cells.
    uniqueness: Tensor
    #: ``(B, 1, H, W)`` in [0, 1]: share of the single matches around, by
    #: alikeness, that agree with the motion that was taken at the start.
    support: Tensor
    #: ``(B, 1, H, W)`` in [0, 1]: lead of that motion over the next, 1 where
    #: there was only one.
    choice: Tensor


class Iteration(NamedTuple):
    """State after one iteration."""

    #: Number l of the iteration, from 0.
    step: int
    #: T^{l+1}, ``(B, 6, H, W)`` in cells.
    field: Tensor
    #: C^l, raw cosines, ``(B, K*K, H, W)``.
    correlation: Tensor
    #: Confidence (9), ``(B, 1, H, W)``.
    alpha: Tensor
    #: Mean change of f in cells.
    change: float
    #: Whether the recurrence ends here.
    last: bool
    #: Of the start; None with a round window.
    clues: Clues | None = None


def is_last(index: int, change: float, options: Recurrence) -> bool:
    """Whether the recurrence ends with this iteration, (7)."""
    if index + 1 == options.iterations:
        return True
    converged = change < options.tolerance
    return converged and index >= options.coarse_iterations
