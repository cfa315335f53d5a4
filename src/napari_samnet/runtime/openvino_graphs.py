"""Graphs for OpenVINO: importing it, compiling, running, entries and exits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_samnet.arrays.recently_used import RecentlyUsed
from napari_samnet.runtime.side_by_side import all_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

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

__all__ = [
    'Graphs',
    'channels_first',
    'channels_last',
    'constant',
    'constant_int',
    'entry_of',
    'op',
    'ov',
]

#: Compiled graphs that each part keeps, one per size and set of outputs.
KEPT = 8


@cache
def _core() -> Any:
    return ov.Core()


class _Graph:
    """A compiled graph that several threads may run at once.

    ``hint``: arithmetic where the graph says nothing else.
    """

    def __init__(self, model: Any, hint: str) -> None:
        settings = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': hint,
            'INFERENCE_NUM_THREADS': all_threads(),
            # Two runs at once would share the same cores.
            'ENABLE_CPU_PINNING': False,
        }
        self._compiled = _core().compile_model(model, 'CPU', settings)
        self._free: list[Any] = []
        self._lock = Lock()

    @contextmanager
    def _request(self) -> Iterator[Any]:
        """Lend a set of buffers."""
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


class Graphs:
    """The graphs that were used last.

    ``hint``: arithmetic of those that are not quantized.
    """

    def __init__(self, hint: str) -> None:
        self._hint = hint
        self._recent: RecentlyUsed[_Graph] = RecentlyUsed(count=KEPT)
        self._lock = Lock()

    def get(self, key: Hashable, build: Callable[[], Any]) -> _Graph:
        """Graph of a key; built and compiled if it is not held."""
        with self._lock:
            graph = self._recent.get(key)
            if graph is None:
                graph = _Graph(build(), self._hint)
                self._recent.put(key, graph)
            return graph


def constant(values: Any) -> Any:
    return op.constant(np.asarray(values, np.float32))


def entry_of(shape: Sequence[int]) -> Any:
    """Entry for a tensor of that shape, ``(B, C, H, W)``."""
    batch, channels, height, width = shape
    return op.parameter([batch, height, width, channels], np.float32)


def constant_int(values: Sequence[int]) -> Any:
    return op.constant(np.asarray(values, np.int64))


def channels_first(x: Any) -> Any:
    return op.transpose(x, constant_int([0, 3, 1, 2]))


def channels_last(x: Any) -> Any:
    return op.transpose(x, constant_int([0, 2, 3, 1]))
