"""Values of maps at any places, in cells."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def sample_clamped(maps: Tensor, positions: Tensor) -> Tensor:
    """Bilinear values of maps; beyond the border those of the border.

    ``maps``: what is sampled, ``(B, C, H, W)``.
    ``positions``: ``(B, 2, h, w)`` in (x, y) cells, whose centers are whole
    numbers.
    Returns: ``(B, C, h, w)``, at each of the positions.
    """
    height, width = maps.shape[-2:]
    size = positions.new_tensor((width, height)).view(1, 2, 1, 1)
    normalized = (2 * positions + 1) / size - 1
    return F.grid_sample(
        maps,
        normalized.permute(0, 2, 3, 1),
        padding_mode='border',
        align_corners=False,
    )


def sample_points(maps: Tensor, points: Tensor | NDArray[Any]) -> Tensor:
    """Bilinear values of one map at some points, see :func:`sample_clamped`.

    ``maps``: one map, ``(C, H, W)``.
    ``points``: ``(K, 2)`` in (x, y) cells.
    Returns: ``(K, C)``, a row for each point.
    """
    at = torch.as_tensor(points).to(maps)
    return sample_clamped(maps[None], at.T[None, :, None])[0, :, 0].T
