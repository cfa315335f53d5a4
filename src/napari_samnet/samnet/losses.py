"""Losses: content (2), matching (11), semantic attribute matching (12)-(13).

Features are L2-normalized first; squared distances then are
``2 - 2 cosine``, and the sum over a 3x3 patch N_i becomes a box filter of
the correlation volume, so that (13) costs one correlation.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.correlation import (
    center_index,
    inside_window,
    local_correlation,
)
from napari_samnet.samnet.features import normalize

#: tau of (12): probability 0.013, the mask of RTNs, a little over chance.
TAU = -math.log(0.013)


def content_loss(transferred: Tensor, source: Tensor) -> Tensor:
    """L_C of (2) on normalized features, mean over cells."""
    difference = normalize(transferred) - normalize(source)
    return difference.square().sum(1).mean()


def matching_loss(
    transferred: Tensor, warped: Tensor, *, weight: Tensor | None = None
) -> Tensor:
    """D of (11) on normalized features, mean over cells.

    ``transferred``, ``warped``: F^{s<-t,L} and F^{t,L}, ``(B, C, H, W)``.
    ``weight``: ``(B, 1, H, W)`` weights of the cells.
    """
    distance = (normalize(transferred) - normalize(warped)).square().sum(1)
    patches = 9 * F.avg_pool2d(
        distance.unsqueeze(1), 3, 1, 1, count_include_pad=False
    )
    return _mean(patches, weight)


def _mean(loss: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over cells, weighted if there are weights."""
    if weight is None:
        return loss.mean()
    return (loss * weight).sum() / weight.sum().clamp_min(1e-6)


def patch_probability(
    transferred: Tensor, warped: Tensor, *, window: int = 9
) -> Tensor:
    """log K of (13): log-probability of the center within Q_i.

    ``transferred``, ``warped``: F^{s<-t,L} and F^{t,L}, ``(B, C, H, W)``.
    ``window``: side of the window Q_i in cells, odd.
    Returns: ``(B, 1, H, W)``.
    """
    volume = local_correlation(
        normalize(transferred), normalize(warped), window
    )
    # -D = -sum_N (2 - 2 C): constants cancel in the softmax.
    logits = 18 * F.avg_pool2d(volume, 3, 1, 1, count_include_pad=False)
    inside = inside_window(
        volume.shape[2], volume.shape[3], window, like=volume
    )
    logits = logits.masked_fill(~inside, -torch.inf)
    center = center_index(window)
    return logits[:, center : center + 1] - logits.logsumexp(1, keepdim=True)


def semantic_attribute_matching_loss(
    transferred: Tensor,
    warped: Tensor,
    *,
    window: int = 9,
    tau: float = TAU,
    truncate: Literal['min', 'max'] = 'min',
    weight: Tensor | None = None,
) -> Tensor:
    """L_AM of (12), mean over cells.

    ``transferred``, ``warped``: F^{s<-t,L} and F^{t,L}, ``(B, C, H, W)``.
    ``window``: side of the window Q_i in cells, odd.
    ``truncate``: 'max' is the letter of (12), which keeps the gradient of what
    does not match; 'min' keeps that of what does, as the text wants it.
    ``weight``: ``(B, 1, H, W)`` weights of the cells.
    """
    loss = -patch_probability(transferred, warped, window=window)
    limit = loss.clamp_max if truncate == 'min' else loss.clamp_min
    return _mean(limit(tau), weight)


def endpoint_loss(flow: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Mean distance in cells where the truth is valid.

    ``flow``, ``truth``: ``(B, 2, H, W)``. ``valid``: ``(B, 1, H, W)``, 0 or 1.
    """
    error = ((flow - truth).square().sum(1, keepdim=True) + 1e-6).sqrt()
    return (error * valid).sum() / valid.sum().clamp_min(1.0)


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of neighboring pixels, the L2 term."""
    dx = (image[..., 1:] - image[..., :-1]).square().mean()
    dy = (image[..., 1:, :] - image[..., :-1, :]).square().mean()
    return dx + dy
