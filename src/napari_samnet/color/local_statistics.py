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

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_samnet.arrays.resize import resized

__all__ = ['statistical_picture']

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


def statistical_picture(
    before: Array, after: Array, share: Array, *, width: float, anchor: float
) -> Array:
    """Give an image the local color statistics of another.

    Parameters
    ----------
    before, after : ndarray of float64, shape (h, w, 3)
        Pictures in the range 0 to 1.
    share : ndarray of float64, shape (h, w)
        How much each pixel counts; only its ratios matter.
    width : float
        Of the neighborhood, in pixels.
    anchor : float
        Weight of the whole image in a neighborhood, relative to the mean.

    Returns
    -------
    ndarray of float64, shape (h, w, 3)
        `before` in other colors, not clipped.
    """
    soft = ndimage.gaussian_filter(
        np.concatenate([before, after], axis=-1),
        BLUR,
        mode='nearest',
        axes=(0, 1),
    )
    mean, spread = _statistics(soft, share / share.mean(), width, anchor)
    first, then = mean[..., :3], mean[..., 3:]
    half = _root(spread[..., :3, :3] + PLAIN * np.eye(3))
    wanted = _root(spread[..., 3:, 3:] + PLAIN * np.eye(3))
    inverse, back = np.linalg.inv(half), np.linalg.inv(wanted)
    least = back @ inverse @ _root(half @ wanted @ wanted @ half)
    common = back @ spread[..., 3:, :3] @ inverse
    left, _, right = np.linalg.svd(common + LEAST_MOTION * least)
    gain = wanted @ left @ right @ inverse
    offset = then[..., None] - gain @ first[..., None]
    maps = np.concatenate([gain, offset], axis=-1)
    rows, columns = before.shape[:2]
    maps = resized(maps.reshape(*maps.shape[:2], 12), rows, columns)
    maps = maps.reshape(rows, columns, 3, 4)
    return np.asarray(
        (maps[..., :3] @ before[..., None])[..., 0] + maps[..., 3]
    )


def _statistics(
    image: Array, share: Array, width: float, anchor: float
) -> tuple[Array, Array]:
    """Mean (r, c, K) and covariance (r, c, K, K) in each neighborhood."""
    count = image.shape[2]
    pairs = image[..., :, None] * image[..., None, :]
    values = np.concatenate(
        [image, pairs.reshape(*image.shape[:2], count * count)], axis=-1
    )
    weighted = np.concatenate(
        [share[..., None] * values, share[..., None]], axis=-1
    )
    overall = weighted.mean(axis=(0, 1))
    # The statistics vary slowly: a coarse grid of them is enough.
    rows, columns = (-(-size // SPACING) for size in image.shape[:2])
    local = ndimage.gaussian_filter(
        resized(weighted, rows, columns),
        width / SPACING,
        mode='nearest',
        axes=(0, 1),
    )
    mixed = local + anchor * overall
    mixed = mixed[..., :-1] / mixed[..., -1:]
    mean = mixed[..., :count]
    square = mixed[..., count:].reshape(*mixed.shape[:2], count, count)
    return mean, square - mean[..., :, None] * mean[..., None, :]


def _root(matrices: Array) -> Array:
    """Square roots of symmetric positive matrices (..., 3, 3)."""
    values, vectors = np.linalg.eigh(matrices)
    roots = np.sqrt(np.maximum(values, 0))[..., None, :]
    return np.asarray((vectors * roots) @ np.swapaxes(vectors, -1, -2))
