"""Pairs whose true field is known: warps and color changes of photographs.

The source is the photograph seen through a random smooth field, as in RTNs:
pixel i of the source shows the photograph at ``i + flow[i]``, so that the
flow from the source to the target, the photograph itself, is known at every
pixel without inverting anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates
from skimage import data
from skimage.color import hsv2rgb, rgb2hsv
from skimage.transform import resize

from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_rgb

Image = NDArray[np.float32]
Field = NDArray[np.float64]

#: Steps of the fixed-point iteration of :func:`inverse_flow`.
INVERSE_ROUNDS = 16

#: Photographs that come with scikit-image's wheel.
BUNDLED = (
    'astronaut',
    'camera',
    'chelsea',
    'coffee',
    'coins',
    'rocket',
    'immunohistochemistry',
    'stereo_motorcycle',
)


@dataclass(frozen=True, kw_only=True)
class WarpRanges:
    """How far a random warp goes, in RTNs' ranges by default."""

    #: Scaling by 1 - scale to 1 + scale.
    scale: float = 0.25
    #: ``rotation``, ``shear``: largest angle to either side, in degrees.
    rotation: float = 15.0
    shear: float = 15.0
    #: Largest shift per axis, in half sides of the image.
    translation: float = 0.4
    #: Largest shift of the 3 x 3 control points of a thin-plate spline, in
    #: half sides of the image.
    bend: float = 0.1

    def times(self, strength: float) -> WarpRanges:
        """All ranges multiplied."""
        return WarpRanges(
            scale=self.scale * strength,
            rotation=self.rotation * strength,
            shear=self.shear * strength,
            translation=self.translation * strength,
            bend=self.bend * strength,
        )


def bundled_photograph(name: str) -> Image:
    """One of `BUNDLED` as float RGB.

    Raises InputError if it is not one of them.
    """
    if name not in BUNDLED:
        raise InputError(
            f'photograph must be one of {", ".join(BUNDLED)}, got {name!r}'
        )
    pixels = getattr(data, name)()
    # The stereo pair comes as left, right and disparity.
    image = to_rgb(pixels[0] if isinstance(pixels, tuple) else pixels)
    return np.asarray(image, np.float32)


def random_field(
    shape: tuple[int, int],
    rng: np.random.Generator,
    ranges: WarpRanges | None = None,
) -> Field:
    """Random smooth flow: affine plus thin-plate spline.

    ``shape``: sides of the grid in pixels.
    ``rng``: source of randomness; the same state gives the same flow.
    Returns: displacement in pixels, rows and columns.
    """
    ranges = ranges or WarpRanges()
    scale = 1 + rng.uniform(-ranges.scale, ranges.scale)
    angle, lean = np.deg2rad(
        rng.uniform(-1, 1, 2) * (ranges.rotation, ranges.shear)
    )
    shift = rng.uniform(-ranges.translation, ranges.translation, 2)
    cosine, sine = np.cos(angle), np.sin(angle)
    affine = scale * (
        np.array([[cosine, -sine], [sine, cosine]])
        @ np.array([[1.0, np.tan(lean)], [0.0, 1.0]])
    )
    rows, columns = (2 * (np.arange(side) + 0.5) / side - 1 for side in shape)
    grid = np.stack(np.meshgrid(rows, columns, indexing='ij'), axis=-1)
    control = np.stack(
        np.meshgrid(*2 * [[-1.0, 0.0, 1.0]], indexing='ij'), axis=-1
    ).reshape(9, 2)
    bend = RBFInterpolator(
        control,
        rng.uniform(-ranges.bend, ranges.bend, (9, 2)),
        kernel='thin_plate_spline',
    )
    moved = grid @ affine.T + shift
    moved += bend(grid.reshape(-1, 2)).reshape(grid.shape)
    return np.asarray((moved - grid) * np.array(shape) / 2)


def jitter(image: Image, rng: np.random.Generator) -> Image:
    """Another light on an image: tone, contrast, color, grain."""
    pixels = np.clip(image, 0, 1) ** np.exp(rng.uniform(-0.5, 0.5))
    contrast, brightness = rng.uniform(0.7, 1.3), rng.uniform(-0.12, 0.12)
    pixels = (pixels - 0.5) * contrast + 0.5 + brightness
    pixels = pixels * rng.uniform(0.8, 1.2, 3)
    hue, saturation, value = np.moveaxis(rgb2hsv(np.clip(pixels, 0, 1)), -1, 0)
    hue = (hue + rng.uniform(-0.08, 0.08)) % 1
    saturation = np.clip(saturation * rng.uniform(0.5, 1.5), 0, 1)
    pixels = hsv2rgb(np.stack([hue, saturation, value], axis=-1))
    grain = rng.normal(0, rng.uniform(0, 0.02), pixels.shape)
    return np.clip(pixels + grain, 0, 1).astype(np.float32)


def one_relit(
    source: Image, target: Image, rng: np.random.Generator
) -> tuple[Image, Image]:
    """A pair of which one image, drawn at random, is in another light.

    ``source``, ``target``: RGB from 0 to 1; see :func:`jitter`.
    """
    if rng.random() < 0.5:
        return jitter(source, rng), target
    return source, jitter(target, rng)


def squashed(image: Image, side: int) -> Image:
    """An image resized to a square of `side` pixels."""
    small = resize(image, (side, side), order=1, anti_aliasing=True)
    return np.asarray(small, np.float32)


def warp_photograph(
    photograph: Image, flow: Field
) -> tuple[Image, NDArray[np.bool_]]:
    """Photograph as seen through a flow, and where it really was seen.

    ``flow``: from every pixel of the result to the photograph.
    Returns: ``source``: mirrored beyond the photograph's border; ``valid``:
    where the flow ends inside the photograph.
    """
    at = np.indices(flow.shape[:2]) + np.moveaxis(flow, -1, 0)
    source = np.stack(
        [
            map_coordinates(photograph[..., band], at, order=1, mode='mirror')
            for band in range(3)
        ],
        axis=-1,
    )
    sides = np.array(photograph.shape[:2]).reshape(2, 1, 1)
    valid = np.logical_and(at >= 0, at <= sides - 1)
    return source.astype(np.float32), np.all(valid, axis=0)


def inverse_flow(flow: Field) -> Field:
    """Flow back from the image that a smooth flow leads to.

    ``flow`` (H, W, 2): from every pixel of one image to the other of the same
    size; between pixels it is bilinear, beyond the border it goes on as at the
    border.
    Its slope must be below 1: each step of the fixed-point iteration shrinks
    the error by that.
    Returns: (H, W, 2): on the grid of the other image, in pixels.
    """
    start = np.indices(flow.shape[:2], dtype=float)
    parts = np.moveaxis(flow, -1, 0)
    back = np.zeros_like(start)
    for _ in range(INVERSE_ROUNDS):
        back = -np.stack(
            [
                map_coordinates(part, start + back, order=1, mode='nearest')
                for part in parts
            ]
        )
    return np.moveaxis(back, 0, -1)
