"""Hide warped labels that the match is not sure of, and show them again."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.arrays.resize import Upsampler
from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.layers.edits import keep_pristine
from napari_samnet.plugin.layers.label_writes import (
    Indices,
    is_one_of,
    without_pause,
    write_steps,
)
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.request import Product

#: Pixels that are hidden or shown at a time. napari takes a third of a
#: microsecond for each that changes.
BAND = 1 << 17


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


def merged(
    known: Warped | None, product: Product, threshold: float
) -> Warped | None:
    """What is known of labels after a run has brought some planes or ids.

    ``known``: of the same layer before. Returns: None for a product that is no
    labels.
    """
    if product.full is None:
        return None
    full = product.full
    whole = product.planes is None and product.ids is None
    if whole or known is None or known.full.shape != full.shape:
        return Warped(
            full, dict(product.correspondences), threshold, product.pair
        )
    correspondences = {**known.correspondences, **product.correspondences}
    labels = _onto(known.full, full, product)
    return Warped(labels, correspondences, threshold, product.pair)


def joined(layer: Any, known: Warped | None, product: Product) -> Product:
    """Some planes or ids with all that a layer of another type holds.

    The type of a layer cannot change in place: what a run has brought of a
    part is whole again with the rest of the earlier result.

    Returns: the product as it is where types agree, or no type holds both.
    """
    whole = product.planes is None and product.ids is None
    if product.full is None or whole:
        return product
    data: NDArray[Any] = layer.data
    kind = np.promote_types(data.dtype, product.data.dtype)
    if (
        data.shape != product.data.shape
        or data.dtype == product.data.dtype
        or kind.kind == 'f'
    ):
        return product
    before = data if known is None else known.full
    earlier = {} if known is None else dict(known.correspondences)
    return replace(
        product,
        data=_onto(data, product.data, product),
        full=_onto(before, product.full, product),
        correspondences={**earlier, **product.correspondences},
        planes=None,
        ids=None,
    )


def _onto(
    before: NDArray[Any], new: NDArray[Any], product: Product
) -> NDArray[Any]:
    """New labels of some planes or ids on those that were there."""
    labels = before.astype(np.promote_types(before.dtype, new.dtype))
    for index in [()] if product.planes is None else product.planes:
        if product.ids is None:
            labels[index] = new[index]
            continue
        other = ~is_one_of(labels[index], product.ids)
        old = np.where(other, labels[index], 0)
        labels[index] = np.where(new[index] != 0, new[index], old)
    return labels


def hide_unsure(labels: NDArray[Any], warped: Warped) -> NDArray[Any]:
    """Labels without those whose confidence is below the threshold.

    ``labels``: as they are in the layer; those the user painted stay. Returns:
    the same array if nothing is hidden.
    """
    if warped.threshold <= 0:
        return labels
    hidden = labels.copy()
    for index, correspondence in warped.correspondences.items():
        unsure = correspondence.backward_confidence < warped.threshold
        same = hidden[index] == warped.full[index]
        hidden[index][unsure & same] = 0
    return hidden


def threshold_steps(
    layer: Any, warped: Warped, threshold: float
) -> Generator[None, None, int]:
    """Hide what is below a confidence, and show what no longer is.

    Only what a run wrote is hidden, and only what was hidden comes back:
    labels the user painted or erased meanwhile stay as they are. It can be
    undone like any other edit.

    ``threshold``: smallest confidence to show, from 0 to 1.
    Yields: after some rows, so that the window can breathe. Returns: number
    of pixels changed.
    """
    before, warped.threshold = warped.threshold, threshold

    def pieces() -> Iterator[tuple[Indices, NDArray[Any]]]:
        for index, correspondence in warped.correspondences.items():
            full = warped.full[index]
            for rows, confidence in _bands(correspondence):
                written, shown = full[rows], np.asarray(layer.data[index])
                shown = shown[rows]
                hide = (confidence < threshold) & (shown == written)
                back = (confidence >= threshold) & (confidence < before)
                back &= shown == 0
                at = np.nonzero((hide | back) & (written != 0))
                values = np.where(hide, 0, written)[at]
                at = (at[0] + rows.start, *at[1:])
                plane = (np.full(at[0].size, place) for place in index)
                yield (*plane, *at), values

    with keep_pristine(layer):
        written = yield from write_steps(layer, pieces())
    return written.pixels


def set_threshold(layer: Any, warped: Warped, threshold: float) -> int:
    """Do :func:`threshold_steps` without a pause."""
    return without_pause(threshold_steps(layer, warped, threshold))


def _bands(
    correspondence: Correspondence,
) -> Iterator[tuple[slice, NDArray[np.floating[Any]]]]:
    """Confidence of the target's pixels, some rows at a time."""
    height, width = shape = correspondence.target_shape
    upsampler = Upsampler(correspondence.backward_cell_confidence, shape)
    step = max(1, BAND // width)
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        yield rows, np.clip(upsampler.rows(rows)[0], 0, 1)
