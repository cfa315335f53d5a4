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


def robust_affine(
    cells: Tensor,
    positions: Tensor,
    weights: Tensor,
    *,
    middle: Tensor,
    scale: float,
    rounds: int = 8,
) -> Tensor:
    """Fit affine maps by iteratively reweighted least squares.

    Residuals count by the square of Cauchy's weight. A weak prior for "no
    motion" keeps the fit sound without matches.

    ``cells``: ``(2, N)`` in (x, y), the same of all images.
    ``positions``: ``(B, 2, N)``: where each of them matches.
    ``weights``: ``(B, N)``, at least 0: how far each match is believed.
    ``middle``: ``(2, 1)`` or ``(B, 2, 1)``: the place about which the prior is
    "no motion".
    ``scale``: unit of length of the prior and of the residuals, in cells. A
    larger one bears matches that are further off.
    Returns: ``(B, 2, 3)`` from (x, y, 1) to (x, y).
    """
    x = ((cells - middle) / scale).expand_as(positions)
    x = torch.cat((x, torch.ones_like(x[:, :1])), 1)
    y = (positions - middle) / scale
    prior = torch.eye(2, 3, device=x.device)
    damping = DAMPING * weights.sum(1).clamp_min(1.0).view(-1, 1, 1)
    square = damping * torch.eye(3, device=x.device)
    current = weights
    matrix = prior.expand(len(y), 2, 3)
    for index in range(rounds):
        weighted = (x * current.unsqueeze(1)).transpose(1, 2)
        right = y @ weighted + damping * prior
        matrix = torch.linalg.solve_ex(
            x @ weighted + square, right.transpose(1, 2)
        ).result.transpose(1, 2)
        error = (y - matrix @ x).square().sum(1)
        width = max(FIRST * SHRINK**index, LAST)
        current = weights / (1 + error / width**2) ** 2
    linear = matrix[:, :, :2]
    shift = scale * matrix[:, :, 2:] + middle - linear @ middle
    return torch.cat((linear, shift), 2)
