"""Attribute transfer: neural patch blending (8) and droplink decoder (10)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.samnet.field import (
    bilinear_taps,
    flow_of,
    gather,
    grid,
    sample_reference,
    step_of,
)

#: N_i of (8), (11): a cell and its neighbors, as (dx, dy).
NEIGHBORS = tuple((dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1))

#: Confidence, in multiples of chance, from which on a match is sure.
SURE = 3.0


def matchable(alpha: Tensor, window: int) -> Tensor:
    """Gate of the blending: 0 where nothing matches, 1 where it surely does.

    (8) divides by the sum of alpha, so that a low confidence never lowers
    the share of the target by itself. This gate does; it is not in the
    paper's equations but in its text ("matchable points only").

    ``alpha``: ``(B, 1, H, W)`` of (9). ``window``: side of P_i; chance is
    ``1 / window**2``.
    """
    chance = 1.0 / (window * window)
    gate = ((alpha - chance) / ((SURE - 1) * chance)).clamp(0, 1)
    return F.avg_pool2d(gate, 3, 1, 1, count_include_pad=False)


def _votes(field: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Where each neighbor j predicts i to go, and the weight it has.

    Returns: ``positions``: ``(B, 9, 2, H, W)``: ``i + (A_j - I)(i - j) + f_j``
    in (x, y); ``weights``: ``(B, 9, H, W)``: alpha_j normalized over N_i, 0
    outside the image.
    """
    height, width = field.shape[-2:]
    padded = F.pad(field, (1, 1, 1, 1))
    padded_alpha = F.pad(alpha, (1, 1, 1, 1))
    points = grid(height, width, field)
    positions, weights = [], []
    for dx, dy in NEIGHBORS:
        rows = slice(1 + dy, 1 + dy + height)
        columns = slice(1 + dx, 1 + dx + width)
        there = padded[:, :, rows, columns]
        step = step_of(there)
        # No small tensor from the CPU, which a CUDA graph cannot record.
        linear = -dx * step[:, :, 0] - dy * step[:, :, 1]
        positions.append(points + linear + flow_of(there))
        weights.append(padded_alpha[:, 0, rows, columns])
    weight = torch.stack(weights, 1)
    total = weight.sum(1, keepdim=True).clamp_min(1e-12)
    return torch.stack(positions, 1), weight / total


def weighted_patch_average(
    target: Tensor, field: Tensor, alpha: Tensor
) -> Tensor:
    """Confidence-weighted mean of what the neighbors predict, (8).

    ``target``: F^t, ``(B, C, H, W)``.
    ``field``: T, ``(B, 6, H, W)``.
    ``alpha``: ``(B, 1, H, W)``.
    Returns: ``sum_j alpha_j F^t_{i + g_j} / sum_j alpha_j``, ``(B, C, H, W)``.
    """
    batch, channels, height, width = target.shape
    positions, weights = _votes(field, alpha)
    flat = positions.permute(0, 2, 3, 4, 1).reshape(batch, 2, -1)
    indices, taps = bilinear_taps(flat, height, width)
    taps = taps.view(batch, height * width, 9, 4)
    taps = taps * weights.flatten(2).transpose(1, 2).unsqueeze(-1)
    indices = indices.view(batch, height * width, 36)
    mixed = gather(target, indices, taps.flatten(2))
    return mixed.reshape(batch, channels, height, width)


def blend(
    source: Tensor,
    target: Tensor,
    field: Tensor,
    alpha: Tensor,
    *,
    weight: float,
    gate: Tensor | None = None,
) -> Tensor:
    """Neural patch blending of source and target features, (8).

    ``source``, ``target``: F^s and F^t, ``(B, C, H, W)``.
    ``field``: T^l, ``(B, 6, H, W)``.
    ``alpha``: ``(B, 1, H, W)`` of (9).
    ``weight``: weight lambda^l of the transferred feature, from 0 to 1.
    ``gate``: ``(B, 1, H, W)`` in [0, 1] that multiplies `weight`; see
    :func:`matchable`. Without it, (8) literally.
    Returns: B^{s<-t}, ``(B, C, H, W)``.
    """
    mixed = weighted_patch_average(target, field, alpha)
    if gate is None:
        return torch.lerp(source, mixed, weight)
    return torch.lerp(source, mixed, (weight * gate).to(source.dtype))


def blend_reference(
    source: Tensor,
    target: Tensor,
    field: Tensor,
    alpha: Tensor,
    *,
    weight: float,
    gate: Tensor | None = None,
) -> Tensor:
    """Compute :func:`blend` literally, one neighbor after the other."""
    positions, weights = _votes(field, alpha)
    mixed = torch.zeros_like(source)
    for index in range(len(NEIGHBORS)):
        seen = sample_reference(target, positions[:, index])
        mixed = mixed + weights[:, index : index + 1].to(seen.dtype) * seen
    share = weight if gate is None else weight * gate
    return (1 - share) * source + share * mixed


class _Reflected(nn.Conv2d):
    """3x3 convolution with reflection padding, which leaves no dark rim."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 3, padding=1, padding_mode='reflect')


def _convolutions(channels: int, count: int) -> nn.Sequential:
    """Rectified convolutions that keep resolution and channels."""
    layers: list[nn.Module] = []
    for _ in range(count):
        layers += [_Reflected(channels, channels), nn.ReLU()]
    return nn.Sequential(*layers)


class DroplinkDecoder(nn.Module):
    """W_D: image of a blended feature, with droplink skips, (10).

    Mirrors VGG from relu4_1. After the convolutions of level h (relu3_1,
    relu2_1, relu1_1) the source's own feature is mixed in:
    ``F_h = (1 - b_h) F_h + b_h F_h^s``.

    ``depth``: convolutions at the resolution of relu3_1. ``drop``: probability
    that a link is dropped in training, per level and image.
    """

    def __init__(self, *, depth: int = 2, drop: float = 0.9) -> None:
        super().__init__()
        self.drop = drop
        self.enter = _Reflected(512, 256)
        self.levels = nn.ModuleList(
            (
                _convolutions(256, depth),
                _convolutions(128, 1),
                _convolutions(64, 1),
            )
        )
        self.leave = nn.ModuleList(
            (_Reflected(256, 128), _Reflected(128, 64), _Reflected(64, 3))
        )

    def _link(self, skip: float, like: Tensor) -> Tensor:
        """b_h, ``(B, 1, 1, 1)``: drawn in training, `skip` otherwise."""
        shape = (like.shape[0], 1, 1, 1)
        if not self.training:
            return torch.full(
                shape, skip, device=like.device, dtype=like.dtype
            )
        kept = torch.rand(shape, device=like.device) >= self.drop
        return kept.to(like.dtype)

    def decode(
        self, blended: Tensor, skips: tuple[Tensor, ...], *, skip: float
    ) -> tuple[Tensor, list[Tensor]]:
        """Decode, and also return each level before its link."""
        linked = self.training or skip > 0
        if linked and len(skips) != len(self.levels):
            raise ValueError(
                f'there must be {len(self.levels)} skips for links of weight '
                f'{skip:g}, got {len(skips)}'
            )
        x = F.relu(self.enter(blended.to(self.enter.weight.dtype)))
        levels = []
        for depth, (level, leave) in enumerate(
            zip(self.levels, self.leave, strict=True)
        ):
            x = level(F.interpolate(x, scale_factor=2, mode='nearest'))
            levels.append(x)
            if linked:
                link = skips[depth].to(x.dtype)
                x = torch.lerp(x, link, self._link(skip, x))
            x = leave(x)
            if leave is not self.leave[-1]:
                x = F.relu(x)
        return x, levels

    def forward(
        self, blended: Tensor, skips: tuple[Tensor, ...], *, skip: float = 0.5
    ) -> Tensor:
        """Reconstruct I^{s<-t}.

        ``blended``: B^{s<-t}, ``(B, 512, H, W)``.
        ``skips``: relu3_1, relu2_1, relu1_1 of the source; not looked at where
        `skip` is 0.
        Returns: ``(B, 3, 8H, 8W)`` RGB, not clipped.
        """
        return self.decode(blended, skips, skip=skip)[0]
