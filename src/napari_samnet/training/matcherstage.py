"""The stage of the recipe that learns from known warps, and its judgment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from napari_samnet.datasets.image_lists import ImageList
from napari_samnet.files import write_text
from napari_samnet.samnet.config import STRIDE
from napari_samnet.samnet.network import SAMNet
from napari_samnet.training.judging import evaluating, with_held_out
from napari_samnet.training.known_motions import cache_motions, moving_objects
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
    checks = [options.checked]
    if options.matcher_objects:
        checks.append(options.checked)
    total = sum(checks) + options.pairs + options.matcher_objects
    made = 0

    def gathered(parts: Iterator[CachedPairs]) -> CachedPairs:
        nonlocal made
        found = []
        for part in parts:
            found.append(part)
            made += len(part)
            seconds = time.perf_counter() - began
            watch(Progress('pairs', made, total, {}, seconds))
        return CachedPairs.joined(found)

    def warps(among: ImageList, count: int, seed: int) -> CachedPairs:
        return gathered(
            cache_pairs(
                model.features,
                among,
                count=count,
                size=options.size,
                seed=seed,
                bf16=bf16,
            )
        )

    def objects(count: int, *, held_out: bool) -> CachedPairs:
        known = moving_objects(options, count, held_out=held_out)
        return gathered(cache_motions(model.features, known, bf16=bf16))

    checked = warps(held_out or images, checks[0], options.seed + 1)
    if options.matcher_objects:
        moved = objects(checks[1], held_out=True)
        checked = CachedPairs.joined([checked, moved])
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
    pairs = warps(images, options.pairs, options.seed + 2)
    moving = None
    if options.matcher_objects:
        moving = objects(options.matcher_objects, held_out=False)
    steps = train_matcher(
        model,
        pairs,
        run,
        iterations=options.iterations,
        batch=options.matcher_batch,
        moving=moving,
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
