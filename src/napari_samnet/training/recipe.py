"""The recipe: which stages, in which order, and what is written.

A run lives in a folder. Each stage leaves a checkpoint there from which it
goes on after an interruption; ``curve.jsonl`` grows by a line per step, and
``samnet.safetensors`` is the network so far, ready for ``match``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch

from napari_samnet.datasets.composites import horse_parts
from napari_samnet.datasets.image_lists import ImageList, split
from napari_samnet.datasets.left_out import is_left_out
from napari_samnet.errors import InputError
from napari_samnet.files import write_text
from napari_samnet.runtime.confidence import confidence_path, save_confidence
from napari_samnet.runtime.devices import resolve_device, resolve_precision
from napari_samnet.runtime.weights import (
    get_weights,
    read_model,
    save_model,
    share_packaged,
)
from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.network import SAMNet
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
from napari_samnet.training.confidence import (
    collect_matches,
    fit_confidence,
)
from napari_samnet.training.data import batches
from napari_samnet.training.decoder import train_decoder
from napari_samnet.training.distributed import folder_of_process
from napari_samnet.training.feature_images import (
    confidence_images,
    taught_images,
)
from napari_samnet.training.feature_store import frozen_features
from napari_samnet.training.features import (
    STORE_NAME,
    feature_stage,
    remove_store,
)
from napari_samnet.training.known_pairs import known_pairs
from napari_samnet.training.loop import Run
from napari_samnet.training.matcher import renew_learned_part
from napari_samnet.training.matcherstage import matcher_stage
from napari_samnet.training.options import TRAINING_DEFAULTS, TrainingOptions
from napari_samnet.training.runs import (
    OPTIONS_NAME,
    WEIGHTS_NAME,
    Progress,
    made_steps,
)

#: Our network, before its features are taught.
CONFIG = SAMNetConfig(dilated=True)

#: The paper's network, with VGG-16 in place of VGG-19.
PAPER_CONFIG = SAMNetConfig(
    matching_layers=('relu4_1',), matcher='unet', width=16, gate=False
)


def train_steps(
    images: ImageList,
    folder: str | os.PathLike[str],
    options: TrainingOptions = TRAINING_DEFAULTS,
    *,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Generator[Progress, None, None]:
    """Train a network, yielding after every step.

    ``folder``: of the run; made if it is not there. A run that was interrupted
    goes on, and one with other options is refused.
    ``watch``: told of what is no step: pairs made for the matching network, as
    stage 'pairs', and its error before the first step.
    Yields: closing the generator leaves a checkpoint and the network so far.
    Raises InputError if the folder holds another run, or images or weights are
    unusable.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder_of_process(folder)
    _claim(folder, options)
    device = resolve_device(options.device)
    bf16 = resolve_precision(options.precision, device) == 'bf16'
    images = [image for image in images if not is_left_out(image.path)]
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
            yield from _decoder_stage(
                model, folder, chosen, options, device=device, bf16=bf16
            )
            _save(model, folder, options)
        if _features_to_teach(folder, options):
            # The stage reads the frozen networks from there.
            _save(model, folder, options)
            model = yield from feature_stage(
                model, folder, chosen, options, watch=watch
            )
            model.to(device)
            _save(model, folder, options)
            remove_store(folder)
        made = made_steps(folder).get('matcher', 0)
        if options.matcher_steps or options.category_steps:
            anew = options.matcher_start == 'nothing' and made == 0
            renew_learned_part(
                model, anew=anew and bool(options.matcher_steps)
            )
        if made < options.matcher_steps:
            run = Run(
                stage='matcher',
                trained=model.matcher.requires_grad_(True),
                total=options.matcher_steps,
                rate=options.matcher_rate,
                folder=folder,
                seed=options.seed,
            )
            yield from matcher_stage(
                model, run, chosen, held_out, options, bf16=bf16, watch=watch
            )
            _save(model, folder, options)
        if options.category_steps:
            yield from category_stage(
                model, folder, chosen, options, bf16=bf16, watch=watch
            )
        if options.confidence_pairs:
            _fit_confidence(model, folder, chosen, options, watch)
    finally:
        # Whoever stops early has what was learnt so far.
        _save(model, folder, options)


def _decoder_stage(
    model: SAMNet,
    folder: Path,
    images: ImageList,
    options: TrainingOptions,
    *,
    device: str,
    bf16: bool,
) -> Iterator[Progress]:
    """Train W_D on crops of the images, from its checkpoint on."""
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
        images,
        batch=options.decoder_batch,
        crop=options.crop,
        size=options.size,
        generator=run.generator,
    )
    yield from train_decoder(
        model.features, model.decoder, crops, run, device=device, bf16=bf16
    )


def _features_to_teach(folder: Path, options: TrainingOptions) -> bool:
    """Whether the stage of the features has begun, or is to begin."""
    made = made_steps(folder)
    return (
        made.get('features', 0) < options.feature_steps
        or made.get('likeness', 0) < options.likeness_steps
        or (folder / STORE_NAME).is_file()
    )


def _save(model: SAMNet, folder: Path, options: TrainingOptions) -> None:
    """Write the network so far, without what it shares with a packaged one."""
    shared = options.network == 'paper' and not options.backbone_weights
    save_model(
        model,
        folder / WEIGHTS_NAME,
        half=options.storage == 'fp16',
        parts=_own_parts(model) if shared else (),
        shares='samnet' if shared else '',
    )


def _own_parts(model: SAMNet) -> list[str]:
    """What a network that shares its features does not share."""
    packaged = read_model(get_weights('samnet').path).decoder.state_dict()
    mine = model.decoder.state_dict()
    same = all(
        bool((mine[name].cpu() == value).all())
        for name, value in packaged.items()
    )
    return ['matcher', *([] if same else ['decoder'])]


def _fit_confidence(
    model: SAMNet,
    folder: Path,
    images: ImageList,
    options: TrainingOptions,
    watch: Callable[[Progress], None],
) -> None:
    """Fit the confidence once, when all else is done."""
    path = confidence_path(folder / WEIGHTS_NAME)
    if path.is_file():
        return
    began = time.perf_counter()
    _save(model, folder, options)

    def tell(done: int) -> None:
        seconds = time.perf_counter() - began
        watch(Progress('confidence', done, 0, {}, seconds))

    annotated, root = confidence_images(options), options.objects_root
    shown = {image.path for image in (*annotated, *taught_images(options))}
    pairs = known_pairs(
        annotated,
        [image for image in images if image.path not in shown],
        horse_parts(Path(root)).learnt_from() if root else None,
        pairs=options.confidence_pairs,
        size=options.size,
        seed=options.seed,
        tell=tell,
    )
    matches = collect_matches(
        model, frozen_features(model, folder / WEIGHTS_NAME), pairs
    )
    fitted = fit_confidence(matches, seed=options.seed)
    save_confidence(fitted, path, model.config)


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
    config = PAPER_CONFIG if options.network == 'paper' else CONFIG
    model = SAMNet(config).eval().requires_grad_(False)
    if options.network == 'paper' and not options.backbone_weights:
        share_packaged(model)
        _save(model, folder, options)
        return model
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
    _save(model, folder, options)
    return model
