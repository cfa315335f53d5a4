"""First step for W_D: the decoder as an auto-encoder with droplink (10)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.attributes import DroplinkDecoder
from napari_samnet.samnet.features import (
    CONTENT_LAYER,
    SKIP_LAYERS,
    VGGFeatures,
)
from napari_samnet.training.loop import Run
from napari_samnet.training.runs import Progress

#: Weight of the feature distance per layer; deep ones count, shallow ones
#: are nearly given by the pixels.
_PERCEPTUAL = {
    'relu1_1': 0.1,
    'relu2_1': 0.1,
    'relu3_1': 0.1,
    'relu4_1': 0.1,
}


def reconstruction_losses(
    features: VGGFeatures, decoder: DroplinkDecoder, images: Tensor
) -> dict[str, Tensor]:
    """Pixel, feature and level distances of decoded images.

    ``images``: ``(B, 3, H, W)`` RGB in [0, 1].
    """
    wanted = {CONTENT_LAYER, *SKIP_LAYERS}
    with torch.no_grad():
        original = features.activations(features.prepare(images), wanted)
    skips = tuple(original[name] for name in SKIP_LAYERS)
    decoded, levels = decoder.decode(original[CONTENT_LAYER], skips, skip=0.5)
    again = features.activations(features.prepare(decoded), wanted)
    perceptual = torch.stack(
        [
            weight * F.mse_loss(again[name].float(), original[name].float())
            for name, weight in _PERCEPTUAL.items()
        ]
    ).sum()
    # (10) adds F_h and F_h^s: they have to speak one language.
    level = torch.stack(
        [
            F.mse_loss(level.float(), skip.float())
            for level, skip in zip(levels, skips, strict=True)
        ]
    ).sum()
    return {
        'pixel': 10 * F.smooth_l1_loss(decoded.float(), images, beta=0.02),
        'perceptual': perceptual,
        'level': 0.05 * level,
    }


def train_decoder(
    features: VGGFeatures,
    decoder: DroplinkDecoder,
    images: Iterator[Tensor],
    run: Run,
    *,
    device: str = 'cpu',
    bf16: bool = True,
) -> Iterator[Progress]:
    """Train W_D; W_F is left as it is.

    ``images``: batches ``(B, 3, H, W)``. ``device``: where the tensors are.
    ``bf16``: compute the convolutions in bf16. Yields: after every step.
    """
    features.requires_grad_(False)
    decoder.train()

    def losses() -> dict[str, Tensor]:
        batch = next(images).to(device, memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            return reconstruction_losses(features, decoder, batch)

    yield from run.steps(losses)
    decoder.eval()
