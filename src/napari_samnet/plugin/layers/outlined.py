"""Outlines, for a result that lies on another that looks the same.

A result that was corrected is kept, and the next one lies on it with the same
colors. Which is which can be seen where one of them is filled and the other
is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.plugin.layers.edits import about_layer
from napari_samnet.plugin.model.request import Product

#: Kinds that can be drawn as outlines, and what the user is told of it.
OUTLINED = ('labels', 'points', 'shapes')
TOLD = ', drawn as outlines'

#: Width of the outlines of labels in pixels of the screen, and of those of
#: points as a share of their size.
LABELS_WIDTH, POINTS_WIDTH = 3, 0.2

#: Where metadata name the layer that a result lies on.
BESIDE = 'beside'


def outlined(product: Product, beside: Any) -> Product:
    """The same product as outlines.

    ``beside``: identity of the layer that it lies on. Returns: for images and
    arrows, the product as it is.
    """
    if product.kind not in OUTLINED:
        return product
    style: dict[str, Any] = {}
    if product.kind == 'labels':
        style['contour'] = LABELS_WIDTH
    elif len(product.data):
        colors = product.keywords.get('face_color')
        style['face_color'] = _hollow(colors)
        if product.kind == 'points':
            style['border_color'] = 'white' if colors is None else colors
            style['border_width'] = _rims(product)
    return replace(
        product,
        keywords={**product.keywords, **style},
        about={**product.about, BESIDE: beside},
    )


def _rims(product: Product) -> NDArray[Any]:
    """Width of the rim of each point, in the unit that the layer has it in."""
    size = np.ones(len(product.data))
    if not product.keywords.get('border_width_is_relative', True):
        size = size * product.keywords['size']
    return POINTS_WIDTH * size


def _hollow(colors: Any) -> NDArray[Any] | str:
    """Colors without opacity."""
    if not isinstance(colors, np.ndarray):
        return 'transparent'
    clear = colors.copy()
    clear[:, 3] = 0
    return clear


def is_outlined(layer: Any) -> bool:
    """Whether a result was made as outlines."""
    return about_layer(layer).get(BESIDE) is not None


def as_before(layer: Any, product: Product, layers: Iterable[Any]) -> Product:
    """A product that updates a layer, filled or as outlines like the layer.

    ``layers``: all that are there: outlines end when what they lay on is gone.
    """
    beside = about_layer(layer).get(BESIDE)
    if beside is None:
        return product
    if any(other.unique_id == beside for other in layers):
        return outlined(product, beside)
    if product.kind == 'labels' and layer.contour == LABELS_WIDTH:
        layer.contour = 0
    return product
