"""Labels of the best scores, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import centers, linear_taps
from napari_samnet.arrays.tiles import Tile, tiles
from napari_samnet.arrays.types import FloatArray, Labels, Shape
from napari_samnet.labels.scores import LabelScores

if TYPE_CHECKING:
    from napari_samnet.images.plane import Plane


#: Side in pixels of the parts of a block that are scored at once. Smaller ones
#: cost more for the surroundings that their texture is blurred with.
PART_SIDE = 512

#: Width, in pixels of the grid of the scores, of the blur that takes texture
#: from the colors that decide an outline. Straight edges stay where they are.
TEXTURE_WIDTH = 0.7


@dataclass(frozen=True, eq=False)
class LabelPainter:
    """Puts the best-scored labels into blocks of the target's grid."""

    #: Scores of the labels per cell.
    scores: LabelScores
    #: Rows and columns of the target.
    grid: Shape
    #: The target; needed where scores depend on colors.
    image: Plane | None = None

    def paint(self, tile: Tile, target: Labels, allowed: Any = None) -> None:
        """Replace the labels of a block where scores decide.

        Labels without scores stay, those among them that are too small to
        be among the samples of the source.
        ``target``: Labels that the block has without the scores; changed in
        place.
        ``allowed`` (ndarray of bool): where they may be changed, by default
        everywhere.
        """
        for part, here in self._contested(tile):
            rows, columns = (
                slice(inner.start - outer.start, inner.stop - outer.start)
                for inner, outer in zip(part, tile, strict=True)
            )
            block = target[rows, columns]
            where = here & self._changeable(block)
            if allowed is not None:
                where &= allowed[rows, columns]
            if where.any():
                np.copyto(block, self._winners(part, block), where=where)

    def _changeable(self, block: Labels) -> npt.NDArray[np.bool_]:
        """Where a block has the background or a label with scores."""
        known = self.scores.values
        if len(known) == 1:
            return np.asarray((block == 0) | (block == known[0]))
        return (block == 0) | np.isin(block, known)

    def _contested(
        self, tile: Tile
    ) -> Iterator[tuple[Tile, npt.NDArray[np.bool_]]]:
        """Parts of a block in which scores decide, and where."""
        contested = self.scores.contested
        sides = [part.stop - part.start for part in tile]
        for part in tiles((sides[0], sides[1]), side=(PART_SIDE, PART_SIDE)):
            rows, columns = (
                slice(outer.start + inner.start, outer.start + inner.stop)
                for outer, inner in zip(tile, part, strict=True)
            )
            at = [
                np.arange(where.start, where.stop) * count // side
                for where, count, side in zip(
                    (rows, columns),
                    contested.shape,
                    self.grid,
                    strict=True,
                )
            ]
            here = contested[np.ix_(*at)]
            if here.any():
                yield (rows, columns), here

    def _smoothed_colors(self, image: Plane, part: Tile) -> FloatArray:
        """Colors of a part of the target, texture finer than scores blurred.

        The colors of the grid that the factors were fitted to have none of
        it: with it, outlines in tissue or grass would fray into specks.
        """
        from scipy.ndimage import gaussian_filter

        ratio = max(self.grid) / max(self.scores.contested.shape)
        width = TEXTURE_WIDTH * ratio
        # Blurring means over squares instead differs by about a hundredth.
        step = max(1, int(width / 4))
        margin = int(np.ceil(3 * width))
        wide = [
            slice(
                max(0, where.start - margin) // step * step,
                min(side, where.stop + margin),
            )
            for where, side in zip(part, self.grid, strict=True)
        ]
        colors = _means(image.rgb_window(wide[0], wide[1]), step)
        colors = gaussian_filter(
            colors,
            width / step,
            mode='nearest',
            axes=(0, 1),
            radius=-(-margin // step),
        )
        if step == 1:
            rows, columns = (
                slice(inner.start - outer.start, inner.stop - outer.start)
                for inner, outer in zip(part, wide, strict=True)
            )
            smoothed: FloatArray = colors[rows, columns]
            return smoothed
        (above, below, down), (left, right, along) = (
            linear_taps(
                count,
                (np.arange(inner.start, inner.stop) + 0.5 - outer.start)
                / (count * step),
            )
            for count, inner, outer in zip(
                colors.shape[:2], part, wide, strict=True
            )
        )
        along, down = along[:, None], down[:, None, None]
        across = colors[:, left]
        across += along * (colors[:, right] - across)
        upper = across[above]
        upper += down * (across[below] - upper)
        return np.asarray(upper, np.float32)

    @cached_property
    def _sides(self) -> npt.NDArray[np.intp]:
        """Where the boxes of the labels start and stop, (2, 2, L)."""
        sides = [
            [[part.start, part.stop] for part in box]
            for box in self.scores.boxes
        ]
        return np.array(sides, np.intp).reshape(-1, 2, 2).transpose(1, 2, 0)

    def _reaching(self, taps: Any) -> npt.NDArray[np.intp]:
        """Labels whose boxes reach into a part of the target."""
        there = np.ones(self._sides.shape[-1], bool)
        for (low, high, _), (start, stop) in zip(
            taps, self._sides, strict=True
        ):
            there &= (start <= high[-1]) & (stop > low[0])
        return np.flatnonzero(there)

    def _winners(self, part: Tile, brought: Labels) -> Labels:
        """Labels of the best scores in a part of the target."""
        colors = None
        if self.image is not None and self.scores.needs_colors:
            colors = self._smoothed_colors(self.image, part)
        taps = [
            linear_taps(count, centers(side)[where])
            for count, side, where in zip(
                self.scores.contested.shape,
                self.grid,
                part,
                strict=True,
            )
        ]
        winner = np.zeros_like(brought)
        background = np.ones(brought.shape, np.float32)
        best = np.zeros(brought.shape, np.float32)
        for index in self._reaching(taps):
            value = self.scores.values[index]
            box, scores = self.scores.boxes[index], self.scores.scores[index]
            covered = _covered(box, taps)
            if covered is None:
                continue
            score = _sampled(
                scores,
                box,
                [
                    tuple(values[part] for values in axis)
                    for axis, part in zip(taps, covered, strict=True)
                ],
            )
            if score.shape[0] == 4:
                assert colors is not None
                for channel in range(3):
                    score[channel] *= colors[covered][..., channel]
                    score[3] += score[channel]
            score = score[-1]
            background[covered] -= score
            better = score > best[covered]
            np.copyto(best[covered], score, where=better)
            np.copyto(winner[covered], value, where=better)
        winner[background >= best] = 0
        return winner


def _means(colors: FloatArray, step: int) -> FloatArray:
    """Means over squares of `step` pixels; the last ones may be narrower."""
    if step == 1:
        return colors
    for axis in (0, 1):
        starts = np.arange(0, colors.shape[axis], step)
        counts = np.diff(starts, append=colors.shape[axis])
        colors = np.add.reduceat(colors, starts, axis=axis)
        shape = [1, 1, 1]
        shape[axis] = -1
        colors /= counts.reshape(shape)
    return colors


def _covered(box: Tile, taps: Any) -> Tile | None:
    """Part of a part of the target that reaches into a box of the grid."""
    parts = []
    for (low, high, _), where in zip(taps, box, strict=True):
        start = int(np.searchsorted(high, where.start))
        stop = int(np.searchsorted(low, where.stop))
        if start >= stop:
            return None
        parts.append(slice(start, stop))
    return parts[0], parts[1]


def _sampled(scores: FloatArray, box: Tile, taps: Any) -> FloatArray:
    """Bilinear scores in a part of the target, (K, rows, columns).

    They are 0 beyond their box.
    """
    inside = [
        (low, high, weight, low[0], high[-1] + 1, where)
        for (low, high, weight), where in zip(taps, box, strict=True)
    ]
    (above, below, down, top, bottom, rows) = inside[0]
    (left, right, along, start, stop, columns) = inside[1]
    layers = scores[..., None] if scores.ndim == 2 else scores
    window = np.zeros(
        (bottom - top, stop - start, layers.shape[2]), np.float32
    )
    to_rows, to_columns = (
        slice(max(0, where.start - first), min(last, where.stop) - first)
        for where, first, last in ((rows, top, bottom), (columns, start, stop))
    )
    window[to_rows, to_columns] = layers[
        max(0, top - rows.start) : bottom - rows.start,
        max(0, start - columns.start) : stop - columns.start,
    ]
    planes = np.ascontiguousarray(np.moveaxis(window, 2, 0))
    wide = planes[..., left - start]
    wide += along * (planes[..., right - start] - wide)
    upper = wide[:, above - top]
    lower = wide[:, below - top]
    lower -= upper
    lower *= down[:, None]
    lower += upper
    return lower
