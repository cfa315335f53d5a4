"""How likely a match is right, from what speaks for and against it.

The paper's confidence (9) compares the cells of a window with one another: it
is high wherever a field fits its surroundings, also where the object is
somewhere else in the image or not in it at all. Here every cell is asked
several questions, and a logistic regression that was fitted to keypoints and
known warps of training images says how often such answers are right. That is
not in the paper.

The questions are, for a cell i whose match is p:

- of the likelihood of all cells, how much lies around p (softmax of the
  cosines over the target), and how much if p must choose i as well;
- how alike i and p are, and how much more alike the best cell is;
- how far the way there and back misses i;
- the same of the whole object, averaged over the neighbors that look like i,
  and how large this neighborhood is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import flow_of, grid, resize_field, warp

__all__ = ['EVIDENCE', 'EVIDENCE_CELLS', 'evidence']

#: Cells a side on which the questions are asked; larger maps are averaged.
EVIDENCE_CELLS = 32

#: Inverse temperature of the softmax over all cells.
BETA = 33.0

#: Half the side of the square around p, and the width of its Gaussian.
AROUND, SPREAD = 2, 1.0

#: Of the neighbors that stand for the object, on cells twice as wide: width of
#: the Gaussian of the distance, and difference of the cosine after which they
#: count 37 %.
NEIGHBOR_SIGMA, ALIKENESS = 3.0, 0.3

#: The answers, in the order of the channels of :func:`evidence`.
EVIDENCE = (
    'likelihood',
    'mutual likelihood',
    'cosine',
    'lead of the best',
    'there and back',
    'likelihood, object',
    'mutual likelihood, object',
    'cosine, object',
    'size of the object',
)


def _reduced(features: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
    """Features and field on at most EVIDENCE_CELLS a side."""
    height, width = features.shape[-2:]
    longer = max(height, width)
    if longer <= EVIDENCE_CELLS:
        return features.float(), flow_of(field).float()
    rows, columns = (
        max(1, round(side * EVIDENCE_CELLS / longer))
        for side in (height, width)
    )
    smaller = F.interpolate(
        features.float(), size=(rows, columns), mode='area'
    )
    return normalize(smaller), flow_of(resize_field(field, rows, columns))


def evidence(features: Tensor, field: Tensor) -> Tensor:
    """Answer the questions for both directions of a pair.

    Parameters
    ----------
    features : Tensor
        Matching features of the two images, ``(2, C, H, W)`` of unit length
        along C.
    field : Tensor
        ``(2, 6, H, W)``, from the first image to the second and back.

    Returns
    -------
    Tensor
        ``(2, len(EVIDENCE), h, w)`` for the cells of either image; h and w
        are at most `EVIDENCE_CELLS`.
    """
    features, flow = _reduced(features, field)
    height, width = flow.shape[-2:]
    cells = features.flatten(2)
    one = BETA * (cells[0].T @ cells[1])
    logits = torch.stack((one, one.T))
    rows, columns = logits.logsumexp(2), logits.logsumexp(1)
    indices, distance = _around(flow)
    at = logits.gather(2, indices)
    near = -distance / (2 * SPREAD**2)
    chosen = (at + near).logsumexp(2) - rows
    rivals = columns.gather(1, indices.flatten(1)).view_as(at)
    mutual = (2 * at - rows[..., None] - rivals + near).logsumexp(2)
    cosine = (at * near.softmax(2)).sum(2) / BETA
    lead = logits.amax(2) / BETA - cosine
    error = (flow + warp(flow.flip(0), flow)).norm(dim=1).flatten(1)
    answers = torch.stack(
        (
            chosen.clamp(-8, 0),
            mutual.clamp(-12, 0),
            cosine,
            lead,
            (error.clamp(0, 8) + 0.25).log(),
        ),
        1,
    ).view(2, 5, height, width)
    answers = F.avg_pool2d(answers, 3, 1, 1, count_include_pad=False)
    return torch.cat((answers, _of_object(features, answers[:, :3])), 1)


def _around(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Cells around where each cell goes, ``(2, N, K)``, and how far they are.

    Cells beyond the rim are infinitely far.
    """
    height, width = flow.shape[-2:]
    goals = (grid(height, width, like=flow) + flow).flatten(2).mT
    steps = torch.arange(-AROUND, AROUND + 1, device=flow.device)
    dy, dx = torch.meshgrid(steps, steps, indexing='ij')
    offsets = torch.stack((dx.flatten(), dy.flatten()), 1)
    cells = goals.round().long()[:, :, None] + offsets
    size = cells.new_tensor((width, height))
    inside = ((cells >= 0) & (cells < size)).all(-1)
    distance = (cells - goals[:, :, None]).square().sum(-1)
    distance = distance.masked_fill(~inside, 100.0)
    x = cells[..., 0].clamp(0, width - 1)
    y = cells[..., 1].clamp(0, height - 1)
    return y * width + x, distance


def _of_object(features: Tensor, answers: Tensor) -> Tensor:
    """Means over the neighbors that look alike, and how many there are."""
    size = answers.shape[-2:]
    features = normalize(F.avg_pool2d(features, 2, ceil_mode=True))
    answers = F.avg_pool2d(answers, 2, ceil_mode=True)
    height, width = answers.shape[-2:]
    cells = features.flatten(2)
    places = grid(height, width, like=features).view(2, -1)
    distance = (places[:, :, None] - places[:, None]).square().sum(0)
    logits = (cells.mT @ cells - 1) / ALIKENESS
    weight = (logits - distance / (2 * NEIGHBOR_SIGMA**2)).exp()
    total = weight.sum(2, keepdim=True)
    means = (weight @ answers.flatten(2).mT) / total
    found = torch.cat((means, total.log()), 2).mT
    return F.interpolate(
        found.reshape(2, -1, height, width),
        size=size,
        mode='bilinear',
        align_corners=False,
    )
