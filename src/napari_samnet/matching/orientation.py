"""How the target is turned and mirrored before the two images are compared.

The features of the network bear a turn of some fifteen degrees and no
reflection. So the target is brought to the orientation of the source first,
matched there, and the fields are expressed in the target as it came.
Which one it is, :mod:`.orientation_search` tells. This is not part of the
paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.resize import center_grid
from napari_samnet.arrays.types import FloatArray, Shape
from napari_samnet.warping.fields import sample_field

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]

#: Degrees from a quarter turn that the features bear.
BEARABLE = 10.0


@dataclass(frozen=True)
class Orientation:
    """A reflection, then a turn."""

    #: Turn against the clock, from 0 up to 360.
    degrees: float = 0.0
    #: Whether left and right are exchanged before that.
    mirror: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, 'degrees', float(self.degrees) % 360)

    @property
    def upright(self) -> bool:
        """Whether it changes nothing."""
        return self == Orientation()

    @property
    def quarters(self) -> int | None:
        """Quarter turns against the clock; None for angles between."""
        whole, remainder = divmod(self.degrees, 90)
        return None if remainder else int(whole)

    @property
    def matrix(self) -> Array:
        """From offsets (row, column) in the turned image to the original."""
        angle = np.deg2rad(self.degrees)
        cosine, sine = np.cos(angle), np.sin(angle)
        rotation = np.array([[cosine, sine], [-sine, cosine]])
        if self.quarters is not None:
            rotation = np.rint(rotation)
        return np.diag([1.0, -1.0 if self.mirror else 1.0]) @ rotation

    def turned(self, degrees: float) -> Orientation:
        """The same with a further turn, on quarter turns where near."""
        total = (self.degrees + degrees) % 360
        quarter = round(total / 90) * 90
        if abs(total - quarter) <= BEARABLE:
            total = quarter
        return Orientation(round(total), self.mirror)

    def text(self) -> str:
        """What it does to an image, empty where that is nothing."""
        words = ['mirrored'] if self.mirror else []
        if self.degrees:
            words.append(f'turned by {self.degrees:g}°')
        return ' and '.join(words)


@dataclass(frozen=True)
class Frame:
    """The part of an image that is seen in another orientation."""

    #: Orientation of the view.
    orientation: Orientation
    #: Rows and columns of the image.
    shape: Shape
    #: Height and width of the view in pixels of the image. By default it holds
    #: as many pixels as the image does.
    extent: tuple[float, float] | None = None
    #: Its center, in pixels from the center of the image.
    middle: tuple[float, float] = (0.0, 0.0)

    @cached_property
    def sides(self) -> Array:
        """Height and width of the view in pixels of the image."""
        if self.extent is not None:
            return np.array(self.extent)
        # The image's sides at quarter turns, interpolated at other angles.
        share = self.orientation.matrix[0, 0] ** 2
        sides = np.log(self.shape)
        return np.exp(share * sides + (1 - share) * sides[::-1])

    @property
    def linear(self) -> Array:
        """Linear part of the map from the view to the image, (2, 2)."""
        rotation = self.orientation.matrix * self.sides
        return np.asarray(rotation / np.array(self.shape)[:, None])

    @property
    def offset(self) -> Array:
        """Where the view's origin lies, in normalized units of the image."""
        middle = np.array(self.middle) / self.shape
        return np.asarray(0.5 + middle - self.linear @ [0.5, 0.5])

    @property
    def whole(self) -> bool:
        """Whether the view is the image as it is."""
        return self.extent is None and self.orientation.upright

    @property
    def exact(self) -> bool:
        """Whether the view needs no interpolation."""
        return self.extent is None and self.orientation.quarters is not None

    def seen(self, image: FloatArray, side: int) -> FloatArray:
        """The view of an image.

        ``image`` (n, n, 3): the image, squashed to a square.
        ``side``: side of the view in pixels; not looked at where it is exact.
        Returns: (side, side, 3): beyond the image's edges, its outermost
        pixels.
        """
        quarters = self.orientation.quarters
        if self.exact and quarters is not None:
            mirrored = image[:, ::-1] if self.orientation.mirror else image
            return np.ascontiguousarray(np.rot90(mirrored, quarters))
        import torch

        batch = torch.from_numpy(image).permute(2, 0, 1)[None]
        shown = shrunk(views(batch, [self], image.shape[0]), side)
        return np.ascontiguousarray(shown[0].permute(1, 2, 0).numpy())

    def forward(self, field: FloatArray) -> FloatArray:
        """Express a field into the view as one into the image.

        ``field`` (h, w, 2): normalized displacement from another image to the
        view. Returns: (h, w, 2): the same to the image.
        """
        start = center_grid(field.shape)
        there = (start + field) @ self.linear.T + self.offset
        return np.asarray(there - start, np.float32)

    def backward(self, field: FloatArray) -> FloatArray:
        """Bring a field from the view to the image's own grid.

        ``field`` (h, w, 2): normalized displacement from the view to another
        image.
        Returns: (h, w, 2): normalized displacement from the image. Beyond the
        view, an affine motion that is fitted to the whole field goes on.
        """
        start = center_grid(field.shape)
        within = self._within(start)
        cells = np.concatenate([start, np.ones((*start.shape[:2], 1))], -1)
        motion = np.linalg.lstsq(
            cells.reshape(-1, 3), field.reshape(-1, 2), rcond=None
        )[0]
        residual = np.asarray(field - cells @ motion, np.float32)
        at = np.moveaxis(np.clip(within, 0, 1), -1, 0)
        moved = np.moveaxis(sample_field(residual, at), 0, -1)
        moved += within @ motion[:2] + motion[2]
        return np.asarray(within + moved - start, np.float32)

    def resampled(self, values: NDArray[Any]) -> NDArray[Any]:
        """Bring values at the view's cells to the image's own grid.

        ``values`` (h, w, ...): of any number of axes. Returns: shape and dtype
        of `values`; 0 beyond the view.
        """
        within = self._within(center_grid(values.shape))
        at = np.moveaxis(np.clip(within, 0, 1), -1, 0)
        flat = values.reshape(*values.shape[:2], -1).astype(np.float32)
        samples = np.moveaxis(sample_field(flat, at), 0, -1).clip(0)
        samples *= np.all((within >= 0) & (within <= 1), axis=-1)[..., None]
        return np.asarray(samples.reshape(values.shape), values.dtype)

    def nearest_cells(
        self, shape: Shape
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The view's cell nearest to each cell of the image.

        ``shape``: rows and columns of the cells of both. Returns:
        ``rows, columns``: (h, w): beyond the view the cell at its border.
        """
        at = np.floor(self._within(center_grid(shape)) * shape).astype(np.intp)
        rows, columns = (
            at[..., axis].clip(0, side - 1) for axis, side in enumerate(shape)
        )
        return rows, columns

    def _within(self, points: Array) -> Array:
        """Points of the image in the view, all normalized."""
        inverse = np.linalg.inv(self.linear)
        return np.asarray((points - self.offset) @ inverse.T)


def shrunk(images: Tensor, side: int) -> Tensor:
    """Images on a smaller square, without aliasing."""
    import torch.nn.functional as F

    from napari_samnet.samnet.pooling import pooled

    factor, rest = divmod(images.shape[-1], side)
    if images.shape[-2] == images.shape[-1] and not rest:
        return pooled(images, factor)
    return F.interpolate(images, size=(side, side), mode='area')


def views(image: Tensor, frames: Sequence[Frame], side: int) -> Tensor:
    """Views of one image ``(1, 3, n, n)``, ``(K, 3, side, side)``."""
    import torch
    import torch.nn.functional as F

    # grid_sample has (x, y) from -1 to 1.
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    maps = []
    for view in frames:
        linear = swap @ view.linear @ swap
        shift = swap @ (2 * view.offset - 1) + linear @ [1.0, 1.0]
        maps.append(np.column_stack([linear, shift]))
    theta = torch.from_numpy(np.stack(maps)).to(image)
    size = [len(frames), image.shape[1], side, side]
    grid = F.affine_grid(theta, size, align_corners=False)
    return F.grid_sample(
        image.expand(len(frames), -1, -1, -1),
        grid,
        padding_mode='border',
        align_corners=False,
    )
