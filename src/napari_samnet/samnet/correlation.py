"""Local two-term correlation (5) and matching confidence (9).

The volume is ``(B, K*K, H, W)`` for a window of K by K cells; displacements
are in row-major order (dy, dx), so that the center has index ``K*K // 2``.
Outside the image the feature is zero.
"""

from __future__ import annotations

from contextlib import suppress

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.whole_numbers import WholeFeatures


def center_index(window: int) -> int:
    """Index of the zero displacement in a volume of that window."""
    return window * window // 2


def window_offsets(window: int, like: Tensor) -> Tensor:
    """Displacements of a window, ``(K*K, 2)`` in (x, y) cells."""
    radius = window // 2
    steps = torch.arange(
        -radius, radius + 1, device=like.device, dtype=torch.float32
    )
    dy, dx = torch.meshgrid(steps, steps, indexing='ij')
    return torch.stack((dx.reshape(-1), dy.reshape(-1)), 1)


def _check(source: Tensor, target: Tensor, window: int) -> None:
    if source.shape != target.shape or source.ndim != 4:
        raise ValueError(
            f'source and target features must both be (B, C, H, W), got '
            f'{tuple(source.shape)} and {tuple(target.shape)}'
        )
    if window % 2 == 0 or not 1 <= window <= min(source.shape[-2:]):
        raise ValueError(
            f'window must be odd and at most {min(source.shape[-2:])}, the '
            f'side of the feature map, got {window}'
        )


def merge_sources(
    source: Tensor, transferred: Tensor, weight: float
) -> Tensor:
    """Merge both terms of (5) into one feature.

    The two terms share the right-hand factor, so that
    ``(1 - w) <s, t> + w <x, t> = <(1 - w) s + w x, t>``.

    ``source``, ``transferred``: F^s and F^{s<-t}, ``(B, C, H, W)``, unit
    length along C. ``weight``: weight lambda^l of equation (5), from 0 to 1.
    """
    return torch.lerp(source, transferred, weight)


def local_correlation(source: Tensor, target: Tensor, window: int) -> Tensor:
    """Inner products with the target's features in a local window, (5).

    Every row of source cells is multiplied with the K target rows around it
    in one matrix product; the wanted band of each product is a strided view.
    With the channels last in memory, these rows follow one another there.

    ``source``, ``target``: ``(B, C, H, W)``; of unit length along C for
    cosines.
    ``window``: odd side K of the search window P_i, in cells.
    Returns: ``(B, K*K, H, W)``.
    """
    _check(source, target, window)
    if source.is_cuda and not torch.is_grad_enabled():
        with suppress(ImportError):
            from napari_samnet.samnet.kernels.triton_correlation import fastest

            way = fastest(source, target, window, banded_correlation)
            return way(source, target, window)
    return banded_correlation(source, target, window)


def banded_correlation(source: Tensor, target: Tensor, window: int) -> Tensor:
    """Compute :func:`local_correlation` by matrix products of whole rows."""
    batch, channels, height, width = source.shape
    radius = window // 2
    wide = width + window - 1
    left = source.permute(0, 2, 3, 1)
    right = F.pad(target.permute(0, 2, 3, 1), (0, 0, *(radius,) * 4))
    bands = []
    for cells, padded in zip(left, right.contiguous(), strict=True):
        rows = padded.as_strided(
            (height, window * wide, channels), (wide * channels, channels, 1)
        )
        products = torch.bmm(cells, rows.transpose(1, 2))
        s0, s1, s2 = products.stride()
        bands.append(
            products.as_strided(
                (window, window, height, width), (wide * s2, s2, s0, s1 + s2)
            )
        )
    return torch.stack(bands).view(batch, window * window, height, width)


def local_correlation_reference(
    source: Tensor, target: Tensor, window: int
) -> Tensor:
    """Compute :func:`local_correlation` literally, by unfolding the target."""
    _check(source, target, window)
    batch, channels, height, width = source.shape
    patches = F.unfold(target, window, padding=window // 2)
    patches = patches.view(batch, channels, window * window, height, width)
    return (source.unsqueeze(2) * patches).sum(1)


def inside_window(
    height: int, width: int, window: int, like: Tensor
) -> Tensor:
    """Which displacements stay inside the image, ``(1, K*K, H, W)`` bool."""
    ones = torch.ones(1, 1, height, width, device=like.device)
    inside = F.unfold(ones, window, padding=window // 2)
    return inside.view(1, window * window, height, width) > 0


def confidence(correlation: Tensor, beta: float = 10.0) -> Tensor:
    """Softmax of the raw correlation at the window's center, (9).

    ``correlation``: ``(B, K*K, H, W)`` cosines.
    ``beta``: inverse temperature. 1 is the text of the paper, which on cosines
    is almost uniform.
    Returns: ``(B, 1, H, W)``, alpha in (0, 1).
    """
    window = round(correlation.shape[1] ** 0.5)
    if window * window != correlation.shape[1] or window % 2 == 0:
        raise ValueError(
            f'correlation must be (B, K*K, H, W) with odd K, got '
            f'{tuple(correlation.shape)}'
        )
    height, width = correlation.shape[-2:]
    inside = inside_window(height, width, window, correlation)
    logits = (beta * correlation.float()).masked_fill(~inside, -torch.inf)
    center = center_index(window)
    # Cheaper than softmax over 81 channels, of which one is needed.
    top = logits.amax(1, keepdim=True)
    total = (logits - top).exp().sum(1, keepdim=True)
    return (logits[:, center : center + 1] - top).exp() / total


def all_pairs(
    source: Tensor, target: Tensor, *, whole: bool = False
) -> Tensor:
    """Inner products of all cells, ``(B, Hs, Ws, Ht, Wt)``.

    ``whole``: in whole numbers of eight bits, without gradient; see
    :mod:`.whole_numbers`.
    """
    batch, _, height, width = source.shape
    cells, others = (m.flatten(2).transpose(1, 2) for m in (source, target))
    if whole:
        product = torch.empty(
            *cells.shape[:2], others.shape[1], device=cells.device
        )
        for one, other, out in zip(cells, others, product, strict=True):
            WholeFeatures.of(one).products(WholeFeatures.of(other), out)
    else:
        product = cells @ others.transpose(1, 2)
    return product.view(batch, height, width, *target.shape[-2:])
