"""The recipe: which stages, in which order, and what is written.

A run lives in a folder. Each stage leaves a checkpoint there from which it
goes on after an interruption; ``curve.jsonl`` grows by a line per step, and
``samnet.safetensors`` is the network so far, ready for ``match``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch

from napari_samnet.devices import resolve_device, resolve_precision
from napari_samnet.errors import InputError
from napari_samnet.samnet.network import SAMNet, SAMNetConfig
from napari_samnet.samnet.weights import get_weights, read_model, save_model
from napari_samnet.training.backbone import load_backbone, scale_activations
from napari_samnet.training.data import ImageList, batches, split
from napari_samnet.training.decoder import train_decoder
from napari_samnet.training.loop import Progress, Run
from napari_samnet.training.matcher import endpoint_errors, train_matcher
from napari_samnet.training.options import TRAINING_DEFAULTS, TrainingOptions
from napari_samnet.training.synthetic import CachedPairs, cache_pairs

__all__ = ['TRAINING_DEFAULTS', 'TrainingOptions', 'train_steps']

#: Files of a run's folder.
WEIGHTS_NAME = 'samnet.safetensors'
_OPTIONS_NAME = 'options.json'


def train_steps(
    images: ImageList,
    folder: str | os.PathLike[str],
    options: TrainingOptions = TRAINING_DEFAULTS,
) -> Iterator[Progress]:
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
    _claim(folder, options)
    device = resolve_device(options.device)
    bf16 = resolve_precision(options.precision, device) == 'bf16'
    chosen, held_out = split(images)
    # Of a handful of images all may be held out.
    chosen = chosen or list(images)
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
        if options.matcher_steps:
            run = Run(
                stage='matcher',
                trained=model.matcher.requires_grad_(True),
                total=options.matcher_steps,
                rate=options.matcher_rate,
                folder=folder,
                seed=options.seed,
            )
            yield from _matcher_stage(
                model, run, chosen, held_out, options, bf16=bf16
            )
    finally:
        # Whoever stops early has what was learnt so far.
        save_model(model, folder / WEIGHTS_NAME, half=False)


def _claim(folder: Path, options: TrainingOptions) -> None:
    """Note the options of a new run, or compare them with the old one's."""
    path = folder / _OPTIONS_NAME
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
        path.write_text(json.dumps(mine, indent=2), encoding='utf-8')


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
) -> Iterator[Progress]:
    """Cache features, train W_G, and keep it only if it has got better."""
    checked = _gather(
        model,
        held_out or images,
        40,
        options,
        seed=options.seed + 1,
        bf16=bf16,
    )
    before = endpoint_errors(model, checked, iterations=options.iterations)
    untrained = {
        key: value.clone() for key, value in model.matcher.state_dict().items()
    }
    # Only now, or a run that goes on would be compared with itself.
    run.resume()
    pairs = _gather(
        model, images, options.pairs, options, seed=options.seed + 2, bf16=bf16
    )
    try:
        yield from train_matcher(
            model,
            pairs,
            run,
            iterations=options.iterations,
            batch=options.matcher_batch,
        )
    finally:
        model.matcher.eval()
        after = endpoint_errors(model, checked, iterations=options.iterations)
        if after[-1] > before[-1]:
            model.matcher.load_state_dict(untrained)
        record = {
            'held_out_epe_cells': {'before': before, 'after': after},
            'kept': after[-1] <= before[-1],
        }
        if run.folder is not None:
            path = run.folder / 'matcher.json'
            path.write_text(json.dumps(record, indent=2), encoding='utf-8')


def _gather(
    model: SAMNet,
    images: ImageList,
    count: int,
    options: TrainingOptions,
    *,
    seed: int,
    bf16: bool,
) -> CachedPairs:
    """Features of so many synthetic pairs."""
    parts = list(
        cache_pairs(
            model.features,
            images,
            count=count,
            size=options.size,
            seed=seed,
            bf16=bf16,
        )
    )
    return CachedPairs.joined(parts)
