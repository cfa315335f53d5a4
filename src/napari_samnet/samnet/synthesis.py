"""Attributes of the target on the structure of the source, (8) and (10).

What the recurrence compares with from its second iteration on, and the image
that a decoder paints from it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from napari_samnet.samnet.attributes import DroplinkDecoder, matchable
from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.features import Features, VGGFeatures, normalize
from napari_samnet.samnet.operators import kernels_of
from napari_samnet.samnet.recurrence import Iteration, Recurrence, schedule


class Synthesis(nn.Module):
    """The part of a network that transfers attributes."""

    #: Which parts the network has.
    config: SAMNetConfig
    #: Network that describes every place of an image.
    features: VGGFeatures
    #: What paints an image from blended features.
    decoder: DroplinkDecoder

    def synthesize(
        self,
        source: Features,
        target: Features,
        field: Tensor,
        alpha: Tensor,
        *,
        weight: float,
        options: Recurrence,
    ) -> Tensor:
        """I^{s<-t} of (10), ``(B, 3, 8H, 8W)``, not clipped."""
        blended = self.mix(
            source.content,
            target.content,
            field,
            alpha,
            weight=weight,
            options=options,
        )
        image: Tensor = self.decoder(blended, source.skips, skip=options.skip)
        return image.float()

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
        """Blend features of any kind by (8), ``(B, C, H, W)``."""
        gated = options.gate and self.config.gate
        gate = matchable(alpha, options.window) if gated else None
        return kernels_of(options).blend(
            source, target, field, alpha, weight=weight, gate=gate
        )

    def transfer(
        self,
        source: Features,
        target: Features,
        field: Tensor,
        alpha: Tensor,
        *,
        weight: float,
        options: Recurrence,
    ) -> Tensor:
        """F^{s<-t}: matching feature of the source with other attributes.

        ``field``, ``alpha``: field T^{l+1} and weight alpha^l of equation (8).
        ``weight``: weight lambda^{l+1} of equation (5), from 0 to 1.
        Returns: ``(B, C, H, W)``, unit length along C.
        """
        if options.feedback == 'image':
            image = self.synthesize(
                source, target, field, alpha, weight=weight, options=options
            )
            return self.features.match_only(
                image.clamp(0, 1),
                project=self.features.is_projected(source.matching),
            )
        mix = partial(
            self.mix, field=field, alpha=alpha, weight=weight, options=options
        )
        if options.feedback == 'feature':
            return normalize(mix(source.matching, target.matching))
        content = mix(source.content, target.content)
        light = self.features.light is not None
        return self.features.continue_from_content(
            content, mix(source.matching, target.matching) if light else None
        )

    def picture(
        self,
        source: Features,
        target: Features,
        state: Iteration,
        options: Recurrence,
    ) -> Tensor:
        """I^{s<-t} of an iteration for display, (8) exactly.

        Without gate and links every cell shows what the target has for it,
        and nothing of the source. How far to trust it is then the viewer's,
        by the confidence.

        ``source``, ``target``: of the images wanted: the first ones of the
        batch. Skips are not looked at.
        Returns: ``(B, 3, 8H, 8W)`` RGB in [0, 1].
        """
        wanted = slice(len(source.content))
        image = self.synthesize(
            source,
            target,
            state.field[wanted],
            state.alpha[wanted],
            weight=schedule(state.step + 1),
            options=replace(options, gate=False, skip=0.0),
        )
        return image.clamp(0, 1)
