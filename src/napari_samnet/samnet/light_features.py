"""What the light one of the two networks tells of a place.

EfficientNet-Lite0 takes a tenth of the time of VGG-19, and says on cells of
16 pixels enough to tell a turn of the image, or to follow things through a
film. This is not part of the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from napari_samnet.samnet.network import SAMNet


def telling_features(model: SAMNet, images: Tensor) -> Tensor:
    """Describe images by the light network alone.

    ``model``: the whole network. One without a light network, such as features
    that were given by a function, describes the images as it always does.
    ``images``: ``(B, 3, h, w)``, RGB from 0 to 1.
    Returns: ``(B, C, h', w')`` of unit length along C, what all cells of an
    image have in common taken out.
    """
    light = getattr(getattr(model, 'features', None), 'light', None)
    if light is None:
        layers = [model.encode(images, skips=False).matching.float()]
    else:
        maps = light(images)
        layers = [maps[name].float() for name in light.layers]
    size = layers[0].shape[-2:]
    parts = []
    for layer in layers:
        wide = F.interpolate(layer, size=size, mode='bilinear')
        parts.append(
            F.normalize(wide - wide.mean((0, 2, 3), keepdim=True), dim=1)
        )
    return F.normalize(torch.cat(parts, 1), dim=1)
