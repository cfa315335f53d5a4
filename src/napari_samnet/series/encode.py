"""Planes of a series as features, with what else is compared of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import resized
from napari_samnet.arrays.types import FloatArray
from napari_samnet.images.plane import Plane
from napari_samnet.images.rgb import working_shape
from napari_samnet.labels.similar import pooled
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.devices import (
    has_whole_products,
    out_of_memory_explained,
    resolve_execution_target,
)
from napari_samnet.runtime.loading import load_model
from napari_samnet.runtime.precision import convolutions
from napari_samnet.runtime.weights import get_weights
from napari_samnet.samnet.config import STRIDE

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samnet.samnet.whole_numbers import WholeFeatures


#: Rows and columns of cells.
Region = tuple[slice, slice]

#: Planes with more pixels are compared pixel by pixel on a coarser grid.
MOST_PIXELS = 1 << 20

#: Levels per color of the histogram that tells a cut.
LEVELS = 4

#: Cells a side in which whole planes are compared, whatever the working size.
COARSE_SIDE = 32


@dataclass(frozen=True, eq=False)
class Cells:
    """Features of some cells of a plane."""

    #: (n, C): one unit vector for each cell.
    features: Tensor
    #: Rows and columns of the grid that they belong to.
    grid: tuple[int, int]
    #: (n,): where they are in it, row by row, ascending.
    places: npt.NDArray[np.intp]
    #: The same features as whole numbers, where these are multiplied faster.
    whole: WholeFeatures | None = None

    def some(self, index: npt.NDArray[np.intp] | slice) -> Cells:
        """A choice of these cells."""
        import torch

        part = index if isinstance(index, slice) else torch.from_numpy(index)
        return Cells(
            self.features[part],
            self.grid,
            self.places[index],
            None if self.whole is None else self.whole.some(part),
        )

    def cosines(self, others: Cells) -> Tensor:
        """Of all these cells with all others, (n, m)."""
        if self.whole is not None and others.whole is not None:
            return self.whole.products(others.whole)
        return self.features @ others.features.T


@dataclass(frozen=True, eq=False)
class EncodedPlane:
    """One plane as the propagation sees it."""

    #: All cells by the light network, or what decides where that is enough.
    glance: Cells
    #: Cells that were looked at closely; None before, and if none are to be.
    detail: Cells | None
    #: (M, C): those of `glance` on at most 32 a side, to compare whole planes
    #: by.
    coarse: FloatArray
    #: Rows and columns of the cells that decide.
    cells: tuple[int, int]
    #: Rows and columns of the plane itself.
    shape: tuple[int, int]
    #: (rows, columns, 3): the plane as RGB in [0, 1], at most about a million
    #: pixels.
    picture: FloatArray
    #: (64,): share of the pixels in each bin of color.
    histogram: FloatArray
    #: Mean difference of neighboring pixels at working size; near 0 where the
    #: plane is blurred or empty.
    sharpness: float
    #: (H, W): pixels that count; None for all of them.
    kept: npt.NDArray[np.bool_] | None = None
    #: The plane at its own size, and the same at working size; None for
    #: planes that are remembered.
    image: Plane | None = None
    small: FloatArray | None = None

    @property
    def deciding(self) -> Cells:
        """The cells that labels are taken from and handed on by."""
        return self.glance if self.detail is None else self.detail

    def without_image(self) -> EncodedPlane:
        """The same without the pixels of its own size, to be remembered."""
        return replace(self, image=None, small=None)


class PlaneEncoder:
    """Encodes planes of one series, all in the same way.

    ``channel_axis``: axis of the channels in a plane, where it is not the last
    of an RGB image.
    ``fast``: describe planes by the light one of the two networks alone: a
    tenth of the time, with cells twice as large.

    Gray values become brightness by the range of the first plane that is
    encoded, so that a series does not flicker.
    """

    def __init__(
        self,
        options: MatchOptions,
        channel_axis: int | None = None,
        *,
        fast: bool = False,
    ) -> None:
        self._options = options
        self._axis = channel_axis
        weights = get_weights(options.weights)
        self.place = resolve_execution_target(
            options.device, options.precision, options.backend, weights=weights
        )
        self._model = load_model(
            options.weights,
            device=self.place.device,
            precision=self.place.precision,
            backend=self.place.backend,
        )
        self._in_whole_numbers = has_whole_products(self.place)
        light = getattr(self._model.features, 'light', None)
        #: Whether planes are seen by the light network before they are looked
        #: at closely.
        self.glances = light is not None
        #: Whether the light network alone decides, or there is but one.
        self.at_once = fast or not self.glances
        self._limits: tuple[float, float] | None = None

    def __call__(self, plane: Any) -> EncodedPlane:
        """Encode one plane.

        ``plane`` (H, W) or (H, W, C): image of real numbers.
        Returns: its features at a glance and a copy of its pixels.
        Raises InputError if it is no such image.
        """
        read = Plane.of(
            plane,
            name='plane',
            channel_axis=self._axis,
            contrast_limits=self._limits,
        )
        if self._limits is None and read.channels in (1, 3):
            low, high = read.limits
            self._limits = float(low.min()), float(high.max())
        picture = read.rgb_rows(slice(0, read.shape[0]))
        rows, columns = working_shape(read.shape, self._options.size)
        small = resized(picture, rows, columns).clip(0, 1)
        glance = self._cells(small, light=self.glances)
        side = pooled(
            glance.features.reshape(*glance.grid, -1).cpu().numpy(),
            COARSE_SIDE,
        )
        return EncodedPlane(
            glance,
            None,
            side.reshape(-1, side.shape[-1]),
            glance.grid
            if self.at_once
            else (rows // STRIDE, columns // STRIDE),
            read.shape,
            _bounded(picture),
            _histogram(small),
            _sharpness(small),
            image=read,
            small=small,
        )

    def closely(
        self, plane: EncodedPlane, region: Region | None = None
    ) -> EncodedPlane:
        """Look at a region of a plane with all of the network.

        ``region``: rows and columns of cells; None for all of them.
        Returns: the plane with `detail`, unless the glance is all there is.
        """
        if self.at_once:
            return plane
        assert plane.small is not None
        rows, columns = region or (slice(0, side) for side in plane.cells)
        part = plane.small[
            rows.start * STRIDE : rows.stop * STRIDE,
            columns.start * STRIDE : columns.stop * STRIDE,
        ]
        cells = self._cells(part, light=False)
        index = np.arange(plane.cells[0] * plane.cells[1])
        places = index.reshape(plane.cells)[rows, columns].ravel()
        return replace(
            plane,
            detail=replace(cells, grid=plane.cells, places=places),
        )

    def _cells(self, picture: FloatArray, *, light: bool) -> Cells:
        """Features of all cells of a picture of working size."""
        import torch

        from napari_samnet.samnet.light_features import telling_features
        from napari_samnet.samnet.whole_numbers import WholeFeatures

        batch = torch.from_numpy(np.ascontiguousarray(picture, np.float32))
        batch = batch.permute(2, 0, 1)[None].to(self.place.device)
        with (
            torch.inference_mode(),
            out_of_memory_explained(self.place.device, self._options.size),
            convolutions(self.place.device, exact=False),
        ):
            batch = batch.contiguous(memory_format=torch.channels_last)
            if light:
                described = telling_features(self._model, batch)[0]
            else:
                # Directions taught to tell places of one object apart say
                # less of which object a place belongs to.
                described = self._model.encode(
                    batch, skips=False, project=not self.glances
                ).matching[0]
            channels, *grid = described.shape
            features = described.float().reshape(channels, -1).T.contiguous()
            whole = None
            if self._in_whole_numbers:
                whole = WholeFeatures.of(features)
        places = np.arange(len(features))
        return Cells(features, (grid[0], grid[1]), places, whole)


def _bounded(picture: FloatArray) -> FloatArray:
    """A picture of at most about `MOST_PIXELS` pixels."""
    rows, columns = picture.shape[:2]
    shrink = np.sqrt(rows * columns / MOST_PIXELS)
    if shrink <= 1:
        return picture
    small = resized(picture, round(rows / shrink), round(columns / shrink))
    return np.asarray(small, np.float32)


def _histogram(picture: FloatArray) -> FloatArray:
    """Share of the pixels per bin of color."""
    bins = np.minimum((picture * LEVELS).astype(np.intp), LEVELS - 1)
    flat = bins.reshape(-1, 3) @ np.array([LEVELS * LEVELS, LEVELS, 1])
    counts = np.bincount(flat, minlength=LEVELS**3)
    return (counts / flat.size).astype(np.float32)


def _sharpness(picture: FloatArray) -> float:
    """Mean difference of neighboring pixels."""
    gray = picture.mean(-1)
    return float(
        np.abs(np.diff(gray, axis=0)).mean()
        + np.abs(np.diff(gray, axis=1)).mean()
    )
