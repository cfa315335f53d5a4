"""One iteration of the recurrence as a CUDA graph.

An iteration is about a hundred small kernels, and starting each takes the CPU
longer than the GPU needs to compute it. Recorded once per shape and options,
all of them start at once. A graph reads and writes the same memory each time,
so inputs are copied there and results away.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

#: ``(index, fixed, moving) -> results``: an iteration as a function of what
#: stays the same in a pair and of what changes.
IterationFn = Callable[
    [int, Sequence[Tensor], Sequence[Tensor]], tuple[Tensor, ...]
]

#: Takes work that is always on the same memory; gives what does it again, and
#: the memory of its results.
Capture = Callable[
    [Callable[[], tuple[Tensor, ...]]],
    tuple[Callable[[], object], tuple[Tensor, ...]],
]

#: Recordings that a network keeps: each holds the memory of a whole match.
KEPT = 2


def capture_cuda(
    work: Callable[[], tuple[Tensor, ...]],
) -> tuple[Callable[[], object], tuple[Tensor, ...]]:
    """Record work on the current CUDA device.

    Returns: ``replay``: does it again; ``results``: filled by each replay.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        # Libraries choose their kernels and take their memory at first.
        for _ in range(2):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = work()
    return graph.replay, results


class Recording:
    """Iterations on memory of their own, each recorded when first wanted.

    Where recording fails, the iteration is computed as it would be without.

    ``fixed``: what stays the same in a pair, such as the features.
    """

    def __init__(
        self,
        iteration: IterationFn,
        fixed: Sequence[Tensor],
        capture: Capture = capture_cuda,
    ) -> None:
        self._iteration = iteration
        self._fixed = [part.clone() for part in fixed]
        self._moving: list[Tensor] = []
        self._capture = capture
        self._recorded: dict[
            int, tuple[Callable[[], object], tuple[Tensor, ...]]
        ] = {}
        self._failed = False

    @property
    def recorded(self) -> tuple[int, ...]:
        """Iterations that have been recorded."""
        return tuple(self._recorded)

    def load(self, iteration: IterationFn, fixed: Sequence[Tensor]) -> None:
        """Begin another pair of the same shapes.

        ``iteration``: the same as before, on the same network.
        """
        self._iteration = iteration
        for kept, part in zip(self._fixed, fixed, strict=True):
            kept.copy_(part)

    def __call__(
        self, index: int, moving: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Compute an iteration.

        ``index``: number l of the iteration, from 0.
        ``moving``: what the iteration before has changed.
        Returns: tensors of the caller, which are not touched again.
        """
        if not self._moving:
            self._moving = [part.clone() for part in moving]
        for kept, part in zip(self._moving, moving, strict=True):
            kept.copy_(part)
        if self._failed:
            return self._iteration(index, self._fixed, self._moving)
        if index not in self._recorded:
            try:
                self._recorded[index] = self._capture(
                    lambda: self._iteration(index, self._fixed, self._moving)
                )
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:
                self._failed = True
                self._recorded.clear()
                return self._iteration(index, self._fixed, self._moving)
        replay, results = self._recorded[index]
        replay()
        return tuple(result.clone() for result in results)


class _Shelf:
    """Recordings of one network, the latest ones, each for one at a time."""

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Recording] = OrderedDict()
        self._lock = Lock()

    def take(self, key: Hashable) -> Recording | None:
        with self._lock:
            return self._held.pop(key, None)

    def put(self, key: Hashable, recording: Recording) -> None:
        with self._lock:
            self._held[key] = recording
            while len(self._held) > KEPT:
                self._held.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._held.clear()


_SHELVES: WeakKeyDictionary[nn.Module, _Shelf] = WeakKeyDictionary()
_SHELVES_LOCK = Lock()


def clear_recordings() -> None:
    """Free the memory of all recordings."""
    with _SHELVES_LOCK:
        for shelf in _SHELVES.values():
            shelf.clear()


@contextmanager
def recording_for(
    model: nn.Module,
    iteration: IterationFn,
    fixed: Sequence[Tensor],
    options: Hashable,
    *,
    capture: Capture = capture_cuda,
) -> Iterator[Recording]:
    """Borrow the recording for a shape and options, made if there is none.

    Two matches at a time never share one.

    Yields: for this pair. It is kept for the next one, but not after an error.
    """
    key = (
        options,
        tuple((part.shape, part.stride(), part.dtype) for part in fixed),
        fixed[0].device,
    )
    with _SHELVES_LOCK:
        shelf = _SHELVES.setdefault(model, _Shelf())
    recording = shelf.take(key)
    if recording is None:
        recording = Recording(iteration, fixed, capture)
    else:
        recording.load(iteration, fixed)
    try:
        yield recording
    except GeneratorExit:
        # A match stopped between iterations leaves the recording usable.
        shelf.put(key, recording)
        raise
    shelf.put(key, recording)
