"""Another picture of the same kind: bent, turned and lit anew, field known.

Sample pairs and tests need two images of which one knows where every pixel
of the other went. The motion is smooth and has no folds, so that it can be
read in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]

#: Pixels by which places still move when they are found.
SETTLED = 1e-11

#: Rounds in which each place is found, at most.
MOST_ROUNDS = 60


@dataclass(frozen=True, kw_only=True)
class SyntheticWarp:
    """Smooth motion from an image to its look-alike."""

    #: ``source_shape``, ``target_shape``: rows and columns of the two images.
    source_shape: tuple[int, int]
    target_shape: tuple[int, int]
    #: Turn of the content, in degrees, positive with the clock.
    rotation: float = 0.0
    #: Size of the content in the look-alike over its size in the source.
    zoom: float = 1.0
    #: Row and column by which the content moves, in pixels of the target.
    shift: tuple[float, float] = (0.0, 0.0)
    #: Amplitude of the bending, in pixels of the source.
    bend: float = 0.0
    #: Waves of the bending down the rows and along the columns.
    waves: tuple[float, float] = (0.9, 1.2)

    @property
    def _turn(self) -> Array:
        angle = np.deg2rad(self.rotation)
        cosine, sine = np.cos(angle), np.sin(angle)
        return np.array([[cosine, -sine], [sine, cosine]])

    def _bending(self, points: Array) -> Array:
        rows, columns = np.moveaxis(
            (points + 0.5) / np.array(self.target_shape), -1, 0
        )
        down, along = self.waves
        return self.bend * np.stack(
            [
                np.sin(2 * np.pi * (down * columns + 0.15)),
                np.sin(2 * np.pi * (along * rows + 0.40)),
            ],
            axis=-1,
        )

    def to_source(self, points: Array) -> Array:
        """Where points of the look-alike were in the source.

        ``points`` (..., 2): rows and columns in the look-alike, in pixels.
        Returns: (..., 2): rows and columns in the source, in pixels.
        """
        middle = (np.array(self.target_shape) - 1) / 2
        moved = (points - middle - np.array(self.shift)) @ self._turn.T
        origin = (np.array(self.source_shape) - 1) / 2
        return origin + moved / self.zoom + self._bending(points)

    def to_target(self, points: Array) -> Array:
        """Where points of the source went in the look-alike.

        ``points`` (..., 2): rows and columns in the source, in pixels.
        Returns: (..., 2): rows and columns in the look-alike, in pixels.
        """
        middle = (np.array(self.target_shape) - 1) / 2
        origin = (np.array(self.source_shape) - 1) / 2
        ends = np.broadcast_to(middle, points.shape)
        for _ in range(MOST_ROUNDS):
            straight = points - origin - self._bending(ends)
            before, ends = (
                ends,
                middle
                + np.array(self.shift)
                + self.zoom * (straight @ self._turn),
            )
            if not points.size or np.abs(ends - before).max() < SETTLED:
                break
        return ends

    def _grid(self, shape: tuple[int, int]) -> Array:
        return np.moveaxis(np.indices(shape, dtype=float), 0, -1)

    def flow(self) -> NDArray[np.float32]:
        """Field from the source to the look-alike.

        Returns: (rows, columns, 2): row and column displacement in pixels on
        the source's grid, NaN where the point lies outside the look-alike.
        """
        grid = self._grid(self.source_shape)
        target = self.to_target(grid)
        edge = np.array(self.target_shape) - 1
        outside = np.any((target < 0) | (target > edge), axis=-1)
        field = (target - grid).astype(np.float32)
        field[outside] = np.nan
        return field

    def move_image(self, image: Array) -> Array:
        """Bring an RGB image of the source to the look-alike's grid.

        ``image`` (rows, columns, 3): the source. What lies beyond its edges is
        mirrored in. Returns: (rows, columns, 3): the moved image.
        """
        places = np.moveaxis(
            self.to_source(self._grid(self.target_shape)), -1, 0
        )
        moved = [
            ndimage.map_coordinates(channel, places, order=3, mode='mirror')
            for channel in np.moveaxis(image, -1, 0)
        ]
        return np.stack(moved, axis=-1)

    def move_labels(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring labels of the source to the look-alike's grid.

        ``labels`` (rows, columns): Labels of the source. Returns: (rows,
        columns): the moved labels, 0 where the source ends.
        """
        places = np.moveaxis(
            self.to_source(self._grid(self.target_shape)), -1, 0
        )
        return ndimage.map_coordinates(labels, places, order=0, cval=0)


@dataclass(frozen=True, kw_only=True)
class PhotometricChange:
    """Change of light between two photographs."""

    #: Factors of red, green and blue.
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    #: Exponent of the tones; above 1 darkens the middle.
    gamma: float = 1.0
    #: Factor of the colors' distance from gray.
    saturation: float = 1.0
    #: Difference of brightness between the lit and the other side.
    shade: float = 0.0
    #: Where the light comes from, in degrees, 0 from the right, positive
    #: against the clock.
    direction: float = 0.0
    #: Standard deviation of the sensor's noise, white being 1.
    noise: float = 0.01

    def on(self, image: Array) -> NDArray[np.uint8]:
        """Take the photograph again in this light.

        ``image`` (rows, columns, 3): RGB from 0 to 1. Returns: (rows, columns,
        3): the relit image.
        """
        tones = np.clip(image, 0, 1) ** self.gamma
        gray = tones.mean(axis=-1, keepdims=True)
        tones = (gray + self.saturation * (tones - gray)) * self.gains
        rows, columns = image.shape[:2]
        down = np.linspace(-1, 1, rows)[:, None]
        along = np.linspace(-1, 1, columns)[None]
        angle = np.deg2rad(self.direction)
        slope = along * np.cos(angle) - down * np.sin(angle)
        tones = tones * (1 + self.shade / 2 * slope)[..., None]
        # A fixed seed: a sample is the same picture each time.
        grain = np.random.default_rng(7).normal(0, self.noise, image.shape)
        return np.round(np.clip(tones + grain, 0, 1) * 255).astype(np.uint8)
