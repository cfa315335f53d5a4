"""Matrices that are multiplied with the channels of every cell."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

#: Images in a batch from which on torch hands a convolution with one thread
#: to oneDNN, which takes half the time of a matrix product on processors that
#: are not Intel's.
BATCH = 16


def pointwise(
    maps: Tensor, matrix: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Combine channels, the same way in every cell.

    ``maps``: ``(B, C, H, W)``. ``matrix``: ``(C, D)``, in whose type it is
    done. ``bias``: ``(D,)``.
    Returns: ``(B, D, H, W)``.
    """
    kernel = matrix.T[:, :, None, None]
    maps = maps.to(kernel.dtype)
    batch, channels, height, width = maps.shape
    cells = batch * height * width
    if maps.device.type != 'cpu' or cells % BATCH:
        return F.conv2d(maps, kernel, bias)
    parts = maps.permute(0, 2, 3, 1).reshape(BATCH, -1, 1, channels)
    found = F.conv2d(parts.permute(0, 3, 1, 2), kernel, bias)
    found = found.permute(0, 2, 3, 1).reshape(batch, height, width, -1)
    return found.permute(0, 3, 1, 2)
