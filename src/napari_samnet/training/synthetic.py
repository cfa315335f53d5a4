"""First step for W_G: synthetic pairs, whose field is known.

The source is the target photograph seen through a random smooth field and,
beyond the paper's set, in another light on one side: without it the
attribute path would never be trained. Since W_F is frozen in this step, the
features of all pairs are computed once and kept; a training step then costs
no pass of VGG.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.datasets.image_lists import ImageList
from napari_samnet.datasets.synthetic import (
    WarpRanges,
    one_relit,
    random_field,
    warp_photograph,
)
from napari_samnet.samnet.config import STRIDE
from napari_samnet.samnet.features import VGGFeatures
from napari_samnet.samnet.field import grid
from napari_samnet.training.data import read_working, to_tensor
from napari_samnet.training.sampling import sample_clamped

#: Pairs whose images are encoded at once.
ENCODED_AT_ONCE = 4

#: Steps of the fixed-point iteration of :func:`inverse_flow`.
INVERSE_ROUNDS = 20


@dataclass(frozen=True)
class CachedPairs:
    """Matching features of pairs and their true fields, at cells."""

    #: ``source``, ``target``: ``(N, C, H, W)`` in bf16.
    source: Tensor
    target: Tensor
    #: ``(N, 2, H, W)`` in (x, y) cells.
    flow: Tensor
    #: ``(N, 1, H, W)``, above 0 where the flow ends inside the target, and how
    #: much a cell counts.
    valid: Tensor

    def __len__(self) -> int:
        return len(self.flow)

    @classmethod
    def joined(cls, parts: Sequence[CachedPairs]) -> CachedPairs:
        """Pairs of several batches in one."""
        return cls(
            torch.cat([part.source for part in parts]),
            torch.cat([part.target for part in parts]),
            torch.cat([part.flow for part in parts]),
            torch.cat([part.valid for part in parts]),
        )

    def draw(self, count: int, generator: torch.Generator) -> CachedPairs:
        """Random pairs in single precision."""
        return self.part(
            torch.randint(len(self), (count,), generator=generator)
        )

    def swapped(self) -> CachedPairs:
        """Pairs the other way round, with the inverse fields."""
        inverse = inverse_flow(self.flow)
        height, width = inverse.shape[-2:]
        reached = grid(height, width, inverse) + inverse
        sides = inverse.new_tensor((width - 1, height - 1)).view(1, 2, 1, 1)
        inside = ((reached >= 0) & (reached <= sides)).all(1, keepdim=True)
        # Where the iteration has not converged, the inverse is not known.
        error = (inverse + sample_clamped(self.flow, reached)).norm(
            dim=1, keepdim=True
        )
        valid = (inside & (error < 0.1)).float()
        return CachedPairs(self.target, self.source, inverse, valid)

    def part(self, chosen: slice | Tensor) -> CachedPairs:
        """Some pairs in single precision."""
        return CachedPairs(
            self.source[chosen].float(),
            self.target[chosen].float(),
            self.flow[chosen],
            self.valid[chosen],
        )


def inverse_flow(flow: Tensor) -> Tensor:
    """Flow that leads back, by fixed-point iteration.

    ``flow``: ``(B, 2, H, W)`` in (x, y) cells, smooth and one-to-one. Returns:
    g with ``g(p) = -flow(p + g(p))``, on the grid of the target.
    """
    points = grid(flow.shape[-2], flow.shape[-1], flow)
    inverse = -flow
    for _ in range(INVERSE_ROUNDS):
        # Half a step: a whole one oscillates where scales change much.
        back = -sample_clamped(flow, points + inverse)
        inverse = (inverse + back) / 2
    return inverse


def synthetic_pair(
    photograph: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Source, target, flow and validity from one photograph.

    ``photograph``: RGB in [0, 1].
    Returns: ``source, target``: one of the two in another light; ``flow``:
    source to target in pixels, (row, column); ``valid``: where it ends inside
    the target.
    """
    shape = (photograph.shape[0], photograph.shape[1])
    # Mostly moderate warps: the widest leave little in common.
    ranges = WarpRanges().times(rng.uniform(0.3, 1.0))
    flow = random_field(shape, rng, ranges)
    source, valid = warp_photograph(photograph, flow)
    source, target = one_relit(source, photograph, rng)
    return source, target, flow, valid


def cache_pairs(
    features: VGGFeatures,
    images: ImageList,
    *,
    count: int,
    size: int,
    seed: int,
    bf16: bool = True,
) -> Iterator[CachedPairs]:
    """Encode synthetic pairs, yielding batches as they are done.

    ``size``: working size in pixels. ``bf16``: compute the convolutions in
    bf16.
    """
    rng = np.random.default_rng(seed)
    drawn = [images[int(rng.integers(len(images)))] for _ in range(count)]
    yield from cache_each(features, drawn, size=size, rng=rng, bf16=bf16)


@torch.no_grad()
def cache_each(
    features: VGGFeatures,
    images: ImageList,
    *,
    size: int,
    rng: np.random.Generator,
    bf16: bool = True,
    pixels: list[Tensor] | None = None,
) -> Iterator[CachedPairs]:
    """Encode one synthetic pair of each image, in order.

    ``size``: working size in pixels.
    ``bf16``: compute the convolutions in bf16.
    ``pixels``: gets the images as well: per batch ``(B, 2, 3, size, size)``,
    8-bit, sources before targets.
    """
    device = next(features.parameters()).device
    for start in range(0, len(images), ENCODED_AT_ONCE):
        made = [
            synthetic_pair(read_working(image, size), rng)
            for image in images[start : start + ENCODED_AT_ONCE]
        ]
        sources, targets, flows, valids = zip(*made, strict=True)
        both = to_tensor([*sources, *targets]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            encoded = features.match_only(both).to(torch.bfloat16).cpu()
        if pixels is not None:
            halves = torch.stack(both.cpu().chunk(2), 1)
            pixels.append((255 * halves.clamp(0, 1)).round().byte())
        flow = torch.from_numpy(np.stack(flows)).float().permute(0, 3, 1, 2)
        valid = torch.from_numpy(np.stack(valids)).float().unsqueeze(1)
        yield CachedPairs(
            encoded[: len(made)],
            encoded[len(made) :],
            F.avg_pool2d(flow.flip(1), STRIDE) / STRIDE,
            (F.avg_pool2d(valid, STRIDE) > 0.5).float(),
        )
