"""One affine map of many matches, some of them wrong."""

from __future__ import annotations

import torch
from torch import Tensor

#: Weight of "no motion", in shares of the matches' total weight.
DAMPING = 0.01

#: Width of a residual in the first round, factor from round to round, and the
#: least one, in units of the scale: graduated, from a wide basin to a few
#: cells.
FIRST, SHRINK, LAST = 0.5, 0.7, 0.12

#: Rounds of the fit.
ROUNDS = 8


def robust_affine(
    cells: Tensor,
    positions: Tensor,
    weights: Tensor,
    *,
    middle: Tensor,
    scale: float,
) -> Tensor:
    """Fit affine maps to matches of cells, see :func:`reweighted_affine`.

    ``cells``: ``(2, N)`` in (x, y), the same of all images.
    ``positions``: ``(B, 2, N)``: where each of them matches.
    ``weights``: ``(B, N)``, at least 0: how far each match is believed.
    ``middle``: ``(2, 1)`` or ``(B, 2, 1)``: the place about which the prior is
    "no motion".
    ``scale``: unit of length of the prior and of the residuals, in cells. A
    larger one bears matches that are further off.
    Returns: ``(B, 2, 3)`` from (x, y, 1) to (x, y).
    """
    matrix, _ = reweighted_affine(
        ((cells - middle) / scale).expand_as(positions),
        (positions - middle) / scale,
        weights,
        damping=DAMPING * weights.sum(1).clamp_min(1.0),
        last=LAST,
    )
    linear = matrix[:, :, :2]
    shift = scale * matrix[:, :, 2:] + middle - linear @ middle
    return torch.cat((linear, shift), 2)


def reweighted_affine(
    x: Tensor,
    y: Tensor,
    weights: Tensor,
    *,
    damping: Tensor,
    last: float,
) -> tuple[Tensor, Tensor]:
    """Fit affine maps by iteratively reweighted least squares.

    Residuals count by the square of Cauchy's weight, in a width that shrinks
    from round to round. A weak prior for "no motion" keeps the fit sound
    without matches.

    ``x``, ``y``: ``(B, 2, N)``: places that match, in any unit of length, with
    the middle at 0.
    ``weights``: ``(B, N)``, at least 0: how far each match is believed.
    ``damping``: ``(B,)``: weight of the prior, above 0.
    ``last``: least width of a residual, in units of the places.
    Returns: ``(B, 2, 3)`` from (x, 1) to y; and the weights ``(B, N)`` of the
    matches that are left after the last round.
    """
    x = torch.cat((x, torch.ones_like(x[:, :1])), 1)
    prior = torch.eye(2, 3, device=x.device)
    damping = damping.view(-1, 1, 1)
    square = damping * torch.eye(3, device=x.device)
    current = weights
    matrix = prior.expand(len(y), 2, 3)
    for index in range(ROUNDS):
        weighted = (x * current.unsqueeze(1)).transpose(1, 2)
        right = y @ weighted + damping * prior
        matrix = torch.linalg.solve_ex(
            x @ weighted + square, right.transpose(1, 2)
        ).result.transpose(1, 2)
        error = (y - matrix @ x).square().sum(1)
        width = max(FIRST * SHRINK**index, last)
        current = weights / (1 + error / width**2) ** 2
    return matrix, current
