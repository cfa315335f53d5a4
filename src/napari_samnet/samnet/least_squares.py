"""Matching inference without parameters, the floor that W_G stands on.

Correlations become affine fields by weighted least squares, like the
RANSAC-type methods that motivate Sec. 4.2: locally varying maps for the
residual of (6). The start T^0 is that of :mod:`.start`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.samnet.bilateral import bilateral_fit, neighbor_weight
from napari_samnet.samnet.bilateral_window import (
    BilateralWindow,
    bilateral_window,
)
from napari_samnet.samnet.cell_matches import PEAK_BETA, PEAK_CELLS
from napari_samnet.samnet.correlation import (
    inside_window,
    window_offsets,
)
from napari_samnet.samnet.field import flow_of
from napari_samnet.samnet.pooling import mean_around

#: Width in cells of the window that follows the object.
FIT_SIGMA = 4.0

#: Width in cells of the round window of the fit, per iteration; the last one
#: is kept for all that follow.
SIGMAS = (6.0, 4.0, 3.0, 2.5)

#: How far from the field matches are looked for with a guide, per iteration,
#: as the width of a Gaussian in cells.
REACHES = (3.0, 3.0, 2.0)

#: In the round window: weight of "no motion", and rounds of iteratively
#: reweighted least squares.
DAMPING, ROUNDS = 0.02, 2


class Peak(NamedTuple):
    """Best displacement per cell of a local correlation volume."""

    #: ``(B, 2, H, W)`` in (x, y) cells, with sub-cell precision.
    residual: Tensor
    #: ``(B, 1, H, W)``, lead of the best over any other displacement that is
    #: more than a cell away; 0 if ambiguous.
    margin: Tensor


def peak_of(correlation: Tensor) -> Peak:
    """Kernel soft-argmax of a local correlation volume.

    ``correlation``: ``(B, K*K, H, W)`` cosines.
    """
    _, count, height, width = correlation.shape
    window = round(count**0.5)
    offsets = window_offsets(window, correlation)
    # Neighbors move alike: a 3x3 mean steadies the peak.
    smooth = mean_around(correlation.float())
    inside = inside_window(height, width, window, correlation)
    smooth = smooth.masked_fill(~inside, -1.0)
    best, index = smooth.detach().max(1, keepdim=True)
    # Squared distance of every displacement to the best one, as a table.
    distance = (offsets[:, None] - offsets[None]).square().sum(-1)
    distance = distance[index[:, 0]].permute(0, 3, 1, 2)
    logits = PEAK_BETA * (smooth - best) - distance / (2 * PEAK_CELLS**2)
    weights = logits.softmax(1)
    residual = torch.einsum('bkhw,kd->bdhw', weights, offsets)
    rival = smooth.detach().masked_fill(distance <= 2.0, -1.0)
    rival = rival.amax(1, keepdim=True)
    return Peak(residual, (best - rival).clamp_min(0))


def mean_displacement(correlation: Tensor, *, cells: float) -> Tensor:
    """Mean of the likely displacements around the center of the window.

    Unlike :func:`peak_of`, which follows the best wherever it is, this asks
    for what is likely *near the field*, so that a fit bends to the matches
    without being thrown off by one that is far away.

    ``correlation``: ``(B, K*K, H, W)`` cosines.
    ``cells``: width of the Gaussian about the center, in cells.
    Returns: ``(B, 2, H, W)`` in (x, y) cells, with parts of a cell.
    """
    _, count, height, width = correlation.shape
    window = round(count**0.5)
    offsets = window_offsets(window, correlation)
    smooth = mean_around(correlation.float())
    away = offsets.square().sum(1) / (2 * cells**2)
    logits = PEAK_BETA * smooth - away.view(1, -1, 1, 1)
    inside = inside_window(height, width, window, correlation)
    weights = logits.masked_fill(~inside, -torch.inf).softmax(1)
    return torch.einsum('bkhw,kd->bdhw', weights, offsets)


# Cached outside inference mode, so that training can use them too.
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
    moments = {}
    for p in range(3):
        along_x = maps @ columns[p].transpose(0, 1)
        for q in range(3 - p):
            moments[p, q] = rows[q] @ along_x
    return moments


class Guide(NamedTuple):
    """What the fit knows of the source before the recurrence begins."""

    #: Neighbors of each cell, by distance and alikeness.
    window: BilateralWindow
    #: ``(B, 1, H, W)``: c_j, how clearly each cell has one match among all
    #: cells of the target.
    confidence: Tensor
    #: ``(B, 1, H, W)``: sum of the neighbors' weights if all agreed.
    weight: Tensor

    @classmethod
    def of(
        cls,
        features: Tensor,
        confidence: Tensor,
        *,
        alikeness: float,
        window: BilateralWindow | None = None,
        whole: bool = False,
    ) -> Guide:
        """Guide of a feature map ``(B, C, H, W)``, at its resolution.

        ``whole``: whether cells are compared in whole numbers, see
        :mod:`.whole_numbers`.
        """
        window = window or bilateral_window(
            features, sigma=FIT_SIGMA, alikeness=alikeness, whole=whole
        )
        confidence = F.interpolate(
            confidence,
            size=features.shape[-2:],
            mode='bilinear',
            align_corners=False,
        )
        weight = neighbor_weight(window, confidence)
        return cls(window, confidence, weight)

    def tensors(self) -> list[Tensor]:
        """All that it holds, in the order of :meth:`with_tensors`."""
        return [*self.window.strips, self.confidence, self.weight]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Guide:
        """The same with other memory, as CUDA graphs need it."""
        *strips, confidence, weight = tensors
        window = self.window._replace(strips=tuple(strips))
        return Guide(window, confidence, weight)


class AnalyticMatching(nn.Module):
    """Residual affine field of a correlation volume, without parameters.

    What is fitted is not the residual alone but where it leads: the whole
    motion, relative to the start T^0. Cells without a match then follow
    their neighbors and, far from any, the start, and nothing accumulates
    over the iterations. With a guide, the window of the fit follows the
    object, see :mod:`.bilateral`; without one it is round.
    """

    def guided(
        self,
        correlation: Tensor,
        field: Tensor,
        start: Tensor,
        index: int,
        guide: Guide,
    ) -> Tensor:
        """Residual of iteration `index`, in a window that follows the object.

        ``correlation``: C^l, raw, ``(B, K*K, H, W)``.
        ``field``, ``start``: T^l and T^0, ``(B, 6, H, W)``.
        ``index``: number l of the iteration, from 0.
        ``guide``: neighbors and confidence of the cells.
        Returns: ``T^{l+1} - T^l``, ``(B, 6, H, W)``.
        """
        cells = REACHES[min(index, len(REACHES) - 1)]
        motion = flow_of(field) + mean_displacement(correlation, cells=cells)
        fit = bilateral_fit(
            guide.window, motion, guide.confidence, field, start
        )
        return fit.field - field

    def forward(
        self, peak: Peak, field: Tensor, start: Tensor, index: int
    ) -> Tensor:
        """Residual of iteration `index`, in a round window.

        ``field``, ``start``: T^l and T^0, ``(B, 6, H, W)``.
        ``index``: number l of the iteration, from 0.
        Returns: ``T^{l+1} - T^l``, ``(B, 6, H, W)``.
        """
        sigma = SIGMAS[min(index, len(SIGMAS) - 1)]
        motion = flow_of(field) - flow_of(start) + peak.residual
        mean = peak.margin.mean(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        prior = (peak.margin / mean).clamp_max(4.0)
        residual = self._fit(motion, prior, sigma)
        for _ in range(ROUNDS):
            error = (motion - flow_of(residual)).square().sum(1, keepdim=True)
            weight = prior / (1.0 + error.detach())
            residual = self._fit(motion, weight, sigma)
        return start + residual - field

    def _fit(self, motion: Tensor, weight: Tensor, sigma: float) -> Tensor:
        """Damped local affine fit: ``m_j ~ df_i + dA_i (j - i)``."""
        moments = _moments(torch.cat((weight, weight * motion), 1), sigma)
        one = {power: moment[:, 0] for power, moment in moments.items()}
        damping, slope = DAMPING, 2 * DAMPING * sigma**2
        rows = (
            (one[0, 0] + damping, one[1, 0], one[0, 1]),
            (one[1, 0], one[2, 0] + slope, one[1, 1]),
            (one[0, 1], one[1, 1], one[0, 2] + slope),
        )
        matrix = torch.stack([torch.stack(row, -1) for row in rows], -2)
        powers = ((0, 0), (1, 0), (0, 1))
        right = torch.stack([moments[power][:, 1:] for power in powers], -1)
        # (B, H, W, 3 unknowns, 2 components)
        # solve_ex does not check for errors, for which a GPU would wait.
        solved = torch.linalg.solve_ex(
            matrix, right.permute(0, 2, 3, 4, 1)
        ).result
        flow, linear = solved[..., 0, :], solved[..., 1:, :]
        # linear is indexed (by, component); the field wants (component, by).
        linear = linear.transpose(-1, -2).flatten(-2)
        return torch.cat((linear, flow), -1).permute(0, 3, 1, 2)
