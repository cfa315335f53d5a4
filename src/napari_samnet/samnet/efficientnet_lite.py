"""A second, light feature network beside VGG: EfficientNet-Lite0.

It is not part of the paper. It was built in another way than VGG, sees more
of the image at once, and takes a fortieth of VGG's work. What it gives goes
into the matching feature as further layers, ``lite10`` and ``lite12``.

References
----------
.. [1] Tan, Le. EfficientNet: Rethinking Model Scaling for Convolutional
   Neural Networks. ICML 2019. The Lite models have neither
   squeeze-and-excitation nor swish.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn


class BlockPlan(NamedTuple):
    """One inverted bottleneck."""

    #: ``entering``, ``leaving``: channels that enter and leave the block.
    entering: int
    leaving: int
    #: Factor of the channels between.
    widening: int
    #: ``kernel``, ``stride``: of the depthwise convolution.
    kernel: int
    stride: int


#: Blocks, channels, widening, kernel and first stride of each stage.
_STAGES = (
    (1, 16, 1, 3, 1),
    (2, 24, 6, 3, 2),
    (2, 40, 6, 5, 2),
    (3, 80, 6, 3, 2),
    (3, 112, 6, 5, 1),
    (4, 192, 6, 5, 2),
    (1, 320, 6, 3, 1),
)

_STEM_CHANNELS = 32


def block_plan() -> list[BlockPlan]:
    """All blocks of EfficientNet-Lite0, in order."""
    plan, entering = [], _STEM_CHANNELS
    for count, leaving, widening, kernel, first in _STAGES:
        for index in range(count):
            stride = 1 if index else first
            plan.append(BlockPlan(entering, leaving, widening, kernel, stride))
            entering = leaving
    return plan


#: Channels of each layer that can be asked for, by its name.
LITE_CHANNELS = {
    f'lite{index}': block.leaving for index, block in enumerate(block_plan())
}


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's padding before and after, which need not be the same."""
    wanted = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return wanted // 2, wanted - wanted // 2


def _convolve(x: Tensor, layer: nn.Conv2d) -> Tensor:
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    if stride == 1:
        return F.conv2d(
            x, layer.weight, layer.bias, 1, kernel // 2, 1, layer.groups
        )
    height, width = x.shape[-2:]
    sides = (
        *same_padding(width, kernel, stride),
        *same_padding(height, kernel, stride),
    )
    y: Tensor = layer(F.pad(x, sides))
    return y


class Block(nn.Module):
    """Widen, filter every channel on its own, and narrow again."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        inner = plan.entering * plan.widening
        self.widen = (
            nn.Conv2d(plan.entering, inner, 1) if plan.widening > 1 else None
        )
        self.filter = nn.Conv2d(
            inner, inner, plan.kernel, plan.stride, groups=inner
        )
        self.narrow = nn.Conv2d(inner, plan.leaving, 1)
        self.residual = plan.stride == 1 and plan.entering == plan.leaving

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.widen is not None:
            y = F.relu6(self.widen(y))
        y = self.narrow(F.relu6(_convolve(y, self.filter)))
        return x + y if self.residual else y


class LiteFeatures(nn.Module):
    """EfficientNet-Lite0 up to the deepest layer that is asked for.

    Batch normalization is part of the convolutions.

    ``layers``: outputs of blocks, ``'lite0'`` to ``'lite15'``.
    """

    def __init__(self, layers: Iterable[str]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        #: Further layers that are given beside those.
        self.also: tuple[str, ...] = ()
        last = max(list(LITE_CHANNELS).index(layer) for layer in self.layers)
        self.stem = nn.Conv2d(3, _STEM_CHANNELS, 3, 2)
        self.blocks = nn.ModuleList(
            Block(plan) for plan in block_plan()[: last + 1]
        )

    @property
    def given(self) -> tuple[str, ...]:
        """All layers that an encoding gives."""
        return (*self.layers, *self.also)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Encode images.

        ``images``: ``(B, 3, H, W)`` RGB in [0, 1]. Returns:
        ``(B, C, H/S, W/S)`` for each layer given, of S = 8 to 32.
        """
        # 127 of 255 is what the network was trained with as zero.
        x = (images.to(self.stem.weight.dtype) * 255 - 127) / 128
        x = F.relu6(_convolve(x, self.stem))
        maps = {}
        for index, block in enumerate(self.blocks):
            x = block(x)
            name = f'lite{index}'
            if name in self.given:
                maps[name] = x
        return maps
