"""Random images of every kind that a user may have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = (
    'bool',
    'uint8',
    'uint16',
    'int32',
    'float16',
    'float32',
    'float64',
)

#: None for a gray image without an axis of channels.
CHANNELS = (None, 1, 2, 3, 4, 7)

#: What may be wrong with the values.
PROBLEMS = (
    'none',
    'nan',
    'inf',
    '-inf',
    'nothing finite',
    'constant',
    'zeros',
    'negative',
)

#: One pixel, odd, the size of a cell, long, and prime.
SHAPES = ((1, 1), (7, 5), (8, 8), (4096, 16), (101, 67), (64, 64))

#: How the numbers lie in memory.
LAYOUTS = ('C', 'F', 'reversed', 'strided', 'swapped bytes')

#: How they are reached.
ACCESS = ('writable', 'read-only', 'dask')


@dataclass(frozen=True, kw_only=True)
class ImageKind:
    """What an image is like."""

    #: Rows and columns of the image.
    shape: tuple[int, int] = (64, 64)
    #: One of `DTYPES`, or any other that numpy knows.
    dtype: str = 'uint8'
    #: Number of channels; None for no such axis.
    channels: int | None = 3
    #: Whether the channels lie on the first axis instead of the last.
    first: bool = False
    #: One of `PROBLEMS`; those that only floats can have change nothing
    #: elsewhere.
    problem: str = 'none'
    #: Where the axis of channels is: one of `LAYOUTS`.
    layout: str = 'C'
    #: How the pixels are held: one of `ACCESS`.
    access: str = 'writable'
    #: Another one gives other pixels.
    seed: int = 0

    @property
    def channel_axis(self) -> int | None:
        """Axis of the channels, None if there is none."""
        if self.channels is None:
            return None
        return 0 if self.first else 2

    @property
    def plain(self) -> ImageKind:
        """The same image, contiguous and writable in memory."""
        return replace(self, layout='C', access='writable')

    def make(self) -> Any:
        """Make the image.

        Returns: a numpy or a dask array.
        """
        image = _with_problem(self._values(), self.problem)
        image = _laid_out(image, self.layout)
        if self.access == 'read-only':
            image.flags.writeable = False
        elif self.access == 'dask':
            from dask import array

            # Three chunks a side, the last one smaller.
            chunks = tuple(max(1, 2 * side // 5) for side in image.shape)
            return array.from_array(image, chunks=chunks)
        return image

    def _values(self) -> NDArray[Any]:
        unit = blobs(self.shape, self.channels or 1, self.seed)
        if self.channels is None:
            unit = unit[..., 0]
        elif self.first:
            unit = np.ascontiguousarray(np.moveaxis(unit, -1, 0))
        dtype = np.dtype(self.dtype)
        if dtype.kind == 'b':
            return unit > 0.5
        if dtype.kind in 'iu':
            return (unit * min(np.iinfo(dtype).max, 50_000)).astype(dtype)
        return unit.astype(dtype)


@lru_cache(maxsize=4)
def blobs(
    shape: tuple[int, int], channels: int, seed: int
) -> NDArray[np.float64]:
    """Colored noise of several scales, which has something to match.

    ``channels``: number of channels, at least 1. Returns: (rows, columns,
    channels): from 0 to 1; read-only.
    """
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    total = np.zeros((*shape, channels))
    for scale in (0.0, 2.0, 6.0):
        noise = rng.random((*shape, channels))
        smooth = ndimage.gaussian_filter(noise, (scale, scale, 0))
        total += smooth / max(float(smooth.std()), 1e-6)
    span = float(np.ptp(total))
    unit: NDArray[np.float64] = (total - total.min()) / (span or 1.0)
    unit.flags.writeable = False
    return unit


def _with_problem(image: NDArray[Any], problem: str) -> NDArray[Any]:
    """The image with something wrong about its values."""
    image = image.copy()
    if problem == 'zeros':
        image[...] = 0
    elif problem == 'constant':
        image[...] = image.ravel()[0]
    elif problem == 'negative' and image.dtype.kind in 'if':
        image = (-image - 1).astype(image.dtype)
    elif image.dtype.kind == 'f' and problem == 'nothing finite':
        image[...] = np.nan
    elif image.dtype.kind == 'f' and problem in ('nan', 'inf', '-inf'):
        image.ravel()[:: max(2, image.size // 50)] = float(problem)
    return image


def _laid_out(image: NDArray[Any], layout: str) -> NDArray[Any]:
    """The same numbers in another order of memory."""
    if layout == 'F':
        return np.asfortranarray(image)
    if layout == 'reversed':
        return np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1]
    if layout == 'strided':
        return np.repeat(np.repeat(image, 2, 0), 3, 1)[::2, ::3]
    if layout == 'swapped bytes':
        return image.astype(image.dtype.newbyteorder())
    return image


def random_kind(rng: np.random.Generator) -> ImageKind:
    """Any kind of image.

    ``rng``: source of randomness; the same state gives the same kind.
    """

    def one_of(values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    shape = one_of(SHAPES)
    if rng.random() < 0.5:
        shape = tuple(int(side) for side in rng.integers(1, 200, 2))
    return ImageKind(
        shape=shape,
        dtype=one_of(DTYPES),
        channels=one_of(CHANNELS),
        first=bool(rng.random() < 0.2),
        problem=one_of(PROBLEMS) if rng.random() < 0.4 else 'none',
        layout=one_of(LAYOUTS),
        access=one_of(ACCESS if find_spec('dask') else ACCESS[:-1]),
        seed=int(rng.integers(1 << 31)),
    )
