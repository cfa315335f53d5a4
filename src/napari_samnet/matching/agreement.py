"""How many cells of two images agree with one affine map.

By the light features alone, on small images: cells that are each other's best
match, weighed by how likely the matches are, and an affine map that is fitted
to them robustly. This is not part of the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

#: Temperature of the softmax of the cosines of light features.
TEMPERATURE = 0.07

#: Width, in half sides of the image, of what agrees in the last round of the
#: fit, and weight of "no motion" in shares of the matches' total weight.
WIDTH, DAMPING = 0.15, 0.02


def agreement(source: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
    """Share of cells whose mutual matches agree with one affine map.

    ``source``: ``(1, C, h, w)``.
    ``turned``: ``(K, C, h, w)``.
    Returns: ``agreement``: ``(K,)`` from 0 to 1: the likelihood of the matches
    that agree; ``affine``: ``(K, 2, 3)``, from the source to the view, in
    normalized (row, column).
    """
    import torch

    from napari_samnet.samnet.cell_matches import consensus_inside
    from napari_samnet.samnet.robust_affine import reweighted_affine

    count, _, height, width = turned.shape
    volume = torch.einsum(
        'cn,kcm->knm', source[0].flatten(1), turned.flatten(2)
    )
    volume = consensus_inside(volume.view(count, *2 * [height, width]))
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
    y = points[:, index].permute(1, 0, 2)
    matrix, weights = reweighted_affine(
        points.expand_as(y),
        y,
        prior,
        damping=DAMPING * prior.sum(1).clamp_min(1e-3),
        last=WIDTH,
    )
    # From offsets in half sides to normalized coordinates.
    linear, shift = matrix[:, :, :2], matrix[:, :, 2:]
    half = torch.full((2, 1), 0.5, device=y.device)
    shift = half + shift / 2 - linear @ half
    return weights.mean(1), torch.cat((linear, shift), 2)
