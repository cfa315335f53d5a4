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

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import flow_of, grid, step_of

__all__ = [
    'BilateralFit',
    'BilateralWindow',
    'agreement',
    'bilateral_fit',
    'bilateral_fit_reference',
    'bilateral_window',
    'neighbor_weight',
]

#: Longest side, in cells, of the map of neighbors; larger maps are pooled.
NEIGHBOR_CELLS = 64

#: Widths of the Gaussian after which rows of neighbors are left out.
REACH = 3.0

#: Cells that are fitted at a time, which bounds the memory of large maps.
STRIP_CELLS = 1024

#: Width of r_ij in cells: matches further away hardly count.
RESIDUAL_CELLS = 2.0

#: Pull towards the start, in units of the window's total weight.
DAMPING = 0.02


class BilateralFit(NamedTuple):
    """Affine map of every cell, and how much stands behind it.

    Attributes
    ----------
    field : Tensor
        ``(B, 6, H, W)``.
    weight : Tensor
        ``(B, 1, H, W)``, sum of the neighbors' weights w_ij.
    """

    field: Tensor
    weight: Tensor


class BilateralWindow(NamedTuple):
    """Weights of neighbors by distance and alikeness, as logarithms.

    Attributes
    ----------
    strips : tuple of Tensor
        ``(B, n, m)`` for the n cells of some rows and the m neighbors in
        reach of them; together all cells. One strip up to 32 x 32 cells.
    size : tuple of int
        H and W of the map.
    pooling : int
        Side of the block of cells that is one neighbor; 1 up to
        ``NEIGHBOR_CELLS`` a side.
    sigma : float
        Width of the Gaussian, in cells.
    """

    strips: tuple[Tensor, ...]
    size: tuple[int, int]
    pooling: int
    sigma: float

    def extents(self) -> list[tuple[slice, slice]]:
        """Cells of each strip and its neighbors, as slices of flat maps."""
        return _extents(self.size, self.pooling, self.sigma)


def _extents(
    size: tuple[int, int], pooling: int, sigma: float
) -> list[tuple[slice, slice]]:
    height, width = size
    rows, columns = (-(-side // pooling) for side in size)
    step = max(1, STRIP_CELLS // width)
    if height * width <= STRIP_CELLS:
        return [(slice(0, height * width), slice(0, rows * columns))]
    reach = math.ceil(REACH * sigma)
    extents = []
    for first in range(0, height, step):
        last = min(first + step, height)
        low = max(0, first - reach) // pooling
        high = min(rows, -(-(last + reach) // pooling))
        extents.append(
            (
                slice(first * width, last * width),
                slice(low * columns, high * columns),
            )
        )
    return extents


def _centered(height: int, width: int, like: Tensor) -> Tensor:
    """Cell coordinates about the middle of the map, ``(2, H, W)``."""
    x, y = grid(height, width, like)
    # No small tensor from the CPU, which a CUDA graph cannot record.
    return torch.stack((x - (width - 1) / 2, y - (height - 1) / 2))


def _pool(maps: Tensor, pooling: int) -> Tensor:
    """Means over blocks of cells, those at the border smaller."""
    if pooling == 1:
        return maps
    return F.avg_pool2d(maps, pooling, ceil_mode=True, count_include_pad=False)


def bilateral_window(
    features: Tensor,
    *,
    sigma: float,
    alikeness: float,
    cosines: Tensor | None = None,
) -> BilateralWindow:
    """Weigh neighbors by distance and by how alike their features are.

    Parameters
    ----------
    features : Tensor
        ``(B, C, H, W)`` of unit length along C, of the image whose cells are
        fitted. No gradient goes through the window.
    sigma : float
        Width of the Gaussian of the distance, in cells. A wider window is
        steadier and follows bends less.
    alikeness : float
        h, the difference of cosines at which a weight has fallen to 37 %. A
        smaller one averages less across outlines, over fewer neighbors.
    cosines : Tensor, optional
        ``(B, N, N)`` of all pairs of cells of a map small enough for a
        single strip, where they are there already.

    Returns
    -------
    BilateralWindow
        For :func:`bilateral_fit`.
    """
    features = features.detach().float()
    height, width = features.shape[-2:]
    pooling = -(-max(height, width) // NEIGHBOR_CELLS)
    others = features
    if pooling > 1:
        others = normalize(_pool(features, pooling))
    here = _centered(height, width, features)
    there = _pool(here[None], pooling)[0].flatten(1)
    cells, others = features.flatten(2), others.flatten(2)
    here = here.flatten(1)
    strips = []
    for own, other in _extents((height, width), pooling, sigma):
        offset = here[:, own, None] - there[:, None, other]
        distance = offset.square().sum(0) / (2 * sigma**2) + 1 / alikeness
        if cosines is not None:
            strips.append(
                torch.add(-distance[None], cosines, alpha=1 / alikeness)
            )
            continue
        strips.append(
            torch.baddbmm(
                -distance[None],
                cells[..., own].transpose(1, 2),
                others[..., other],
                alpha=1 / alikeness,
            )
        )
    return BilateralWindow(tuple(strips), (height, width), pooling, sigma)


def _columns(
    matches: Tensor, confidence: Tensor, pooling: int
) -> tuple[Tensor, Tensor]:
    """What a fit sums over its neighbors, and what their residual is of.

    Returns
    -------
    moments : Tensor
        ``(B, m, 12)``: c times 1, x, y, xx, xy, yy, u, v, xu, yu, xv, yv for
        a match of (x, y) with (u, v).
    powers : Tensor
        ``(B, 13, m)``: the powers of which :func:`_residual` is linear.
    """
    _, _, height, width = matches.shape
    x, y = _centered(height, width, matches)
    u, v = matches.unbind(1)
    one = torch.ones_like(u)
    x, y = x.expand_as(u), y.expand_as(u)
    values = (one, x, y, x * x, x * y, y * y, u, v, x * u, y * u, x * v, y * v)
    moments = torch.stack(values, 1) * confidence.clamp_min(1e-6)
    moments = _pool(moments, pooling).flatten(2)
    total = moments[:, 0]
    x, y, u, v = (moments[:, index] / total for index in (1, 2, 6, 7))
    if pooling > 1:
        moments = moments * float(pooling**2)
    one = torch.ones_like(u)
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
    )
    return moments.transpose(1, 2), torch.stack(powers, 1)


def _maps_at_origin(field: Tensor) -> tuple[Tensor, Tensor]:
    """Affine maps of a field, ``(B, N, 2, 2)``, and their ``(B, N, 2)``."""
    height, width = field.shape[-2:]
    here = _centered(height, width, field).to(field.dtype)
    linear = step_of(field).flatten(3).permute(0, 3, 1, 2)
    linear = linear + torch.eye(2, device=field.device)
    there = (flow_of(field) + here).flatten(2).transpose(1, 2)
    cells = here.flatten(1).T
    origin = there - (linear @ cells.unsqueeze(-1)).squeeze(-1)
    return linear, origin


def _residual(field: Tensor) -> Tensor:
    """Coefficients of r_ij^2 in the powers of j, ``(B, N, 13)``."""
    linear, origin = _maps_at_origin(field)
    (a, b), (c, d) = (row.unbind(-1) for row in linear.unbind(-2))
    p, q = origin.unbind(-1)
    one = torch.ones_like(p)
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
    for logits, (own, other) in zip(
        window.strips, window.extents(), strict=True
    ):
        weights = torch.baddbmm(
            logits, coefficients[:, own], powers[..., other], alpha=scale
        ).exp()
        parts.append(weights @ moments[:, other])
    return torch.cat(parts, 1).transpose(1, 2)


def bilateral_fit(
    window: BilateralWindow,
    matches: Tensor,
    confidence: Tensor,
    field: Tensor,
    start: Tensor,
    *,
    residual_cells: float = RESIDUAL_CELLS,
    damping: float = DAMPING,
) -> BilateralFit:
    """Affine map of every cell by the matches of the neighbors like it.

    One round of iteratively reweighted least squares.

    Parameters
    ----------
    window : BilateralWindow
        Weights of the neighbors.
    matches : Tensor
        ``(B, 2, H, W)``, the motion of every cell by its own match, in
        (x, y) cells.
    confidence : Tensor
        ``(B, 1, H, W)``, c_j. Matches of confidence 0 are filled in from
        their neighbors.
    field : Tensor
        Present field ``(B, 6, H, W)``, from which r_ij is measured.
    start : Tensor
        Field ``(B, 6, H, W)`` that cells without matches fall back to.
    residual_cells : float
        s. A smaller one tells more motions apart, and needs a field that is
        nearer to them.
    damping : float
        Weight of `start`. A larger one bends less.

    Returns
    -------
    BilateralFit
        Differentiable in `matches`, `confidence` and `start`.
    """
    height, width = matches.shape[-2:]
    here = _centered(height, width, matches)
    sums = _sums(window, matches + here, confidence, field, residual_cells)
    s, sx, sy, sxx, sxy, syy, su, sv, sxu, syu, sxv, syv = sums.unbind(1)
    x, y = here.flatten(1)
    # From moments about the middle of the map to those about the cell.
    cx, cy = sx - x * s, sy - y * s
    cxx = sxx - 2 * x * sx + x * x * s
    cxy = sxy - x * sy - y * sx + x * y * s
    cyy = syy - 2 * y * sy + y * y * s
    flat = start.flatten(2)
    slope = 2 * damping * window.sigma**2
    u0, v0 = flat[:, 4] + x, flat[:, 5] + y
    matrix = (s + damping, cx, cy, cxx + slope, cxy, cyy + slope)
    u, ux, uy = _solve(
        matrix,
        su + damping * u0,
        sxu - x * su + slope * (1 + flat[:, 0]),
        syu - y * su + slope * flat[:, 1],
    )
    v, vx, vy = _solve(
        matrix,
        sv + damping * v0,
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

    Parameters
    ----------
    window : BilateralWindow
        Weights of the neighbors.
    confidence : Tensor
        ``(B, 1, H, W)``, c_j.

    Returns
    -------
    Tensor
        ``(B, 1, H, W)``. The weight of a :class:`BilateralFit` over this is
        the share of the matches around that agree with a cell's map.
    """
    sums = confidence.clamp_min(1e-6)
    pooled = _pool(sums, window.pooling) * window.pooling**2
    column = pooled.flatten(2).transpose(1, 2)
    parts = [
        logits.exp() @ column[:, other]
        for logits, (_, other) in zip(
            window.strips, window.extents(), strict=True
        )
    ]
    return torch.cat(parts, 1).transpose(1, 2).reshape(confidence.shape)


def agreement(
    window: BilateralWindow,
    matches: Tensor,
    field: Tensor,
    *,
    residual_cells: float = RESIDUAL_CELLS,
) -> Tensor:
    """Weights w_ij but for the confidence, as one matrix.

    Parameters
    ----------
    window : BilateralWindow
        Of a map small enough for a single strip.
    matches, field, residual_cells
        The same as for :func:`bilateral_fit`.

    Returns
    -------
    Tensor
        ``(B, N, N)``: for cell i, how much its neighbor j counts, and how
        well the match of j agrees with the map of i.
    """
    (logits,) = window.strips
    height, width = matches.shape[-2:]
    ends = matches + _centered(height, width, matches)
    _, powers = _columns(ends, torch.ones_like(ends[:, :1]), window.pooling)
    scale = -0.5 / residual_cells**2
    return torch.baddbmm(logits, _residual(field), powers, alpha=scale).exp()


def bilateral_fit_reference(
    features: Tensor,
    matches: Tensor,
    confidence: Tensor,
    field: Tensor,
    start: Tensor,
    *,
    sigma: float,
    alikeness: float,
    residual_cells: float = RESIDUAL_CELLS,
    damping: float = DAMPING,
) -> Tensor:
    """Compute :func:`bilateral_fit` literally, cell by cell.

    Parameters
    ----------
    features : Tensor
        As for :func:`bilateral_window`; maps of at most ``NEIGHBOR_CELLS`` a
        side.
    matches, confidence, field, start
        The same as for :func:`bilateral_fit`.
    sigma, alikeness
        The same as for :func:`bilateral_window`.
    residual_cells, damping
        The same as for :func:`bilateral_fit`.

    Returns
    -------
    Tensor
        Field ``(B, 6, H, W)``.
    """
    batch, _, height, width = matches.shape
    cells = grid(height, width, matches).flatten(1).T.double()
    fitted = torch.empty_like(start)
    pull = torch.diag(
        cells.new_tensor((damping, *2 * [2 * damping * sigma**2]))
    )
    for image in range(batch):
        of = features[image].flatten(1).double()
        maps = step_of(field)[image].flatten(2).permute(2, 0, 1).double()
        maps = maps + torch.eye(2, dtype=torch.float64)
        flow = flow_of(field)[image].flatten(1).T.double()
        ends = cells + matches[image].flatten(1).T
        sure = confidence[image].flatten().double().clamp_min(1e-6)
        prior = start[image].flatten(1).T.double()
        for i in range(height * width):
            offset = cells - cells[i]
            residual = ends - cells[i] - flow[i] - offset @ maps[i].T
            weight = sure * torch.exp(
                -offset.square().sum(1) / (2 * sigma**2)
                + (of[:, i] @ of - 1) / alikeness
                - residual.square().sum(1) / (2 * residual_cells**2)
            )
            unknowns = torch.cat((torch.ones_like(offset[:, :1]), offset), 1)
            known = torch.stack(
                (
                    cells[i] + prior[i, 4:],
                    prior[i, [0, 2]] + prior.new_tensor((1.0, 0.0)),
                    prior[i, [1, 3]] + prior.new_tensor((0.0, 1.0)),
                )
            )
            normal = unknowns.T @ (weight[:, None] * unknowns) + pull
            right = unknowns.T @ (weight[:, None] * ends) + pull @ known
            solved = torch.linalg.solve(normal, right)
            linear = solved[1:].T - torch.eye(2, dtype=torch.float64)
            row, column = divmod(i, width)
            fitted[image, :4, row, column] = linear.flatten()
            fitted[image, 4:, row, column] = solved[0] - cells[i]
    return fitted
