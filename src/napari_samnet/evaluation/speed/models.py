"""Networks with the kernels that a variant of ``benchmark speed`` wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from napari_samnet.options import MatchOptions
from napari_samnet.runtime.devices import Place, resolve_place
from napari_samnet.runtime.loading import load_model
from napari_samnet.runtime.weights import get_weights
from napari_samnet.samnet.attributes import blend, blend_reference, matchable
from napari_samnet.samnet.correlation import (
    local_correlation,
    local_correlation_reference,
    merge_sources,
)
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import flow_of, grid, sample_reference, warp
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Recurrence

__all__ = ['Models', 'Variant', 'place_of']


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to run the same recurrence.

    Parameters
    ----------
    name : str
        Key in the results.
    text : str
        What the table says.
    options : MatchOptions
        Of the recurrence.
    banded, gather : bool
        Fast kernels for the correlation, and for warping and blending.
    scheduled : bool
        No synthesis after the last iteration, but one decoding at the end.
    literal : bool
        Convolutions in torch's default memory layout.
    both : bool
        Both directions as one batch; times are per direction.
    cached : bool
        The features of both images are at hand.
    decoded : bool
        The image shown is decoded, instead of the source's pixels in the
        target's colors.
    projected : bool
        Match in the directions that best tell cells apart.
    """

    name: str
    text: str
    options: MatchOptions
    banded: bool = True
    gather: bool = True
    scheduled: bool = True
    literal: bool = False
    both: bool = False
    cached: bool = False
    decoded: bool = True
    projected: bool = False


class _PartlyFast(SAMNet):
    """The network with chosen kernels."""

    banded: bool
    gather: bool

    def correlate(
        self,
        source: Tensor,
        transferred: Tensor,
        target: Tensor,
        field: Tensor,
        *,
        weight: float,
        options: Recurrence,
    ) -> Tensor:
        if self.gather:
            warped = normalize(warp(target, field))
        else:
            height, width = field.shape[-2:]
            at = grid(height, width, like=field) + flow_of(field)
            warped = normalize(sample_reference(target, at))
        if self.banded:
            merged = merge_sources(source, transferred, weight)
            return local_correlation(merged, warped, options.window)
        own, other = (
            local_correlation_reference(feature, warped, options.window)
            for feature in (source, transferred)
        )
        return (1 - weight) * own + weight * other

    def mix(
        self,
        source: Tensor,
        target: Tensor,
        field: Tensor,
        alpha: Tensor,
        *,
        weight: float,
        options: Recurrence,
    ) -> Tensor:
        gate = matchable(alpha, options.window) if options.gate else None
        blending = blend if self.gather else blend_reference
        return blending(source, target, field, alpha, weight=weight, gate=gate)


def place_of(options: MatchOptions) -> Place:
    """Where :func:`napari_samnet.match` would run."""
    return resolve_place(
        options.device,
        options.precision,
        options.backend,
        weights=get_weights(options.weights),
    )


class Models:
    """Networks for the variants, each loaded once."""

    def __init__(self) -> None:
        self._held: dict[Any, SAMNet] = {}

    def get(self, variant: Variant) -> tuple[SAMNet, str]:
        """Network of a variant, and its device."""
        options = variant.options
        place = place_of(options)
        fast = variant.banded and variant.gather and variant.scheduled
        key = (place, variant.literal, variant.banded, variant.gather, fast)
        if key not in self._held:
            model = load_model(
                options.weights,
                **place._asdict(),
                literal=variant.literal,
            )
            self._held[key] = model if fast else _partly(model, variant)
        return self._held[key], place.device


def _partly(model: SAMNet, variant: Variant) -> SAMNet:
    """The same network with the kernels of a variant."""
    other = _PartlyFast(model.config)
    other.load_state_dict(model.state_dict(), assign=True)
    other.banded, other.gather = variant.banded, variant.gather
    return other.eval().requires_grad_(False)
