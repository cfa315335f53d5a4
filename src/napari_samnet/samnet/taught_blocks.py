"""Blocks of the light network that are taught together with the projection.

Not part of the paper. The light network stays as it was trained, since other
parts rely on what it says; a copy of its last blocks learns beside it. They
see far, and begin as something that knows images already, so that they learn
more from few examples than layers that begin as nothing. What they say enters
the network that looks at the surroundings, see :mod:`.context`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.samnet.efficientnet_lite import (
    LITE_CHANNELS,
    Block,
    LiteFeatures,
    block_plan,
)

#: Layer of the light network that the first of them starts from.
ENTRY = 'lite7'

#: Length of what each layer says, where the matching feature has length 1.
LENGTH = 0.5


class TaughtBlocks(nn.Module):
    """Blocks of EfficientNet-Lite0 after :data:`ENTRY`.

    ``layers``: outputs that are given, such as ``('lite10', 'lite12')``.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__()
        names = list(LITE_CHANNELS)
        first = names.index(ENTRY) + 1
        places = [names.index(layer) for layer in layers]
        if not places or min(places) < first:
            raise ValueError(
                f'taught blocks give layers after {ENTRY}, got '
                f'{", ".join(layers) or "none"}'
            )
        self.layers = tuple(layers)
        self.blocks = nn.ModuleDict(
            {
                names[index]: Block(plan)
                for index, plan in enumerate(block_plan())
                if first <= index <= max(places)
            }
        )

    @classmethod
    def copy_of(cls, light: LiteFeatures) -> TaughtBlocks:
        """A copy of the blocks of a light network."""
        taught = cls(light.layers)
        names = list(LITE_CHANNELS)
        for name, block in taught.blocks.items():
            original = light.blocks[names.index(name)]
            block.load_state_dict(original.state_dict())
        return taught

    @property
    def channels(self) -> int:
        """Channels of all layers together."""
        return sum(LITE_CHANNELS[layer] for layer in self.layers)

    def maps(self, entry: Tensor) -> list[Tensor]:
        """Outputs of the layers, from that of :data:`ENTRY`."""
        x, found = entry, []
        for name, block in self.blocks.items():
            x = block(x)
            if name in self.layers:
                found.append(x)
        return found

    def forward(self, entry: Tensor, size: Sequence[int]) -> Tensor:
        """What they say of each cell.

        ``entry``: ``(B, 80, h, w)``, what :data:`ENTRY` gives.
        ``size``: rows and columns of the cells.
        Returns: ``(B, channels, *size)``, what each layer says one after the
        other, each of length LENGTH.
        """
        wide = [
            F.interpolate(
                one.float(),
                size=tuple(size),
                mode='bilinear',
                align_corners=False,
            )
            for one in self.maps(entry)
        ]
        return LENGTH * torch.cat([F.normalize(one, dim=1) for one in wide], 1)
