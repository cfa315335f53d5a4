"""Local affine fits in windows that follow the object.

A fit in a round window mixes two motions wherever something moves against
its background, and the larger area wins. Here a neighbor j of cell i counts
by how near it is *and by how alike its feature is*, as in a bilateral filter
(Tomasi and Manduchi, ICCV 1998), so that the fit stops at outlines:

``w_ij = exp(-|j - i|^2 / 2 sigma^2) exp((F_i . F_j - 1) / h)
c_j exp(-r_ij^2 / 2 s^2)``

c_j is the confidence of the match of j, r_ij the distance of that match from
where the present affine map of i sends j. The whole exponent is a sum of
matrix products, so that a fit costs one exponential per pair of cells and two
products with a dozen columns.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_samnet.samnet.bilateral_window import (
    BilateralWindow,
    centered,
    pool,
)
from napari_samnet.samnet.blocks import row_blocks
from napari_samnet.samnet.exponentials import exp_
from napari_samnet.samnet.field import flow_of, step_of

#: Width of r_ij in cells: matches further away hardly count.
RESIDUAL_CELLS = 2.0

#: Pull towards the start, in units of the window's total weight.
DAMPING = 0.02


class BilateralFit(NamedTuple):
    """Affine map of every cell, and how much stands behind it."""

    #: ``(B, 6, H, W)``.
    field: Tensor
    #: ``(B, 1, H, W)``, sum of the neighbors' weights w_ij.
    weight: Tensor


def _columns(
    matches: Tensor, confidence: Tensor, pooling: int
) -> tuple[Tensor, Tensor]:
    """What a fit sums over its neighbors, and what their residual is of.

    Returns: ``moments``: ``(B, 12, m)``: c times 1, x, y, xx, xy, yy, u, v,
    xu, yu, xv, yv for a match of (x, y) with (u, v); ``powers``:
    ``(B, 16, m)``: the powers of which :func:`_residual` is linear.
    """
    _, _, height, width = matches.shape
    x, y = centered(height, width, matches)
    u, v = matches.unbind(1)
    one = torch.ones_like(u)
    x, y = x.expand_as(u), y.expand_as(u)
    values = (one, x, y, x * x, x * y, y * y, u, v, x * u, y * u, x * v, y * v)
    moments = torch.stack(values, 1) * confidence.clamp_min(1e-6)
    moments = pool(moments, pooling).flatten(2)
    total = moments[:, 0]
    x, y, u, v = (moments[:, index] / total for index in (1, 2, 6, 7))
    if pooling > 1:
        moments = moments * float(pooling**2)
    one = torch.ones_like(u)
    # Sixteen of them, the last three without a meaning: products of thirteen
    # columns take half as long again.
    none = torch.zeros_like(u)
    powers = (
        u * u + v * v,
        u,
        u * x,
        u * y,
        v,
        v * x,
        v * y,
        one,
        x,
        y,
        x * x,
        x * y,
        y * y,
        none,
        none,
        none,
    )
    return moments, torch.stack(powers, 1)


def _maps_at_origin(field: Tensor) -> tuple[Tensor, Tensor]:
    """Affine maps of a field, ``(B, N, 2, 2)``, and their ``(B, N, 2)``."""
    height, width = field.shape[-2:]
    here = centered(height, width, field).to(field.dtype)
    linear = step_of(field).flatten(3).permute(0, 3, 1, 2)
    linear = linear + torch.eye(2, device=field.device)
    there = (flow_of(field) + here).flatten(2).transpose(1, 2)
    cells = here.flatten(1).T
    origin = there - (linear @ cells.unsqueeze(-1)).squeeze(-1)
    return linear, origin


def _residual(field: Tensor) -> Tensor:
    """Coefficients of r_ij^2 in the powers of j, ``(B, N, 16)``."""
    linear, origin = _maps_at_origin(field)
    (a, b), (c, d) = (row.unbind(-1) for row in linear.unbind(-2))
    p, q = origin.unbind(-1)
    one, none = torch.ones_like(p), torch.zeros_like(p)
    return torch.stack(
        (
            one,
            -2 * p,
            -2 * a,
            -2 * b,
            -2 * q,
            -2 * c,
            -2 * d,
            p * p + q * q,
            2 * (p * a + q * c),
            2 * (p * b + q * d),
            a * a + c * c,
            2 * (a * b + c * d),
            b * b + d * d,
            none,
            none,
            none,
        ),
        -1,
    )


def _sums(
    window: BilateralWindow,
    matches: Tensor,
    confidence: Tensor,
    field: Tensor,
    residual_cells: float,
) -> Tensor:
    """Weighted sums over the neighbors of every cell, ``(B, 12, N)``."""
    moments, powers = _columns(matches, confidence, window.pooling)
    coefficients = _residual(field.detach())
    powers = powers.detach()
    scale = -0.5 / residual_cells**2
    parts = []
    for logits, (cells, neighbors) in zip(
        window.strips, window.extents(), strict=True
    ):
        asked, around = coefficients[:, cells], powers[..., neighbors]
        for part in row_blocks(asked.shape[1], logits.device):
            weights = torch.baddbmm(
                logits[:, part], asked[:, part], around, alpha=scale
            )
            exp_(weights)
            # With the long axis last in memory, which takes half the time.
            parts.append(moments[..., neighbors] @ weights.transpose(1, 2))
    return torch.cat(parts, 2)


def bilateral_fit(
    window: BilateralWindow,
    matches: Tensor,
    confidence: Tensor,
    field: Tensor,
    start: Tensor,
    *,
    residual_cells: float = RESIDUAL_CELLS,
) -> BilateralFit:
    """Affine map of every cell by the matches of the neighbors like it.

    One round of iteratively reweighted least squares.

    ``matches``: ``(B, 2, H, W)``, the motion of every cell by its own match,
    in (x, y) cells.
    ``confidence``: ``(B, 1, H, W)``, c_j. Matches of confidence 0 are filled
    in from their neighbors.
    ``field``: present field ``(B, 6, H, W)``, from which r_ij is measured.
    ``start``: field ``(B, 6, H, W)`` that cells without matches fall back to.
    ``residual_cells``: s. A smaller one tells more motions apart, and needs a
    field that is nearer to them.
    """
    height, width = matches.shape[-2:]
    here = centered(height, width, matches)
    sums = _sums(window, matches + here, confidence, field, residual_cells)
    s, sx, sy, sxx, sxy, syy, su, sv, sxu, syu, sxv, syv = sums.unbind(1)
    x, y = here.flatten(1)
    # From moments about the middle of the map to those about the cell.
    cx, cy = sx - x * s, sy - y * s
    cxx = sxx - 2 * x * sx + x * x * s
    cxy = sxy - x * sy - y * sx + x * y * s
    cyy = syy - 2 * y * sy + y * y * s
    flat = start.flatten(2)
    slope = 2 * DAMPING * window.sigma**2
    u0, v0 = flat[:, 4] + x, flat[:, 5] + y
    matrix = (s + DAMPING, cx, cy, cxx + slope, cxy, cyy + slope)
    u, ux, uy = _solve(
        matrix,
        su + DAMPING * u0,
        sxu - x * su + slope * (1 + flat[:, 0]),
        syu - y * su + slope * flat[:, 1],
    )
    v, vx, vy = _solve(
        matrix,
        sv + DAMPING * v0,
        sxv - x * sv + slope * flat[:, 2],
        syv - y * sv + slope * (1 + flat[:, 3]),
    )
    parts = (ux - 1, uy, vx, vy - 1, u - x, v - y)
    return BilateralFit(
        torch.stack(parts, 1).reshape(start.shape),
        s.reshape(-1, 1, height, width),
    )


def _solve(
    matrix: tuple[Tensor, ...], a: Tensor, b: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Solve symmetric 3 x 3 systems, given as their upper triangle.

    By cofactors: thousands of tiny systems take LAPACK longer than the sums.
    """
    m00, m01, m02, m11, m12, m22 = matrix
    c00 = m11 * m22 - m12 * m12
    c01 = m02 * m12 - m01 * m22
    c02 = m01 * m12 - m02 * m11
    c11 = m00 * m22 - m02 * m02
    c12 = m01 * m02 - m00 * m12
    c22 = m00 * m11 - m01 * m01
    scale = 1 / (m00 * c00 + m01 * c01 + m02 * c02)
    return (
        (c00 * a + c01 * b + c02 * c) * scale,
        (c01 * a + c11 * b + c12 * c) * scale,
        (c02 * a + c12 * b + c22 * c) * scale,
    )


def neighbor_weight(window: BilateralWindow, confidence: Tensor) -> Tensor:
    """Sum of the neighbors' weights if all of them agreed.

    ``confidence``: ``(B, 1, H, W)``, c_j.
    Returns: ``(B, 1, H, W)``. The weight of a :class:`BilateralFit` over this
    is the share of the matches around that agree with a cell's map.
    """
    sums = confidence.clamp_min(1e-6)
    pooled = pool(sums, window.pooling) * window.pooling**2
    column = pooled.flatten(2).transpose(1, 2)
    parts = [
        exp_(logits.clone()) @ column[:, other]
        for logits, (_, other) in zip(
            window.strips, window.extents(), strict=True
        )
    ]
    return torch.cat(parts, 1).transpose(1, 2).reshape(confidence.shape)


def agreement(
    window: BilateralWindow,
    matches: Tensor,
    field: Tensor,
) -> Tensor:
    """Weights w_ij but for the confidence, as one matrix.

    Returns: ``(B, N, N)``: for cell i, how much its neighbor j counts, and how
    well the match of j agrees with the map of i.
    """
    (logits,) = window.strips
    height, width = matches.shape[-2:]
    ends = matches + centered(height, width, matches)
    _, powers = _columns(ends, torch.ones_like(ends[:, :1]), window.pooling)
    scale = -0.5 / RESIDUAL_CELLS**2
    coefficients = _residual(field)
    return exp_(torch.baddbmm(logits, coefficients, powers, alpha=scale))
