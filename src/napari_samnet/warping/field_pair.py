"""Two fields between two images, one in each direction.

They are small, and answer at the size of the images: flows, confidence, warped
images and points, and how well the two directions agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.checks import (
    check_fill,
    checked_confidence,
    checked_field,
    checked_image,
    checked_output,
    checked_points,
    checked_shape,
)
from napari_samnet.arrays.lazy import new_array
from napari_samnet.arrays.tiles import run_tiles, tiles
from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError
from napari_samnet.warping.boundaries import sample_displacement
from napari_samnet.warping.fields import (
    full_flow,
    full_map,
    round_trip,
)
from napari_samnet.warping.warp import SourceArray, warp_bilinear

Side = Literal['source', 'target']

#: The mean consistency is taken over a grid of at most this many a side.
CONSISTENCY_SIDE = 512


@dataclass(frozen=True, eq=False, kw_only=True)
class FieldPair:
    """Fields from source to target and back, and their confidence.

    The parameters are described in
    :class:`napari_samnet.correspondence.Correspondence`.
    """

    forward: FloatArray
    backward: FloatArray
    forward_cell_confidence: FloatArray
    backward_cell_confidence: FloatArray
    source_shape: tuple[int, int]
    target_shape: tuple[int, int]

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            name: checked_shape(name, getattr(self, name))
            for name in ('source_shape', 'target_shape')
        }
        for name in ('forward', 'backward'):
            values = checked_field(name, getattr(self, name))
            confidence = f'{name}_cell_confidence'
            checked[name] = values
            checked[confidence] = checked_confidence(
                confidence, getattr(self, confidence), values.shape[:2]
            )
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def flow(self) -> FloatArray:
        """Flow from source to target: float32 (Hs, Ws, 2).

        Where a pixel of the source lies in the target, minus its own index,
        as (row, column) in pixels. Computed on each access.
        """
        return full_flow(self.forward, self.source_shape, self.target_shape)

    @property
    def backward_flow(self) -> FloatArray:
        """Flow from target to source: float32 (Ht, Wt, 2), like `flow`."""
        return full_flow(self.backward, self.target_shape, self.source_shape)

    @property
    def confidence(self) -> FloatArray:
        """Confidence of `flow`: float32 (Hs, Ws) from 0 to 1."""
        return full_map(self.forward_cell_confidence, self.source_shape)

    @property
    def backward_confidence(self) -> FloatArray:
        """Confidence of `backward_flow`: float32 (Ht, Wt) from 0 to 1."""
        return full_map(self.backward_cell_confidence, self.target_shape)

    @property
    def consistency(self) -> FloatArray:
        """Forward-backward error: float32 (Hs, Ws), in source pixels.

        How far from its start each pixel of the source ends when it goes to
        the target and back. Where it leaves the target, the displacement at
        the border takes it back.
        """
        out = new_array(self.source_shape, np.float32)

        def work(rows: slice) -> None:
            out[rows] = self._error(self.source_shape, rows)[0]

        run_tiles(work, (rows for rows, _ in tiles(self.source_shape)))
        return out

    def mean_consistency(self) -> float:
        """Mean forward-backward error of the points that stay inside.

        Returns
        -------
        float
            In source pixels, over an even grid of at most 512 points a side.
            NaN if all points leave the target.
        """
        rows, columns = self.source_shape
        grid = (min(rows, CONSISTENCY_SIDE), min(columns, CONSISTENCY_SIDE))
        error, inside = self._error(grid, slice(0, grid[0]))
        return float(error[inside].mean()) if inside.any() else float('nan')

    def warp_image(
        self,
        image: Any,
        *,
        to: Side = 'source',
        fill: float = 0.0,
        out: Any = None,
    ) -> Any:
        """An image of one side, sampled bilinearly on the grid of the other.

        Parameters
        ----------
        image : array_like, shape (H, W), (H, W, C) or (C, H, W)
            Of the size of the target if `to` is 'source', of the source if
            it is 'target'. Bool, integer or float, in memory or lazy.
        to : {'source', 'target'}
            Whose grid the result lives on.
        fill : float
            Value where that grid shows what is outside of `image`.
        out : array_like, optional
            Where to put the result, such as a memory map or zarr array.

        Returns
        -------
        ndarray
            In the dtype of `image`, with its axis of channels.

        Raises
        ------
        InputError
            If the image is not of that size, or not of real numbers.
        """
        _, grid, shape = self._direction(to)
        displacement, *_ = self._direction(_other(to))
        image, axis = checked_image(image, shape, _other(to))
        check_fill(fill, image.dtype)
        expected = [*grid]
        if axis is not None:
            expected.insert(axis, image.shape[axis])
        out = checked_output(out, tuple(expected), image.dtype)
        warp_bilinear(
            SourceArray.of(image, axis),
            shape,
            displacement,
            out,
            channel_axis=axis,
            fill=fill,
        )
        return out

    def warp_points(
        self, points: npt.ArrayLike, *, to: Side = 'target'
    ) -> npt.NDArray[np.float64]:
        """Where points of one image lie in the other.

        Parameters
        ----------
        points : array_like of float, shape (N, 2)
            Row and column in pixels, of the source if `to` is 'target'.
            Whole numbers are pixel centers.
        to : {'source', 'target'}
            The image they are looked for in.

        Returns
        -------
        ndarray of float64, shape (N, 2)
            Row and column in pixels of that image, or beyond it.

        Raises
        ------
        InputError
            If the points are not finite numbers of that shape.
        """
        displacement, shape, from_shape = self._direction(to)
        start = (checked_points(points) + 0.5).T / np.array(from_shape)[
            :, None
        ]
        end = start + sample_displacement(displacement, start)
        return np.ascontiguousarray(
            (end * np.array(shape)[:, None] - 0.5).T, np.float64
        )

    def _direction(
        self, to: Side
    ) -> tuple[FloatArray, tuple[int, int], tuple[int, int]]:
        """Field that leads to an image, that image's shape, the other's."""
        if to == 'target':
            return self.forward, self.target_shape, self.source_shape
        if to == 'source':
            return self.backward, self.source_shape, self.target_shape
        raise InputError(f"to must be 'source' or 'target', got {to!r}")

    def _error(
        self, grid: tuple[int, int], rows: slice
    ) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Forward-backward error in source pixels, and which stay inside."""
        error, inside = round_trip(self.forward, self.backward, grid, rows)
        sides = np.array(self.source_shape)[:, None, None]
        return np.hypot(*(error * sides)).astype(np.float32), inside


def _other(side: Side) -> Side:
    """Name of the other side."""
    return 'source' if side == 'target' else 'target'
