"""Color statistics of one image given to another, neighborhood by another.

The mean and the covariance of the colors before are carried over into those
after, in a Gaussian neighborhood of each point. Linear maps that do so
differ by a rotation. It is chosen to bring the colors of each pixel closest
together, with a pull towards the map that moves the colors least (the
Monge-Kantorovitch map: Pitie and Kokaram, "The linear Monge-Kantorovitch
linear color mapping for example-based color transfer", CVMP 2007,
doi:10.1049/cp:20070055), which decides where the two images do not lie
exactly on each other. A regression would lose contrast there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_samnet.color.moments import products, unpacked
from napari_samnet.color.smoothing import blurred, resized

Array = npt.NDArray[np.float64]

#: Blur before the fit, in pixels.
BLUR = 1.5

#: Variance of color that is added to both images: neighborhoods that are
#: plainer keep their texture as it is.
PLAIN = 1e-3

#: Pull towards the least motion, as a correlation between the two images.
LEAST_MOTION = 0.3

#: Pixels for each cell of the grid of maps.
SPACING = 4

#: Channels of both images together.
BOTH = 6


def statistical_pictures(
    before: Tensor,
    after: Tensor,
    share: Tensor,
    neighborhoods: Sequence[tuple[float, float]],
) -> list[Tensor]:
    """Give an image the local color statistics of another.

    ``before``, ``after``: ``(3, h, w)`` pictures in the range 0 to 1, single
    precision.
    ``share``: ``(h, w)``: how much each pixel counts; only its ratios matter.
    ``neighborhoods``: width of each neighborhood in pixels, and the weight of
    the whole image in it, relative to the mean.
    Returns: for each, `before` in other colors, ``(3, h, w)``, not clipped.
    """
    soft = blurred(torch.cat((before, after)), BLUR)
    # Differences from the mean color lose fewer digits when squared.
    middle = soft.mean((1, 2), keepdim=True)
    soft = soft - middle
    values = torch.cat((soft, products(soft, BOTH), torch.ones_like(soft[:1])))
    values = values * (share / share.mean())
    overall = values.mean((1, 2)).view(-1, 1, 1)
    # The statistics vary slowly: a coarse grid of them is enough.
    rows, columns = (-(-size // SPACING) for size in before.shape[1:])
    coarse = resized(values, rows, columns)
    mixed = torch.stack(
        [
            blurred(coarse, width / SPACING) + anchor * overall
            for width, anchor in neighborhoods
        ]
    ).double()
    mixed = mixed[:, :-1] / mixed[:, -1:]
    mean = torch.movedim(mixed[:, :BOTH], 1, -1)
    spread = unpacked(mixed[:, BOTH:], BOTH, BOTH)
    spread = spread - mean[..., :, None] * mean[..., None, :]
    mean = mean + middle[:, 0, 0].double()
    maps = torch.from_numpy(_maps(mean.numpy(), spread.numpy()))
    maps = torch.movedim(maps.flatten(-2), -1, 1).to(before)
    size = before.shape[1], before.shape[2]
    one = torch.cat((before, torch.ones_like(before[:1])))
    return [
        (wide.view(3, 4, *size) * one).sum(1) for wide in resized(maps, *size)
    ]


def _maps(mean: Array, spread: Array) -> Array:
    """Affine maps (..., 3, 4) from the first three channels to the others."""
    first, then = mean[..., :3], mean[..., 3:]
    half = _root(spread[..., :3, :3] + PLAIN * np.eye(3))
    wanted = _root(spread[..., 3:, 3:] + PLAIN * np.eye(3))
    inverse, back = np.linalg.inv(half), np.linalg.inv(wanted)
    least = back @ inverse @ _root(half @ wanted @ wanted @ half)
    common = back @ spread[..., 3:, :3] @ inverse
    gain = wanted @ _rotation(common + LEAST_MOTION * least) @ inverse
    offset = then[..., None] - gain @ first[..., None]
    return np.concatenate([gain, offset], axis=-1)


def _rotation(matrices: Array) -> Array:
    """Nearest rotations, or reflections, of matrices (..., 3, 3)."""
    square = np.swapaxes(matrices, -1, -2) @ matrices
    return np.asarray(matrices @ np.linalg.inv(_root(square)))


def _root(matrices: Array) -> Array:
    """Square roots of symmetric positive matrices (..., 3, 3).

    By the eigenvalues in closed form and the theorem of Cayley and Hamilton:
    thousands of tiny matrices take LAPACK several times as long.
    """
    one, two, three = np.sqrt(_eigenvalues(matrices))
    total = one + two + three
    pairs = one * two + two * three + three * one
    product = one * two * three
    scale = total * pairs - product
    linear, constant = (total**2 - pairs) / scale, total * product / scale
    root = linear[..., None, None] * matrices
    root -= matrices @ matrices / scale[..., None, None]
    root[..., range(3), range(3)] += constant[..., None]
    return np.asarray(root)


def _eigenvalues(matrices: Array) -> tuple[Array, Array, Array]:
    """Of symmetric positive matrices (..., 3, 3), the largest first."""
    a, d, f = (matrices[..., k, k] for k in range(3))
    b, c, e = (matrices[..., i, j] for i, j in ((0, 1), (0, 2), (1, 2)))
    mean = (a + d + f) / 3
    a, d, f = a - mean, d - mean, f - mean
    squares = (a * a + d * d + f * f + 2 * (b * b + c * c + e * e)) / 6
    width = np.sqrt(np.maximum(squares, 1e-30))
    half = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
    angle = np.arccos(np.clip(half / (2 * width**3), -1, 1)) / 3
    first = mean + 2 * width * np.cos(angle)
    last = mean + 2 * width * np.cos(angle + 2 * np.pi / 3)
    least = 1e-12 * first
    last = np.maximum(last, least)
    return first, np.maximum(3 * mean - first - last, least), last
