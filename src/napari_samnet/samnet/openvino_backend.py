"""Convolutions of W_F and W_D computed by OpenVINO on the processor.

:func:`use_openvino` exchanges the feature network and the decoder of a
network for ones with the same interface. Their graphs are written down here
from the weights, operation by operation, and compiled once per size of image.
Everything between the convolutions stays in torch and single precision.

In int8, every convolution but the first of W_F and the last of W_D, which
face the image, multiplies whole numbers: its weights on 255 levels per
output channel, its input on 256 levels from 0 to a limit that was found on
training images beforehand, see :mod:`napari_samnet.samnet.quantisation`.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_samnet.samnet.attributes import DroplinkDecoder
from napari_samnet.samnet.features import VGGFeatures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_samnet.samnet.network import SAMNet

#: What tells OpenVINO's makers over the network that it was imported.
REPORTER = 'openvino_telemetry'


@contextmanager
def _nothing_reported() -> Iterator[None]:
    """Import OpenVINO as where its reporter is not installed.

    Nothing is to leave the machine, and every report forks the process, which
    holds up the window that it may have.
    """
    if REPORTER in sys.modules:
        yield
        return
    sys.modules[REPORTER] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[REPORTER]


with _nothing_reported():
    import openvino as ov
    from openvino import opset13 as op

__all__ = ['OpenVINODecoder', 'OpenVINOFeatures', 'use_openvino']

#: Compiled graphs that each part keeps, one per size and set of outputs.
KEPT = 4

#: Levels of quantised activations and weights.
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

    Parameters
    ----------
    model : SAMNet
        In fp32 on the CPU; changed in place.
    precision : {'fp32', 'bf16', 'int8'}
        Arithmetic of the convolutions.
    features, decoder : mapping of str to float, optional
        For int8: largest input of each convolution that is quantised. A part
        without stays in fp32.

    Returns
    -------
    SAMNet
        The model.
    """
    hint = 'bf16' if precision == 'bf16' else 'f32'
    model.features = _as(OpenVINOFeatures, model.features, hint, features)
    model.decoder = _as(OpenVINODecoder, model.decoder, hint, decoder)
    return model


def _as(
    cls: type[Any], part: nn.Module, hint: str, limits: Limits | None
) -> Any:
    """The same module with the same parameters as one of this backend."""
    other = object.__new__(cls)
    other.__dict__.update(part.__dict__)
    other.graphs = _Graphs(hint)
    other.limits = dict(limits or {})
    return other


@cache
def _core() -> Any:
    return ov.Core()


class _Graph:
    """A compiled graph that several threads may run at once.

    Parameters
    ----------
    model : openvino.Model
        What to compile.
    hint : str
        Arithmetic where the graph says nothing else.
    """

    def __init__(self, model: Any, hint: str) -> None:
        settings = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': hint,
            'INFERENCE_NUM_THREADS': torch.get_num_threads(),
            # Two runs at once would share the same cores.
            'ENABLE_CPU_PINNING': False,
        }
        self._compiled = _core().compile_model(model, 'CPU', settings)
        self._free: list[Any] = []
        self._lock = Lock()

    @contextmanager
    def _request(self) -> Iterator[Any]:
        """Lend a set of buffers.

        Yields
        ------
        openvino.InferRequest
            Nobody else's for as long as it takes.
        """
        with self._lock:
            request = self._free.pop() if self._free else None
        if request is None:
            request = self._compiled.create_infer_request()
        yield request
        with self._lock:
            self._free.append(request)

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run it; the results own their memory."""
        arrays = [_to_array(value) for value in inputs]
        with self._request() as request:
            request.infer(arrays, share_inputs=True)
            return [
                _to_tensor(request.get_output_tensor(index).data)
                for index in range(len(self._compiled.outputs))
            ]


def _to_array(value: Tensor) -> NDArray[np.float32]:
    """The graphs have the channels last, like the rest of the network."""
    last = value.detach().float().permute(0, 2, 3, 1)
    return last.contiguous().numpy()


def _to_tensor(values: NDArray[np.float32]) -> Tensor:
    """A copy, since the next run will overwrite the values."""
    return torch.from_numpy(np.array(values)).permute(0, 3, 1, 2)


class _Graphs:
    """The graphs that were used last.

    Parameters
    ----------
    hint : str
        Arithmetic of those that are not quantised.
    """

    def __init__(self, hint: str) -> None:
        self._hint = hint
        self._held: OrderedDict[Hashable, _Graph] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, build: Callable[[], Any]) -> _Graph:
        """Graph of a key; built and compiled if it is not held."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                found = self._held[key] = _Graph(build(), self._hint)
            self._held.move_to_end(key)
            while len(self._held) > KEPT:
                self._held.popitem(last=False)
            return found


def _constant(values: Any) -> Any:
    return op.constant(np.asarray(values, np.float32))


def _convolve(x: Any, layer: nn.Conv2d, *, pad: int, whole: bool) -> Any:
    """3x3 convolution with bias; with whole numbers if x is of them."""
    weight = layer.weight.detach().float().numpy()
    kernel = _constant(weight)
    if whole:
        high = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
        high = _constant(np.maximum(high, 1e-12))
        low = op.negative(high)
        kernel = op.fake_quantize(kernel, low, high, low, high, WEIGHT_LEVELS)
    sides = [pad, pad]
    y = op.convolution(x, kernel, [1, 1], sides, sides, [1, 1])
    if layer.bias is None:
        return y
    bias = layer.bias.detach().float().numpy()
    return op.add(y, _constant(bias.reshape(1, -1, 1, 1)))


def _quantise(x: Any, limit: float | None) -> Any:
    """What enters a convolution, on its levels if it has a limit."""
    if limit is None:
        return x
    low, high = _constant(0.0), _constant(limit)
    return op.fake_quantize(x, low, high, low, high, ACTIVATION_LEVELS)


def _input(shape: Sequence[int]) -> Any:
    """Entry for a tensor of that shape, ``(B, C, H, W)``."""
    batch, channels, height, width = shape
    return op.parameter([batch, height, width, channels], np.float32)


class OpenVINOFeatures(VGGFeatures):
    """W_F whose convolutions OpenVINO computes; see :func:`use_openvino`."""

    graphs: _Graphs
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
        entry = _input(shape)
        x = _channels_first(entry)
        found = {}
        for position in range(first, last + 1):
            key = keys[position]
            limit = self.limits.get(key)
            # Before the pooling, which is then one of whole numbers too.
            x = _quantise(x, limit)
            if position and key[4] != keys[position - 1][4]:
                x = _halve(x)
            layer = self.convolutions[key]
            assert isinstance(layer, nn.Conv2d)
            x = op.relu(_convolve(x, layer, pad=1, whole=limit is not None))
            found[key.replace('conv', 'relu')] = x
        results = [_channels_last(found[name]) for name in names]
        return ov.Model(results, [entry], 'features')


class OpenVINODecoder(DroplinkDecoder):
    """W_D whose convolutions OpenVINO computes; see :func:`use_openvino`."""

    graphs: _Graphs
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
        entries = [_input(shape) for shape in shapes]
        blended, *links = map(_channels_first, entries)
        own = [op.multiply(x, _constant(skip)) for x in links]
        keys = {layer: name for name, layer in self.named_modules()}

        def convolve(x: Any, layer: nn.Module, *, twice: bool = False) -> Any:
            assert isinstance(layer, nn.Conv2d)
            limit = self.limits.get(keys[layer])
            x = _quantise(x, limit)
            if twice:
                x = _twice(x)
            pad = _constant_int([0, 0, 1, 1])
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
            if own:
                x = op.add(op.multiply(x, _constant(1 - skip)), own[depth])
            x = convolve(x, leave)
            if leave is not self.leave[-1]:
                x = op.relu(x)
        return ov.Model([_channels_last(x)], entries, 'decoder')


def _constant_int(values: Sequence[int]) -> Any:
    return op.constant(np.asarray(values, np.int64))


def _channels_first(x: Any) -> Any:
    return op.transpose(x, _constant_int([0, 3, 1, 2]))


def _channels_last(x: Any) -> Any:
    return op.transpose(x, _constant_int([0, 2, 3, 1]))


def _halve(x: Any) -> Any:
    """Largest of every 2 by 2."""
    return op.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)


def _twice(x: Any) -> Any:
    """Nearest neighbours on twice the grid."""
    return op.interpolate(
        x,
        op.constant(np.asarray([2.0, 2.0], np.float32)),
        'nearest',
        'scales',
        coordinate_transformation_mode='asymmetric',
        nearest_mode='floor',
        axes=_constant_int([2, 3]),
    )
