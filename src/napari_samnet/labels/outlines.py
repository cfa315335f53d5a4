"""Outlines moved to the edges of the image that the labels are for.

The guided filter [1]_ explains the scores of a label, within each small
square, as a linear function of the colors there. Where the two sides of an
outline differ in color, the function follows the edge between them; where
they do not, the scores are merely averaged and the outline stays. So colors
decide as far as they tell, and never farther away than the square is wide.
The functions are fitted on a small picture and evaluated at native
resolution [2]_, where they draw the edge as sharp as the image shows it.

References
----------
.. [1] He, Sun, Tang. Guided Image Filtering. TPAMI 2013.
   doi:10.1109/TPAMI.2012.213
.. [2] He, Sun. Fast Guided Filter. 2015. arXiv:1505.00996
"""

from __future__ import annotations

from math import prod

import numpy as np

from napari_samnet.arrays.tiles import Tile
from napari_samnet.arrays.types import FloatArray, Shape

#: Radii of the squares in pixels of the small picture. A label takes the one
#: next to `RADIUS_SHARE` of the side of a square of its area.
RADII = (4, 6, 8, 12, 16)
RADIUS_SHARE = 0.18

#: Variance of colors in [0, 1] below which they do not tell sides apart. On
#: 60 training horses carried from five others, boundary F is .862 at 3e-4 and
#: .872 here; at half of it gray pictures with noise lose.
NOISE_VARIANCE = 5e-5


class OutlineGuide:
    """The colors of an image, prepared for filtering the scores of labels.

    ``picture`` (n, m, 3): the image in RGB from 0 to 1, on the grid of the
    scores.
    """

    def __init__(self, picture: FloatArray) -> None:
        self.picture = np.ascontiguousarray(picture, np.float32)
        # Channel by channel, arithmetic takes a fraction of the time.
        self._planes = np.ascontiguousarray(np.moveaxis(self.picture, -1, 0))
        self._prepared: dict[int, tuple[FloatArray, FloatArray]] = {}

    @staticmethod
    def radius(area: float) -> int:
        """Radius that suits a label.

        ``area``: of the label, in pixels of the small picture.
        Returns: one of `RADII`, in the same pixels. Larger squares correct
        larger errors and wash out what is smaller than they are.
        """
        wanted = RADIUS_SHARE * np.sqrt(area)
        return min(RADII, key=lambda radius: abs(radius - wanted))

    def fit(
        self, scores: FloatArray, part: Tile, radius: int
    ) -> tuple[FloatArray, FloatArray]:
        """Explain scores by colors.

        ``scores`` (rows, columns): of one label in a part of the picture.
        ``part``: rows and columns of the picture that they are of.
        ``radius``: of the squares, in pixels.
        Returns: ``factors`` (rows, columns, 4): of red, green and blue, and
        the constant, equations (5) and (6) of [1]_; ``filtered`` (rows,
        columns): the scores that they give on the picture, (8).
        """
        colors, mean_colors, inverse = (
            whole[:, part[0], part[1]]
            for whole in (self._planes, *self._of_radius(radius))
        )
        box = _Means((scores.shape[0], scores.shape[1]), radius)
        mean = box(scores)
        x, y, z = box(colors * scores) - mean_colors * mean
        a, b, c, d, e, f = inverse
        out = np.empty((4, *scores.shape), np.float32)
        out[0] = a * x + b * y + c * z
        out[1] = b * x + d * y + e * z
        out[2] = c * x + e * y + f * z
        out[3] = mean
        for factor, color in zip(out[:3], mean_colors, strict=True):
            out[3] -= factor * color
        out = box(out)
        filtered = out[3] + (out[:3] * colors).sum(0)
        return np.ascontiguousarray(np.moveaxis(out, 0, -1)), filtered

    def _of_radius(self, radius: int) -> tuple[FloatArray, FloatArray]:
        """Mean colors of squares, and six entries of the inverse covariance.

        Both channel by channel; the entries are those of the upper triangle,
        row by row.
        """
        if radius not in self._prepared:
            colors = self._planes
            box = _Means((colors.shape[1], colors.shape[2]), radius)
            mean = box(colors)
            pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
            a, b, c, d, e, f = (
                box(colors[i] * colors[j])
                - mean[i] * mean[j]
                + NOISE_VARIANCE * (i == j)
                for i, j in pairs
            )
            adjugate = (
                d * f - e * e,
                c * e - b * f,
                b * e - c * d,
                a * f - c * c,
                b * c - a * e,
                a * d - b * b,
            )
            determinant = a * adjugate[0] + b * adjugate[1] + c * adjugate[2]
            inverse: FloatArray = np.stack(adjugate)
            inverse /= determinant
            self._prepared[radius] = mean, inverse
        return self._prepared[radius]


class _Means:
    """Means over squares around each value, in memory that is used again.

    By sums of two, four and so on values, which take a fraction of the time
    of a filter that goes from value to value. ``shape``: rows and columns.
    """

    def __init__(self, shape: Shape, radius: int) -> None:
        self._radius = radius
        rows, columns = (side + 2 * radius for side in shape)
        #: Of up to four maps at a time.
        self._memory = np.empty((2, 4 * rows * columns), np.float32)

    def __call__(self, values: FloatArray) -> FloatArray:
        """Means in ``(..., rows, columns)``, the outermost values repeated."""
        values = self._sums(self._sums(values, -2), -1)
        values *= np.float32(1 / (2 * self._radius + 1) ** 2)
        return values

    def _sums(self, values: FloatArray, axis: int) -> FloatArray:
        """Sums of each value and those around it along an axis."""
        radius, count = self._radius, values.shape[axis]
        width = 2 * radius + 1

        def cut(array: FloatArray, start: int, stop: int) -> FloatArray:
            part = slice(start, stop)
            return array[..., part] if axis == -1 else array[..., part, :]

        shape = list(values.shape)
        shape[axis] += 2 * radius
        sums, other = (
            memory[: prod(shape)].reshape(shape) for memory in self._memory
        )
        cut(sums, 0, radius)[...] = cut(values, 0, 1)
        cut(sums, radius, radius + count)[...] = values
        cut(sums, radius + count, shape[axis])[...] = cut(
            values, count - 1, count
        )
        total = cut(sums, 0, count).copy()
        step, done, length = 1, 1, shape[axis]
        while 2 * step <= width:
            np.add(
                cut(sums, 0, length - step),
                cut(sums, step, length),
                out=cut(other, 0, length - step),
            )
            sums, other = other, sums
            length -= step
            step *= 2
            if width & step:
                total += cut(sums, done, done + count)
                done += step
        return total
