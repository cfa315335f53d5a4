"""Labels of a source on the target's grid, with their predicted quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samnet.arrays.checks import checked_output
from napari_samnet.arrays.types import Labels
from napari_samnet.labels.estimate import label_quality
from napari_samnet.labels.kernel import ScoredLabels, label_kernel
from napari_samnet.labels.quality import LabelQuality
from napari_samnet.labels.tables import LabelField
from napari_samnet.warping.warp import Destination, SourceArray, warp

if TYPE_CHECKING:
    from napari_samnet.images.plane import Plane


def carried_labels(
    field: LabelField, labels: Any, image: Plane | None
) -> tuple[Labels, list[LabelQuality]]:
    """Carry labels and estimate how well that went, from the same scores.

    ``labels`` (Hs, Ws): labels of the source, in memory or lazy.
    ``image``: the target, to whose edges outlines are moved; without it they
    stay.
    Returns: labels (Ht, Wt) in the dtype of `labels`, and the quality of all
    labels but 0.
    """
    pixels = SourceArray.of(labels)
    kernel = label_kernel(field, pixels, image=image)
    carried = checked_output(None, field.target_shape, np.dtype(labels.dtype))
    warp(
        pixels,
        field.source_shape,
        field.backward,
        Destination(carried),
        kernel,
    )
    scores = None
    if isinstance(kernel, ScoredLabels):
        scores = kernel.painter.scores
    return carried, label_quality(field, pixels, scores=scores)
