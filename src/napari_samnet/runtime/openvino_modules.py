"""Convolutions of W_F and W_D computed by OpenVINO on the processor.

:func:`use_openvino` exchanges the feature network and the decoder of a
network for ones with the same interface. Their graphs are written down here
from the weights, operation by operation, and compiled once per size of image.
Everything between the convolutions stays in torch and single precision.

In int8, every convolution but the first of W_F and the last of W_D, which
face the image, multiplies whole numbers: its weights on 255 levels per
output channel, its input on 256 levels from 0 to a limit that was found on
training images beforehand, see :mod:`napari_samnet.runtime.int8`. The
light network stays in fp32: it takes little time as it is. Its taught blocks
and what looks at the surroundings compute in bf16 then, where the processor
does: they add a part of the matching feature, to whose last digits nothing is
sensitive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_samnet.runtime.openvino_graphs import (
    Graphs,
    channels_first,
    channels_last,
    constant,
    constant_int,
    entry_of,
    op,
    ov,
)
from napari_samnet.samnet.attributes import DroplinkDecoder
from napari_samnet.samnet.context import SCALE, ContextNetwork
from napari_samnet.samnet.efficientnet_lite import (
    Block,
    LiteFeatures,
    same_padding,
)
from napari_samnet.samnet.features import VGGFeatures
from napari_samnet.samnet.taught_blocks import TaughtBlocks

if TYPE_CHECKING:
    from napari_samnet.samnet.network import SAMNet

#: Levels of quantized activations and weights.
ACTIVATION_LEVELS = 256
WEIGHT_LEVELS = 255

Limits = Mapping[str, float]


def use_openvino(
    model: SAMNet,
    precision: str,
    *,
    features: Limits | None = None,
    decoder: Limits | None = None,
) -> SAMNet:
    """Let OpenVINO compute the convolutions of a network from now on.

    ``model``: in fp32 on the CPU; changed in place.
    ``features``, ``decoder``: for int8: largest input of each convolution that
    is quantized. A part without stays in fp32.
    """
    hint = 'bf16' if precision == 'bf16' else 'f32'
    light, context = model.features.light, model.features.context
    taught = model.features.taught
    model.features = _as(OpenVINOFeatures, model.features, hint, features)
    if light is not None:
        model.features.light = _as(OpenVINOLite, light, 'f32', None)
    arithmetic = 'bf16' if precision in ('bf16', 'int8') else 'f32'
    if context is not None:
        model.features.context = _as(
            OpenVINOContext, context, arithmetic, None
        )
    if taught is not None:
        model.features.taught = _as(
            OpenVINOTaughtBlocks, taught, arithmetic, None
        )
    model.decoder = _as(OpenVINODecoder, model.decoder, hint, decoder)
    return model


def _as(
    cls: type[Any], part: nn.Module, hint: str, limits: Limits | None
) -> Any:
    """The same module with the same parameters as one of this backend."""
    other = object.__new__(cls)
    other.__dict__.update(part.__dict__)
    other.graphs = Graphs(hint)
    other.limits = dict(limits or {})
    return other


def _convolve(
    x: Any, layer: nn.Conv2d, *, pad: int, whole: bool, dilation: int = 1
) -> Any:
    """Convolution with bias; with whole numbers if x is of them."""
    weight = layer.weight.detach().float().numpy()
    kernel = constant(weight)
    if whole:
        high = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
        high = constant(np.maximum(high, 1e-12))
        low = op.negative(high)
        kernel = op.fake_quantize(kernel, low, high, low, high, WEIGHT_LEVELS)
    sides = [pad, pad]
    apart = [dilation, dilation]
    y = op.convolution(x, kernel, [1, 1], sides, sides, apart)
    if layer.bias is None:
        return y
    bias = layer.bias.detach().float().numpy()
    return op.add(y, constant(bias.reshape(1, -1, 1, 1)))


def _quantize(x: Any, limit: float | None) -> Any:
    """What enters a convolution, on its levels if it has a limit."""
    if limit is None:
        return x
    low, high = constant(0.0), constant(limit)
    return op.fake_quantize(x, low, high, low, high, ACTIVATION_LEVELS)


class OpenVINOFeatures(VGGFeatures):
    """W_F whose convolutions OpenVINO computes; see :func:`use_openvino`."""

    graphs: Graphs
    limits: dict[str, float]

    def activations(
        self, x: Tensor, wanted: set[str], *, after: str | None = None
    ) -> dict[str, Tensor]:
        """Rectified outputs of the wanted layers, fp32."""
        names = sorted(wanted)
        key = (tuple(x.shape), tuple(names), after)
        graph = self.graphs.get(key, lambda: self._build(*key))
        return dict(zip(names, graph([x]), strict=True))

    def _build(
        self, shape: tuple[int, ...], names: Sequence[str], after: str | None
    ) -> Any:
        keys = list(self.convolutions)
        first = 0
        if after is not None:
            first = keys.index(after.replace('relu', 'conv')) + 1
        last = max(keys.index(name.replace('relu', 'conv')) for name in names)
        entry = entry_of(shape)
        x = channels_first(entry)
        outputs = {}
        for position in range(first, last + 1):
            key = keys[position]
            limit = self.limits.get(key)
            # Before the pooling, which is then one of whole numbers too.
            x = _quantize(x, limit)
            if position and key[4] != keys[position - 1][4]:
                x = _pool(x, 1 if self.is_dilated(key) else 2)
            layer = self.convolutions[key]
            assert isinstance(layer, nn.Conv2d)
            reach = int(layer.dilation[0])
            whole = limit is not None
            x = op.relu(
                _convolve(x, layer, pad=reach, whole=whole, dilation=reach)
            )
            outputs[key.replace('conv', 'relu')] = x
        results = [channels_last(outputs[name]) for name in names]
        return ov.Model(results, [entry], 'features')


class OpenVINOLite(LiteFeatures):
    """The light network on OpenVINO; see :func:`use_openvino`."""

    graphs: Graphs

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Outputs of the wanted blocks, fp32."""
        # One after the other: how many orientations are tried varies from
        # pair to pair, and compiling a graph takes longer than running it.
        shape = (1, *images.shape[1:])
        graph = self.graphs.get(shape, lambda: self._build(shape))
        runs = [graph([image]) for image in images.split(1)]
        return {
            name: parts[0] if len(parts) == 1 else torch.cat(parts)
            for name, parts in zip(
                self.given, zip(*runs, strict=True), strict=True
            )
        }

    def _build(self, shape: tuple[int, ...]) -> Any:
        entry = entry_of(shape)
        x = op.multiply(channels_first(entry), constant(255 / 128))
        x = _relu6(_strided(op.subtract(x, constant(127 / 128)), self.stem))
        outputs = {}
        for index, block in enumerate(self.blocks):
            x = outputs[f'lite{index}'] = _bottleneck(x, block)
        results = [channels_last(outputs[name]) for name in self.given]
        return ov.Model(results, [entry], 'light')


class OpenVINOTaughtBlocks(TaughtBlocks):
    """Taught blocks on OpenVINO; see :func:`use_openvino`."""

    graphs: Graphs

    def maps(self, entry: Tensor) -> list[Tensor]:
        """Outputs of the layers, fp32."""
        shape = tuple(entry.shape)
        graph = self.graphs.get(shape, lambda: self._build(shape))
        return graph([entry])

    def _build(self, shape: tuple[int, ...]) -> Any:
        entry = entry_of(shape)
        x = channels_first(entry)
        results = []
        for name, block in self.blocks.items():
            x = _bottleneck(x, block)
            if name in self.layers:
                results.append(channels_last(x))
        return ov.Model(results, [entry], 'taught')


class OpenVINOContext(ContextNetwork):
    """What looks at the surroundings on OpenVINO; see :func:`use_openvino`."""

    graphs: Graphs

    def forward(self, features: Tensor) -> Tensor:
        """Add to a projected feature, fp32."""
        shape = tuple(features.shape)
        graph = self.graphs.get(shape, lambda: self._build(shape))
        return graph([features])[0]

    def _build(self, shape: tuple[int, ...]) -> Any:
        entry = entry_of(shape)
        x = op.multiply(channels_first(entry), constant(SCALE))
        x = op.relu(_convolve(x, self.enter, pad=0, whole=False))
        for layer in self.around:
            assert isinstance(layer, nn.Conv2d)
            reach = int(layer.dilation[0])
            y = _convolve(x, layer, pad=reach, whole=False, dilation=reach)
            x = op.add(x, op.relu(y))
        x = _convolve(x, self.leave, pad=0, whole=False)
        x = op.multiply(x, constant(1 / SCALE))
        return ov.Model([channels_last(x)], [entry], 'context')


def _relu6(x: Any) -> Any:
    return op.clamp(x, 0.0, 6.0)


def _bottleneck(x: Any, block: nn.Module) -> Any:
    """One block of the light network."""
    assert isinstance(block, Block)
    y = x
    if block.widen is not None:
        y = _relu6(_convolve(y, block.widen, pad=0, whole=False))
    y = _relu6(_strided(y, block.filter))
    y = _convolve(y, block.narrow, pad=0, whole=False)
    return op.add(x, y) if block.residual else y


def _strided(x: Any, layer: nn.Conv2d) -> Any:
    """Convolution of the light network that looks at neighbors."""
    height, width = x.get_output_shape(0)[2:]
    sides = [
        same_padding(length, layer.kernel_size[0], layer.stride[0])
        for length in (height, width)
    ]
    before, after = zip(*sides, strict=True)
    weight = layer.weight.detach().float().numpy()
    strides = list(layer.stride)
    if layer.groups > 1:
        # One filter for each channel: groups, outputs and inputs of each.
        kernel = constant(weight[:, None])
        convolve = op.group_convolution
    else:
        kernel, convolve = constant(weight), op.convolution
    y = convolve(x, kernel, strides, list(before), list(after), [1, 1])
    assert layer.bias is not None
    bias = layer.bias.detach().float().numpy()
    return op.add(y, constant(bias.reshape(1, -1, 1, 1)))


class OpenVINODecoder(DroplinkDecoder):
    """W_D whose convolutions OpenVINO computes; see :func:`use_openvino`."""

    graphs: Graphs
    limits: dict[str, float]

    def forward(
        self, blended: Tensor, skips: tuple[Tensor, ...], *, skip: float = 0.5
    ) -> Tensor:
        """Image of a blended feature, ``(B, 3, 8H, 8W)`` fp32."""
        links = skips if skip > 0 else ()
        if links and len(links) != len(self.levels):
            raise ValueError(
                f'there must be {len(self.levels)} skips for links of weight '
                f'{skip:g}, got {len(links)}'
            )
        inputs = [blended, *links]
        shapes = tuple(tuple(value.shape) for value in inputs)
        graph = self.graphs.get(
            (shapes, skip), lambda: self._build(shapes, skip)
        )
        return graph(inputs)[0]

    def _build(self, shapes: Sequence[tuple[int, ...]], skip: float) -> Any:
        entries = [entry_of(shape) for shape in shapes]
        blended, *links = map(channels_first, entries)
        links = [op.multiply(x, constant(skip)) for x in links]
        keys = {layer: name for name, layer in self.named_modules()}

        def convolve(x: Any, layer: nn.Module, *, twice: bool = False) -> Any:
            assert isinstance(layer, nn.Conv2d)
            limit = self.limits.get(keys[layer])
            x = _quantize(x, limit)
            if twice:
                x = _twice(x)
            pad = constant_int([0, 0, 1, 1])
            x = op.pad(x, pad, pad, 'reflect')
            return _convolve(x, layer, pad=0, whole=limit is not None)

        x = op.relu(convolve(blended, self.enter))
        for depth, (level, leave) in enumerate(
            zip(self.levels, self.leave, strict=True)
        ):
            assert isinstance(level, nn.Sequential)
            layers = [part for part in level if isinstance(part, nn.Conv2d)]
            for index, layer in enumerate(layers):
                x = op.relu(convolve(x, layer, twice=index == 0))
            if links:
                x = op.add(op.multiply(x, constant(1 - skip)), links[depth])
            x = convolve(x, leave)
            if leave is not self.leave[-1]:
                x = op.relu(x)
        return ov.Model([channels_last(x)], entries, 'decoder')


def _pool(x: Any, step: int) -> Any:
    """Largest of 2 by 2 at every cell or every second one."""
    end = [2 - step, 2 - step]
    pooled = op.max_pool(x, [step, step], [1, 1], [0, 0], end, [2, 2])
    return pooled.output(0)


def _twice(x: Any) -> Any:
    """Nearest neighbors on twice the grid."""
    return op.interpolate(
        x,
        op.constant(np.asarray([2.0, 2.0], np.float32)),
        'nearest',
        'scales',
        coordinate_transformation_mode='asymmetric',
        nearest_mode='floor',
        axes=constant_int([2, 3]),
    )
