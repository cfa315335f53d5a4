"""Pairs whose motion is known, that the matching features are taught by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_samnet.datasets.composites import (
    MEASURED,
    Composite,
    bundled_parts,
    horse_parts,
)
from napari_samnet.datasets.image_lists import ImageList
from napari_samnet.errors import InputError
from napari_samnet.samnet.config import STRIDE
from napari_samnet.training.data import read_working
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.synthetic import synthetic_pair

#: Smallest and largest longest side of an object that moves on its own, in
#: shares of the image's side.
OBJECT_SHARES = (0.3, 0.75)

#: How much more often than all others places of the object are asked for.
OBJECT_WEIGHT = 2.0

#: Share of a cell's pixels that must belong to one thing.
WHOLE = 0.95


class KnownMotions(NamedTuple):
    """Pairs of images and the motion from the first to the second."""

    #: The first images of all pairs, then the second ones, float32
    #: ``(size, size, 3)``.
    readers: list[Callable[[], NDArray[np.float32]]]
    #: ``(N, 2, H, W)`` in (x, y) cells.
    flow: Tensor
    #: ``(N, 1, H, W)``, how often a cell is asked for; 0 where the second
    #: image does not show it.
    weight: Tensor


def known_warps(images: ImageList, options: TrainingOptions) -> KnownMotions:
    """Warps of photographs, as first images, and the photographs."""

    def pair(index: int) -> tuple[NDArray[np.float32], ...]:
        rng = np.random.default_rng((options.seed + 5, index))
        photograph = read_working(images[index], options.size)
        return synthetic_pair(photograph, rng)

    flows, valids = [], []
    for index in range(len(images)):
        _, _, field, inside = pair(index)
        flows.append(field)
        valids.append(inside)

    def side(index: int, which: int) -> NDArray[np.float32]:
        return pair(index)[which]

    valid = _cells(valids)
    return KnownMotions(
        _both_sides(side, len(images)),
        F.avg_pool2d(_channels_first(flows), STRIDE) / STRIDE,
        (valid > 0.9).float(),
    )


def moving_objects(options: TrainingOptions) -> KnownMotions:
    """Objects that move on their own, every other one elsewhere.

    Objects that are measured with are not among them. Raises InputError if
    there are no others.
    """
    root = options.objects_root
    parts = horse_parts(Path(root)) if root else bundled_parts()
    count = len(parts.objects)
    parts = parts.learnt_from()
    if not parts.objects:
        raise InputError(
            f'{root} holds {count} objects with masks, and the first '
            f'{MEASURED} are measured with; feature_objects needs more'
        )

    def pair(index: int) -> Composite:
        return parts.pair(
            index,
            options.seed + 6,
            options.size,
            OBJECT_SHARES,
            elsewhere=index % 2 == 1,
        )

    def side(index: int, which: int) -> NDArray[np.float32]:
        image: NDArray[np.float32] = np.asarray(pair(index)[which], np.float32)
        return image

    made = [pair(index) for index in range(options.feature_objects)]
    valid = _cells([one.valid for one in made])
    inside = _cells([one.inside for one in made])
    # Where two motions meet in a cell, it has neither.
    whole = (valid > 0.9) & ((inside > WHOLE) | (inside < 1 - WHOLE))
    known = _channels_first([one.flow * one.valid[..., None] for one in made])
    flow = F.avg_pool2d(known, STRIDE) / valid.clamp_min(1e-6) / STRIDE
    # Of each pair, places of the object and of all the pair have one weight.
    counts = [whole, whole & (inside > WHOLE)]
    weights = [
        part / part.sum((1, 2, 3), keepdim=True).clamp_min(1)
        for part in counts
    ]
    return KnownMotions(
        _both_sides(side, len(made)),
        flow,
        weights[0] + OBJECT_WEIGHT * weights[1],
    )


def _both_sides(
    side: Callable[[int, int], NDArray[np.float32]], count: int
) -> list[Callable[[], NDArray[np.float32]]]:
    return [
        partial(side, index, which)
        for which in (0, 1)
        for index in range(count)
    ]


def _channels_first(fields: Sequence[NDArray[np.floating]]) -> Tensor:
    """Fields ``(H, W, 2)`` in rows and columns as ``(N, 2, H, W)``."""
    flows = [torch.from_numpy(field[..., ::-1].copy()) for field in fields]
    return torch.stack(flows).permute(0, 3, 1, 2).float()


def _cells(
    masks: Sequence[NDArray[np.bool_] | NDArray[np.floating]],
) -> Tensor:
    """Share of each cell that masks cover, ``(N, 1, h, w)``."""
    stacked = torch.stack([torch.from_numpy(mask).float() for mask in masks])
    return F.avg_pool2d(stacked[:, None], STRIDE)
