"""Attributes found at working size, with the detail of the native image.

The network transfers attributes at its working size. Enlarging its image
would lose every finer detail of the source. Instead a colour model is fitted
to the small pair of images: in each neighbourhood, the transferred colour is
an affine function of the source's colour. Its twelve coefficients vary
slowly, so they can be enlarged without harm, and are applied to the source
at its own size.

The model carries the mean and the covariance of the source's colours over
into those of the transferred image, in a Gaussian neighbourhood of each
point. Linear maps that do so differ by a rotation. It is chosen to bring the
colours of each pixel closest together, with a pull towards the map that
moves the colours least (the Monge-Kantorovitch map: Pitie and Kokaram, "The
linear Monge-Kantorovitch linear colour mapping for example-based colour
transfer", CVMP 2007, doi:10.1049/cp:20070055), which decides where the two
images do not lie exactly on each other. A regression would lose contrast
there. Both images are blurred before, since the transferred one is less
sharp than the source to begin with.

Pixels may be weighted by the confidence of their match. One without a match
then takes the colours that pixels like it take nearby, or in the image as a
whole, instead of whatever the network put there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_samnet.errors import InputError
from napari_samnet.plane import Plane
from napari_samnet.resampling import (
    Upsampler,
    antialias_matrix,
    run_tiles,
    tiles,
)

__all__ = ['apply_at_native', 'transfer_colours']

FloatArray = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

#: Larger pairs are reduced to this many pixels a side before the fit.
FIT_SIDE = 256

#: Blur before the fit, and width of the neighbourhood, in pixels of the
#: small images.
BLUR = 3.0
NEIGHBOURHOOD = 16.0

#: Variance of colour that is added to both images: neighbourhoods that are
#: plainer keep their texture as it is.
PLAIN = 1e-3

#: Weight, relative to the mean, of the whole image in a neighbourhood.
ANCHOR = 0.1

#: Pull towards the least motion, as a correlation between the two images.
LEAST_MOTION = 0.3

#: Pixels of the small images for each cell of the grid of maps.
SPACING = 8


def apply_at_native(
    source_rgb: npt.ArrayLike,
    source_small: npt.ArrayLike,
    transferred_small: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
) -> FloatArray:
    """A transferred image at the source's own size.

    Parameters
    ----------
    source_rgb : array_like of float, shape (H, W, 3)
        The source at its own size, in [0, 1].
    source_small, transferred_small : array_like of float, shape (h, w, 3)
        The source and the transferred image at working size, in [0, 1].
    weight : array_like, optional
        Confidence of each pixel of the small images, on any grid
        ``(rows, columns)``.

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        In [0, 1].

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    source = np.asarray(source_rgb)
    if source.ndim != 3 or source.shape[2] != 3 or not source.size:
        raise InputError(
            f'source_rgb must have shape (H, W, 3), got {source.shape}'
        )
    shape = (source.shape[0], source.shape[1])
    recolour = _recolouring(source_small, transferred_small, shape, weight)
    out = np.empty((*shape, 3), np.float32)

    def work(rows: slice) -> None:
        out[rows] = recolour(rows, source[rows])

    run_tiles(work, (rows for rows, _ in tiles(shape)))
    return out


def transfer_colours(
    image: Any,
    source_small: npt.ArrayLike,
    transferred_small: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    name: str = 'source',
    channel_axis: int | None = None,
    contrast_limits: tuple[float, float] | None = None,
) -> npt.NDArray[Any]:
    """A transferred image in the size, dtype and channels of the source.

    The same as :func:`apply_at_native` between
    :func:`~napari_samnet.images.to_rgb` and
    :func:`~napari_samnet.images.from_rgb`, in bands of rows: beyond the
    result it takes memory for a few bands only.

    Parameters
    ----------
    image : array_like
        The source, see :func:`~napari_samnet.images.to_rgb`.
    source_small, transferred_small : array_like of float, shape (h, w, 3)
        The source and the transferred image at working size, in [0, 1].
    weight : array_like, optional
        Confidence of each pixel of the small images, on any grid
        ``(rows, columns)``.
    name : str
        What the messages call the image.
    channel_axis : int, optional
        As for :func:`~napari_samnet.images.to_rgb`.
    contrast_limits : tuple of float, optional
        As for :func:`~napari_samnet.images.to_rgb`.

    Returns
    -------
    ndarray
        Shape and dtype of `image`.

    Raises
    ------
    InputError
        If the shapes do not fit, or the image is none.
    """
    plane = Plane.of(
        image,
        name=name,
        channel_axis=channel_axis,
        contrast_limits=contrast_limits,
    )
    recolour = _recolouring(
        source_small, transferred_small, plane.shape, weight
    )
    out, pixels = plane.empty()
    _ = plane.limits  # found once, before the threads ask for it

    def work(rows: slice) -> None:
        colours = recolour(rows, plane.rgb_rows(rows))
        pixels[rows] = plane.with_colours(rows, colours)

    run_tiles(work, plane.bands())
    return out


def _recolouring(
    source_small: npt.ArrayLike,
    transferred_small: npt.ArrayLike,
    shape: tuple[int, int],
    weight: npt.ArrayLike | None,
) -> Callable[[slice, npt.NDArray[Any]], FloatArray]:
    """The fitted model as a function of a band of rows and its colours."""
    maps = _fit(source_small, transferred_small, weight)
    upsampler = Upsampler(maps.reshape(*maps.shape[:2], 12), shape)

    def recolour(rows: slice, colours: npt.NDArray[Any]) -> FloatArray:
        maps = upsampler.rows(rows)
        out = np.empty(colours.shape, np.float32)
        for channel in range(3):
            matrix = maps[4 * channel : 4 * channel + 4]
            value = matrix[3]
            for k in range(3):
                matrix[k] *= colours[..., k]
                value += matrix[k]
            np.clip(value, 0, 1, out=out[..., channel])
        return out

    return recolour


def _fit(
    source_small: npt.ArrayLike,
    transferred_small: npt.ArrayLike,
    weight: npt.ArrayLike | None,
) -> Array:
    """Affine maps of colour from one small image to another.

    Parameters
    ----------
    source_small, transferred_small : array_like, shape (h, w, 3)
        Before and after.
    weight : array_like, optional
        How much each pixel counts, on any grid ``(rows, columns)``.

    Returns
    -------
    ndarray, shape (rows, columns, 3, 4)
        At each cell of a grid over the image: a new colour is
        ``map[:, :3] @ colour + map[:, 3]``.
    """
    before = np.asarray(source_small, np.float64)
    after = np.asarray(transferred_small, np.float64)
    fits = before.ndim == 3 and before.shape[2] == 3 and before.size
    if not fits or before.shape != after.shape:
        raise InputError(
            f'both small images must have one shape (h, w, 3), got '
            f'{before.shape} and {after.shape}'
        )
    before, after = (_shrunk(x, FIT_SIDE, FIT_SIDE) for x in (before, after))
    before, after = (
        ndimage.gaussian_filter(x, BLUR, mode='nearest', axes=(0, 1))
        for x in (before, after)
    )
    share = _shares(weight, before.shape[:2])
    mean, spread = _statistics(np.concatenate([before, after], axis=-1), share)
    first, then = mean[..., :3], mean[..., 3:]
    half = _root(spread[..., :3, :3] + PLAIN * np.eye(3))
    wanted = _root(spread[..., 3:, 3:] + PLAIN * np.eye(3))
    inverse, back = np.linalg.inv(half), np.linalg.inv(wanted)
    least = back @ inverse @ _root(half @ wanted @ wanted @ half)
    common = back @ spread[..., 3:, :3] @ inverse
    left, _, right = np.linalg.svd(common + LEAST_MOTION * least)
    gain = wanted @ left @ right @ inverse
    offset = then[..., None] - gain @ first[..., None]
    return np.concatenate([gain, offset], axis=-1)


def _statistics(image: Array, share: Array) -> tuple[Array, Array]:
    """Mean (r, c, K) and covariance (r, c, K, K) in each neighbourhood."""
    count = image.shape[2]
    pairs = image[..., :, None] * image[..., None, :]
    values = np.concatenate(
        [image, pairs.reshape(*image.shape[:2], count * count)], axis=-1
    )
    weighted = share[..., None] * values
    overall = weighted.mean(axis=(0, 1))
    local = ndimage.gaussian_filter(
        weighted, NEIGHBOURHOOD, mode='nearest', axes=(0, 1)
    )
    total = ndimage.gaussian_filter(share, NEIGHBOURHOOD, mode='nearest')
    mixed = (local + ANCHOR * overall) / (total + ANCHOR)[..., None]
    # The statistics vary slowly: a coarse grid of them is enough.
    rows, columns = (-(-size // SPACING) for size in image.shape[:2])
    mixed = _shrunk(mixed, rows, columns)
    mean = mixed[..., :count]
    square = mixed[..., count:].reshape(*mixed.shape[:2], count, count)
    return mean, square - mean[..., :, None] * mean[..., None, :]


def _root(matrices: Array) -> Array:
    """Square roots of symmetric positive matrices (..., 3, 3)."""
    values, vectors = np.linalg.eigh(matrices)
    roots = np.sqrt(np.maximum(values, 0))[..., None, :]
    return np.asarray((vectors * roots) @ np.swapaxes(vectors, -1, -2))


def _shares(weight: npt.ArrayLike | None, shape: tuple[int, ...]) -> Array:
    """Weights (h, w) of mean 1; even ones if there is nothing to go by."""
    if weight is None:
        return np.ones(shape)
    given = np.clip(np.asarray(weight, np.float64), 0, None)
    if given.ndim != 2 or not given.size:
        raise InputError(
            f'weight must have shape (rows, columns), got {given.shape}'
        )
    size = (shape[0] / given.shape[0], shape[1] / given.shape[1])
    wide = ndimage.zoom(given, size, order=1, mode='nearest', grid_mode=True)
    mean = wide.mean()
    return np.asarray(wide / mean) if mean > 0 else np.ones(shape)


def _shrunk(values: Array, rows: int, columns: int) -> Array:
    """Values (h, w, K) on a grid that is not larger."""
    height, width, count = values.shape
    rows, columns = min(rows, height), min(columns, width)
    tall = antialias_matrix(height, rows) @ values.reshape(height, -1)
    tall = tall.reshape(rows, width, count).swapaxes(0, 1)
    flat = antialias_matrix(width, columns) @ tall.reshape(width, -1)
    return np.asarray(flat.reshape(columns, rows, count).swapaxes(0, 1))
