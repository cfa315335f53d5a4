"""One comparison of Fig. 3: C^l of (5), residual of (6), alpha^l of (9)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.correlation import confidence
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import resize_field
from napari_samnet.samnet.least_squares import Guide
from napari_samnet.samnet.operators import kernels_of
from napari_samnet.samnet.recurrence import Recurrence, schedule
from napari_samnet.samnet.start import Start
from napari_samnet.samnet.synthesis import Synthesis


class Comparison(Synthesis):
    """The part of a network that compares features and moves the field."""

    config: SAMNetConfig
    #: W_G: what makes a residual field of a correlation volume.
    matcher: nn.Module

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
        """C^l of (5): raw cosines against the warped target."""
        return kernels_of(options).correlate(
            source, transferred, target, field, weight, options.window
        )

    def _compare(
        self,
        features: tuple[Tensor, Tensor, Tensor],
        field: Tensor,
        start: Start,
        index: int,
        options: Recurrence,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """C^l, residual of (6) and alpha^l from F^s, F^{s<-t} and F^t."""
        if index < options.coarse_iterations:
            return self._compare_coarse(features, field, start, index, options)
        return self._compare_at(
            features, (field, start.field, start.guide), index, options
        )

    def _compare_at(
        self,
        features: tuple[Tensor, Tensor, Tensor],
        fields: tuple[Tensor, Tensor, Guide | None],
        index: int,
        options: Recurrence,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same at one resolution, from T^l, T^0 and a guide."""
        field, start, guide = fields
        limit = options.lambda_max if options.attributes else 0.0
        volume = self.correlate(
            *features,
            field,
            weight=schedule(index, limit),
            options=options,
        )
        # What was learned in one kind of window means nothing in the other.
        learned = self.config.guided == (guide is not None)
        residual: Tensor = self.matcher(
            volume, field, start, index, guide, learned=learned
        )
        return volume, residual, confidence(volume, options.beta)

    def _compare_coarse(
        self,
        features: tuple[Tensor, Tensor, Tensor],
        field: Tensor,
        start: Start,
        index: int,
        options: Recurrence,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same on maps of half the resolution; the volume stays there."""
        height, width = field.shape[-2:]
        half = height // 2, width // 2
        source, transferred, target = (
            normalize(F.avg_pool2d(feature, 2)) for feature in features
        )
        volume, residual, alpha = self._compare_at(
            (source, transferred, target),
            (
                resize_field(field, *half),
                resize_field(start.field, *half),
                start.coarse_guide,
            ),
            index,
            options,
        )
        alpha = F.interpolate(
            alpha, size=(height, width), mode='bilinear', align_corners=False
        )
        return volume, resize_field(residual, height, width), alpha
