"""The operators of the recurrence in two ways: fast, and as written.

The literal ones unfold the whole window, keep both terms of (5) and warp by
``grid_sample``. They are the oracle of the fast ones.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from napari_samnet.samnet.attributes import blend, blend_reference
from napari_samnet.samnet.correlation import (
    local_correlation,
    local_correlation_reference,
    merge_sources,
)
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import flow_of, grid, sample_reference, warp
from napari_samnet.samnet.recurrence import Recurrence


class Correlate(Protocol):
    """C^l of (5) from F^s, F^{s<-t}, F^t, T^l, lambda^l and the window."""

    def __call__(
        self,
        source: Tensor,
        transferred: Tensor,
        target: Tensor,
        field: Tensor,
        weight: float,
        window: int,
    ) -> Tensor: ...


class Blend(Protocol):
    """F^{s<-t} of (8) from F^s, F^t, T^l, alpha^l, lambda^l and a gate."""

    def __call__(
        self,
        source: Tensor,
        target: Tensor,
        field: Tensor,
        alpha: Tensor,
        *,
        weight: float,
        gate: Tensor | None = None,
    ) -> Tensor: ...


class Kernels(NamedTuple):
    """What an iteration is computed with."""

    #: Warps the target's feature and compares, (5).
    correlate: Correlate
    #: Gives the source's feature the target's attributes, (8).
    blend: Blend


def _correlate(
    source: Tensor,
    transferred: Tensor,
    target: Tensor,
    field: Tensor,
    weight: float,
    window: int,
) -> Tensor:
    """Both terms at once, since they share a factor."""
    warped = normalize(warp(target, field))
    merged = merge_sources(source, transferred, weight)
    return local_correlation(merged, warped, window)


def _correlate_reference(
    source: Tensor,
    transferred: Tensor,
    target: Tensor,
    field: Tensor,
    weight: float,
    window: int,
) -> Tensor:
    """One term after the other."""
    height, width = field.shape[-2:]
    positions = grid(height, width, like=field) + flow_of(field)
    warped = normalize(sample_reference(target, positions))
    semantic, attribute = (
        local_correlation_reference(feature, warped, window)
        for feature in (source, transferred)
    )
    return (1 - weight) * semantic + weight * attribute


FAST = Kernels(_correlate, blend)
REFERENCE = Kernels(_correlate_reference, blend_reference)


def kernels_of(options: Recurrence) -> Kernels:
    """Choose the operators."""
    return REFERENCE if options.reference else FAST
