"""Iterations on fixed memory, with the recording itself played on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from napari_samnet.runtime.precision import convolutions
from napari_samnet.samnet import network
from napari_samnet.samnet.kernels import cuda_graph
from napari_samnet.samnet.kernels.cuda_graph import Recording, recording_for
from napari_samnet.samnet.recurrence import Recurrence

if TYPE_CHECKING:
    from napari_samnet.samnet.features import Features
    from napari_samnet.samnet.network import SAMNet

QUICK = Recurrence(window=5, iterations=3)


class Direct:
    """Does again what a graph would replay, into the same memory."""

    def __init__(self) -> None:
        self.captures = 0

    def __call__(
        self, work: Callable[[], tuple[Tensor, ...]]
    ) -> tuple[Callable[[], object], tuple[Tensor, ...]]:
        self.captures += 1
        # Not their values: a capture computes nothing.
        results = tuple(torch.full_like(part, 7.0) for part in work())

        def replay() -> None:
            for kept, part in zip(results, work(), strict=True):
                kept.copy_(part)

        return replay, results


@pytest.fixture(autouse=True)
def _no_recordings() -> None:
    cuda_graph.clear_recordings()


def features_of_pairs(
    shipped: SAMNet, *, project: bool = True
) -> list[tuple[Features, Features]]:
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(1, 3, 128, 128, generator=generator) for _ in 'abcd']
    smooth = [torch.nn.functional.avg_pool2d(i, 9, 1, 4) for i in images]
    with torch.inference_mode():
        found = [shipped.encode(image, project=project) for image in smooth]
    return [(found[0], found[1]), (found[2], found[3])]


@pytest.fixture(scope='module')
def pairs(shipped: SAMNet) -> list[tuple[Features, Features]]:
    """Features of two pairs of images."""
    return features_of_pairs(shipped)


@pytest.fixture(scope='module')
def whole_pairs(shipped: SAMNet) -> list[tuple[Features, Features]]:
    """The same, not projected."""
    return features_of_pairs(shipped, project=False)


def recorded(
    model: SAMNet,
    pair: tuple[Features, Features],
    options: Recurrence,
    capture: Any,
) -> list[network.Iteration]:
    """All iterations, recorded."""
    start = model.begin(pair[0].matching, pair[1].matching, options)
    return list(
        model._iterate_recorded(*pair, start, options, capture=capture)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'attributes': False},
        {'feedback': 'continue'},
        {'feedback': 'image'},
        {'coarse_iterations': 1},
        {'tolerance': 1e3},
        {'gate': False, 'init': 'identity'},
        {'motions': 1},
        {'alikeness': 0.0},
    ],
)
@torch.inference_mode()
def test_is_the_same_as_without(
    shipped: SAMNet, pairs: Any, whole_pairs: Any, changes: dict[str, Any]
) -> None:
    options = replace(QUICK, **changes)
    if options.feedback == 'continue':
        pairs = whole_pairs
    capture = Direct()
    # The first pair a second time, on memory that held another.
    for pair in (*pairs, pairs[0]):
        plain = list(shipped.iterate(*pair, options))
        found = recorded(shipped, pair, options, capture)
        assert len(found) == len(plain)
        for one, other in zip(found, plain, strict=True):
            assert one.last == other.last
            assert one.change == pytest.approx(other.change)
            for name in ('field', 'correlation', 'alpha'):
                torch.testing.assert_close(
                    getattr(one, name), getattr(other, name)
                )
    # Each iteration was recorded once for all pairs.
    assert capture.captures == len(plain)


@torch.inference_mode()
def test_other_shapes_and_options_are_others(
    shipped: SAMNet, pairs: Any
) -> None:
    capture = Direct()
    recorded(shipped, pairs[0], QUICK, capture)
    recorded(shipped, pairs[0], replace(QUICK, window=7), capture)
    assert capture.captures == 6
    both = tuple(
        type(one)(
            torch.cat((one.matching, other.matching)),
            torch.cat((one.content, other.content)),
            (),
        )
        for one, other in (pairs[0], pairs[1])
    )
    found = recorded(shipped, both, QUICK, capture)
    assert found[-1].field.shape[0] == 2
    assert capture.captures == 9


@torch.inference_mode()
def test_what_cannot_be_recorded_is_computed(
    shipped: SAMNet, pairs: Any
) -> None:
    def refused(work: Any) -> Any:
        raise RuntimeError('operation not permitted when stream is capturing')

    plain = list(shipped.iterate(*pairs[0], QUICK))
    found = recorded(shipped, pairs[0], QUICK, refused)
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one.field, other.field)


@torch.inference_mode()
def test_too_little_memory_is_told_and_given_back(
    shipped: SAMNet, pairs: Any
) -> None:
    def short(work: Any) -> Any:
        raise torch.OutOfMemoryError('CUDA out of memory')

    with pytest.raises(torch.OutOfMemoryError):
        recorded(shipped, pairs[0], QUICK, short)
    capture = Direct()
    recorded(shipped, pairs[0], QUICK, capture)
    assert capture.captures == 3


@torch.inference_mode()
def test_who_stops_early_keeps_what_was_recorded(
    shipped: SAMNet, pairs: Any
) -> None:
    capture = Direct()
    start = shipped.begin(pairs[0][0].matching, pairs[0][1].matching, QUICK)
    how = (*pairs[0], start, QUICK)
    steps = shipped._iterate_recorded(*how, capture=capture)
    next(steps)
    # Another match at the same time has memory of its own.
    others = shipped._iterate_recorded(*how, capture=capture)
    first = next(others)
    assert capture.captures == 2
    steps.close()
    again = shipped._iterate_recorded(*how, capture=capture)
    torch.testing.assert_close(next(again).field, first.field)
    assert capture.captures == 2


def test_recordings_are_few(shipped: SAMNet) -> None:
    def turn(index: int, fixed: Any, moving: Any) -> tuple[Tensor, ...]:
        return (fixed[0] + moving[0] + index,)

    capture = Direct()
    for side in (2, 3, 4, 2, 4):
        fixed, moving = [torch.ones(side)], [torch.ones(side)]
        with recording_for(shipped, turn, fixed, 0, capture=capture) as found:
            assert found(5, moving)[0].tolist() == [7.0] * side
    # That of 2 had been let go for that of 4; that of 4 was still there.
    assert capture.captures == 4
    recording = Recording(turn, [torch.zeros(1)], capture)
    kept = recording(1, [torch.zeros(1)])
    recording(1, [torch.ones(1)])
    assert kept[0].item() == 1.0
    assert recording.recorded == (1,)


#: What waits for the GPU, or copies from pageable memory of the CPU.
UNFIT = {
    'aten.item.default',
    'aten._local_scalar_dense.default',
    'aten.nonzero.default',
    'aten.masked_select.default',
    'aten.lift_fresh.default',
    'aten.is_nonzero.default',
    'aten.linalg_solve.default',
    'aten._linalg_check_errors.default',
    'aten.equal.default',
}


class Watch(TorchDispatchMode):
    """Notes every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.seen.add(str(func))
        if str(func).startswith('aten.index.'):
            for index in args[1]:
                # A mask would have to be counted first.
                assert index is None or index.dtype != torch.bool
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
@pytest.mark.parametrize('coarse', [0, 1])
@pytest.mark.parametrize('feedback', ['feature', 'continue', 'image'])
@torch.inference_mode()
def test_nothing_in_an_iteration_waits_for_the_gpu(
    shipped: SAMNet,
    pairs: Any,
    whole_pairs: Any,
    feedback: Any,
    coarse: int,
) -> None:
    options = replace(QUICK, feedback=feedback, coarse_iterations=coarse)
    if feedback == 'continue':
        pairs = whole_pairs
    recorded(shipped, pairs[0], options, Direct())
    seen: list[set[str]] = []

    def watched(work: Any) -> Any:
        with Watch() as watch:
            work()
        seen.append(watch.seen)
        return Direct()(work)

    cuda_graph.clear_recordings()
    recorded(shipped, pairs[0], options, watched)
    assert len(seen) == options.iterations
    for found in seen:
        assert len(found) > 20
        assert not found & UNFIT


def test_settings_of_the_process_are_as_before() -> None:
    before = torch.backends.cudnn.allow_tf32
    for device in ('cpu', 'cuda:0'):
        for exact in (True, False):
            with convolutions(device, exact=exact):
                if device != 'cpu':
                    assert torch.backends.cudnn.allow_tf32 is not exact
            assert torch.backends.cudnn.allow_tf32 is before


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
@torch.inference_mode()
def test_on_a_gpu_too(shipped: SAMNet, pairs: Any) -> None:
    from napari_samnet.runtime.loading import load_model

    model = load_model('samnet', device='cuda', precision='fp32')
    pair = [
        type(part)(*(tensor.cuda() for tensor in part[:2]), ())
        for part in pairs[0]
    ]
    start = model.begin(pair[0].matching, pair[1].matching, QUICK)
    found = list(model._iterate_recorded(*pair, start, QUICK))
    plain = list(shipped.iterate(*pairs[0], QUICK))
    torch.testing.assert_close(
        found[-1].field.cpu(), plain[-1].field, atol=0.05, rtol=0
    )
