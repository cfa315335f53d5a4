"""Hide warped labels that the match is not sure of, and show them again."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.layers.edits import keep_pristine
from napari_samnet.plugin.layers.label_writes import Indices, write_labels
from napari_samnet.plugin.model.grids import Index


@dataclass
class Warped:
    """Labels that a run carried, and what is known of each pixel."""

    #: The labels before any were hidden.
    full: NDArray[Any]
    #: Correspondence behind each plane.
    correspondences: Mapping[Index, Correspondence]
    #: Confidence below which labels are hidden now.
    threshold: float = 0.0
    #: Identities of the two images.
    pair: tuple[Hashable, ...] = ()


def hide_unsure(labels: NDArray[Any], warped: Warped) -> NDArray[Any]:
    """Labels without those whose confidence is below the threshold.

    ``labels``: as they are in the layer; those the user painted stay. Returns:
    the same array if nothing is hidden.
    """
    if warped.threshold <= 0:
        return labels
    hidden = labels.copy()
    for index, correspondence in warped.correspondences.items():
        unsure = correspondence.backward_confidence_map < warped.threshold
        same = hidden[index] == warped.full[index]
        hidden[index][unsure & same] = 0
    return hidden


def set_threshold(layer: Any, warped: Warped, threshold: float) -> int:
    """Hide what is below a confidence, and show what no longer is.

    Only what a run wrote is hidden, and only what was hidden comes back:
    labels the user painted or erased meanwhile stay as they are. It can be
    undone like any other edit.

    ``threshold``: smallest confidence to show, from 0 to 1. Returns: number of
    pixels changed.
    """
    before, warped.threshold = warped.threshold, threshold

    def pieces() -> Iterator[tuple[Indices, NDArray[Any]]]:
        for index, correspondence in warped.correspondences.items():
            full = warped.full[index]
            shown = np.asarray(layer.data[index])
            confidence = correspondence.backward_confidence_map
            hide = (confidence < threshold) & (shown == full) & (full != 0)
            back = (
                (confidence >= threshold)
                & (confidence < before)
                & (shown == 0)
            )
            back &= full != 0
            at = np.nonzero(hide | back)
            plane = (np.full(at[0].size, place) for place in index)
            yield (*plane, *at), np.where(hide, 0, full)[at]

    with keep_pristine(layer):
        return write_labels(layer, pieces()).pixels
