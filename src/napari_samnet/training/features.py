"""The stage of the recipe that teaches the matching features.

The projection begins in the directions in which cells differ
(:mod:`.projection`), and a network that looks at the surroundings begins as
nothing. Both are taught by keypoints, by known warps, and by the likenesses of
category pairs before (:mod:`.taught_examples`). Everything under them is
frozen.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from napari_samnet.datasets.image_lists import ImageList
from napari_samnet.files import atomic_write
from napari_samnet.runtime.devices import resolve_precision
from napari_samnet.samnet.config import STRIDE
from napari_samnet.samnet.context import ContextNetwork
from napari_samnet.samnet.features import VGGFeatures
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.taught_blocks import ENTRY, TaughtBlocks
from napari_samnet.training.annotated import AnnotatedView
from napari_samnet.training.categorystage import category_of
from napari_samnet.training.data import read_some, read_working
from napari_samnet.training.feature_images import (
    FeatureImages,
    feature_images,
)
from napari_samnet.training.feature_store import (
    FeatureStore,
    entries_path,
    frozen_features,
    further_directions,
)
from napari_samnet.training.known_motions import known_warps, moving_objects
from napari_samnet.training.loop import Run
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.projection import (
    find_projection,
    with_likeness,
    with_projection,
)
from napari_samnet.training.runs import WEIGHTS_NAME, Progress
from napari_samnet.training.taught_examples import (
    Examples,
    KeypointExamples,
    LikenessExamples,
    MotionExamples,
)
from napari_samnet.training.teaching import TaughtFeatures, teach

STAGE, LIKENESS_STAGE = 'features', 'likeness'
#: Projection that the stage starts from.
START_NAME = 'features.start.safetensors'
#: Features of all images; removed when the network has been written, so that
#: the stage is not done while it is there.
STORE_NAME = 'features.npy'

#: By the name of a term: what its examples are drawn from, the number that it
#: draws by, and its weight.
Sources = dict[str, tuple[Examples, int, float]]


class _Material(NamedTuple):
    """What the features are taught by."""

    store: FeatureStore
    #: Those that need no features from before.
    sources: Sources
    #: Indices in the store of the images of which category pairs are made,
    #: and the category of each.
    category: range
    categories: list[str]


#: Weights of the terms beside the keypoints'.
KNOWN, LIKENESSES = 0.5, 0.5

#: Terms of known motions, and pairs of annotated images per pair of them.
MOTIONS = {'warps': 4, 'objects': 6}

#: Photographs on which the directions are found in which cells differ.
PROJECTED_PHOTOGRAPHS = 128

#: Directions beside those of the start that may be taken in, and photographs
#: on which they are found.
FURTHER, BASIS_PHOTOGRAPHS = 256, 64


def feature_stage(
    model: SAMNet,
    folder: Path,
    images: ImageList,
    options: TrainingOptions,
    *,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Generator[Progress, None, SAMNet]:
    """Teach the features of a network, yielding after every step.

    First those that are matched, then the projection in which it is told
    whether the object is there, from the same examples.

    ``watch``: told of images encoded, as stage 'encoded'. Yields: after every
    step.
    """
    frozen = frozen_features(model, folder / WEIGHTS_NAME)
    blocks = _blocks(model, options)
    if blocks is not None and frozen.light is not None:
        frozen.light.also = (ENTRY,)
    start, basis = _start(model, frozen, folder, images, options)
    material = _material(
        frozen,
        folder,
        feature_images(images, options),
        options,
        basis=basis,
        entries=blocks is not None,
        watch=watch,
    )
    inside = basis.T @ start
    if options.feature_steps:
        torch.manual_seed(options.seed)
        context = _context(model, basis, options, blocks)
        before = TaughtFeatures(inside, context, blocks)
        taught = yield from _lesson(
            STAGE,
            options.feature_steps,
            before,
            material,
            folder,
            options,
            share=options.feature_share,
            blocks_share=options.feature_blocks_share,
        )
        model = taught_model(model, taught, basis)
    if options.likeness_steps:
        taught = yield from _lesson(
            LIKENESS_STAGE,
            options.likeness_steps,
            TaughtFeatures(inside),
            material,
            folder,
            options,
            share=options.likeness_share,
        )
        model = with_likeness(model, basis @ taught.projection.detach())
    return model


def _material(
    frozen: VGGFeatures,
    folder: Path,
    images: FeatureImages,
    options: TrainingOptions,
    *,
    basis: Tensor,
    entries: bool,
    watch: Callable[[Progress], None],
) -> _Material:
    """Encode the images, and say what is known of them."""
    began = time.perf_counter()
    motions = [known_warps(images.warped, options)]
    if options.feature_objects:
        motions.append(moving_objects(options, options.feature_objects))
    readers: list[Callable[[], np.ndarray]] = [
        *(partial(view.read, options.size) for view in images.annotated),
        *(partial(read_working, one, options.size) for one in images.category),
        *(read for known in motions for read in known.readers),
    ]

    def tell(done: int) -> None:
        seconds = time.perf_counter() - began
        watch(Progress('encoded', done, len(readers), {}, seconds))

    store = FeatureStore.fill(
        folder / STORE_NAME,
        readers,
        frozen,
        basis=basis,
        side=options.size // STRIDE,
        entries=entries,
        tell=tell,
    )
    first = len(images.annotated)
    begin = first + len(images.category)
    batch = options.feature_batch
    sources: Sources = {}
    for (name, share), known in zip(MOTIONS.items(), motions, strict=False):
        examples = MotionExamples(known.flow, known.weight, begin)
        sources[name] = examples, max(1, batch // share), KNOWN
        begin += len(known.readers)
    if images.annotated:
        keypoints = _keypoints(images.annotated, store.side)
        sources['keypoints'] = (keypoints, batch, 1.0)
    indices = range(first, first + len(images.category))
    categories = [category_of(image) for image in images.category]
    return _Material(store, sources, indices, categories)


def _lesson(
    stage: str,
    steps: int,
    start: TaughtFeatures,
    material: _Material,
    folder: Path,
    options: TrainingOptions,
    *,
    share: float,
    blocks_share: float = 1.0,
) -> Generator[Progress, None, TaughtFeatures]:
    """Teach by the examples, from the start and part of the way."""
    taught = copy.deepcopy(start)
    start.requires_grad_(False)
    likenesses = LikenessExamples(
        material.store, start, material.category, material.categories
    )
    sources = dict(material.sources)
    if len(likenesses):
        count = max(1, options.feature_batch // 3)
        sources['likenesses'] = (likenesses, count, LIKENESSES)
    run = Run(
        stage=stage,
        trained=taught,
        total=steps,
        rate=options.feature_rate,
        rates=taught.rates(),
        folder=folder,
        seed=options.seed,
    )
    run.resume()
    bf16 = resolve_precision(options.precision, 'cpu') == 'bf16'
    lesson = teach(taught, material.store, sources, run, bf16=bf16)
    with closing(lesson) as each:
        yield from each
    return taught.part_of_the_way(start, share, blocks_share)


def taught_model(
    model: SAMNet, taught: TaughtFeatures, basis: Tensor
) -> SAMNet:
    """The network with what was taught, in all channels.

    ``basis``: ``(channels, directions)`` in which it was taught.
    """
    context = taught.context
    return with_projection(
        model,
        basis @ taught.projection.detach(),
        None if context is None else context.in_directions(basis.T),
        taught.blocks,
    )


def _context(
    model: SAMNet,
    basis: Tensor,
    options: TrainingOptions,
    blocks: TaughtBlocks | None,
) -> ContextNetwork | None:
    """Network for the surroundings: that of the network, or a new one."""
    kept, width = model.features.context, options.feature_context
    if kept is not None and _keeps_context(model, options):
        return kept.in_directions(basis).requires_grad_(True)
    if not width:
        return None
    return ContextNetwork(
        basis.shape[1] + (0 if blocks is None else blocks.channels),
        width,
        options.feature_channels,
        layers=options.feature_context_layers,
    )


def _keeps_context(model: SAMNet, options: TrainingOptions) -> bool:
    """Whether what stands beside the projection is taught further."""
    kept = model.features.context is not None
    return kept and options.feature_start == 'kept'


def _blocks(model: SAMNet, options: TrainingOptions) -> TaughtBlocks | None:
    """Blocks that are taught: those of the network, or a copy."""
    features = model.features
    if _keeps_context(model, options):
        kept: TaughtBlocks | None = copy.deepcopy(features.taught)
        return None if kept is None else kept.float().requires_grad_(True)
    if options.feature_blocks == 'frozen' or features.light is None:
        return None
    return TaughtBlocks.copy_of(features.light).float().requires_grad_(True)


def remove_store(folder: Path) -> None:
    """Remove the features of the images, when the network has been written.

    ``folder``: folder of the run. Nothing happens where there are none.
    """
    store = folder / STORE_NAME
    store.unlink(missing_ok=True)
    entries_path(store).unlink(missing_ok=True)
    store.with_suffix('.json').unlink(missing_ok=True)


def _start(
    model: SAMNet,
    frozen: VGGFeatures,
    folder: Path,
    images: ImageList,
    options: TrainingOptions,
) -> tuple[Tensor, Tensor]:
    """Projection to start from and basis, kept for a run that goes on."""
    path = folder / START_NAME
    if path.is_file():
        kept = load_file(path)
        return kept['projection'], kept['basis']
    photographs = read_some(images, PROJECTED_PHOTOGRAPHS, options.size)
    start = model.features.projection
    if start is None or options.feature_start == 'directions':
        start, _ = find_projection(
            frozen, photographs, options.feature_channels
        )
    seen, context = start, model.features.context
    if options.feature_start == 'kept' and context is not None:
        weight = context.enter.weight.detach()[:, : len(start), 0, 0]
        seen = torch.cat((start, weight.T), 1)
    basis = further_directions(
        frozen, seen, photographs[:BASIS_PHOTOGRAPHS], FURTHER
    )
    content = {'projection': start.detach().contiguous(), 'basis': basis}
    with atomic_write(path) as file:
        file.write(save(content))
    return start, basis


def _keypoints(views: Sequence[AnnotatedView], side: int) -> KeypointExamples:
    found = [view.cells(side) for view in views]
    return KeypointExamples(
        [view.image.group for view in views],
        [str(view.image.path) for view in views],
        [places for places, _ in found],
        [visible for _, visible in found],
        side,
    )
