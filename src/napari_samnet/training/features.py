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

from napari_samnet.datasets.animal_pose import is_kept_back
from napari_samnet.datasets.image_lists import ImageList
from napari_samnet.datasets.left_out import is_left_out
from napari_samnet.datasets.reading import read_image
from napari_samnet.files import atomic_write
from napari_samnet.runtime.devices import resolve_precision
from napari_samnet.samnet.config import STRIDE
from napari_samnet.samnet.context import ContextNetwork
from napari_samnet.samnet.features import VGGFeatures
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.taught_blocks import ENTRY, TaughtBlocks
from napari_samnet.training.annotated import (
    AnnotatedImage,
    AnnotatedView,
    read_annotated_images,
    views_of,
)
from napari_samnet.training.categorystage import category_of, spread_images
from napari_samnet.training.data import read_some, read_working
from napari_samnet.training.feature_store import (
    FeatureStore,
    entries_path,
    frozen_features,
    further_directions,
)
from napari_samnet.training.known_motions import known_warps, moving_objects
from napari_samnet.training.loop import Run
from napari_samnet.training.marked_points import read_marked_images
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.projection import find_projection, with_projection
from napari_samnet.training.runs import WEIGHTS_NAME, Progress
from napari_samnet.training.taught_examples import (
    Examples,
    KeypointExamples,
    LikenessExamples,
    MotionExamples,
)
from napari_samnet.training.teaching import TaughtFeatures, teach

STAGE = 'features'
#: Projection that the stage starts from.
START_NAME = 'features.start.safetensors'
#: Features of all images; removed when the network has been written, so that
#: the stage is not done while it is there.
STORE_NAME = 'features.npy'

#: Weights of the terms beside the keypoints'.
KNOWN, LIKENESSES = 0.5, 0.5

#: Terms of known motions, and pairs of annotated images per pair of them.
MOTIONS = {'warps': 4, 'objects': 6}

#: Photographs on which the directions are found in which cells differ.
PROJECTED_PHOTOGRAPHS = 128

#: Directions beside those of the start that may be taken in, and photographs
#: on which they are found.
FURTHER, BASIS_PHOTOGRAPHS = 256, 64


class _Lists(NamedTuple):
    """The images of the store, in its order."""

    annotated: list[AnnotatedView]
    category: ImageList
    warped: ImageList


def taught_images(options: TrainingOptions) -> list[AnnotatedImage]:
    """Annotated images that the features may be taught by.

    ``options``: names the file with the keypoints; none by default.
    Returns: without those that are left out for measuring, see
    :func:`~napari_samnet.datasets.left_out.is_left_out`, and those that the
    confidence is fitted on, see :func:`confidence_images`.
    """
    return [
        image
        for image in _annotated(options)
        if not _keeps_back(image.path, options)
    ]


def confidence_images(options: TrainingOptions) -> list[AnnotatedImage]:
    """Annotated images that the confidence is fitted on.

    They must not be among those that the features are taught by, on which
    matches are better than on others.

    ``options``: names the file with the keypoints; none by default. Returns: a
    tenth of all, by the hash of the file's name; none of the user's own where
    no confidence is fitted.
    """
    return [
        image
        for image in _annotated(options)
        if _keeps_back(image.path, options)
    ]


def _keeps_back(path: Path, options: TrainingOptions) -> bool:
    wanted = options.confidence_pairs > 0 or 'animal-pose' in path.parts
    return wanted and is_kept_back(path)


def _annotated(options: TrainingOptions) -> list[AnnotatedImage]:
    if not options.keypoints:
        return []
    listed = Path(options.keypoints)
    root = options.keypoints_root
    read = (
        read_marked_images(Path(root or listed), listed)
        if listed.is_dir()
        else read_annotated_images(listed, Path(root or listed.parent))
    )
    return [
        image
        for image in read
        if not is_left_out(image.path) and image.path.is_file()
    ]


def feature_stage(
    model: SAMNet,
    folder: Path,
    images: ImageList,
    options: TrainingOptions,
    *,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Generator[Progress, None, SAMNet]:
    """Teach the features of a network, yielding after every step.

    ``watch``: told of images encoded, as stage 'encoded'. Yields: after every
    step.
    """
    began = time.perf_counter()
    frozen = frozen_features(model, folder / WEIGHTS_NAME)
    blocks = _blocks(model, options)
    if blocks is not None and frozen.light is not None:
        frozen.light.also = (ENTRY,)
    start, basis = _start(model, frozen, folder, images, options)
    lists = _chosen(images, options)
    motions = [known_warps(lists.warped, options)]
    if options.feature_objects:
        motions.append(moving_objects(options, options.feature_objects))
    readers: list[Callable[[], np.ndarray]] = [
        *(partial(view.read, options.size) for view in lists.annotated),
        *(partial(read_working, one, options.size) for one in lists.category),
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
        entries=blocks is not None,
        tell=tell,
    )
    first = len(lists.annotated)
    batch = options.feature_batch
    sources: dict[str, tuple[Examples, int, float]] = {}
    begin = first + len(lists.category)
    for (name, share), known in zip(MOTIONS.items(), motions, strict=False):
        examples = MotionExamples(known.flow, known.weight, begin)
        sources[name] = examples, max(1, batch // share), KNOWN
        begin += len(known.readers)
    if lists.annotated:
        keypoints = _keypoints(lists.annotated, store.side)
        sources['keypoints'] = (keypoints, batch, 1.0)
    inside = store.basis.T @ start
    torch.manual_seed(options.seed)
    context = _context(model, store.basis, options, blocks)
    before = copy.deepcopy(TaughtFeatures(inside, context, blocks))
    likenesses = LikenessExamples(
        store,
        before.requires_grad_(False),
        range(first, first + len(lists.category)),
        [category_of(image) for image in lists.category],
    )
    if len(likenesses):
        sources['likenesses'] = (likenesses, max(1, batch // 3), LIKENESSES)
    taught = TaughtFeatures(inside, context, blocks)
    run = Run(
        stage=STAGE,
        trained=taught,
        total=options.feature_steps,
        rate=options.feature_rate,
        rates=taught.rates(),
        folder=folder,
        seed=options.seed,
    )
    run.resume()
    bf16 = resolve_precision(options.precision, 'cpu') == 'bf16'
    with closing(teach(taught, store, sources, run, bf16=bf16)) as steps:
        yield from steps
    return taught_model(model, taught, store.basis)


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


def _chosen(images: ImageList, options: TrainingOptions) -> _Lists:
    """Annotated images, images for category pairs, and photographs."""
    annotated = taught_images(options)
    kept_back = {image.path for image in confidence_images(options)}
    images = [image for image in images if image.path not in kept_back]
    # People's keypoints say more of these than the features before.
    learnt = {image.path for image in annotated}
    unlabeled = [image for image in images if image.path not in learnt]
    rng = np.random.default_rng(options.seed + 4)
    drawn = rng.choice(
        len(images), min(options.feature_warps, len(images)), replace=False
    )
    views = [
        view
        for image in annotated
        for view in views_of(image, read_image(image.path).shape[:2], rng)
    ]
    return _Lists(
        views,
        spread_images(unlabeled, options.feature_images, options.seed),
        [images[int(index)] for index in drawn],
    )


def _keypoints(views: Sequence[AnnotatedView], side: int) -> KeypointExamples:
    found = [view.cells(side) for view in views]
    return KeypointExamples(
        [view.image.group for view in views],
        [str(view.image.path) for view in views],
        [places for places, _ in found],
        [visible for _, visible in found],
        side,
    )
