"""The labels of a source beside the match that carries them."""

from __future__ import annotations

from typing import Any

from napari_samnet.correspondence import Correspondence
from napari_samnet.images.plane import Plane
from napari_samnet.labels.carried import carried_labels
from napari_samnet.labels.quality import quality_record


def labeled(
    result: Correspondence, labels: Any, image: Plane | None
) -> tuple[Any, dict[str, Any]]:
    """Labels on the target's grid, and what the metadata say of them.

    ``labels`` (Hs, Ws): of the source, in memory or lazy.
    ``image``: the target, to whose edges outlines are moved.
    """
    carried, quality = carried_labels(result.label_field(), labels, image)
    return carried, quality_record(quality)
