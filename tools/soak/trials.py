"""One random run each, with something wrong or nothing, and what must hold.

A trial raises :class:`BrokenPromiseError` if a promise is broken. What it
raises beside that is a finding too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import ARRAYS, Correspondence
from napari_samnet.errors import InputError
from napari_samnet.matching.match import match, match_steps
from napari_samnet.options import CHOICES, LIMITS, MatchOptions
from soak.damage import damaged
from soak.faults import (
    can_limit_files,
    full_disk,
    without_memory,
)
from soak.formats import formats
from soak.images import ImageKind, random_kind

Generator = np.random.Generator
Trial = Callable[[Generator, Path], None]

#: Random options that are drawn until some go together.
TRIES = 1000


class BrokenPromiseError(AssertionError):
    """A promise was not kept."""


def demand(kept: Any, promise: str) -> None:
    """Raise if a promise is not kept."""
    if not kept:
        raise BrokenPromiseError(promise)


def random_options(rng: Generator, device: str = 'cpu') -> MatchOptions:
    """Any options that are quick and go together.

    ``rng``: source of randomness; the same state gives the same options.
    """
    for _ in range(TRIES):
        given: dict[str, Any] = {
            name: str(rng.choice(values)) for name, values in CHOICES.items()
        }
        for name, (low, high) in LIMITS.items():
            given[name] = float(rng.uniform(low, high))
        given |= {
            'device': device,
            'size': int(rng.choice([64, 96, 128])),
            'window': int(rng.choice([3, 5, 7, 9, 11])),
            'iterations': int(rng.integers(1, 4)),
            'motions': int(rng.integers(1, 5)),
            'coarse_iterations': int(rng.choice([0, 0, 1])),
            'attributes': bool(rng.random() < 0.7),
            'precision': str(rng.choice(['auto', 'fp32', 'bf16'])),
            'backend': 'torch',
        }
        with suppress(InputError):
            return MatchOptions(**given)
    raise AssertionError(f'no options go together in {TRIES} tries')


def random_pair(rng: Generator) -> tuple[ImageKind, ImageKind]:
    """Two kinds of image; sometimes the same."""
    source = random_kind(rng)
    return source, source if rng.random() < 0.15 else random_kind(rng)


def matched(
    pair: tuple[ImageKind, ImageKind], options: MatchOptions, **rest: Any
) -> Correspondence:
    """Match two images of some kind."""
    return match(
        pair[0].make(),
        pair[1].make(),
        source_channel_axis=pair[0].channel_axis,
        target_channel_axis=pair[1].channel_axis,
        **asdict(options),
        **rest,
    )


def check(result: Correspondence, source: NDArray[Any]) -> None:
    """Check everything that holds for any result."""
    for flow, trust, shape in (
        (result.flow, result.confidence, result.source_shape),
        (
            result.backward_flow,
            result.backward_confidence,
            result.target_shape,
        ),
    ):
        demand(flow.shape == (*shape, 2), f'flow has shape {flow.shape}')
        demand(trust.shape == shape, f'confidence has shape {trust.shape}')
        demand(flow.dtype == np.float32, f'flow is {flow.dtype}')
        demand(np.isfinite(flow).all(), 'flow is not finite')
        demand(
            trust.min() >= 0 and trust.max() <= 1,
            f'confidence is from {trust.min()} to {trust.max()}',
        )
    demand(np.isfinite(result.consistency).all(), 'consistency is not finite')
    image = result.transferred
    if image is not None:
        demand(
            image.shape == source.shape and image.dtype == source.dtype,
            f'transferred is {image.dtype} {image.shape}, the source '
            f'{source.dtype} {source.shape}',
        )
        demand(
            np.isfinite(image.astype(float)).all(),
            'transferred is not finite',
        )


def same(one: Correspondence, other: Correspondence) -> bool:
    """Whether all arrays are the same bit for bit."""
    return all(
        (getattr(one, name) is None) == (getattr(other, name) is None)
        and (
            getattr(one, name) is None
            or np.array_equal(getattr(one, name), getattr(other, name))
        )
        for name in ARRAYS
    )


def refused(work: Callable[[], Any]) -> bool:
    """Whether work was refused as it should be, or did not need to be."""
    try:
        work()
    except InputError as error:
        demand('\n' not in str(error), f'more than one line: {error}')
        demand(str(error), 'an error without a text')
        return True
    return False


def nothing_wrong(rng: Generator, folder: Path) -> None:
    """Any two images, labels, saving and reading again."""
    pair, options = random_pair(rng), random_options(rng)
    labels = rng.choice([0, 3, 70_000], pair[0].shape).astype(np.int32)
    result = matched(pair, options, labels=labels)
    check(result, np.asarray(pair[0].make()))
    warped = result.warped_labels
    demand(warped is not None, 'there are no warped labels')
    assert warped is not None
    demand(
        {*np.unique(warped)} <= {0, *np.unique(labels)}, 'labels were made up'
    )
    demand(warped.shape == pair[1].shape, f'labels have {warped.shape}')
    path = result.save(folder / 'found.npz')
    demand(same(result, Correspondence.load(path)), 'saving changed it')
    path.unlink()


def the_same_twice(rng: Generator, folder: Path) -> None:  # noqa: ARG001
    """The same input gives the same arrays, whatever ran between."""
    pair, options = random_pair(rng), random_options(rng)
    first = matched(pair, options)
    matched(random_pair(rng), random_options(rng))
    demand(same(first, matched(pair, options)), 'not the same twice')


def wrong_input(rng: Generator, folder: Path) -> None:  # noqa: ARG001
    """Something that cannot be matched is refused in one line."""
    good = random_kind(rng).make()
    shape = good.shape[:2]
    bad: list[Callable[[], Any]] = [
        lambda: match(np.zeros((3, 4), complex), good),
        lambda: match(good, np.zeros((9, 20, 30))),
        lambda: match(np.zeros((0, 5)), good),
        lambda: match(np.array([['a']]), good),
        lambda: match(np.zeros(5), good),
        lambda: match(None, good),
        lambda: match(np.ones((5, 5)), np.ones((6, 6)), labels=good[..., :1]),
        lambda: match(np.ones(shape), good, labels=np.ones(shape)),
        lambda: match(good, good, size=65),
        lambda: match(good, good, window=4),
        lambda: match(good, good, device='tpu'),
        lambda: match(good, good, weights='/nowhere/net.safetensors'),
        lambda: match(good, good, tolerance=float('nan')),
    ]
    demand(refused(bad[int(rng.integers(len(bad)))]), 'it was not refused')


def cancelled(rng: Generator, folder: Path) -> None:  # noqa: ARG001
    """Stopped between any two steps, what there is so far is a result."""
    pair, options = random_pair(rng), random_options(rng)
    options = replace(options, iterations=3, tolerance=0.0)
    source = pair[0].make()
    steps = match_steps(
        source,
        pair[1].make(),
        options,
        source_channel_axis=pair[0].channel_axis,
        target_channel_axis=pair[1].channel_axis,
    )
    step = next(steps)
    for _ in range(int(rng.integers(5))):
        step = next(steps)
    if step.snapshot is not None and rng.random() < 0.7:
        result = step.snapshot()
        used = result.metadata['iterations_used']
        demand(used == step.index, f'{used} iterations after {step.index}')
        check(result, np.asarray(source))
    steps.close()


def no_memory(rng: Generator, folder: Path) -> None:  # noqa: ARG001
    """Without memory at any moment there is a result or one clear line."""
    pair, options = random_pair(rng), random_options(rng)

    def work() -> None:
        with without_memory(at=int(rng.integers(400))):
            check(matched(pair, options), np.asarray(pair[0].make()))

    refused(work)
    check(matched(pair, options), np.asarray(pair[0].make()))


def no_space(rng: Generator, folder: Path) -> None:
    """On a full disk a file is whole, as it was before, or not there."""
    if not can_limit_files():
        return
    kinds = [kind for kind in formats() if kind.ours]
    kind = kinds[int(rng.integers(len(kinds)))]
    place = folder / 'full'
    place.mkdir()
    path = place / f'file{kind.suffix}'
    kind.make(path, rng)
    before = path.read_bytes()
    if rng.random() < 0.5:
        path.unlink()
    had = path.exists()
    with full_disk(int(rng.integers(1, max(2, 2 * len(before))))):
        failed = refused(lambda: kind.make(path, rng))
    if failed:
        demand(path.exists() == had, f'{kind.name} is there, or is not')
        demand(
            not had or path.read_bytes() == before, f'{kind.name} has changed'
        )
    else:
        kind.read(path)
    others = [x.name for x in place.iterdir() if x != path]
    demand(not others, f'left behind: {others}')
    path.unlink(missing_ok=True)
    place.rmdir()


def damaged_file(rng: Generator, folder: Path) -> None:
    """A damaged file is read or refused in one line."""
    kinds = formats()
    shares = np.array([kind.share for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    path = folder / f'damaged{kind.suffix}'
    kind.make(path, rng)
    path.write_bytes(damaged(path.read_bytes(), rng))
    refused(lambda: kind.read(path))
    path.unlink()


def at_once(rng: Generator, folder: Path) -> None:  # noqa: ARG001
    """Several matches at once give what they give one after another."""
    work = [(random_pair(rng), random_options(rng)) for _ in range(3)]
    with ThreadPoolExecutor(len(work)) as pool:
        together = list(pool.map(lambda x: matched(*x), work))
    for result, (pair, options) in zip(together, work, strict=True):
        demand(
            same(result, matched(pair, options)), 'threads change the result'
        )


#: Every trial, and how often it is made relative to others.
TRIALS: dict[Trial, float] = {
    nothing_wrong: 4,
    the_same_twice: 1,
    wrong_input: 2,
    cancelled: 2,
    no_memory: 2,
    no_space: 2,
    damaged_file: 3,
    at_once: 1,
}
