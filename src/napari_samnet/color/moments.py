"""Products of the channels of maps, each pair once."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['products', 'unpacked']


def _pairs(first: int, count: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(first) for b in range(a, count)]


def products(maps: Tensor, first: int) -> Tensor:
    """Products of the first channels with all channels, each pair once.

    Parameters
    ----------
    maps : Tensor
        ``(K, h, w)``, one map for each channel.
    first : int
        How many channels are multiplied with all K.

    Returns
    -------
    Tensor
        ``(P, h, w)``, in the order that :func:`unpacked` expects.
    """
    left, right = zip(*_pairs(first, len(maps)), strict=True)
    return maps[list(left)] * maps[list(right)]


def unpacked(packed: Tensor, first: int, count: int) -> Tensor:
    """Matrices of sums of :func:`products`.

    Parameters
    ----------
    packed : Tensor
        ``(..., P, h, w)``, products or linear sums of them.
    first, count : int
        How many channels were multiplied with how many.

    Returns
    -------
    Tensor
        ``(..., h, w, first, count)``, symmetric where both are in it.
    """
    place = {pair: index for index, pair in enumerate(_pairs(first, count))}
    index = [
        place[min(a, b), max(a, b)] for a in range(first) for b in range(count)
    ]
    values = torch.movedim(packed[..., index, :, :], -3, -1)
    return values.reshape(*values.shape[:-1], first, count)
