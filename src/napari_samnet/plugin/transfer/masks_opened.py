"""Layers that were made of mask files, so that none is opened twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any
from weakref import ref

import numpy as np
from napari.layers import Labels

from napari_samnet.io.picture import LabelPicture
from napari_samnet.plugin.transfer.mask_reading import MaskFile


class MasksOpened:
    """Knows which layers hold which file, whatever became of either."""

    def __init__(self) -> None:
        self._layers: dict[Hashable, list[Callable[[], Labels | None]]] = {}

    def note(self, file: MaskFile, layer: Labels) -> None:
        """Remember that a layer was made of a file."""
        self._layers.setdefault(file.identity, []).append(ref(layer))

    def of(
        self, file: MaskFile, read: LabelPicture, layers: Iterable[Any]
    ) -> tuple[Labels | None, Labels | None]:
        """Find layers that were made of a file before.

        ``read``: what it holds now. ``layers``: those that are still there.
        Returns: one that holds the same, and the latest that does not, as it
        was edited or the file was changed.
        """
        present = {layer.unique_id for layer in layers}
        made = [each() for each in self._layers.get(file.identity, ())]
        other = None
        for layer in reversed(made):
            if layer is None or layer.unique_id not in present:
                continue
            if _holds(layer, read):
                return layer, None
            other = other or layer
        return None, other


def _holds(layer: Labels, read: LabelPicture) -> bool:
    """Whether a layer holds what was read, ids and all."""
    return layer.data.dtype == read.labels.dtype and np.array_equal(
        layer.data, read.labels
    )
