"""The recipe: which stages, in which order, and what is written.

A run lives in a folder. Each stage leaves a checkpoint there from which it
goes on after an interruption; ``curve.jsonl`` grows by a line per step, and
``samnet.safetensors`` is the network so far, ready for ``match``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import torch

from napari_samnet.errors import InputError
from napari_samnet.files import write_text
from napari_samnet.runtime.devices import resolve_device, resolve_precision
from napari_samnet.runtime.weights import get_weights, read_model, save_model
from napari_samnet.samnet.features import STRIDE
from napari_samnet.samnet.network import SAMNet, SAMNetConfig
from napari_samnet.training.backbone import (
    load_backbone,
    load_light,
    scale_activations,
)
from napari_samnet.training.categorystage import (
    category_stage,
    validation_pairs,
    without,
)
from napari_samnet.training.data import ImageList, batches, split
from napari_samnet.training.decoder import train_decoder
from napari_samnet.training.distributed import own_folder
from napari_samnet.training.loop import Progress, Run
from napari_samnet.training.matcher import endpoint_errors, train_matcher
from napari_samnet.training.options import TRAINING_DEFAULTS, TrainingOptions
from napari_samnet.training.runs import (
    MATCHER_NAME,
    OPTIONS_NAME,
    WEIGHTS_NAME,
    made_steps,
)
from napari_samnet.training.synthetic import CachedPairs, cache_pairs

__all__ = ['TRAINING_DEFAULTS', 'TrainingOptions', 'train_steps']

#: How often the matching network is measured on the way.
MEASUREMENTS = 10


def train_steps(
    images: ImageList,
    folder: str | os.PathLike[str],
    options: TrainingOptions = TRAINING_DEFAULTS,
    *,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Generator[Progress, None, None]:
    """Train a network, yielding after every step.

    Parameters
    ----------
    images : sequence of TrainingImage
        Photographs; one of twenty is held out.
    folder : path-like
        Of the run; made if it is not there. A run that was interrupted goes
        on, and one with other options is refused.
    options : TrainingOptions
        The recipe.
    watch : callable, optional
        Told of what is no step: pairs made for the matching network, as
        stage 'pairs', and its error before the first step.

    Yields
    ------
    Progress
        Closing the generator leaves a checkpoint and the network so far.

    Raises
    ------
    InputError
        If the folder holds another run, or images or weights are unusable.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    folder = own_folder(folder)
    _claim(folder, options)
    device = resolve_device(options.device)
    bf16 = resolve_precision(options.precision, device) == 'bf16'
    chosen, held_out = split(without(images, validation_pairs(options)))
    # Of a handful of images all may be held out.
    chosen = chosen or held_out
    if not chosen:
        raise InputError('all images belong to the validation')
    model = _begin(folder, chosen, options)
    model.to(device)
    model.features.to(memory_format=torch.channels_last)
    model.decoder.to(memory_format=torch.channels_last)
    try:
        if options.decoder_steps:
            run = Run(
                stage='decoder',
                trained=model.decoder.requires_grad_(True),
                total=options.decoder_steps,
                rate=options.decoder_rate,
                folder=folder,
                seed=options.seed,
            )
            run.resume()
            crops = batches(
                chosen,
                batch=options.decoder_batch,
                crop=options.crop,
                size=options.size,
                generator=run.generator,
            )
            yield from train_decoder(
                model.features,
                model.decoder,
                crops,
                run,
                device=device,
                bf16=bf16,
            )
            save_model(model, folder / WEIGHTS_NAME, half=False)
        made = made_steps(folder).get('matcher', 0)
        if made < options.matcher_steps:
            run = Run(
                stage='matcher',
                trained=model.matcher.requires_grad_(True),
                total=options.matcher_steps,
                rate=options.matcher_rate,
                folder=folder,
                seed=options.seed,
            )
            yield from _matcher_stage(
                model, run, chosen, held_out, options, bf16=bf16, watch=watch
            )
            save_model(model, folder / WEIGHTS_NAME, half=False)
        if options.category_steps:
            yield from category_stage(
                model, folder, chosen, options, bf16=bf16, watch=watch
            )
    finally:
        # Whoever stops early has what was learnt so far.
        save_model(model, folder / WEIGHTS_NAME, half=False)


def _claim(folder: Path, options: TrainingOptions) -> None:
    """Note the options of a new run, or compare them with the old one's."""
    path = folder / OPTIONS_NAME
    mine = asdict(options)
    if path.is_file():
        theirs = json.loads(path.read_text(encoding='utf-8'))
        other = sorted(key for key in mine if theirs.get(key) != mine[key])
        if other:
            raise InputError(
                f'{folder} holds a run with other options '
                f'({", ".join(other)}); choose another folder'
            )
    else:
        write_text(path, json.dumps(mine, indent=2))


def _begin(
    folder: Path, images: ImageList, options: TrainingOptions
) -> SAMNet:
    """Take the run's own network, the one to start from, or a new one."""
    saved = folder / WEIGHTS_NAME
    if saved.is_file():
        return read_model(saved)
    if options.start:
        return read_model(get_weights(options.start).path)
    torch.manual_seed(options.seed)
    model = SAMNet(SAMNetConfig()).eval().requires_grad_(False)
    load_backbone(
        model.features,
        options.backbone_weights or None,
        preprocessing=(
            'torchvision'
            if options.preprocessing == 'torchvision'
            else 'oxford'
        ),
    )
    load_light(model.features, options.light_weights or None)
    seen = batches(
        images,
        batch=4,
        crop=options.size - 32,
        size=options.size,
        generator=torch.Generator().manual_seed(options.seed),
    )
    scale_activations(model.features, islice(seen, 12))
    save_model(model, saved, half=False)
    return model


def _matcher_stage(
    model: SAMNet,
    run: Run,
    images: ImageList,
    held_out: ImageList,
    options: TrainingOptions,
    *,
    bf16: bool,
    watch: Callable[[Progress], None],
) -> Generator[Progress, None, None]:
    """Cache features, train W_G, and keep it only if it has got better."""
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
    # Only now, or a run that goes on would be compared with itself.
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
    try:
        # Closed with this one, so that its checkpoint is written first.
        with closing(
            train_matcher(
                model,
                pairs,
                run,
                iterations=options.iterations,
                batch=options.matcher_batch,
            )
        ) as steps:
            for progress in steps:
                if progress.step % max(1, run.total // MEASUREMENTS):
                    yield progress
                    continue
                model.matcher.eval()
                errors = endpoint_errors(
                    model, checked, iterations=options.iterations
                )
                model.matcher.train()
                yield replace(progress, held_out=STRIDE * errors[-1])
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
        # The network that went on was perhaps better than at the start.
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
