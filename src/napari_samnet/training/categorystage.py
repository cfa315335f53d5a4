"""The stage of the recipe that learns from categories, and its judgement."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from napari_samnet.datasets.animal_pose import animal_pose_kept_back
from napari_samnet.datasets.image_lists import ImageList, TrainingImage
from napari_samnet.datasets.pair_lists import (
    KeypointPair,
    read_keypoint_pairs,
)
from napari_samnet.errors import InputError
from napari_samnet.files import atomic_write, write_text
from napari_samnet.samnet.config import STRIDE
from napari_samnet.samnet.network import SAMNet
from napari_samnet.training.category import (
    CategoryPairs,
    consistency_errors,
    find_pairs,
    train_category,
)
from napari_samnet.training.judging import evaluating, with_held_out
from napari_samnet.training.keypoints import (
    CachedKeypoints,
    cache_keypoints,
    keypoint_scores,
)
from napari_samnet.training.loop import Run
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.runs import CATEGORY_NAME, Progress
from napari_samnet.training.synthetic import CachedPairs, cache_each

STAGE = 'category'
#: What was trained, before it.
START_NAME = 'category.start.safetensors'

#: Images of one category at most, so that no category takes all.
_PER_CATEGORY = 120
#: How much worse synthetic pairs may get for the sake of real ones.
_ALLOWED = 1.03
#: How often the network is measured on the way.
_MEASUREMENTS = 5

Scores = dict[str, float]


def category_of(image: TrainingImage) -> str:
    """Category whose images may make a pair, as ``dataset:prefix``."""
    return f'{image.dataset}:{image.category.split("/")[0]}'


def choose_images(
    images: ImageList, count: int, seed: int
) -> list[TrainingImage]:
    """Images of categories that have at least two of them.

    ``count``: how many to take at most.
    """
    groups = _by_category(images, np.random.default_rng(seed))
    # Small categories seldom hold two similar views.
    large = sorted(groups, key=len, reverse=True)
    chosen: list[TrainingImage] = []
    for group in large:
        chosen += group[: min(_PER_CATEGORY, count - len(chosen))]
    return chosen


def _by_category(
    images: ImageList, rng: np.random.Generator
) -> list[list[TrainingImage]]:
    """Images of each category that has at least two, in random order."""
    members: dict[str, list[TrainingImage]] = {}
    for index in rng.permutation(len(images)):
        image = images[int(index)]
        members.setdefault(category_of(image), []).append(image)
    return [group for group in members.values() if len(group) > 1]


def spread_images(
    images: ImageList, count: int, seed: int
) -> list[TrainingImage]:
    """Some images of many categories, so that many kinds are learnt.

    ``count``: how many to take at most.
    Returns: category by category, the largest first. Of a category with n
    images there are twice the square root of n, at least six: the more there
    are, the more alike are the views of its pairs.
    """
    rng = np.random.default_rng(seed)
    groups = _by_category(images, rng)
    shuffled = [groups[int(index)] for index in rng.permutation(len(groups))]
    chosen: list[TrainingImage] = []
    for group in sorted(shuffled, key=len, reverse=True):
        chosen += group[: max(6, round(2 * len(group) ** 0.5))]
    return chosen[:count]


def validation_pairs(options: TrainingOptions) -> list[KeypointPair]:
    """Pairs with keypoints that judge the network; none by default."""
    if not options.validation:
        return []
    listed = Path(options.validation)
    if listed.is_dir():
        return animal_pose_kept_back(listed)
    root = Path(options.validation_root or listed.parent)
    return read_keypoint_pairs(listed, root)


def without(
    images: ImageList, pairs: Sequence[KeypointPair]
) -> list[TrainingImage]:
    """Images that are not among those of the pairs."""
    judged = {
        p.resolve() for pair in pairs for p in (pair.source, pair.target)
    }
    return [image for image in images if image.path.resolve() not in judged]


def is_better(before: Scores, after: Scores) -> bool:
    """Whether the trained network is to be kept.

    The keypoints decide where there are some, the consistency of held-out
    category pairs otherwise; synthetic pairs must not suffer in either case.
    """
    if after['synthetic'] > _ALLOWED * before['synthetic']:
        return False
    if 'pck@0.10' in before:
        return after['pck@0.10'] > before['pck@0.10']
    return after['bipath'] < before['bipath']


def _measure(
    model: SAMNet,
    checked: CategoryPairs,
    keypoints: CachedKeypoints | None,
    iterations: int,
) -> Scores:
    """All that judges the network."""
    with evaluating(model.matcher):
        scores = consistency_errors(model, checked, iterations=iterations)
        if keypoints is not None:
            scores |= keypoint_scores(model, keypoints)
    return scores


def category_stage(
    model: SAMNet,
    folder: Path,
    images: ImageList,
    options: TrainingOptions,
    *,
    bf16: bool,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Generator[Progress, None, None]:
    """Find pairs, train W_G on them, and keep it only if it got better.

    ``bf16``: compute the convolutions in bf16. Yields: after every step.
    Raises InputError if no two images of a category show a similar view.
    """
    began = time.perf_counter()
    chosen = choose_images(images, options.category_images, options.seed)
    cached, pixels = _encode(model, chosen, options, bf16=bf16, watch=watch)
    trained = nn.ModuleDict({'matcher': model.matcher})
    if pixels is not None:
        trained['decoder'] = model.decoder
    untrained = _start(trained, folder)
    pairs = find_pairs(
        model,
        cached,
        [category_of(image) for image in chosen],
        iterations=options.iterations,
    )
    if len(pairs) < 2:
        raise InputError(
            f'the category step needs images of one category in similar '
            f'views; among {len(images)} images, {len(pairs)} pairs were '
            f'found'
        )
    pairs = replace(pairs, pixels=pixels)
    learnt, checked = pairs.split(every=min(10, len(pairs)))
    keypoints = None
    if options.validation:
        keypoints = cache_keypoints(
            model, validation_pairs(options), size=options.size, bf16=bf16
        )
    before = _measure(model, checked, keypoints, options.iterations)
    run = Run(
        stage=STAGE,
        trained=trained.requires_grad_(True),
        total=options.category_steps,
        rate=options.category_rate,
        folder=folder,
        seed=options.seed,
    )
    run.resume()
    watch(
        Progress(
            STAGE,
            run.step,
            run.total,
            {},
            time.perf_counter() - began,
            held_out=STRIDE * before['synthetic'],
        )
    )
    steps = train_category(
        model,
        learnt,
        run,
        iterations=options.iterations,
        batch=options.category_batch,
        loss=options.loss,
        bf16=bf16,
    )

    def held_out_error() -> float:
        scores = _measure(model, checked, None, options.iterations)
        return STRIDE * scores['synthetic']

    try:
        yield from with_held_out(
            steps, run, measure=held_out_error, times=_MEASUREMENTS
        )
    finally:
        trained.eval()
        after = _measure(model, checked, keypoints, options.iterations)
        kept = is_better(before, after)
        if not kept:
            trained.load_state_dict(untrained)
        _record(folder, len(pairs), before, after, kept=kept)


def _start(trained: nn.Module, folder: Path) -> dict[str, Tensor]:
    """Parameters that the stage starts from.

    They are kept, so that a run that goes on does not take what it has
    learnt so far for the start.
    """
    path = folder / START_NAME
    if path.is_file():
        trained.load_state_dict(load_file(path))
    state = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in trained.state_dict().items()
    }
    if not path.is_file():
        with atomic_write(path) as file:
            file.write(save(state))
    return state


def _encode(
    model: SAMNet,
    images: Sequence[TrainingImage],
    options: TrainingOptions,
    *,
    bf16: bool,
    watch: Callable[[Progress], None],
) -> tuple[CachedPairs, Tensor | None]:
    """Features of the images and of a warp of each, and pixels if needed."""
    began = time.perf_counter()
    pixels: list[Tensor] | None = (
        [] if options.category_feedback == 'image' else None
    )
    parts: list[CachedPairs] = []
    done = 0
    for part in cache_each(
        model.features,
        images,
        size=options.size,
        rng=np.random.default_rng(options.seed + 3),
        bf16=bf16,
        pixels=pixels,
    ):
        parts.append(part)
        done += len(part)
        watch(
            Progress(
                'pairs',
                done,
                len(images),
                {},
                time.perf_counter() - began,
            )
        )
    if not parts:
        raise InputError(
            'the category step needs at least two images of one category'
        )
    joined = CachedPairs.joined(parts)
    return joined, torch.cat(pixels) if pixels is not None else None


def _record(
    folder: Path, pairs: int, before: Scores, after: Scores, *, kept: bool
) -> None:
    """Write down what was measured and decided."""
    record: dict[str, Any] = {
        'pairs': pairs,
        'before': before,
        'after': after,
        'kept': kept,
    }
    text = json.dumps(record, indent=2)
    write_text(folder / CATEGORY_NAME, text)
