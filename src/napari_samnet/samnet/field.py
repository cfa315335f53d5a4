"""The affine field T = [A | f] of (6) and (7), and sampling with it.

A field is ``(B, 6, H, W)`` with the channels
``[a11 - 1, a12, a21, a22 - 1, f_x, f_y]``: the *deviation* from
``T^0 = [I | 0]``, so that zeros are the identity and (7) is a plain sum.
f is in cells; cell k covers pixels 8k to 8k + 7.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def identity_field(
    batch: int, height: int, width: int, like: Tensor
) -> Tensor:
    """T^0 = [I | 0], the start of (7): ``(B, 6, H, W)`` zeros."""
    return torch.zeros(
        batch, 6, height, width, device=like.device, dtype=torch.float32
    )


def flow_of(field: Tensor) -> Tensor:
    """f of a field, ``(B, 2, H, W)`` in (x, y) cells."""
    return field[:, 4:6]


def step_of(field: Tensor) -> Tensor:
    """A - I of a field, ``(B, 2, 2, H, W)``; first index is the output's."""
    batch, _, height, width = field.shape
    return field[:, :4].view(batch, 2, 2, height, width)


def grid(height: int, width: int, like: Tensor) -> Tensor:
    """Cell coordinates, ``(2, H, W)`` in (x, y)."""
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=torch.float32),
        torch.arange(width, device=like.device, dtype=torch.float32),
        indexing='ij',
    )
    return torch.stack((x, y))


def affine_field(matrix: Tensor, height: int, width: int) -> Tensor:
    """Field of one affine map per image.

    ``matrix``: ``(B, 2, 3)`` in (x, y) cells: i goes to
    ``M[:, :2] i + M[:, 2]``.
    ``height``, ``width``: size of the field in cells.
    """
    points = grid(height, width, matrix).view(2, -1)
    linear = matrix[:, :, :2] - torch.eye(2, device=matrix.device)
    flow = linear @ points + matrix[:, :, 2:]
    batch = matrix.shape[0]
    return torch.cat(
        (
            linear.reshape(batch, 4, 1, 1).expand(-1, -1, height, width),
            flow.view(batch, 2, height, width),
        ),
        1,
    )


def resize_field(field: Tensor, height: int, width: int) -> Tensor:
    """Bring a field to another grid: f scales with the grid, A does not."""
    if field.shape[-2:] == (height, width):
        return field
    scale = (width / field.shape[-1], height / field.shape[-2])
    field = F.interpolate(
        field, size=(height, width), mode='bilinear', align_corners=False
    )
    x, y = (field[:, 4 + k : 5 + k] * scale[k] for k in range(2))
    return torch.cat((field[:, :4], x, y), 1)


def bilinear_taps(
    positions: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Four indices and weights per position; zero weight outside.

    ``positions``: ``(B, 2, N)`` in (x, y) cells.
    Returns: ``indices``: ``(B, N, 4)`` int64, into the flattened ``H * W``
    grid; ``weights``: ``(B, N, 4)``.
    """
    x, y = positions[:, 0], positions[:, 1]
    x0, y0 = x.detach().floor(), y.detach().floor()
    fx, fy = x - x0, y - y0
    indices, weights = [], []
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            column, row = x0 + dx, y0 + dy
            inside = (
                (column >= 0) & (column < width) & (row >= 0) & (row < height)
            )
            column = column.clamp(0, width - 1).long()
            row = row.clamp(0, height - 1).long()
            indices.append(row * width + column)
            weights.append(wx * wy * inside)
    return torch.stack(indices, -1), torch.stack(weights, -1)


def gather(features: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of feature cells.

    ``features``: ``(B, C, H, W)``. ``indices``, ``weights``: ``(B, N, K)``
    into the flattened grid, and their weights. Returns: ``(B, C, N)``.
    """
    batch, channels, height, width = features.shape
    _, count, taps = indices.shape
    # One table of all images makes it a single, fused lookup.
    # The lookup is slow on a strided view, so the copy pays.
    table = features.permute(0, 2, 3, 1).reshape(-1, channels).contiguous()
    offset = torch.arange(batch, device=features.device) * (height * width)
    flat = (indices + offset.view(-1, 1, 1)).view(-1, taps)
    summed = F.embedding_bag(
        flat,
        table,
        mode='sum',
        per_sample_weights=weights.reshape(-1, taps).to(table.dtype),
    )
    return summed.view(batch, count, channels).transpose(1, 2)


def sample(features: Tensor, positions: Tensor) -> Tensor:
    """Sample features bilinearly; zero outside the image.

    ``features``: ``(B, C, H, W)``. ``positions``: ``(B, 2, H', W')`` in (x, y)
    cells. Returns: ``(B, C, H', W')``.
    """
    batch, channels, height, width = features.shape
    out = positions.shape[-2:]
    indices, weights = bilinear_taps(positions.flatten(2), height, width)
    return gather(features, indices, weights).reshape(batch, channels, *out)


def sample_reference(features: Tensor, positions: Tensor) -> Tensor:
    """Compute :func:`sample` literally, by ``grid_sample``."""
    height, width = features.shape[-2:]
    size = positions.new_tensor((width, height)).view(1, 2, 1, 1)
    normalized = (2 * positions + 1) / size - 1
    return F.grid_sample(
        features,
        normalized.permute(0, 2, 3, 1).to(features.dtype),
        mode='bilinear',
        padding_mode='zeros',
        align_corners=False,
    )


def warp(features: Tensor, field: Tensor) -> Tensor:
    """Warp target features to the source: F^t sampled at i + f_i.

    ``features``: F^t, ``(B, C, H, W)``. ``field``: T, ``(B, 6, H, W)``, or f
    alone, ``(B, 2, H, W)``.
    """
    flow = field if field.shape[1] == 2 else flow_of(field)
    height, width = flow.shape[-2:]
    return sample(features, grid(height, width, flow) + flow)
