"""Several motions down to the pixel, each in a layer of its own.

Where something moves against its background, the field has a border between
two motions, a few pixels off the outline. Cells whose affine maps go on into
each other make a layer; each layer's motion is continued over the whole image
and refined there by the pixels that are its own; and each pixel takes the
layer by which it looks most alike in the other image. The likeness is
filtered along the outlines of the image before the layers are compared, as
for other labels of pixels [1]_. Only for two images of one scene, where
pixels can be compared at all. This is not part of the paper.

References
----------
.. [1] Rhemann, Hosni, Bleyer, Rother, Gelautz. Fast cost-volume filtering for
   visual correspondence and beyond. CVPR 2011.
"""

from __future__ import annotations

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
)

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]

#: Cells a side that are told apart.
SIDE = 32

#: How far the maps of two neighbors may lead apart, in cells, halfway between
#: them; least cells of a layer, and most layers.
SAME, LEAST, MOST = 0.2, 6, 5

#: Widths in cells over which a layer's maps are continued, and their weights:
#: the nearest ones count wherever there are any.
WIDTHS = ((1.0, 1.0), (3.0, 1e-2), (8.0, 1e-5))

#: Difference of descriptions that costs half, weight of the colors' cost, and
#: their squared difference, over the usual one, that costs half.
DIFFERENCE, COLOR, UNUSUAL = 2.0, 4.0, 9.0

#: Cost of leaving the image, and of a place far from all cells of the layer,
#: with the width of that in cells.
OUTSIDE, ELSEWHERE, NEARBY = 0.5, 0.2, 2.0

#: Radius in pixels and regularization of the filter along outlines.
RADIUS, SOFT = 4, 1e-4

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

    def composed(self, side: int) -> Tensor:
        """Where each place's own layer leads, ``(2, 2, side, side)``."""
        import torch
        import torch.nn.functional as F

        places = _resampled(self.places, side)
        membership = self.membership
        if side < membership.shape[-1]:
            membership = shrunk(membership, membership.shape[-1] // side)
        elif side > membership.shape[-1]:
            membership = F.interpolate(
                membership, size=(side, side), mode='nearest'
            )
        parts = []
        for image in (0, 1):
            chosen = self.image == image
            first = (
                membership[chosen].argmax(0, keepdim=True).expand(1, 2, -1, -1)
            )
            parts.append(places[chosen].gather(0, first))
        return torch.cat(parts)


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
    fields: tuple[FloatArray, FloatArray], cells: int, device: str
) -> Layers | None:
    """Layers of two fields, each continued over its whole image.

    ``fields`` (h, w, 2): normalized displacements (row, column), forward and
    backward, of squares.
    ``cells``: cells a side of the layers.
    ``device``: where they are computed.
    Returns: None where both fields are of one motion.
    """
    import torch
    import torch.nn.functional as F

    image, places, memberships = [], [], []
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
            total = 1e-9 * stack.mean((2, 3), keepdim=True)
            for width, weight in WIDTHS:
                total = total + weight * blurred(stack, width)
            a, b, p, c, d, q = F.interpolate(
                total[:, :6] / total[:, 6:],
                size=(cells, cells),
                mode='bilinear',
                align_corners=False,
            )[0]
            at = (torch.arange(cells, device=device) + 0.5) / cells
            y, x = torch.meshgrid(at, at, indexing='ij')
            places.append(torch.stack((a * x + b * y + p, c * x + d * y + q)))
            memberships.append(
                F.interpolate(
                    stack[:, 6:],
                    size=(cells, cells),
                    mode='bilinear',
                    align_corners=False,
                )[0]
            )
            image.append(number)
    if len(image) == len(fields):
        return None
    return Layers(
        torch.tensor(image, device=device),
        torch.stack(places),
        torch.stack(memberships),
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

    image, places, membership = start
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
        now = Layers(image, moved(), membership)
        membership = _memberships(small, maps, now, near)
        near = (near + blurred(shrunk(membership, side // cells), NEARBY)) / 2
    return Layers(image, moved(), membership)


def _memberships(
    small: Tensor, maps: Tensor, layers: Layers, near: Tensor
) -> Tensor:
    """1 where a pixel looks most alike by a layer, else 0."""
    import torch
    import torch.nn.functional as F

    image, places, _ = layers
    seen, inside = seen_through(torch.cat((maps, small), 1)[1 - image], places)
    count = maps.shape[1]
    wrong = (maps[image] - seen[:, :count]).square().mean(1, keepdim=True)
    far = 1 - F.interpolate(
        near, size=wrong.shape[-2:], mode='bilinear', align_corners=False
    )
    memberships = torch.zeros_like(wrong)
    for number in (0, 1):
        (chosen,) = torch.nonzero(image == number, as_tuple=True)
        weight = inside[chosen[:1]] / (1 + wrong[chosen[:1]])
        color = _color_differences(
            small[number], seen[chosen, count:], weight[0]
        )
        cost = wrong[chosen] / (wrong[chosen] + DIFFERENCE)
        cost = cost + COLOR * color / (color + UNUSUAL)
        cost = torch.where(inside[chosen] > 0, cost / (1 + COLOR), OUTSIDE)
        cost = cost + ELSEWHERE * far[chosen]
        radius = RADIUS * small.shape[-1] // (CELL * near.shape[-1])
        cost = _along_outlines(small[number], cost, max(1, radius))
        best = cost.argmin(0)
        memberships[chosen] = (
            F.one_hot(best, len(chosen)).permute(3, 0, 1, 2).to(cost)
        )
    return memberships


def _color_differences(
    image: Tensor, seen: Tensor, confidence: Tensor
) -> Tensor:
    """Squared differences of color, over the usual one, ``(K, 1, h, w)``.

    After the affine map of colors that brings the image to what the first
    layer sees of the other one: light and camera may differ.
    """
    import torch

    colors = torch.cat((image, torch.ones_like(image[:1]))).flatten(1)
    there = seen.flatten(2)
    weight = first = confidence.flatten()
    eye = torch.eye(4, device=image.device)
    usual = seen.new_tensor(1.0)
    matrix = eye[:3]
    for _ in range(3):
        pull = 1e-3 * weight.sum().clamp_min(1.0)
        normal = (colors * weight) @ colors.T + pull * eye
        right = (there[0] * weight) @ colors.T + pull * eye[:3]
        matrix = torch.linalg.solve(normal, right.T).T
        error = (there[0] - matrix @ colors).square().sum(0)
        usual = error[first > 0].median() if bool((first > 0).any()) else usual
        weight = first / (1 + error / (2 * usual + 1e-6))
    error = (there - matrix @ colors).square().sum(1)
    return (error / (usual + 1e-3)).view(len(seen), 1, *image.shape[1:])


def _along_outlines(image: Tensor, maps: Tensor, radius: int) -> Tensor:
    """Guided filter (He, Sun and Tang, ECCV 2010) of maps ``(K, 1, h, w)``."""
    import torch

    from napari_samnet.color.smoothing import box_mean

    def mean(values: Tensor) -> Tensor:
        return box_mean(values, 2 * radius + 1)

    colors = image[None]
    middle = mean(colors)
    products = torch.einsum('bihw,bjhw->ijhw', colors, colors)
    spread = mean(products)
    spread = spread - torch.einsum('bihw,bjhw->ijhw', middle, middle)
    spread = spread.permute(2, 3, 0, 1) + SOFT * torch.eye(
        3, device=image.device
    )
    average = mean(maps)
    shared = mean(colors * maps) - middle * average
    slope = torch.einsum('hwij,kjhw->kihw', torch.linalg.inv(spread), shared)
    offset = average - (slope * middle).sum(1, keepdim=True)
    return (mean(slope) * colors).sum(1, keepdim=True) + mean(offset)


def _resampled(places: Tensor, side: int) -> Tensor:
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
