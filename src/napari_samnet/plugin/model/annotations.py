"""Copies of annotation layers, taken to an image when a run is asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers.utils.text_manager import TextManager
from numpy.typing import NDArray
from pandas import DataFrame

from napari_samnet.errors import InputError
from napari_samnet.plugin.model.capture import is_loaded
from napari_samnet.plugin.model.grids import Grid, Index, grid_of, sizes
from napari_samnet.plugin.model.masks import (
    HALF_PLANE,
    INHERITED,
    LabelsMask,
    Mask,
    PointsMask,
    ShapesMask,
)
from napari_samnet.plugin.model.remedies import (
    CONVERT,
    RESAMPLE,
    RefusalError,
    Remedy,
)
from napari_samnet.plugin.model.resampled import (
    ResampledLabels,
    never_placed,
    same_pixels,
)

Coordinates = NDArray[np.floating[Any]]


def capture_mask(
    layer: Any,
    source: Grid,
    *,
    at: Index = (),
    shown: Index = (),
    target: Grid | None = None,
    planes: Iterable[Index] | None = None,
    ids: Collection[int] | None = None,
) -> Mask:
    """Copy an annotation layer for a source image.

    What is edited afterwards does not change the copy. Labels on disk are
    not copied but read when they are needed.

    ``layer`` (napari.layers.Labels, Points or Shapes): the annotation,
    anywhere in the world: it is taken to the source by world coordinates,
    units included.
    ``at``: plane of the source that annotations without leading axes are on.
    ``shown``: plane of the annotation that the viewer shows, which is meant
    where it has more axes than the source.
    ``target``: grid that it is carried to, to which the size of points and the
    width of lines are scaled.
    ``planes``: planes of the source that will be read; all of them by default.
    ``ids``: the only labels to carry.
    Raises InputError if the layer cannot annotate this image.
    """
    kind = layer.as_layer_data_tuple()[2]
    if kind == 'image':
        raise RefusalError(
            'an image layer cannot be transferred: convert '
            f'{layer.name!r} to labels first',
            Remedy(CONVERT, layer),
        )
    if kind not in INHERITED:
        raise InputError(
            f'a {kind} layer cannot be transferred; expected Labels, Points '
            'or Shapes'
        )
    keywords = {
        name: _copied(getattr(layer, name)) for name in INHERITED[kind]
    }
    about: dict[str, Any] = {'name': layer.name, 'uid': layer.unique_id}
    if kind == 'labels':
        return LabelsMask(
            data=_labels_on(layer, source, shown, planes),
            keywords=keywords,
            ids=None if ids is None else frozenset(map(int, ids)),
            **about,
        )
    place = grid_of(layer, (1,) * layer.ndim)
    if target is not None:
        _scale_sizes(keywords, target.pixel_of(place))

    def to_source(coords: Any) -> Coordinates:
        coords = np.asarray(coords, float)
        there = source.from_grid(coords, place)
        if layer.ndim < len(source.shape):
            # Flat annotations show on every plane; the current is meant.
            there[:, : len(at)] = at
        surplus = layer.ndim - len(source.shape)
        if surplus > 0 and len(coords):
            # The others are on planes that the viewer does not show.
            away = np.abs(coords[:, :surplus] - np.array(shown[:surplus]))
            there[(away > HALF_PLANE).any(axis=1)] = np.nan
        return there

    if kind == 'points':
        return PointsMask(
            coords=to_source(layer.data), keywords=keywords, **about
        )
    return ShapesMask(
        outlines=[to_source(outline) for outline in layer.data],
        types=list(layer.shape_type),
        keywords=keywords,
        **about,
    )


def _copied(value: Any) -> Any:
    """Copy what is kept by label, point or shape."""
    if isinstance(value, TextManager):
        return value.model_dump()
    kept_by_row = isinstance(value, (np.ndarray, list, DataFrame))
    return value.copy() if kept_by_row else value


def _scale_sizes(keywords: dict[str, Any], factor: float) -> None:
    """Give points and lines the size in the world that they had."""
    names = ['size', 'edge_width']
    if not keywords.get('border_width_is_relative', True):
        names.append('border_width')
    for name in names:
        value = keywords.get(name)
        if isinstance(value, list):
            keywords[name] = [factor * width for width in value]
        elif value is not None:
            keywords[name] = factor * np.asarray(value, float)


def check_labels(layer: Any, source: Grid) -> None:
    """Refuse labels that do not lie on an image.

    Raises InputError if they lie elsewhere, or were never given a place and
    have another shape.
    """
    grid, name = grid_of(layer), layer.name
    if same_pixels(grid, source):
        return
    if never_placed(grid, source):
        raise RefusalError(
            f'{name!r} has shape {sizes(grid.shape)}, the source has '
            f'{sizes(source.shape)}; if it shows the same, resample it, or '
            'set its scale so that it covers the source',
            Remedy(RESAMPLE, layer),
        )
    if min(grid.share_on(source), source.share_on(grid)) <= 0:
        raise InputError(
            f'{name!r} does not lie on the source; choose the image that it '
            'lies on as the source, or move the layer'
        )


def _labels_on(
    layer: Any,
    source: Grid,
    shown: Index,
    planes: Iterable[Index] | None,
) -> Any:
    """Labels on the pixels of the source."""
    data = layer.data[0] if layer.multiscale else layer.data
    grid = grid_of(layer)
    check_labels(layer, source)
    if same_pixels(grid, source):
        return _copied_planes(data, planes)
    looked_up = ResampledLabels(data, grid, source, shown)
    if not is_loaded(data):
        return looked_up
    if data.ndim == 2 and not source.leading:
        # The worker looks up what it needs; painting does not change it.
        return replace(looked_up, data=data.copy())
    copied = np.zeros(source.shape, looked_up.dtype)
    for index in np.ndindex(source.leading) if planes is None else planes:
        copied[index] = looked_up[index]
    return copied


def _copied_planes(data: Any, planes: Iterable[Index] | None) -> Any:
    """Copy the planes that are needed, where they are in memory."""
    if not is_loaded(data):
        return data
    if data.ndim == 2:
        return data.copy()
    # Pages of zeros that nobody writes to take neither memory nor time.
    copied = np.zeros(data.shape, data.dtype)
    for index in np.ndindex(data.shape[:-2]) if planes is None else planes:
        plane = data[index]
        if plane.any():
            copied[index] = plane
    return copied
