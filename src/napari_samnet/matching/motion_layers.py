"""Several motions down to the pixel, each in a layer of its own.

Where something moves against its background, the field has a border between
two motions, a few pixels off the outline. Cells whose affine maps go on into
each other make a layer; each layer's motion is continued over the whole image
and refined there by the pixels that are its own; and each pixel takes the
layer by which it looks most alike in the other image, see
:mod:`.memberships`. Only for two images of one scene, where pixels can be
compared at all. This is not part of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from napari_samnet.arrays.resize import centers
from napari_samnet.arrays.types import FloatArray
from napari_samnet.matching.lucas_kanade import (
    CELL,
    LEVELS,
    Descriptions,
    blurred,
    extended,
    moved_step,
    seen_through,
    shrunk,
    slopes,
    spread_out,
)
from napari_samnet.matching.memberships import NEARBY, memberships
from napari_samnet.matching.missed_motions import MissedMotion

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]

#: Cells a side that are told apart.
SIDE = 32

#: How far the maps of two neighbors may lead apart, in cells, halfway between
#: them; least cells of a layer, and most layers.
SAME, LEAST, MOST = 0.2, 6, 5

#: Levels of which the layers are labeled anew after each.
LABELED = LEVELS[:2]


class Layers(NamedTuple):
    """Motions of two images, those of both in one list."""

    #: ``(K,)`` int64: 0 for a layer of the first image, 1 of the second.
    image: Tensor
    #: ``(K, 2, n, n)``: where each leads, normalized (x, y), everywhere.
    places: Tensor
    #: ``(K, 1, m, m)``: which places are its own; those of all layers of an
    #: image add up to 1.
    membership: Tensor
    #: How many layers are of the fields; the others are parts that they have
    #: missed, each as a layer of the first image and one of the second.
    known: int

    def chosen(self, side: int) -> Tensor:
        """Number of each place's own layer, ``(2, 1, side, side)``."""
        import torch
        import torch.nn.functional as F

        membership = self.membership
        if side < membership.shape[-1]:
            membership = shrunk(membership, membership.shape[-1] // side)
        elif side > membership.shape[-1]:
            membership = F.interpolate(
                membership, size=(side, side), mode='nearest'
            )
        parts = []
        for image in (0, 1):
            (own,) = torch.nonzero(self.image == image, as_tuple=True)
            parts.append(own[membership[own].argmax(0)])
        return torch.stack(parts)

    def composed(self, side: int) -> Tensor:
        """Where each place's own layer leads, ``(2, 2, side, side)``."""
        chosen = self.chosen(side)[:, None].expand(-1, 1, 2, -1, -1)
        places = resampled(self.places, side)
        return places[None].expand(2, -1, -1, -1, -1).gather(1, chosen)[:, 0]


def layers_of(field: FloatArray) -> tuple[Array, NDArray[np.intp]]:
    """Affine maps of the cells of a field, and the layer of each.

    ``field`` (h, w, 2): normalized displacements (row, column).
    Returns: ``maps``: (n, n, 2, 3): from normalized (x, y, 1) to (x, y) in the
    other image; ``layer``: (n, n): 0 for the largest; -1 for cells of none.
    """
    maps = _cell_maps(field)
    side = maps.shape[0]
    numbers = np.arange(side * side).reshape(side, side)
    pairs = []
    for axis in (0, 1):
        one, other = (
            np.take(maps, range(*ends), axis)
            for ends in ((side - 1,), (1, side))
        )
        ids = [
            np.take(numbers, range(*ends), axis)
            for ends in ((side - 1,), (1, side))
        ]
        along = np.stack(np.meshgrid(*2 * [centers(side)]), -1)
        middle = (
            np.take(along, range(side - 1), axis)
            + np.take(along, range(1, side), axis)
        ) / 2
        middle = np.concatenate((middle, np.ones((*middle.shape[:2], 1))), -1)
        apart = np.einsum('hwij,hwj->hwi', one - other, middle)
        same = np.linalg.norm(apart, axis=-1) * side < SAME
        pairs.append(np.stack([part[same] for part in ids]))
    first, second = np.concatenate(pairs, 1)
    graph = coo_matrix(
        (np.ones(len(first)), (first, second)), shape=2 * (side * side,)
    )
    parts = connected_components(graph, directed=False)[1]
    counts = np.bincount(parts)
    order = np.argsort(-counts, kind='stable')[:MOST]
    layer = np.full(side * side, -1, np.intp)
    for number, part in enumerate(order):
        if counts[part] >= LEAST:
            layer[parts == part] = number
    return maps, layer.reshape(side, side)


def _cell_maps(field: FloatArray) -> Array:
    """Affine map of each block of a field, ``(n, n, 2, 3)``."""
    side = field.shape[0]
    block = side // min(side, SIDE)
    if not block % 2 and side % block:
        block -= 1
    count = side // block
    at = centers(side)
    grid: Array = np.stack(np.meshgrid(at, at), -1)
    places: Array = grid + field[..., ::-1]
    if block % 2:
        both = np.asarray(np.gradient(places, 1 / side, axis=(0, 1)))
        inner = slice(block // 2, None, block)
        means, middle = places[inner, inner], grid[inner, inner]
        down, right = both[:, inner, inner]
    else:

        def blocks(values: Array) -> Array:
            # Near the middle, where the neighbors have no say.
            shape = count, block, count, block, -1
            inner = slice((block - 1) // 2, block // 2 + 1)
            parts = values.reshape(shape).swapaxes(1, 2)
            return np.asarray(parts[:, :, inner, inner])

        parts, cells = blocks(places), blocks(grid)
        means, middle = parts.mean((2, 3)), cells.mean((2, 3))
        step = (cells.shape[2] - 1) / side
        right = (parts[:, :, :, -1] - parts[:, :, :, 0]).mean(2) / step
        down = (parts[:, :, -1] - parts[:, :, 0]).mean(2) / step
    linear = np.stack((right, down), -1)
    shift = means - np.einsum('hwij,hwj->hwi', linear, middle)
    return np.concatenate((linear, shift[..., None]), -1)


def separate_motions(
    fields: tuple[FloatArray, FloatArray],
    cells: int,
    device: str,
    missed: Sequence[MissedMotion] = (),
) -> Layers | None:
    """Layers of two fields, each continued over its whole image.

    ``fields`` (h, w, 2): normalized displacements (row, column), forward and
    backward, of squares.
    ``cells``: cells a side of the layers.
    ``device``: where they are computed.
    ``missed``: motions of parts from which the fields lead away, each a layer.
    Returns: None where both fields are of one motion and nothing was missed.
    """
    import torch
    import torch.nn.functional as F

    image, places, members = [], [], []
    at = (torch.arange(cells, device=device) + 0.5) / cells
    y, x = torch.meshgrid(at, at, indexing='ij')
    for number, field in enumerate(fields):
        maps, layer = layers_of(field)
        side = len(layer)
        flat = np.concatenate(
            (maps.reshape(side, side, 6), np.ones_like(maps[..., :1, 0])), -1
        )
        for one in range(max(1, layer.max() + 1)):
            mask = (layer == one) if layer.max() >= 0 else layer < 0
            stack = torch.from_numpy(
                np.moveaxis(flat * mask[..., None], -1, 0)[None]
            ).to(device, torch.float32)
            total = spread_out(stack)
            a, b, p, c, d, q = F.interpolate(
                total[:, :6] / total[:, 6:],
                size=(cells, cells),
                mode='bilinear',
                align_corners=False,
            )[0]
            places.append(torch.stack((a * x + b * y + p, c * x + d * y + q)))
            members.append(
                F.interpolate(
                    stack[:, 6:],
                    size=(cells, cells),
                    mode='bilinear',
                    align_corners=False,
                )[0]
            )
            image.append(number)
    count = len(image)
    if count == len(fields) and not missed:
        return None
    for motion, number in product(missed, range(len(fields))):
        matrix, where = motion.seen_from(number)
        part = torch.from_numpy(matrix).to(device, torch.float32)
        a, b, p, c, d, q = part.flatten()
        places.append(torch.stack((a * x + b * y + p, c * x + d * y + q)))
        own = F.interpolate(
            torch.from_numpy(where[None, None]).to(device, torch.float32),
            size=(cells, cells),
            mode='bilinear',
            align_corners=False,
        )[0]
        members = [
            one * (1 - own) if of == number else one
            for one, of in zip(members, image, strict=True)
        ]
        members.append(own)
        image.append(number)
    return Layers(
        torch.tensor(image, device=device),
        torch.stack(places),
        torch.stack(members),
        count,
    )


def refined_layers(
    images: Descriptions, start: Layers, given_up: Event
) -> Layers | None:
    """Refine the motion of each layer, and give each pixel to one.

    ``start``: with a cell for every ``CELL`` pixels.
    ``given_up``: set by who does not need them any more.
    Returns: layers with shares of 0 and 1 for every two pixels; None if they
    are not needed.
    """
    import torch
    import torch.nn.functional as F

    image, places, membership, known = start
    right, down = slopes(places)
    cells = images.images.shape[-1] // CELL
    near = blurred(membership, NEARBY)
    motion = torch.zeros_like(places)

    def moved() -> Tensor:
        moved = torch.addcmul(places, right, motion[:, :1])
        return moved.addcmul_(down, motion[:, 1:])

    for level in LABELED:
        small, maps = images.small(level), images.of(level)
        side = small.shape[-1]
        inside_layer = (
            membership
            if membership.shape[-1] == cells
            else shrunk(membership, membership.shape[-1] // cells)
        )
        if side != cells:
            inside_layer = F.interpolate(
                inside_layer, size=(side, side), mode='nearest'
            )
        one, other = maps[image], maps[1 - image]
        for _ in range(level.rounds):
            if given_up.is_set():
                return None
            seen, inside = seen_through(other, moved())
            motion = moved_step(
                one, seen, inside * inside_layer, motion, level
            )
        if given_up.is_set():
            return None
        membership = memberships(small, maps, image, moved(), near)
        near = (near + blurred(shrunk(membership, side // cells), NEARBY)) / 2
    return Layers(image, moved(), membership, known)


def resampled(places: Tensor, side: int) -> Tensor:
    """Places on another grid, the slope going on beyond the border."""
    import torch.nn.functional as F

    cells = places.shape[-1]
    if side == cells:
        return places
    if side < cells:
        return shrunk(places, cells // side)
    places = extended(extended(places, -1), -2)
    pool = side // cells
    places = F.interpolate(
        places, scale_factor=pool, mode='bilinear', align_corners=False
    )
    return places[..., pool:-pool, pool:-pool]
