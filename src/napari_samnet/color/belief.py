"""How far colors may change, by how likely the matches are right.

Where a field leads to something else, its colors are no look of what the
source shows: a floor would turn green because another dog stands on grass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_samnet.color.smoothing import blurred, resized

#: How likely matches must be for colors to change, and to change in full.
UNLIKELY, LIKELY = 0.2, 0.4

#: Width in pixels of the neighborhood in which they are looked at, and the
#: weight of all pixels of the same color beside it.
NEIGHBORHOOD, ALL = 24.0, 1.0

#: Width in pixels of the grain of a texture, whose colors are one.
TEXTURE = 3.0

#: Pixels for each cell of the grid on which means are taken.
SPACING = 4


def believed(likely: Tensor, member: Tensor) -> Tensor:
    """How far to believe the colors that the matches lead to.

    What has one color is one thing more often than what lies side by side. So
    the mean is of pixels of alike colors, and nothing changes in part.

    ``likely``: ``(h, w)``, how likely the match of each pixel is right, from
    0 to 1.
    ``member``: ``(K, h, w)``, how much each pixel belongs to each class of
    alike colors.
    Returns: ``(h, w)`` from 0, where colors stay, to 1.
    """
    rows, columns = (-(-side // SPACING) for side in likely.shape)
    member = blurred(member, TEXTURE, truncate=3.0)
    coarse = resized(torch.cat((member * likely, member)), rows, columns)
    found, mass = coarse.mean((1, 2), keepdim=True).split(len(member))
    whole = torch.cat((found / (mass + 1e-6), torch.ones_like(mass)))
    near = blurred(coarse, NEIGHBORHOOD / SPACING) + ALL * whole
    found, mass = near.split(len(member))
    share = ((found / mass - UNLIKELY) / (LIKELY - UNLIKELY)).clamp(0, 1)
    return (member * resized(share, *likely.shape)).sum(0)
