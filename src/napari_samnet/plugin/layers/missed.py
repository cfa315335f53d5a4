"""Planes on which a run found nothing of the labels it was to carry.

A region may be too small for them, or the object is not in the image. Such a
plane says nothing against what an earlier run found there.
"""

from __future__ import annotations

from dataclasses import replace

from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.request import Product


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
    places = ', '.join(map(_place, sorted(product.missed)))
    planes = 'plane' if len(product.missed) == 1 else 'planes'
    return (
        replace(product, planes=tuple(rest)),
        f'no labels were found on {planes} {places}: {name!r} stays as it '
        f'was there',
    )


def _place(index: Index) -> str:
    """A plane as the user counts it."""
    return str(index[0] if len(index) == 1 else index)
