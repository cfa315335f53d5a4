"""What goes wrong in a match ends in one line, and the next one is whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from soak.faults import torch_calls, without_memory
from soak.images import blobs

from napari_samnet.color import transfer
from napari_samnet.correspondence import ARRAYS, Correspondence
from napari_samnet.errors import InputError
from napari_samnet.matching import attempt, encoding
from napari_samnet.matching import job as api
from napari_samnet.matching import pair as engine
from napari_samnet.matching.match import match, match_steps
from napari_samnet.matching.step import Step
from napari_samnet.options import MatchOptions
from napari_samnet.runtime import loading
from napari_samnet.runtime.devices import MemoryShortageError
from napari_samnet.runtime.feature_cache import FEATURES

pytestmark = pytest.mark.slow

OPTIONS: dict[str, Any] = {
    'size': 64,
    'window': 5,
    'iterations': 2,
    'device': 'cpu',
    'precision': 'fp32',
    'tolerance': 0.0,
}

#: Where each stage of a match begins.
STAGES = {
    'load': (loading, 'load_model'),
    'shrink': (api, 'to_working'),
    'encode': (encoding.ImageEncoder, '__call__'),
    'match': (engine.PairRun, 'states'),
    'fields': (attempt, 'fields_in'),
    'colors': (transfer, 'recolored'),
    'recolor': (attempt, 'transfer_colors'),
}


@pytest.fixture(scope='module')
def pair() -> tuple[np.ndarray, np.ndarray]:
    return blobs((50, 60), 3, 1), blobs((40, 70), 3, 2)


@pytest.fixture(scope='module')
def whole(pair: tuple[np.ndarray, np.ndarray]) -> Correspondence:
    """What a match finds when nothing goes wrong."""
    return match(*pair, **OPTIONS)


def same(one: Correspondence, other: Correspondence) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ARRAYS
        if getattr(one, name) is not None
    )


class TestMemory:
    def test_at_any_moment_is_one_line(
        self, pair: tuple[np.ndarray, np.ndarray], whole: Correspondence
    ) -> None:
        FEATURES.clear()
        calls = torch_calls(lambda: match(*pair, **OPTIONS))
        assert calls > 200
        failed = 0
        for at in np.linspace(0, calls - 1, 12).astype(int):
            FEATURES.clear()
            try:
                with without_memory(int(at)):
                    found = match(*pair, **OPTIONS)
            except MemoryShortageError as error:
                failed += 1
                message = str(error)
                assert message.startswith(
                    'cpu has too little free memory for working size 64'
                )
                assert '\n' not in message
            else:
                # A failed call that was only a question changes nothing.
                assert same(found, whole)
            assert same(match(*pair, **OPTIONS), whole)
        assert failed > 9

    @pytest.mark.parametrize('stage', ['load', 'encode', 'match', 'fields'])
    @pytest.mark.parametrize(
        'error',
        [
            torch.OutOfMemoryError('CUDA out of memory.\nTried to allocate'),
            RuntimeError(
                '[enforce fail] DefaultCPUAllocator: can not '
                'allocate memory: you tried to allocate 9 bytes'
            ),
            RuntimeError('MPS backend out of memory (MPS allocated: 9 GB)'),
            MemoryError(),
        ],
        ids=['cuda', 'cpu', 'mps', 'python'],
    )
    def test_of_each_kind_at_each_stage(
        self,
        pair: tuple[np.ndarray, np.ndarray],
        whole: Correspondence,
        monkeypatch: pytest.MonkeyPatch,
        stage: str,
        error: Exception,
    ) -> None:
        def fail(*_: Any, **__: Any) -> Any:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(*STAGES[stage], fail)
            with pytest.raises(MemoryShortageError, match='smaller size'):
                match(*pair, **OPTIONS)
        assert same(match(*pair, **OPTIONS), whole)

    def test_a_smaller_size_is_tried_and_told(
        self, pair: tuple[np.ndarray, np.ndarray]
    ) -> None:
        FEATURES.clear()
        options = {**OPTIONS, 'size': 256, 'iterations': 1}
        with without_memory(100):
            found = match(*pair, **options)
        assert found.metadata['size'] == 128
        (warning,) = found.metadata['warnings']
        assert 'going on at size 128' in warning
        again = match(*pair, **{**options, 'size': 128})
        assert same(found, again)


ERRORS: list[BaseException] = [
    RuntimeError('shapes'),
    KeyError('x'),
    StopIteration(),
    StopAsyncIteration(),
    RecursionError(),
    OSError(5, 'Input/output error'),
    UnicodeDecodeError('utf-8', b'', 0, 1, 'odd'),
    ZeroDivisionError(),
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    type('OddError', (Exception,), {'__str__': lambda _: 1 / 0})(),
]


@pytest.mark.parametrize(
    ('stage', 'error'),
    [(stage, ERRORS[0]) for stage in STAGES]
    + [('match', error) for error in ERRORS[1:]],
    ids=lambda value: (
        value if isinstance(value, str) else type(value).__name__
    ),
)
def test_no_error_is_swallowed_and_none_does_harm(
    pair: tuple[np.ndarray, np.ndarray],
    whole: Correspondence,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    error: BaseException,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(*STAGES[stage], fail)
        with pytest.raises(BaseException) as caught:  # noqa: PT011
            match(*pair, **OPTIONS)
    # Python itself turns what would end a generator into a RuntimeError.
    assert error in (caught.value, caught.value.__cause__)
    assert same(match(*pair, **OPTIONS), whole)


class TestCancel:
    TOTAL = 3

    def steps(self, pair: tuple[np.ndarray, np.ndarray]) -> Any:
        options = MatchOptions(**{**OPTIONS, 'iterations': self.TOTAL})
        return match_steps(*pair, options)

    def test_at_every_yield(self, pair: tuple[np.ndarray, np.ndarray]) -> None:
        count = len(list(self.steps(pair)))
        assert count == 2 + self.TOTAL
        threads = threading.active_count()
        for stop in range(count + 1):
            steps, step = self.steps(pair), None
            for _ in range(stop):
                step = next(steps)
            steps.close()
            assert next(steps, None) is None
            if step is None or step.snapshot is None:
                continue
            # What there is so far is a match of so many iterations, also
            # after the generator is closed.
            found = step.snapshot()
            assert found.metadata['iterations_used'] == step.index
            assert same(
                found, match(*pair, **{**OPTIONS, 'iterations': step.index})
            )
        assert threading.active_count() == threads

    def test_by_an_error_thrown_in(
        self, pair: tuple[np.ndarray, np.ndarray], whole: Correspondence
    ) -> None:
        for stop in range(1, 3 + self.TOTAL):
            steps = self.steps(pair)
            for _ in range(stop):
                if next(steps, None) is None:
                    break
            with pytest.raises(KeyboardInterrupt):
                steps.throw(KeyboardInterrupt())
        assert same(match(*pair, **OPTIONS), whole)

    def test_by_on_step(self, pair: tuple[np.ndarray, np.ndarray]) -> None:
        with pytest.raises(InputError, match='before its first iteration'):
            match(*pair, **OPTIONS, on_step=lambda _: True)
        found = match(*pair, **OPTIONS, on_step=lambda step: step.index == 1)
        assert found.metadata['iterations_used'] == 1


def test_images_that_change_during_a_match_change_nothing_but_colors(
    pair: tuple[np.ndarray, np.ndarray], whole: Correspondence
) -> None:
    images = [image.copy() for image in pair]

    def scribble(step: Step) -> None:
        if step.snapshot is not None:
            for image in images:
                image[...] = 0.5

    found = match(*images, **OPTIONS, on_step=scribble)
    for name in ('forward', 'backward', 'forward_cell_confidence'):
        np.testing.assert_array_equal(
            getattr(found, name), getattr(whole, name)
        )


class Failing:
    """A lazy image whose storage goes away."""

    dtype = np.dtype('uint8')
    shape = (300, 200)
    ndim = 2

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, where: Any) -> Any:
        raise self.error


@pytest.mark.parametrize('side', [0, 1])
def test_a_lazy_image_that_cannot_be_read(
    pair: tuple[np.ndarray, np.ndarray], side: int
) -> None:
    images: list[Any] = list(pair)
    images[side] = Failing(OSError(5, 'Input/output error'))
    with pytest.raises(OSError, match='Input/output error'):
        match(*images, **OPTIONS)


@pytest.mark.parametrize('count', [2, 4])
def test_matches_at_once_are_the_same_as_one_by_one(
    pair: tuple[np.ndarray, np.ndarray], count: int
) -> None:
    # Different options, so that weights and features are loaded at once too.
    work: list[Callable[[], Correspondence]] = [
        lambda k=k: match(  # type: ignore[misc]
            *(pair if k % 2 else pair[::-1]),
            **{**OPTIONS, 'window': 3 + 2 * (k % 3), 'iterations': 1},
        )
        for k in range(count)
    ]
    FEATURES.clear()
    loading._cached_model.cache_clear()
    barrier = threading.Barrier(count)

    def together(run: Callable[[], Correspondence]) -> Correspondence:
        barrier.wait(30)
        return run()

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(together, work))
    for one, run in zip(found, work, strict=True):
        assert same(one, run())


def test_what_an_earlier_match_has_kept_is_no_hindrance(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    third = blobs((44, 44), 3, 3)
    for with_image in (True, False):
        FEATURES.clear()
        match(*pair, **OPTIONS, attributes=with_image)
        other = {**OPTIONS, 'attributes': not with_image}
        kept = match(pair[0], third, **other)
        FEATURES.clear()
        assert same(kept, match(pair[0], third, **other))
