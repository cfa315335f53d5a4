"""Cosines of many cells in whole numbers of eight bits.

Where a processor multiplies these, all cells of two images are compared in an
eighth of the time. Each feature is rounded to 255 levels of its own, by which
a cosine is off by about .001. This is not part of the paper.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_samnet.samnet.blocks import row_blocks

#: Largest whole number.
HIGHEST = 127


class WholeFeatures(NamedTuple):
    """Features of cells as whole numbers."""

    #: ``(N, C)`` int8.
    values: Tensor
    #: ``(N, 1)``, by which they are multiplied.
    scale: Tensor

    @classmethod
    def of(cls, features: Tensor) -> WholeFeatures:
        """Round features ``(N, C)``; those of zeros stay so."""
        high = features.abs().amax(1, keepdim=True).clamp_min(1e-12)
        values = (features * (HIGHEST / high)).round_().to(torch.int8)
        return cls(values, high / HIGHEST)

    def some(self, part: slice | Tensor) -> WholeFeatures:
        """A choice of the cells."""
        return WholeFeatures(self.values[part], self.scale[part])

    def products(
        self, others: WholeFeatures, out: Tensor | None = None
    ) -> Tensor:
        """Inner products with the features of others, ``(N, M)`` fp32.

        ``out``: what they are written to.
        """
        count = len(self.values)
        found = out
        if found is None:
            found = self.scale.new_empty(count, len(others.values))
        for part in row_blocks(count, found.device):
            # The public way to multiply them is one of quantized modules.
            whole = torch._int_mm(self.values[part], others.values.T)
            torch.mul(whole, self.scale[part], out=found[part])
            found[part].mul_(others.scale.T)
        return found
