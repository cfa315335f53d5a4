"""What all pairs of cells say about the motion, before any smoothness.

At most ``GLOBAL_CELLS`` a side are compared, means of the cells of larger
maps: time and memory must not grow with the square of the pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.blocks import row_blocks
from napari_samnet.samnet.correlation import all_pairs
from napari_samnet.samnet.exponentials import exp_
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import grid

#: Cells a side that are compared at most, those of a 256 x 256 image.
GLOBAL_CELLS = 32

#: Temperature of the softmax over all cells.
TEMPERATURE = 0.03

#: Inverse temperature and width in cells of the mean position around a peak.
PEAK_BETA = 40.0
PEAK_CELLS = 1.5

#: Confidence that is left to a match that is not mutual.
NOT_MUTUAL = 0.2


class CellMatches(NamedTuple):
    """Best match of each cell among all cells of the other image."""

    #: ``(B, h*w, h*w)``, cosines of all pairs, averaged over 3 x 3 equal
    #: displacements.
    volume: Tensor
    #: ``(B, 2, h, w)``: where the best match of each cell is, minus the cell,
    #: in (x, y) cells and with parts of a cell.
    motion: Tensor
    #: ``(B, 1, h, w)`` in [0, 1]: square root of the match's probability in
    #: both directions, of a softmax over all cells of the target times one
    #: over all cells of the source. Low where several places look alike.
    confidence: Tensor


def few_cells(feature: Tensor) -> Tensor:
    """Feature map ``(B, C, h, w)`` of at most GLOBAL_CELLS a side."""
    height, width = feature.shape[-2:]
    longer = max(height, width)
    if longer <= GLOBAL_CELLS:
        return feature
    few = [
        max(1, round(side * GLOBAL_CELLS / longer)) for side in (height, width)
    ]
    return normalize(F.interpolate(feature, size=few, mode='area'))


def consensus(
    source: Tensor, target: Tensor, *, whole: bool = False
) -> Tensor:
    """Cosines of all pairs, averaged over 3 x 3 equal displacements.

    Neighbors of a true match match at the same displacement.

    ``source``, ``target``: ``(B, C, h, w)`` of unit length along C; the sizes
    may differ.
    ``whole``: in whole numbers, see :func:`~.correlation.all_pairs`.
    Returns: ``(B, h, w, h2, w2)``; outside the images the cosine is 0.
    """
    return consensus_of(all_pairs(source, target, whole=whole))


def consensus_of(volume: Tensor) -> Tensor:
    """The same from the cosines of all pairs, ``(B, h, w, h2, w2)``."""
    for first, second in ((1, 3), (2, 4)):
        total = volume.clone()
        for step in (-1, 1):
            here, there = [slice(None)] * 5, [slice(None)] * 5
            for axis in (first, second):
                here[axis] = slice(1, None) if step < 0 else slice(0, -1)
                there[axis] = slice(0, -1) if step < 0 else slice(1, None)
            total[tuple(here)] += volume[tuple(there)]
        volume = total
    return volume.mul_(1 / 9) if not volume.requires_grad else volume / 9


def consensus_inside(volume: Tensor) -> Tensor:
    """The same, averaged over the displacements inside both images alone.

    ``volume``: ``(B, h, w, h, w)``, cosines of all pairs of cells of two
    images of one size.
    """
    return consensus_of(volume) / _inside(*volume.shape[1:3], volume.device)


# Kept tensors must serve training too, whoever asked for them first.
@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _inside(height: int, width: int, device: torch.device) -> Tensor:
    """Share of the 3 x 3 displacements that stay inside both images."""
    ones = torch.ones(1, height, width, height, width, device=device)
    return consensus_of(ones)


def argmax(values: Tensor, axis: int) -> Tensor:
    """Place of the largest value along an axis, the first of equal ones."""
    if values.device.type != 'cpu':
        return values.argmax(axis)
    # A fraction of the time that torch takes on the CPU.
    return torch.from_numpy(values.detach().numpy().argmax(axis))


def window_mean(
    volume: Tensor,
    positions: Tensor,
    points: Tensor,
    *,
    cells: float,
    beta: float = PEAK_BETA,
) -> Tensor:
    """Mean of the likely matches in a Gaussian around a position.

    ``volume``: ``(B, n, m)`` cosines of n source and m target cells.
    ``positions``: ``(B, 2, n)`` in (x, y) target cells.
    ``points``: ``(2, m)``, the target cells.
    Returns: ``(B, 2, n)`` positions.
    """
    # |p - q|^2 / 2 s^2 as a product with four columns, less that of the
    # nearest cell, so that no weight of all cells is too small for a number.
    scale = 1 / cells**2
    low, high = points.aminmax(dim=1, keepdim=True)
    inside = positions.maximum(low).minimum(high)
    nearest = (positions - inside).square().sum(1, keepdim=True)
    rest = positions.square().sum(1, keepdim=True) - nearest
    one = torch.ones_like(rest)
    places = torch.cat(
        (scale * positions, -0.5 * scale * one, -0.5 * scale * rest - beta), 1
    )
    one = torch.ones_like(points[:1])
    away = points.square().sum(0, keepdim=True)
    powers = torch.cat((points, away, one)).expand(len(volume), -1, -1)
    places = places.transpose(1, 2)
    sums = []
    counted = torch.cat((points, one))
    for part in row_blocks(volume.shape[1], volume.device):
        weights = exp_(
            torch.baddbmm(volume[:, part], places[:, part], powers, beta=beta)
        )
        sums.append(counted @ weights.transpose(1, 2))
    total = torch.cat(sums, -1)
    return total[:, :2] / total[:, 2:]


def _are_both_directions(source: Tensor, target: Tensor) -> bool:
    """Whether a batch is one pair and the same pair the other way round."""
    return (
        len(source) == 2
        and source.shape == target.shape
        and not source.is_cuda
        and not source.requires_grad
        and torch.equal(source[0], target[1])
        and torch.equal(source[1], target[0])
    )


def _log_probability(volume: Tensor) -> Tensor:
    """Logarithm of the dual softmax of cosines ``(B, N, M)``."""
    # No cosine is above 1, so that no sum can overflow.
    scaled = volume.sub(1).div_(TEMPERATURE)
    likely = exp_(scaled.clone())
    rows, columns = (
        likely.sum(axis, keepdim=True).clamp_min(1e-30).log()
        for axis in (2, 1)
    )
    return scaled.mul_(2).sub_(rows).sub_(columns)


def _likeliest(both: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the probability of each cell's best match, and its place.

    ``both``: :func:`_both_ways` of cosines. Returns: ``(2, N)`` each, what
    :func:`_log_probability` of them says, in memory for a single volume.
    """
    likely = exp_(both[0].sub(1).div_(TEMPERATURE))
    sums = [likely.sum(axis).clamp_min(1e-30).log() for axis in (1, 0)]
    best, index = [], []
    for volume, own, others in zip(both, sums, sums[::-1], strict=True):
        torch.sub(volume, 1, out=likely)
        likely.mul_(2 / TEMPERATURE).sub_(others)
        place = argmax(likely, 1)
        best.append(likely.gather(1, place[:, None])[:, 0] - own)
        index.append(place)
    return torch.stack(best), torch.stack(index)


def _both_ways(volume: Tensor) -> Tensor:
    """A square volume ``(1, N, N)`` and its transpose, ``(2, N, N)``."""
    both = volume.new_empty(2, *volume.shape[1:])
    both[0] = volume[0]
    # As a plain matrix, which takes torch a seventh of the time.
    both[1].copy_(volume[0].T)
    return both


def match_cells(
    source: Tensor, target: Tensor, *, whole: bool = False
) -> CellMatches:
    """Match each cell of the source with the likeliest of the target.

    ``source``, ``target``: ``(B, C, h, w)`` of unit length along C, see
    :func:`few_cells`.
    ``whole``: in whole numbers, see :func:`~.correlation.all_pairs`.
    Returns: on the cells of the source.
    """
    height, width = source.shape[-2:]
    cells = torch.arange(height * width, device=source.device)
    if _are_both_directions(source, target):
        there = consensus(source[:1], target[:1], whole=whole)
        there = there.flatten(3).flatten(1, 2)
        volume = _both_ways(there)
        best, index = _likeliest(volume)
        back = index.flip(0)
    else:
        volume = consensus(source, target, whole=whole)
        volume = volume.flatten(3).flatten(1, 2)
        likely = _log_probability(volume)
        best, index = likely.max(2)
        back = likely.argmax(1)
    mutual = back.gather(1, index) == cells
    confidence = torch.exp(0.5 * best) * torch.where(mutual, 1.0, NOT_MUTUAL)
    rows, columns = target.shape[-2:]
    points = grid(rows, columns, volume).flatten(1)
    peaks = points[:, index].transpose(0, 1)
    positions = window_mean(volume, peaks, points, cells=PEAK_CELLS)
    motion = positions - grid(height, width, volume).flatten(1)
    return CellMatches(
        volume,
        motion.view(-1, 2, height, width),
        confidence.view(-1, 1, height, width),
    )
