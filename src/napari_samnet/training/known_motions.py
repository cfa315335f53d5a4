"""Pairs whose motion is known, that features and W_G are taught by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
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
from napari_samnet.samnet.features import VGGFeatures
from napari_samnet.training.data import read_working, to_tensor
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.synthetic import (
    ENCODED_AT_ONCE,
    CachedPairs,
    synthetic_pair,
)

#: Smallest and largest longest side of an object that moves on its own, in
#: shares of the image's side.
OBJECT_SHARES = (0.3, 0.75)

#: How much more often than all others places of the object are asked for.
OBJECT_WEIGHT = 2.0

#: One object of so many is held out, where some are.
HELD_OUT_OF = 20

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


def moving_objects(
    options: TrainingOptions, count: int, *, held_out: bool | None = None
) -> KnownMotions:
    """Objects that move on their own, every other one elsewhere.

    Objects that are measured with are not among them.

    ``count``: how many pairs are made.
    ``held_out``: of every twentieth object, or of all but these. Of all
    objects by default.
    Raises InputError if there are no such objects.
    """
    root = options.objects_root
    parts = horse_parts(Path(root)) if root else bundled_parts()
    all_of_them = len(parts.objects)
    parts = parts.learnt_from()
    if not parts.objects:
        raise InputError(
            f'{root} holds {all_of_them} objects with masks, and the first '
            f'{MEASURED} are measured with; objects that move need more'
        )
    apart = list(parts.objects[::HELD_OUT_OF])
    if held_out:
        parts = replace(parts, objects=apart)
    elif held_out is not None and len(parts.objects) > len(apart):
        rest = [item for item in parts.objects if item not in apart]
        parts = replace(parts, objects=rest)

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

    made = [pair(index) for index in range(count)]
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


@torch.no_grad()
def cache_motions(
    features: VGGFeatures,
    known: KnownMotions,
    *,
    bf16: bool = True,
) -> Iterator[CachedPairs]:
    """Encode pairs whose motion is known, in order.

    ``bf16``: compute the convolutions in bf16.
    """
    device = next(features.parameters()).device
    count = len(known.flow)
    # On average, a cell that is asked for counts as one of a warp does.
    asked = (known.weight > 0).sum((1, 2, 3), keepdim=True)
    total = known.weight.sum((1, 2, 3), keepdim=True).clamp_min(1e-6)
    valid = known.weight * asked / total
    for start in range(0, count, ENCODED_AT_ONCE):
        part = slice(start, start + ENCODED_AT_ONCE)
        images = [
            read()
            for side in (known.readers[:count], known.readers[count:])
            for read in side[part]
        ]
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            encoded = features.match_only(to_tensor(images).to(device))
        source, target = encoded.to(torch.bfloat16).cpu().chunk(2)
        yield CachedPairs(source, target, known.flow[part], valid[part])


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
