"""Planes on which a run found nothing of the labels it was to carry.

A region may be too small for them, or the object is not in the image. Such a
plane says nothing against what an earlier run found there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.request import Product


def emptied(layer: Any, product: Product) -> str:
    """What is said of planes whose annotation was erased since the last run.

    ``layer`` (napari.layers.Labels): the result, before it is brought up to
    date. Returns: empty if there are none.
    """
    if product.planes is None or layer.data.shape != product.data.shape:
        return ''
    planes = [
        index
        for index in sorted(product.planes)
        if not product.data[index].any() and layer.data[index].any()
    ]
    if not planes:
        return ''
    were = 'was' if len(planes) == 1 else 'were'
    return f'{_named(planes)} had no labels to carry and {were} cleared'


def leave_missed(product: Product, name: str) -> tuple[Product | None, str]:
    """Let a product not touch planes on which nothing was found.

    ``name``: layer that an earlier run made.
    Returns: ``product``: for the other planes, None if there are none;
    ``note``: what the user is told, empty if nothing was missed.
    """
    if not product.missed:
        return product, ''
    rest = sorted(set(product.planes or ()) - set(product.missed))
    if not rest:
        return None, f'no labels were found: {name!r} stays as it was'
    return (
        replace(product, planes=tuple(rest)),
        f'no labels were found on {_named(product.missed)}: {name!r} stays '
        f'as it was there',
    )


def _named(planes: Collection[Index]) -> str:
    """Planes as the user counts them."""
    places = [
        index[0] if len(index) == 1 else index for index in sorted(planes)
    ]
    return f'plane{"s" * (len(planes) > 1)} {", ".join(map(str, places))}'
