"""Which images of a category make a pair: those that show a similar view.

Random images of a category, in any pose, teach a matching network wrong
things. Candidates are the images whose coarse layout of features is most
alike; kept are those between which one affine map leads there and back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import flow_of, warp
from napari_samnet.samnet.global_affine import global_affine

#: Cells per side of the layout that is compared.
_LAYOUT = 4

#: Largest error of the affine map there and back, see :func:`cycle_errors`.
LARGEST_ERROR = 1.5

#: Pairs that are compared at once.
BATCH = 16


@torch.no_grad()
def _candidates(
    features: Tensor, categories: Sequence[str], per_image: int
) -> list[tuple[int, int]]:
    """Pairs within a category whose layouts are most alike."""
    layouts = F.adaptive_avg_pool2d(features.float(), _LAYOUT).flatten(1)
    members: dict[str, list[int]] = {}
    for index, category in enumerate(categories):
        members.setdefault(category, []).append(index)
    pairs: set[tuple[int, int]] = set()
    for indices in members.values():
        if len(indices) < 2:
            continue
        # What a whole category has in common tells no views apart.
        centered = layouts[indices] - layouts[indices].mean(0)
        centered = F.normalize(centered, dim=1, eps=1e-6)
        likeness = centered @ centered.T
        likeness.fill_diagonal_(-torch.inf)
        nearest = likeness.topk(min(per_image, len(indices) - 1)).indices
        for index, row in zip(indices, nearest.tolist(), strict=True):
            for other in row:
                pair = (index, indices[other])
                pairs.add((min(pair), max(pair)))
    return sorted(pairs)


@torch.no_grad()
def cycle_errors(source: Tensor, target: Tensor) -> Tensor:
    """Median distance in cells of the global affine there and back.

    ``source``, ``target``: matching features, ``(B, C, H, W)``. Returns:
    ``(B,)``, on maps of half the resolution.
    """
    source, target = (
        normalize(F.avg_pool2d(feature.float(), 2))
        for feature in (source, target)
    )
    there = flow_of(global_affine(source, target))
    back = flow_of(global_affine(target, source))
    error = (there + warp(back, there)).norm(dim=1)
    return error.flatten(1).median(1).values


def choose_pairs(
    features: Tensor,
    categories: Sequence[str],
    *,
    per_image: int = 3,
) -> Tensor:
    """Pairs of images that show a similar view.

    ``features``: matching features of all images, ``(N, C, H, W)``.
    ``categories``: of every image. One and the same for all is fine.
    Returns: ``(P, 2)`` indices, the first below the second.
    """
    pairs = torch.tensor(_candidates(features, categories, per_image))
    pairs = pairs.view(-1, 2).long()
    errors = [
        cycle_errors(features[part[:, 0]], features[part[:, 1]])
        for part in pairs.split(BATCH)
        if len(part)
    ]
    if not errors:
        return pairs
    return pairs[torch.cat(errors).cpu() < LARGEST_ERROR]
