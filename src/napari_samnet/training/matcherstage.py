"""The stage of the recipe that learns from known warps, and its judgment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from pathlib import Path

from napari_samnet.datasets.image_lists import ImageList
from napari_samnet.files import write_text
from napari_samnet.samnet.config import STRIDE
from napari_samnet.samnet.network import SAMNet
from napari_samnet.training.judging import evaluating, with_held_out
from napari_samnet.training.loop import Run
from napari_samnet.training.matcher import endpoint_errors, train_matcher
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.runs import MATCHER_NAME, Progress
from napari_samnet.training.synthetic import CachedPairs, cache_pairs

#: How often the matching network is measured on the way.
MEASUREMENTS = 10


def matcher_stage(
    model: SAMNet,
    run: Run,
    images: ImageList,
    held_out: ImageList,
    options: TrainingOptions,
    *,
    bf16: bool,
    watch: Callable[[Progress], None],
) -> Generator[Progress, None, None]:
    """Cache features, train W_G, and keep it only if it has got better.

    ``bf16``: compute the convolutions in bf16.
    ``watch``: told of pairs made, as stage 'pairs', and of the error before
    the first step.
    Yields: the progress after every step.
    """
    began = time.perf_counter()
    count = options.checked
    total = count + options.pairs

    def tell(done: int) -> None:
        watch(Progress('pairs', done, total, {}, time.perf_counter() - began))

    checked = _gather(
        model,
        held_out or images,
        count,
        options,
        seed=options.seed + 1,
        bf16=bf16,
        tell=tell,
    )
    before = endpoint_errors(model, checked, iterations=options.iterations)
    untrained = {
        key: value.clone() for key, value in model.matcher.state_dict().items()
    }
    # After the copy above, which is of the network before any training.
    run.resume()
    watch(
        Progress(
            run.stage,
            run.step,
            run.total,
            {},
            time.perf_counter() - began,
            held_out=STRIDE * before[-1],
        )
    )
    pairs = _gather(
        model,
        images,
        options.pairs,
        options,
        seed=options.seed + 2,
        bf16=bf16,
        tell=lambda done: tell(count + done),
    )
    steps = train_matcher(
        model,
        pairs,
        run,
        iterations=options.iterations,
        batch=options.matcher_batch,
    )

    def held_out_error() -> float:
        with evaluating(model.matcher):
            errors = endpoint_errors(
                model, checked, iterations=options.iterations
            )
        return STRIDE * errors[-1]

    try:
        yield from with_held_out(
            steps, run, measure=held_out_error, times=MEASUREMENTS
        )
    finally:
        model.matcher.eval()
        after = endpoint_errors(model, checked, iterations=options.iterations)
        if after[-1] > before[-1]:
            model.matcher.load_state_dict(untrained)
        if run.folder is not None:
            _record(run.folder / MATCHER_NAME, before, after)


def _record(path: Path, before: list[float], after: list[float]) -> None:
    """Note what the run has done to the errors, interrupted or not."""
    first, kept = before, min(before, after, key=lambda errors: errors[-1])
    if path.is_file():
        # A resumed run: its first errors are those before all training.
        earlier = json.loads(path.read_text(encoding='utf-8'))
        first = earlier['held_out_epe_cells']['before']
    record = {
        'held_out_epe_cells': {'before': first, 'after': after, 'kept': kept},
        'kept': kept[-1] < first[-1],
    }
    write_text(path, json.dumps(record, indent=2))


def _gather(
    model: SAMNet,
    images: ImageList,
    count: int,
    options: TrainingOptions,
    *,
    seed: int,
    bf16: bool,
    tell: Callable[[int], None],
) -> CachedPairs:
    """Features of so many synthetic pairs."""
    parts: list[CachedPairs] = []
    for part in cache_pairs(
        model.features,
        images,
        count=count,
        size=options.size,
        seed=seed,
        bf16=bf16,
    ):
        parts.append(part)
        tell(sum(map(len, parts)))
    return CachedPairs.joined(parts)
