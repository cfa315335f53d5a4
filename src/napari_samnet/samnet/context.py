"""What the surroundings of a cell add to its matching feature.

Not part of the paper. Frozen features say what is in a cell, and little of
which one of several alike things it is: a front or a hind leg, the left or the
right side of a face. That is told by what lies around. A small residual
network looks there, and is taught together with the projection that it stands
beside.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.samnet.pointwise import pointwise

#: Channels of a feature of unit length are small numbers; by this they become
#: ones that a network learns from as fast as from others.
SCALE = 20.0


class ContextNetwork(nn.Module):
    """Residual of the projected feature, from all channels.

    ``channels``: of the feature that it sees. ``width``: of its layers.
    ``projected``: channels of the projected feature. It begins as nothing.
    ``layers``: how many look around, each twice as far as the one before, the
    first at the cells next to it.
    """

    def __init__(
        self, channels: int, width: int, projected: int, *, layers: int = 2
    ) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 1)
        self.around = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=distance, dilation=distance)
            for distance in (2**layer for layer in range(layers))
        )
        self.leave = nn.Conv2d(width, projected, 1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def says_nothing(self) -> bool:
        """Whether it adds nothing yet, whatever it sees."""
        return not any(bool(p.any()) for p in self.leave.parameters())

    def forward(self, features: Tensor) -> Tensor:
        """Add to a projected feature.

        ``features``: ``(B, channels, H, W)`` of unit length along the
        channels. Returns: ``(B, projected, H, W)``.
        """
        x = F.relu(_mixed(SCALE * features, self.enter))
        for layer in self.around:
            x = x + F.relu(layer(x))
        return _mixed(x, self.leave) / SCALE

    def in_directions(self, directions: Tensor) -> ContextNetwork:
        """The same network for features in other directions.

        ``directions``: ``(channels, D)``, orthonormal columns or rows.
        Returns: a copy that sees the D coordinates of a feature f, f @
        directions, as far as it lies in them. Further channels, beyond those
        of the directions, stay as they are.
        """
        other = copy.deepcopy(self)
        weight = self.enter.weight.detach()[:, :, 0, 0]
        count = len(directions)
        turned = weight[:, :count] @ directions
        weight = torch.cat((turned, weight[:, count:]), 1)
        other.enter.in_channels = weight.shape[1]
        other.enter.weight = nn.Parameter(weight[:, :, None, None])
        return other


def _mixed(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """What a layer that looks at one cell says."""
    return pointwise(x, layer.weight[:, :, 0, 0].T, layer.bias)
