"""From evidence per cell to labels per pixel, with the image's outlines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.tiles import Tile, run_tiles, tiles
from napari_samnet.arrays.types import FloatArray
from napari_samnet.images.plane import Plane
from napari_samnet.labels.grids import grid_shape
from napari_samnet.labels.kernel import outline_guide
from napari_samnet.labels.painter import LabelPainter
from napari_samnet.labels.scores import score_table
from napari_samnet.labels.tables import LabelTable


def labels_from_evidence(
    evidence: FloatArray, image: Plane, *, outlines: bool = True
) -> npt.NDArray[np.int32]:
    """The label with most evidence in each pixel.

    ``evidence`` (L, rows, columns): for each label, without the background.
    ``outlines``: move outlines to the edges that the plane shows nearby, see
    :mod:`napari_samnet.labels.outlines`.
    Returns: (H, W): places in the list of labels, from 1; 0 where the
    background has more evidence than every label.
    """
    from scipy import sparse

    count, rows, columns = evidence.shape
    background = (1 - evidence.sum(0, keepdims=True)).clip(0)
    shares = np.concatenate([background, evidence]).reshape(count + 1, -1).T
    table = LabelTable(
        np.arange(count + 1, dtype=np.int32),
        np.ones(count + 1, bool),
        sparse.csr_array(shares.astype(np.float32)),
        (rows, columns),
    )
    labels = np.zeros(image.shape, np.int32)
    scores = score_table(
        table,
        None,
        grid_shape(image.shape),
        outline_guide(image) if outlines else None,
    )
    if scores is None:
        return labels
    painter = LabelPainter(scores, image.shape, image)

    def paint(tile: Tile) -> None:
        painter.paint(tile, labels[tile])

    run_tiles(paint, tiles(image.shape))
    return labels
