"""Colors found at working size, with the detail of the native image.

The transferred image is made at working size. Enlarging it would lose every
finer detail of the source. Instead a color model is fitted to the small pair
of images, as in a fast guided filter (He and Sun, "Fast guided filter",
arXiv:1505.00996): around each point, the transferred color is an affine
function of the source's color. Its twelve coefficients are enlarged, and
applied to the source at its own size, so that an edge in the result is one of
the source.

Where a neighborhood is too plain to tell a gain of color from a shift, the
gain is that of a wider neighborhood, or of the whole image: plain surfaces
keep their texture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import Upsampler
from napari_samnet.arrays.tiles import run_tiles
from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError
from napari_samnet.images.plane import Plane

Array = npt.NDArray[np.float64]


def transfer_colors(
    image: Any,
    source_small: npt.ArrayLike,
    transferred_small: npt.ArrayLike,
    residual: FloatArray | None = None,
    *,
    channel_axis: int | None = None,
) -> npt.NDArray[Any]:
    """A transferred image in the size, dtype and channels of the source.

    It is made in bands of rows: beyond the result it takes memory for a few
    bands only.

    ``source_small``, ``transferred_small`` (h, w, 3): the source and the
    transferred image at working size, in [0, 1].
    ``residual`` (h, w, 3): what is added to the colors that the two lead to.
    Returns: shape and dtype of `image`.
    Raises InputError if the shapes do not fit, or the image is none.
    """
    plane = Plane.of(image, name='source', channel_axis=channel_axis)
    recolor = _recoloring(source_small, transferred_small, plane.shape)
    finer = None if residual is None else Upsampler(residual, plane.shape)
    out, pixels = plane.empty()
    _ = plane.limits  # found once, before the threads ask for it

    def work(rows: slice) -> None:
        colors = recolor(rows, plane.rgb_rows(rows))
        if finer is not None:
            colors += np.moveaxis(finer.rows(rows), 0, -1)
            np.clip(colors, 0, 1, out=colors)
        pixels[rows] = plane.with_colors(rows, colors)

    run_tiles(work, plane.bands())
    return out


def _recoloring(
    source_small: npt.ArrayLike,
    transferred_small: npt.ArrayLike,
    shape: tuple[int, int],
) -> Callable[[slice, npt.NDArray[Any]], FloatArray]:
    """The fitted model as a function of a band of rows and its colors."""
    maps = _fit(source_small, transferred_small)
    upsampler = Upsampler(maps.reshape(*maps.shape[:2], 12), shape)

    def recolor(rows: slice, colors: npt.NDArray[Any]) -> FloatArray:
        maps = upsampler.rows(rows)
        out = np.empty(colors.shape, np.float32)
        for channel in range(3):
            matrix = maps[4 * channel : 4 * channel + 4]
            value = matrix[3]
            for k in range(3):
                matrix[k] *= colors[..., k]
                value += matrix[k]
            np.clip(value, 0, 1, out=out[..., channel])
        return out

    return recolor


def _fit(
    source_small: npt.ArrayLike, transferred_small: npt.ArrayLike
) -> Array:
    """Affine maps of color from one small image to another.

    ``source_small``, ``transferred_small`` (h, w, 3): the picture before and
    after, at working size.
    Returns: (rows, columns, 3, 4): at each cell of a grid over the image: a
    new color is ``map[:, :3] @ color + map[:, 3]``.
    """
    before = np.asarray(source_small, np.float32)
    after = np.asarray(transferred_small, np.float32)
    fits = before.ndim == 3 and before.shape[2] == 3 and before.size
    if not fits or before.shape != after.shape:
        raise InputError(
            f'both small images must have one shape (h, w, 3), got '
            f'{before.shape} and {after.shape}'
        )
    # Importing this module is not to import torch.
    from napari_samnet.color.affine_fit import kept_maps

    return np.moveaxis(kept_maps(before, after).numpy(), (0, 1), (2, 3))
