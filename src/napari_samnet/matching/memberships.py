"""Which layer of motion each pixel belongs to.

The one by which it looks most alike in the other image. The likeness is
filtered along the outlines of the image before the layers are compared, as
for other labels of pixels [1]_. This is not part of the paper.

References
----------
.. [1] Rhemann, Hosni, Bleyer, Rother, Gelautz. Fast cost-volume filtering for
   visual correspondence and beyond. CVPR 2011.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samnet.matching.lucas_kanade import CELL, seen_through

if TYPE_CHECKING:
    from torch import Tensor

#: Difference of descriptions that costs half, weight of the colors' cost, and
#: their squared difference, over the usual one, that costs half.
DIFFERENCE, COLOR, UNUSUAL = 2.0, 4.0, 9.0

#: Cost of leaving the image, and of a place far from all cells of the layer,
#: with the width of that in cells.
OUTSIDE, ELSEWHERE, NEARBY = 0.5, 0.2, 2.0

#: Radius in pixels and regularization of the filter along outlines.
RADIUS, SOFT = 4, 1e-4


def memberships(
    small: Tensor, maps: Tensor, image: Tensor, places: Tensor, near: Tensor
) -> Tensor:
    """1 where a pixel looks most alike by a layer, else 0.

    ``small``, ``maps``: ``(2, 3, n, n)`` and ``(2, C, n, n)``, colors of both
    images, and what they are compared by.
    ``image``, ``places``: of the layers, see :class:`~.motion_layers.Layers`.
    ``near``: ``(K, 1, m, m)``, 1 near the cells of a layer, 0 far from them.
    Returns: ``(K, 1, n, n)``.
    """
    import torch
    import torch.nn.functional as F

    seen, inside = seen_through(torch.cat((maps, small), 1)[1 - image], places)
    count = maps.shape[1]
    wrong = (maps[image] - seen[:, :count]).square().mean(1, keepdim=True)
    far = 1 - F.interpolate(
        near, size=wrong.shape[-2:], mode='bilinear', align_corners=False
    )
    belongs = torch.zeros_like(wrong)
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
        belongs[chosen] = (
            F.one_hot(best, len(chosen)).permute(3, 0, 1, 2).to(cost)
        )
    return belongs


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
