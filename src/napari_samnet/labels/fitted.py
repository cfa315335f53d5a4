"""Scores of labels, fitted to the colors of the image they are drawn on."""

from __future__ import annotations

import numpy as np

from napari_samnet.arrays.tiles import Tile
from napari_samnet.arrays.types import FloatArray
from napari_samnet.labels.outlines import OutlineGuide

#: Samples around a label in which the filter of outlines may give it scores,
#: and the size of a factor that is none.
ROOM, NOTHING = 16, 1e-4

#: Labels of more samples of the grid than this are fitted to the colors again
#: and again: to what the time before gave, this much steeper, with a share of
#: the evidence beside it, in squares narrower by each of these factors. On 60
#: training horses carried from five others, IoU rises from .884 to .891;
#: labels by the dozen would lose small ones.
LARGE_LABEL, STEEPNESS, EVIDENCE_SHARE = 1024, 12.0, 0.1
NARROWER = (0.6, 0.4, 0.3)


def fit_scores(
    guide: OutlineGuide, boxes: list[Tile], scores: list[FloatArray]
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Fit scores to the colors of the image, large ones again and again.

    Returns: ``factors``: what the scores are of the colors, (rows, columns, 4)
    in each box; ``shown``: what they are on the grid.
    """
    from scipy.special import expit

    factors, shown = [], []
    for box, score in zip(boxes, scores, strict=True):
        area = float((score > 0.5).sum())
        part, there = guide.fit(score, box, guide.radius(area))
        for narrower in NARROWER if area > LARGE_LABEL else ():
            steeper = expit(STEEPNESS * (there - 0.5))
            steeper += np.float32(EVIDENCE_SHARE) * (score - steeper)
            radius = guide.radius(narrower * narrower * area)
            part, there = guide.fit(steeper, box, radius)
        factors.append(part)
        shown.append(there)
    return factors, shown


def trim_scores(
    boxes: list[Tile], scores: list[FloatArray]
) -> tuple[list[Tile], list[FloatArray]]:
    """The same scores in the smallest boxes that hold them."""
    smaller, parts = [], []
    for box, score in zip(boxes, scores, strict=True):
        there = np.abs(score).max(-1) > NOTHING
        inner = [np.flatnonzero(there.any(1 - axis)) for axis in (0, 1)]
        rows, columns = (
            slice(int(at[0]), int(at[-1]) + 1) if at.size else slice(0, 1)
            for at in inner
        )
        smaller.append(
            (
                slice(box[0].start + rows.start, box[0].start + rows.stop),
                slice(
                    box[1].start + columns.start, box[1].start + columns.stop
                ),
            )
        )
        parts.append(np.ascontiguousarray(score[rows, columns]))
    return smaller, parts
