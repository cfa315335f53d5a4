"""Accuracy on keypoints of images that were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_samnet.datasets.metrics import box_side, pck
from napari_samnet.datasets.pair_lists import KeypointPair, fit_points
from napari_samnet.datasets.reading import read_image
from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_working
from napari_samnet.samnet.features import Features
from napari_samnet.samnet.field import flow_of
from napari_samnet.samnet.network import SAMNet
from napari_samnet.training.data import to_tensor
from napari_samnet.training.matcher import as_it_learns
from napari_samnet.training.sampling import sample_points

#: Tolerances in shares of the longest side of the keypoints' box.
ALPHAS = (0.05, 0.10, 0.15)

#: Pairs that are matched at once.
BATCH = 8

Points = NDArray[np.float64]


@dataclass(frozen=True)
class CachedKeypoints:
    """Features of images, and pairs of them with points in both."""

    #: Matching features of the images, ``(N, C, H, W)`` in bf16.
    features: Tensor
    #: Indices of source and target among the images.
    pairs: list[tuple[int, int]]
    #: ``(K, 2)`` row, column in pixels of the files.
    points: list[tuple[Points, Points]]
    #: Height and width of the files in pixels.
    shapes: list[tuple[int, int]]


@torch.no_grad()
def cache_keypoints(
    model: SAMNet, pairs: Sequence[KeypointPair], *, size: int, bf16: bool
) -> CachedKeypoints:
    """Encode every image of the pairs once.

    ``size``: working size in pixels.
    ``bf16``: compute the convolutions in bf16.
    Raises InputError if an image cannot be read or does not fit its points.
    """
    files = sorted({path for p in pairs for path in (p.source, p.target)})
    place = {path: index for index, path in enumerate(files)}
    device = next(model.parameters()).device
    features, shapes = [], []
    for path in files:
        image = read_image(path)
        shapes.append((image.shape[0], image.shape[1]))
        batch = to_tensor([to_working(image, size=size, name=path.name)])
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            encoded = model.features.match_only(batch.to(device))
        features.append(encoded.to(torch.bfloat16).cpu())
    if not features:
        raise InputError('there must be at least one pair with keypoints')
    indices = [(place[p.source], place[p.target]) for p in pairs]
    points = [
        (
            fit_points(p.source_points, p.source_shape, shapes[a], p.where),
            fit_points(p.target_points, p.target_shape, shapes[b], p.where),
        )
        for p, (a, b) in zip(pairs, indices, strict=True)
    ]
    return CachedKeypoints(torch.cat(features), indices, points, shapes)


def _moved(
    flow: Tensor,
    points: Points,
    shape: tuple[int, int],
    other: tuple[int, int],
) -> Points:
    """Points of an image of that shape in the other one."""
    cells = np.array(flow.shape[-2:])
    share = (points + 0.5) / np.array(shape)
    at = (share * cells - 0.5)[:, ::-1].copy()
    sampled = sample_points(flow, at).flip(1)
    steps = sampled.cpu().numpy().astype(np.float64) / cells
    moved: Points = (share + steps) * np.array(other) - 0.5
    return moved


@torch.no_grad()
def keypoint_scores(
    model: SAMNet, cached: CachedKeypoints
) -> dict[str, float]:
    """PCK by the box of the target's keypoints, mean over the pairs.

    Returns: shares of keypoints by ``pck@0.05``, ``pck@0.10``, ``pck@0.15``.
    """
    options = replace(as_it_learns(model), tolerance=0.05)
    device = next(model.parameters()).device
    sums = dict.fromkeys((f'pck@{alpha:.2f}' for alpha in ALPHAS), 0.0)
    for first in range(0, len(cached.pairs), BATCH):
        rows = slice(first, first + BATCH)
        part = cached.pairs[rows]
        source, target = (
            cached.features[[pair[side] for pair in part]].float().to(device)
            for side in (0, 1)
        )
        none = source.new_zeros(len(part), 0, 1, 1)
        flow = none
        for state in model.iterate(
            Features(source, none, ()), Features(target, none, ()), options
        ):
            flow = flow_of(state.field)
        for one, (a, b), (points, truth) in zip(
            flow, part, cached.points[rows], strict=True
        ):
            moved = _moved(one, points, cached.shapes[a], cached.shapes[b])
            side = box_side(truth)
            for alpha in ALPHAS:
                sums[f'pck@{alpha:.2f}'] += pck(moved, truth, side, alpha)
    return {
        name: round(total / len(cached.pairs), 5)
        for name, total in sums.items()
    }
