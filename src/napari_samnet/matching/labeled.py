"""The labels of a source beside the match that carries them."""

from __future__ import annotations

from math import isnan
from typing import Any

from napari_samnet.correspondence import Correspondence
from napari_samnet.images.plane import Plane
from napari_samnet.labels.carried import carried_labels
from napari_samnet.labels.quality import image_quality, is_likely_absent


def labeled(
    result: Correspondence, labels: Any, image: Plane | None
) -> tuple[Any, dict[str, Any]]:
    """Labels on the target's grid, and what the metadata say of them.

    ``labels`` (Hs, Ws): of the source, in memory or lazy.
    ``image``: the target, to whose edges outlines are moved.
    """
    carried, quality = carried_labels(result.label_field(), labels, image)
    estimate = image_quality(quality)
    return carried, {
        'labels': [item.as_record() for item in quality],
        'predicted_iou': None if isnan(estimate) else round(estimate, 4),
        'likely_absent': is_likely_absent(estimate),
    }
