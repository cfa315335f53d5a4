"""Judge a match by eye: the target, brought to the source, laid over it."""

from __future__ import annotations

from collections.abc import Generator
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.model.capture import Stack
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.request import Outcome, Product, Report

#: Ways to show it.
MODES: dict[str, str] = {
    'off': 'Off',
    'blend': 'Blended',
    'checkerboard': 'Checkerboard',
}

#: Tiles along the longer side, from the coarsest to the finest.
TILES = (4, 24)


def checkerboard(shape: tuple[int, int], fineness: float) -> NDArray[np.bool_]:
    """Tiles of a checkerboard.

    ``fineness``: from 0, few tiles, to 1, many.
    """
    count = round(TILES[0] + fineness * (TILES[1] - TILES[0]))
    side = max(1, -(-max(shape) // count))
    rows = np.arange(shape[0])[:, None] // side
    return np.asarray((rows + np.arange(shape[1]) // side) % 2 == 0)


def preview_steps(
    source: Stack,
    target: Stack,
    at: tuple[Index, Index],
    correspondence: Correspondence,
    mode: str,
    amount: float,
) -> Generator[Report, None, Outcome]:
    """Make the preview of one pair of planes.

    ``amount``: from 0 to 1: the share of the target, or the fineness of the
    tiles.
    Returns: one RGBA image on the source's grid, clear where the target has
    nothing to show.
    """
    from napari_samnet.images.rgb import to_rgb

    yield Report(0, 0, 'warping the target')
    plane = target.plane(at[1])
    limits = target.display.get('contrast_limits')
    rgb = to_rgb(
        plane,
        name=target.name,
        channel_axis=target.channel_axis,
        contrast_limits=None if limits is None else tuple(limits),
    )
    warped = correspondence.warp_image(np.rint(rgb * 255).astype(np.uint8))
    seen = correspondence.warp_image(
        np.full(correspondence.target_shape, 255, np.uint8)
    )
    if mode == 'checkerboard':
        seen = np.where(checkerboard(seen.shape, amount), seen, 0)
        opacity = 1.0
    else:
        opacity = amount
    data = np.dstack([warped, seen]).astype(np.uint8)
    grid = source.grid.single(at[0])
    product = Product(
        kind='image',
        key=f'preview {source.uid}',
        name=f'{target.name} over {source.name}',
        data=data.reshape(grid.leading + data.shape),
        grid=grid,
        keywords={'rgb': True, 'opacity': opacity},
        owner=source.uid,
        about={'role': 'preview', 'source': source.name},
    )
    return Outcome([product], {}, cancelled=False, text='')


def start_preview(*arguments: Any) -> Any:
    """Bind the arguments of a preview for the runner."""

    def make(stop: Event) -> Generator[Report, None, Outcome]:  # noqa: ARG001
        return preview_steps(*arguments)

    return make
