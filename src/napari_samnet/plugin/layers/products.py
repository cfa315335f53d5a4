"""From correspondences to the data of layers, plane by plane."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.layers.arrows import (
    Arrows,
    arrow_style,
    arrows_of,
    join,
)
from napari_samnet.plugin.model.capture import Stack
from napari_samnet.plugin.model.grids import Grid, Index
from napari_samnet.plugin.model.masks import Mask
from napari_samnet.plugin.model.request import PlanePair, Product, Request


def describe(
    correspondence: Correspondence, source: str, target: str, role: str
) -> dict[str, Any]:
    """What a layer's metadata say of how it came about.

    Returns: plain values: the role, the images, the version, and what the
    correspondence says of parameters, weights and device.
    """
    return {
        'role': role,
        'source': source,
        'target': target,
        'version': version('napari-samnet'),
        **correspondence.metadata,
    }


def mask_role(mask: Mask) -> str:
    """Role of a carried annotation in its key."""
    return f'{mask.kind} {mask.uid}'


def result_key(request: Request, role: str) -> str:
    """Name under which the layer of a result is found again.

    ``role``: what the layer is: an output, or kind and identity of an
    annotation. Returns: the same for the next run of the same pair of planes.
    """
    if request.has_planes:
        where = 'all'
    else:
        pair = request.pairs[0]
        where = f'{pair.source_at}{pair.target_at}'
    return f'{role} {request.source.uid} {request.target.uid} {where}'


class _Planes:
    """Fills an array plane by plane, without one where there is only one."""

    def __init__(self, leading: Index) -> None:
        self._leading = leading
        self._array: NDArray[Any] | None = None

    def put(self, slot: Index, plane: NDArray[Any]) -> None:
        """Put a plane in its place."""
        if all(size == 1 for size in self._leading):
            self._array = plane.reshape(self._leading + plane.shape)
            return
        if self._array is None:
            self._array = np.zeros(self._leading + plane.shape, plane.dtype)
        self._array[slot] = plane

    @property
    def array(self) -> NDArray[Any]:
        """All planes; those never put are 0."""
        assert self._array is not None
        return self._array


class Collector:
    """Takes the planes of a run as they are done."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._images: dict[str, _Planes] = {}
        self._arrows: dict[str, list[Arrows]] = {}
        self._carried: list[dict[Index, Any]] = [{} for _ in request.masks]
        self._missed: list[list[Index]] = [[] for _ in request.masks]
        self._backward: dict[Index, Correspondence] = {}
        self._last: Correspondence | None = None
        self._done: list[PlanePair] = []
        # So that a stack has no more arrows than can be drawn.
        planes = len(request.pairs)
        if request.several:
            planes = math.prod(request.source_grid.leading)
        self._count = max(64, request.arrows // max(1, planes))

    def add(
        self,
        pair: PlanePair,
        target: NDArray[Any],
        correspondence: Correspondence,
    ) -> None:
        """Take what a plane gives.

        ``target``: pixels of the target's plane.
        """
        self._last = correspondence
        self._done.append(pair)
        wanted = self._request.outputs
        seen = self._request.seen
        ends = (seen.to_source, seen.to_target) if seen else (None, None)
        for role, way, at, shown in (
            ('flow', correspondence, pair.source_at, ends[0]),
            ('backward', correspondence.inverse(), pair.target_at, ends[1]),
        ):
            if role in wanted:
                arrows = arrows_of(way, at, count=self._count, shown=shown)
                self._arrows.setdefault(role, []).append(arrows)
        if 'transferred' in wanted and correspondence.transferred is not None:
            self._put(
                'transferred', pair.source_slot, correspondence.transferred
            )
        if 'confidence' in wanted:
            self._put(
                'confidence', pair.source_slot, correspondence.confidence
            )
        if 'warped' in wanted:
            warped = correspondence.warp_image(target, to='source')
            self._put('warped', pair.source_slot, warped)
        request = self._request
        for mask, carried, missed in zip(
            request.masks, self._carried, self._missed, strict=True
        ):
            plane = mask.plane(pair.source)
            slot = (
                pair.target_slot if mask.kind == 'labels' else pair.target_at
            )
            carried[slot] = mask.carry(
                plane,
                correspondence,
                min_confidence=0.0,
                image=target if request.options.outlines else None,
                channel_axis=request.target.channel_axis,
            )
            if mask.is_empty(carried[slot]) and not mask.is_empty(plane):
                missed.append(slot)
            self._backward[pair.target_slot] = _without_image(correspondence)

    def _put(self, role: str, slot: Index, plane: NDArray[Any]) -> None:
        leading = self._request.source_grid.leading
        self._images.setdefault(role, _Planes(leading)).put(slot, plane)

    def products(self) -> list[Product]:
        """Layers to be, in the order in which they are to be added."""
        assert self._last is not None
        made = [self._image(role) for role in self._images]
        made += [self._flow(role) for role in self._arrows]
        for mask, carried, missed in zip(
            self._request.masks, self._carried, self._missed, strict=True
        ):
            made.append(self._mask(mask, carried, missed))
        return _uncovered(made)

    def _about(self, role: str) -> dict[str, Any]:
        assert self._last is not None
        request = self._request
        about = describe(
            self._last, request.source.name, request.target.name, role
        )
        if request.has_planes:
            about['planes'] = math.prod(request.source_grid.leading)
        elif any(self._plane()):
            about['plane'] = self._plane()
        return about

    def _plane(self) -> tuple[list[int], list[int]]:
        """Planes of source and target, empty where they are single images."""
        pair = self._request.pairs[0]
        return list(pair.source_at), list(pair.target_at)

    def _key(self, role: str) -> str:
        return result_key(self._request, role)

    def _image(self, role: str) -> Product:
        source, target = self._request.source, self._request.target
        data, grid = self._images[role].array, self._request.source_grid
        keywords: dict[str, Any]
        if role == 'confidence':
            name = f'{source.name} → {target.name} confidence'
            keywords = {'colormap': 'viridis', 'contrast_limits': (0, 1)}
        else:
            like: Stack = source if role == 'transferred' else target
            data, grid, keywords = like.as_layer(data, grid)
            name = (
                f'{source.name} like {target.name}'
                if role == 'transferred'
                else f'{target.name} warped to {source.name}'
            )
        return Product(
            planes=self._planes([pair.source_slot for pair in self._done]),
            kind='image',
            key=self._key(role),
            name=name,
            data=data,
            grid=grid,
            keywords=keywords,
            owner=source.uid,
            about=self._about(role),
        )

    def _flow(self, role: str) -> Product:
        request = self._request
        arrows = join(self._arrows[role])
        about = self._about(role)
        start, end = request.source, request.target
        space, done = request.source_space, [x.source_at for x in self._done]
        if role == 'backward':
            start, end = end, start
            space = request.target_space
            done = [pair.target_at for pair in self._done]
        if not request.has_planes:
            # So that the layer can be saved as a dense flow.
            assert self._last is not None
            way = self._last
            about['correspondence'] = (
                way.inverse() if role == 'backward' else way
            )
        return Product(
            planes=self._planes(done),
            kind='vectors',
            key=self._key(role),
            name=f'{start.name} → {end.name} flow',
            data=arrows.vectors,
            grid=space,
            keywords=arrow_style(arrows, request.color),
            owner=start.uid,
            about=about,
        )

    def _mask(
        self,
        mask: Mask,
        carried: Mapping[Index, Any],
        missed: Sequence[Index],
    ) -> Product:
        request = self._request
        flat = mask.kind == 'labels'
        grid = request.target_grid if flat else request.target_space
        return make_mask_product(
            mask,
            carried,
            grid,
            key=self._key(mask_role(mask)),
            name=f'{request.target.name} ← {mask.name}',
            owner=request.target.uid,
            about=self._about(mask.kind),
            correspondences=self._backward if flat else {},
            planes=self._planes(carried),
            pair=request.images,
            missed=tuple(missed),
        )

    def _planes(self, covered: Iterable[Index]) -> tuple[Index, ...] | None:
        """Planes of a layer that hold several; None where it has but one."""
        return tuple(covered) if self._request.has_planes else None


def make_mask_product(
    mask: Mask,
    carried: Mapping[Index, Any],
    grid: Grid,
    *,
    key: str,
    name: str,
    owner: Any,
    about: Mapping[str, Any],
    correspondences: Mapping[Index, Correspondence],
    planes: tuple[Index, ...] | None = None,
    pair: tuple[Hashable, ...] = (),
    missed: tuple[Index, ...] = (),
) -> Product:
    """Make a product of a carried annotation.

    ``planes``: planes that were carried, where others may have been carried
    before. ``missed``: those of them on which nothing was found.
    """
    data, keywords = mask.assemble(carried, grid)
    return Product(
        kind=mask.kind,
        key=key,
        name=name,
        data=data,
        grid=grid,
        keywords=keywords,
        owner=owner,
        about=about,
        # The layer's own data may be painted on; this stays as it was.
        full=data.copy() if mask.kind == 'labels' else None,
        correspondences=dict(correspondences),
        planes=planes,
        ids=getattr(mask, 'ids', None),
        pair=pair,
        missed=missed,
    )


def _uncovered(products: Sequence[Product]) -> list[Product]:
    """Switch off what would cover an image, unless it is all there is."""
    if len(products) == 1:
        return list(products)
    return [
        replace(product, keywords={**product.keywords, 'visible': False})
        if product.kind in ('image', 'vectors')
        else product
        for product in products
    ]


def _without_image(correspondence: Correspondence) -> Correspondence:
    """Drop what confidence does not need."""
    return replace(correspondence, transferred=None, warped_labels=None)
