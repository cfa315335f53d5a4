"""How many cells of two images agree with one affine map.

By the light features alone, on small images: cells that are each other's best
match, weighed by how likely the matches are, and an affine map that is fitted
to them robustly. This is not part of the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

#: Agreement: softmax of cosines, rounds of the robust fit, and the width,
#: in half sides of the image, of what agrees in the last one.
TEMPERATURE, ROUNDS, WIDTH = 0.07, 8, 0.15


def agreement(source: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
    """Share of cells whose mutual matches agree with one affine map.

    ``source``: ``(1, C, h, w)``.
    ``turned``: ``(K, C, h, w)``.
    Returns: ``agreement``: ``(K,)`` from 0 to 1: the likelihood of the matches
    that agree; ``affine``: ``(K, 2, 3)``, from the source to the view, in
    normalized (row, column).
    """
    import torch

    count, _, height, width = turned.shape
    volume = torch.einsum(
        'cn,kcm->knm', source[0].flatten(1), turned.flatten(2)
    )
    volume = _consensus(volume.view(count, *2 * [height, width]))
    volume = volume.reshape(count, height * width, height * width)
    logits = volume / TEMPERATURE
    both = logits.softmax(2) * logits.softmax(1)
    likely, index = both.max(2)
    cells = torch.arange(height * width, device=volume.device)
    mutual = both.argmax(1).gather(1, index) == cells
    prior = likely.sqrt() * mutual
    rows = (torch.arange(height, device=volume.device) + 0.5) / height
    columns = (torch.arange(width, device=volume.device) + 0.5) / width
    points = (
        2
        * torch.stack(torch.meshgrid(rows, columns, indexing='ij')).view(2, -1)
        - 1
    )
    x = torch.cat((points, torch.ones_like(points[:1])))
    y = points[:, index].permute(1, 0, 2)
    still = torch.eye(2, 3, device=x.device)
    damping = 0.02 * prior.sum(1).clamp_min(1e-3).view(-1, 1, 1)
    pull = damping * torch.eye(3, device=x.device)
    weights, matrix = prior, still.expand(count, 2, 3)
    for round_number in range(ROUNDS):
        weighted = x * weights.unsqueeze(1)
        matrix = torch.linalg.solve(
            weighted @ x.T + pull,
            (y @ weighted.transpose(1, 2) + damping * still).transpose(1, 2),
        ).transpose(1, 2)
        error = (y - matrix @ x).square().sum(1)
        weights = (
            prior / (1 + error / max(0.5 * 0.7**round_number, WIDTH) ** 2) ** 2
        )
    # From offsets in half sides to normalized coordinates.
    linear, shift = matrix[:, :, :2], matrix[:, :, 2:]
    half = torch.full((2, 1), 0.5, device=x.device)
    shift = half + shift / 2 - linear @ half
    return weights.mean(1), torch.cat((linear, shift), 2)


def _consensus(volume: Tensor) -> Tensor:
    """Mean of the cosines of neighbors with equal displacements."""
    import torch
    import torch.nn.functional as F

    height, width = volume.shape[1:3]
    count = torch.ones_like(volume[:1])
    padded, counted = (F.pad(one, (1,) * 8) for one in (volume, count))
    total, number = torch.zeros_like(volume), torch.zeros_like(count)
    for down in range(3):
        for right in range(3):
            rows = slice(down, down + height)
            columns = slice(right, right + width)
            total += padded[:, rows, columns, rows, columns]
            number += counted[:, rows, columns, rows, columns]
    return total / number
