"""Products of the channels of maps, each pair once."""

from __future__ import annotations

import torch
from torch import Tensor


def _pairs(first: int, count: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(first) for b in range(a, count)]


def products(maps: Tensor, first: int) -> Tensor:
    """Products of the first channels with all channels, each pair once.

    ``maps``: ``(K, h, w)``, one map for each channel. Returns: ``(P, h, w)``,
    in the order that :func:`unpacked` expects.
    """
    left, right = zip(*_pairs(first, len(maps)), strict=True)
    return maps[list(left)] * maps[list(right)]


def motion_sums(parts: Tensor, weight: Tensor) -> Tensor:
    """What the motion between two images is solved from.

    ``parts``: ``(3, K, ..., h, w)``: derivatives of K channels along two axes,
    and differences. ``weight``: ``(K, ..., h, w)``, or ``(1, ..., h, w)``.
    Returns: ``(5, ..., h, w)``: sums over the channels of the products of the
    first derivative with all three, and of the second with itself and the
    difference.
    """
    sums = parts.new_empty(5, *parts.shape[2:])
    weights = weight.expand(parts.shape[1:])
    for channel in range(parts.shape[1]):
        part = parts[:, channel]
        first, second = part[:2] * weights[channel]
        for one, others, out in (
            (first, part, sums[:3]),
            (second, part[1:], sums[3:]),
        ):
            if channel:
                out.addcmul_(one, others)
            else:
                torch.mul(one, others, out=out)
    return sums


def places(first: int, count: int) -> dict[tuple[int, int], int]:
    """Where :func:`products` has the product of a pair of channels."""
    return {pair: index for index, pair in enumerate(_pairs(first, count))}


def unpacked(packed: Tensor, first: int, count: int) -> Tensor:
    """Matrices of sums of :func:`products`.

    ``packed``: ``(..., P, h, w)``, products or linear sums of them. Returns:
    ``(..., h, w, first, count)``, symmetric where both are in it.
    """
    place = places(first, count)
    index = [
        place[min(a, b), max(a, b)] for a in range(first) for b in range(count)
    ]
    values = torch.movedim(packed[..., index, :, :], -3, -1)
    return values.reshape(*values.shape[:-1], first, count)
