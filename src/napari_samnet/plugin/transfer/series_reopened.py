"""Propagated results of another day, as they were left."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_info

from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.layers.series_memory import (
    ROLE,
    as_known,
    index_of,
    recall,
)
from napari_samnet.plugin.model.capture import METADATA, kind_of
from napari_samnet.plugin.model.grids import SPATIAL, Grid, grid_of
from napari_samnet.plugin.model.resampled import same_pixels
from napari_samnet.series.verdicts import named_planes


def is_named_result(layer: Any, grid: Grid) -> bool:
    """Whether labels that nothing is known of bear the name of a result.

    ``grid``: where the stack lies on which they must.
    """
    if kind_of(layer) != 'labels' or about_layer(layer).get('role'):
        return False
    if re.search(r' propagated( \[\d+\])?$', layer.name) is None:
        return False
    # Many files keep no scale; it is read by planes of the world.
    return (
        isinstance(layer.data, np.ndarray)
        and layer.data.shape == grid.shape
        and same_pixels(grid_of(layer), grid)
    )


class SeriesReopened:
    """Knows results again that were saved, whatever has opened them."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        #: Labels that were looked at, with the stack beside which they were.
        self._seen: set[tuple[Hashable, Hashable]] = set()

    def look(self, source: Any, grid: Grid) -> None:
        """Take in results of a stack that were opened since asked last.

        ``source`` (napari.layers.Image): the stack. ``grid``: where it lies.
        """
        for layer in self._viewer.layers:
            key = layer.unique_id, source.unique_id
            if isinstance(layer, Labels) and key not in self._seen:
                self._seen.add(key)
                self._take(layer, source, grid)

    def _take(self, layer: Any, source: Any, grid: Grid) -> None:
        if (
            not isinstance(layer.data, np.ndarray)
            or layer.data.shape != grid.shape
            or not grid.leading
        ):
            return
        about = about_layer(layer)
        if about.get('role') == ROLE:
            self._adopt(layer, about, source)
            return
        record = None if about else recall(layer)
        if record is None:
            return
        as_known(layer, record, source.unique_id)
        _put_on(layer, grid)
        show_info(opened_again(layer))

    def _adopt(self, layer: Any, about: Any, source: Any) -> None:
        """Let a result follow its stack, which was opened again."""
        there = {each.unique_id for each in self._viewer.layers}
        if about.get('on') not in there and about['source'] == source.name:
            layer.metadata = {
                **layer.metadata,
                METADATA: {**about, 'on': source.unique_id},
            }


def _put_on(layer: Any, grid: Grid) -> None:
    """Give labels the place of their stack, where their file kept none."""
    plain = Labels(layer.data)
    if all(
        np.array_equal(getattr(layer, name), getattr(plain, name))
        for name in ('scale', 'translate')
    ):
        for name in SPATIAL:
            setattr(layer, name, grid.spatial[name])


def opened_again(layer: Any) -> str:
    """What to say of a result that was opened, and of planes that stay."""
    about = about_layer(layer)
    axis = about['axis']
    corrected = sorted({index_of(key)[axis] for key in about['corrected']})
    drawn = {index_of(key)[axis] for key in about.get('drawn', ())}
    drawn -= {*corrected}
    told = [
        f'{named_planes(sorted(places))} {what}'
        for places, what in ((drawn, 'annotated'), (corrected, 'corrected'))
        if places
    ]
    told = told or ['no plane was corrected']
    return (
        f'{layer.name!r} is a propagated result: {", ".join(told)}; correct '
        f'planes, and go on from there'
    )
