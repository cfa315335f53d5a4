"""Matching inference without parameters, the floor that W_G stands on.

Both estimators turn correlations into affine fields by weighted least
squares, like the RANSAC-type methods that motivate Sec. 4.2: one affine map
for all pairs of cells as the start T^0, and locally varying maps for the
residual of (6).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.samnet.correlation import (
    all_pairs,
    inside_window,
    window_offsets,
)
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import affine_field, flow_of, grid

__all__ = [
    'GLOBAL_CELLS',
    'AnalyticMatching',
    'Peak',
    'global_affine',
    'peak_of',
]

#: Cells a side that are compared for T^0, those of a 256 x 256 image.
GLOBAL_CELLS = 32


class Peak(NamedTuple):
    """Best displacement per cell of a local correlation volume.

    Attributes
    ----------
    residual : Tensor
        ``(B, 2, H, W)`` in (x, y) cells, with sub-cell precision.
    margin : Tensor
        ``(B, 1, H, W)``, lead of the best over any other displacement that
        is more than a cell away; 0 if ambiguous.
    """

    residual: Tensor
    margin: Tensor


def peak_of(
    correlation: Tensor, *, beta: float = 40.0, sigma: float = 1.5
) -> Peak:
    """Kernel soft-argmax of a local correlation volume.

    Parameters
    ----------
    correlation : Tensor
        ``(B, K*K, H, W)`` cosines.
    beta : float
        Inverse temperature of the softmax.
    sigma : float
        Width in cells of the Gaussian that keeps it to one peak.
    """
    _, count, height, width = correlation.shape
    window = round(count**0.5)
    offsets = window_offsets(window, correlation)
    # Neighbors move alike: a 3x3 mean steadies the peak.
    smooth = F.avg_pool2d(
        correlation.float(), 3, 1, 1, count_include_pad=False
    )
    inside = inside_window(height, width, window, correlation)
    smooth = smooth.masked_fill(~inside, -1.0)
    best, index = smooth.detach().max(1, keepdim=True)
    # Squared distance of every displacement to the best one, as a table.
    distance = (offsets[:, None] - offsets[None]).square().sum(-1)
    distance = distance[index[:, 0]].permute(0, 3, 1, 2)
    logits = beta * (smooth - best) - distance / (2 * sigma**2)
    weights = logits.softmax(1)
    residual = torch.einsum('bkhw,kd->bdhw', weights, offsets)
    rival = smooth.detach().masked_fill(distance <= 2.0, -1.0)
    rival = rival.amax(1, keepdim=True)
    return Peak(residual, (best - rival).clamp_min(0))


# Kept tensors must serve training too, whoever asked for them first.
@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _moment_matrices(size: int, sigma: float, device: torch.device) -> Tensor:
    """Gaussian-weighted sums of d^0, d^1, d^2 along one axis, ``(3, n, n)``.

    Row i of matrix k holds ``g(j - i) (j - i)^k``.
    """
    steps = torch.arange(size, dtype=torch.float64)
    difference = steps[None] - steps[:, None]
    gauss = torch.exp(-(difference**2) / (2 * sigma**2))
    gauss = gauss / (sigma * (2 * torch.pi) ** 0.5)
    return torch.stack([gauss * difference**power for power in range(3)]).to(
        device, torch.float32
    )


def _moments(maps: Tensor, sigma: float) -> dict[tuple[int, int], Tensor]:
    """Local moments of maps: sums of ``map_j (j - i)_x^p (j - i)_y^q``."""
    height, width = maps.shape[-2:]
    rows = _moment_matrices(height, sigma, maps.device)
    columns = _moment_matrices(width, sigma, maps.device)
    found = {}
    for p in range(3):
        along_x = maps @ columns[p].transpose(0, 1)
        for q in range(3 - p):
            found[p, q] = rows[q] @ along_x
    return found


class AnalyticMatching(nn.Module):
    """Residual affine field of a correlation volume, without parameters.

    What is fitted is not the residual alone but where it leads: the whole
    motion, relative to the start T^0. Cells without a match then follow
    their neighbors and, far from any, the start, and nothing accumulates
    over the iterations.

    Parameters
    ----------
    sigmas : tuple of float
        Width in cells of the Gaussian window of the fit, per iteration; the
        last one is kept for all that follow.
    damping : float
        Pull towards the start.
    rounds : int
        Rounds of iteratively reweighted least squares.
    """

    def __init__(
        self,
        *,
        sigmas: tuple[float, ...] = (6.0, 4.0, 3.0, 2.5),
        damping: float = 0.02,
        rounds: int = 2,
    ) -> None:
        super().__init__()
        self.sigmas = sigmas
        self.damping = damping
        self.rounds = rounds

    def forward(
        self, peak: Peak, field: Tensor, start: Tensor, index: int
    ) -> Tensor:
        """Residual of iteration `index`.

        Parameters
        ----------
        peak : Peak
            Of this iteration's volume.
        field, start : Tensor
            T^l and T^0, ``(B, 6, H, W)``.
        index : int
            l.

        Returns
        -------
        Tensor
            ``T^{l+1} - T^l``, ``(B, 6, H, W)``.
        """
        sigma = self.sigmas[min(index, len(self.sigmas) - 1)]
        motion = flow_of(field) - flow_of(start) + peak.residual
        mean = peak.margin.mean(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        prior = (peak.margin / mean).clamp_max(4.0)
        fit = self._fit(motion, prior, sigma)
        for _ in range(self.rounds):
            error = (motion - flow_of(fit)).square().sum(1, keepdim=True)
            fit = self._fit(motion, prior / (1.0 + error.detach()), sigma)
        return start + fit - field

    def _fit(self, motion: Tensor, weight: Tensor, sigma: float) -> Tensor:
        """Damped local affine fit: ``m_j ~ df_i + dA_i (j - i)``."""
        moments = _moments(torch.cat((weight, weight * motion), 1), sigma)
        one = {power: found[:, 0] for power, found in moments.items()}
        damping, slope = self.damping, 2 * self.damping * sigma**2
        rows = (
            (one[0, 0] + damping, one[1, 0], one[0, 1]),
            (one[1, 0], one[2, 0] + slope, one[1, 1]),
            (one[0, 1], one[1, 1], one[0, 2] + slope),
        )
        matrix = torch.stack([torch.stack(row, -1) for row in rows], -2)
        powers = ((0, 0), (1, 0), (0, 1))
        right = torch.stack([moments[power][:, 1:] for power in powers], -1)
        # (B, H, W, 3 unknowns, 2 components)
        # Without a look at the result, for which a GPU would have to wait.
        solved = torch.linalg.solve_ex(
            matrix, right.permute(0, 2, 3, 4, 1)
        ).result
        flow, linear = solved[..., 0, :], solved[..., 1:, :]
        # linear is indexed (by, component); the field wants (component, by).
        linear = linear.transpose(-1, -2).flatten(-2)
        return torch.cat((linear, flow), -1).permute(0, 3, 1, 2)


def _mutual_matches(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Best target position of every source cell and how mutual it is.

    Returns
    -------
    positions : Tensor
        ``(B, 2, N)`` in (x, y) target cells.
    weights : Tensor
        ``(B, N)`` in [0, 1].
    """
    volume = all_pairs(source, target)
    batch, height, width, rows, columns = volume.shape
    # Consensus: neighbors of a true match match at the same displacement.
    padded = F.pad(volume, (1, 1, 1, 1, 1, 1, 1, 1))
    volume = sum(
        padded[
            :,
            1 + dy : 1 + dy + height,
            1 + dx : 1 + dx + width,
            1 + dy : 1 + dy + rows,
            1 + dx : 1 + dx + columns,
        ]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    ) / torch.full((), 9.0, device=volume.device)
    volume = volume.reshape(batch, height * width, rows * columns)
    best, index = volume.max(2, keepdim=True)
    column_best = volume.amax(1, keepdim=True)
    rival = column_best.gather(2, index.transpose(1, 2))[:, 0]
    # Where nothing is alike at all, 0 instead of 0 / 0.
    mutual = best[..., 0] / rival.clamp_min(1e-6)
    points = grid(rows, columns, volume).view(2, -1)
    peak = points[:, index[..., 0]].permute(1, 0, 2)
    distance = (points.view(1, 2, 1, -1) - peak.unsqueeze(-1)).square().sum(1)
    logits = 40.0 * (volume - best) - distance / (2 * 1.5**2)
    positions = torch.einsum('bnm,dm->bdn', logits.softmax(2), points)
    return positions, mutual.clamp(0, 1) ** 16


def _few_cells(feature: Tensor) -> Tensor:
    """At most GLOBAL_CELLS a side: all pairs grow with the square of them."""
    height, width = feature.shape[-2:]
    longer = max(height, width)
    if longer <= GLOBAL_CELLS:
        return feature
    few = [
        max(1, round(side * GLOBAL_CELLS / longer)) for side in (height, width)
    ]
    return normalize(F.interpolate(feature, size=few, mode='area'))


def global_affine(
    source: Tensor, target: Tensor, *, rounds: int = 8
) -> Tensor:
    """T^0 from all pairs of cells: one robust affine map per image.

    Of maps with more cells a side than ``GLOBAL_CELLS``, means are compared,
    so that time and memory do not grow with the square of the pixels.

    Parameters
    ----------
    source, target : Tensor
        ``(B, C, H, W)`` of unit length along C.
    rounds : int
        Rounds of iteratively reweighted least squares.

    Returns
    -------
    Tensor
        ``(B, 6, H, W)`` field.
    """
    batch, _, height, width = source.shape
    source, target = (_few_cells(one.float()) for one in (source, target))
    positions, mutual = _mutual_matches(source, target)
    rows, columns = source.shape[-2:]
    cells = grid(rows, columns, source).view(2, -1)
    # From the cells compared to those of the field, center to center.
    step = cells.new_tensor((width / columns, height / rows)).view(2, 1)
    cells, positions = ((at + 0.5) * step - 0.5 for at in (cells, positions))
    middle = cells.new_tensor(((width - 1) / 2, (height - 1) / 2)).view(2, 1)
    half = max(height, width) / 2
    x = torch.cat(((cells - middle) / half, torch.ones_like(cells[:1])))
    y = (positions - middle) / half
    # A weak prior for "no motion" keeps the fit sound without matches.
    prior = torch.eye(2, 3, device=x.device)
    damping = 0.01 * mutual.sum(1).clamp_min(1.0).view(-1, 1, 1)
    weights = mutual
    matrix = prior.expand(batch, 2, 3)
    for turn in range(rounds):
        weighted = x * weights.unsqueeze(1)
        normal = weighted @ x.transpose(0, 1)
        normal = normal + damping * torch.eye(3, device=x.device)
        right = y @ weighted.transpose(1, 2) + damping * prior
        matrix = torch.linalg.solve(normal, right.transpose(1, 2))
        matrix = matrix.transpose(1, 2)
        error = (y - matrix @ x).square().sum(1)
        # Graduated: from a wide basin to the scale of a few cells.
        scale = max(0.5 * 0.7**turn, 0.12)
        weights = mutual / (1 + error / scale**2) ** 2
    linear = matrix[:, :, :2]
    shift = half * matrix[:, :, 2:] + middle - linear @ middle
    return affine_field(torch.cat((linear, shift), 2), height, width)
