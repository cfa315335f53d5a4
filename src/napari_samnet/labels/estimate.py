"""Predicted quality of all labels of one source."""

from __future__ import annotations

import numpy as np

from napari_samnet.labels.brought import field_labels
from napari_samnet.labels.grids import on_grid
from napari_samnet.labels.kernel import sample_labels
from napari_samnet.labels.quality import (
    LabelMeasures,
    LabelQuality,
    predicted_iou,
)
from napari_samnet.labels.scores import LabelScores, score_labels
from napari_samnet.labels.tables import LabelField
from napari_samnet.warping.warp import SourceArray


def label_quality(
    field: LabelField,
    pixels: SourceArray,
    scores: LabelScores | None = None,
) -> list[LabelQuality]:
    """Estimate how well each label is carried.

    ``pixels``: of the labels on the source's grid.
    ``scores``: what :func:`~napari_samnet.labels.scores.score_labels` gives
    for the samples, with outlines moved or not, if it is known: most of the
    time goes there.
    Returns: estimates of all labels but 0, in ascending order. Labels that go
    exactly where the field leads have its mean confidence there as their
    estimate.
    """
    samples = sample_labels(pixels, field.source_shape)
    values, places = np.unique(samples, return_inverse=True)
    brought = field_labels(values, places.reshape(samples.shape), field)
    confidence = on_grid(field.confidence, brought.places.shape)
    where = brought.places.ravel()
    counts = np.bincount(where, minlength=len(values) + 1)
    sums = np.bincount(where, confidence.ravel(), minlength=len(values) + 1)
    measured: dict[int, LabelMeasures] = {}
    if scores is None:
        scores = score_labels(samples, field, None)
    if scores is not None and field.evidence is not None:
        measured = scores.measures_by_label()
    qualities = []
    for label, count, total in zip(
        values.tolist(), counts, sums, strict=False
    ):
        if not label:
            continue
        measures = measured.get(label)
        if measures is None:
            estimate, vanished = total / max(1, count), not count
        else:
            estimate, vanished = predicted_iou(measures), not measures.area
        qualities.append(
            LabelQuality(int(label), float(estimate), bool(vanished), measures)
        )
    return qualities
