"""Affine maps of color from one small image to another, place by place."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from napari_samnet.arrays.types import FloatArray
from napari_samnet.color.moments import places, products
from napari_samnet.color.smoothing import blurred, resized, sobel

#: Larger pairs are reduced to this many pixels a side before the fit, and the
#: maps to a grid of at most so many cells.
FIT_SIDE = 128
GRID = 64

#: Widths in pixels of the neighborhoods of the fit, the whole image first,
#: and the variance of color below which each leaves the gain to the former.
NARROW = 1.0
NEIGHBORHOODS = (None, 8.0, NARROW)
PLAIN = 1e-4

#: Steepness, as a difference of color per pixel, at which a pixel counts half.
EDGE = 0.05

#: Where :func:`.products` has products of colors before, 1 and colors after.
_PLACES = places(4, 7)

#: Colors before and after among these, and of which pairs of them covariances
#: are taken: before with before, and before with after.
_COLORS = (0, 1, 2, 4, 5, 6)
_SPREAD = [(i, j) for i in range(3) for j in range(i, 3)]
_SPREAD += [(i, j) for i in range(3) for j in (4, 5, 6)]
_FIRST, _SECOND = (
    [_COLORS.index(pair[axis]) for pair in _SPREAD] for axis in (0, 1)
)

#: What colors are measured from in the fit.
MIDDLE = 0.5

#: How far an edge of one channel counts in each of them.
CHANNELS = ((3.0, 1.0, 0.0), (1.0, 2.0, 1.0), (0.0, 1.0, 3.0))


def kept_maps(before: FloatArray, after: FloatArray) -> Tensor:
    """The same as :func:`fitted_maps`, kept for the pairs asked for last.

    ``before``, ``after`` (h, w, 3): the picture before and after, in [0, 1].
    Returns: ``(3, 4, rows, columns)``, not to be changed.
    """
    return _kept_maps(before.tobytes(), after.tobytes(), before.shape)


@lru_cache(maxsize=2)
def _kept_maps(
    before: bytes, after: bytes, shape: tuple[int, int, int]
) -> Tensor:
    planes = (
        torch.from_numpy(
            np.frombuffer(values, np.float32).reshape(shape).copy()
        )
        for values in (before, after)
    )
    with torch.inference_mode():
        return fitted_maps(*(x.permute(2, 0, 1) for x in planes))


def fitted_maps(before: Tensor, after: Tensor) -> Tensor:
    """Affine maps of color from one small image to another.

    ``before``, ``after``: ``(3, h, w)``, the picture before and after, in [0,
    1].
    Returns: ``(3, 4, rows, columns)`` in double precision, on a grid over the
    image: a new color is ``map[:, :3] @ color + map[:, 3]``.
    """
    size = min(before.shape[1], FIT_SIDE), min(before.shape[2], FIT_SIDE)
    # Differences from a middle color lose fewer digits when squared.
    before, after = (
        resized(x.float(), *size) - MIDDLE for x in (before, after)
    )
    both = torch.cat((before, torch.ones_like(before[:1]), after))
    # Pixels on an edge mix the colors of both sides and count less.
    steep = torch.einsum(
        'ij,djhw->dihw', before.new_tensor(CHANNELS), sobel(before)
    )
    edges = steep.square().sum((0, 1))
    moments = products(both, 4) / (1 + edges / EDGE**2)
    gain = torch.eye(3, dtype=torch.float64).reshape(9, 1, 1)
    for width in NEIGHBORHOODS:
        if width is None:
            near = moments.mean((1, 2), keepdim=True)
        else:
            # Wide means vary slowly: a coarser grid of them is enough.
            step = max(1, round(width / 2))
            cells = -(-size[0] // step), -(-size[1] // step)
            near = blurred(resized(moments, *cells), width / step)
            gain = resized(gain, *cells)
        # What is solved must be exact: gains of one stay so.
        shares = near.double()
        shares /= shares[_PLACES[3, 3]].clone()
        mean = shares[[_PLACES[min(k, 3), max(k, 3)] for k in _COLORS]]
        spread = shares[[_PLACES[pair] for pair in _SPREAD]]
        spread -= mean[_FIRST] * mean[_SECOND]
        gain = _solved(spread, gain)
    mean += MIDDLE
    offset = mean[3:] - (mean[:3, None] * gain.view(3, 3, *size)).sum(0)
    maps = torch.cat((gain, offset))
    # A pixel takes the mean of the maps of all neighborhoods it is in.
    maps = blurred(maps, NARROW)
    maps = resized(maps, min(size[0], GRID), min(size[1], GRID))
    return maps.view(4, 3, *maps.shape[1:]).transpose(0, 1)


def _solved(spread: Tensor, gain: Tensor) -> Tensor:
    """Gains ``(9, r, c)``, drawn to others, from covariances.

    By cofactors: thousands of tiny systems take LAPACK longer than the sums.

    ``spread``: ``(15, r, c)``, in the order of `_SPREAD`. ``gain``: ``(9, r,
    c)``, gains of a wider neighborhood.
    """
    rows, columns = gain.shape[1:]
    right = (spread[6:] + PLAIN * gain).view(3, 3, rows, columns)
    spread[[0, 3, 5]] += PLAIN
    a, b, c, d, e, f = spread[:6]
    cofactors = (
        (d * f - e * e, c * e - b * f, b * e - c * d),
        (c * e - b * f, a * f - c * c, b * c - a * e),
        (b * e - c * d, b * c - a * e, a * d - b * b),
    )
    first = cofactors[0]
    determinant = a * first[0] + b * first[1] + c * first[2]
    inverse = torch.stack([torch.stack(row) for row in cofactors])
    solved = (inverse[:, :, None] * right[None]).sum(1) / determinant
    return solved.reshape(9, rows, columns)
