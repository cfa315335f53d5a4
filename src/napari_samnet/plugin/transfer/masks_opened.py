"""Layers that hold mask files, so that none is opened twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_samnet.io.picture import LabelPicture
from napari_samnet.plugin.model.grids import grid_of
from napari_samnet.plugin.model.resampled import same_pixels
from napari_samnet.plugin.transfer.mask_reading import MaskFile


class MasksOpened:
    """Knows which layers were made of which file."""

    def __init__(self) -> None:
        #: What was asked for, by the identity of the layer made of it.
        self._made: dict[Hashable, Hashable] = {}

    def note(self, file: MaskFile, layer: Labels) -> None:
        """Remember that a layer was made of a file."""
        self._made[layer.unique_id] = file.identity

    def of(
        self, file: MaskFile, read: LabelPicture, layers: Iterable[Any]
    ) -> tuple[Labels | None, Labels | None]:
        """Find layers of a file that lie where it would.

        ``read``: what it holds now. ``layers``: those that there are.
        Returns: one that holds the same, and the latest that does not, as it
        was edited or the file was changed.
        """
        other = None
        for layer in reversed([*layers]):
            if not (self._is_of(layer, file) and _lies(layer, file)):
                continue
            if np.array_equal(layer.data, read.labels):
                return layer, None
            other = other or layer
        return None, other

    def _is_of(self, layer: Any, file: MaskFile) -> bool:
        """Whether we, or napari, have read a layer from a file."""
        if self._made.get(layer.unique_id) == file.identity:
            return True
        path = getattr(layer.source, 'path', None)
        return (
            isinstance(layer, Labels)
            and path is not None
            and file.as_it_is
            and Path(path).resolve() == Path(file.path).resolve()
        )


def _lies(layer: Any, file: MaskFile) -> bool:
    """Whether labels are in memory, and on the pixels of the image."""
    return isinstance(layer.data, np.ndarray) and same_pixels(
        grid_of(layer), file.grid
    )
