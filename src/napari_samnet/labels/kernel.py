"""Labels of a source on the target's grid, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import centers
from napari_samnet.arrays.tiles import tiles
from napari_samnet.arrays.types import Labels, Shape
from napari_samnet.labels.grids import grid_shape
from napari_samnet.labels.outlines import OutlineGuide
from napari_samnet.labels.painter import LabelPainter
from napari_samnet.labels.scores import score_labels
from napari_samnet.labels.tables import LabelField
from napari_samnet.warping.kernels import Nearest
from napari_samnet.warping.warp import WINDOW_SIDE, SourceArray

if TYPE_CHECKING:
    from napari_samnet.images.plane import Plane
    from napari_samnet.warping.fields import Block
    from napari_samnet.warping.warp import Kernel


#: Samples of the labels per side, which is a few per cell.
SAMPLE_SIDE = 256


@dataclass(frozen=True, eq=False)
class ScoredLabels:
    """The label that the field brings, or the best-scored one."""

    #: What the field brings.
    nearest: Nearest
    #: What the scores say.
    painter: LabelPainter

    @property
    def fill(self) -> float:
        """Value where the grid shows what is outside of the source."""
        return self.nearest.fill

    def __call__(self, block: Block, target: npt.NDArray[Any]) -> None:
        """Fill one block; see :class:`~napari_samnet.warping.warp.Kernel`."""
        self.nearest(block, target)
        self.painter.paint(
            block.tile, target, self.nearest.trusted(block.tile)
        )


def outline_guide(image: Plane) -> OutlineGuide:
    """Colors of the target on the grid of the scores.

    ``image``: pixels of the target image. Returns: a guide that can be used
    again for other labels.
    """
    from napari_samnet.images.rgb import shrunken

    return OutlineGuide(shrunken(image, grid_shape(image.shape)))


def label_kernel(
    field: LabelField,
    pixels: SourceArray | None,
    *,
    min_confidence: float = 0.0,
    image: Plane | None = None,
    samples: Labels | None = None,
) -> Kernel:
    """How labels of the source are put on the target's grid.

    ``field``: of the two images. Its evidence decides where there is some.
    ``pixels``: of the labels; not looked at with `samples`.
    ``min_confidence``: pixels that are matched with less confidence get 0.
    ``image``: the target, to whose edges outlines are moved; without it they
    stay.
    ``samples``: what :func:`sample_labels` gives, if it is known.
    """
    nearest = Nearest(
        field.source_shape,
        field.target_shape,
        field.confidence,
        min_confidence,
    )
    if field.evidence is None and image is None:
        return nearest
    if samples is None:
        assert pixels is not None
        samples = sample_labels(pixels, field.source_shape)
    guide = None if image is None else outline_guide(image)
    scores = score_labels(samples, field, guide)
    if scores is None:
        return nearest
    painter = LabelPainter(scores, field.target_shape, image)
    return ScoredLabels(nearest, painter)


def sample_indices(shape: Shape) -> list[npt.NDArray[np.intp]]:
    """Rows and columns at which labels are sampled.

    Returns: rows and columns, at most `SAMPLE_SIDE` of each, evenly spaced.
    """
    return [
        (centers(min(SAMPLE_SIDE, side)) * side).astype(np.intp)
        for side in shape
    ]


def sample_labels(pixels: SourceArray, shape: Shape) -> Labels:
    """Even samples of labels, a few per cell.

    Returns: (n, m): in the dtype of the labels, at :func:`sample_indices`.
    """
    at = sample_indices(shape)
    if pixels.whole is not None:
        samples: Labels = pixels.whole[np.ix_(*at)]
        return samples
    samples = np.empty((len(at[0]), len(at[1])), pixels.data.dtype)
    for tile in tiles(shape, side=(WINDOW_SIDE, WINDOW_SIDE)):
        rows, columns = (
            np.flatnonzero((where >= part.start) & (where < part.stop))
            for where, part in zip(at, tile, strict=True)
        )
        if not rows.size or not columns.size:
            continue
        box = [(part.start, part.stop) for part in tile]
        window = pixels.window(box[0], box[1])
        samples[np.ix_(rows, columns)] = window[
            np.ix_(at[0][rows] - box[0][0], at[1][columns] - box[1][0])
        ]
    return samples
