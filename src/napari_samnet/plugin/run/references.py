"""Labels of several annotated images to one target, in the worker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions
from napari_samnet.outputs.verdict import BAD_QUALITY, LOOK_QUALITY, Verdict
from napari_samnet.plugin.model.capture import Stack
from napari_samnet.plugin.model.grids import Index
from napari_samnet.plugin.model.masks import Mask
from napari_samnet.plugin.model.request import Outcome, Product, Report
from napari_samnet.plugin.run.job import Steps
from napari_samnet.plugin.run.loading import load_torch

#: Image, labels and the axis of the image's channels.
Annotated = tuple[NDArray[Any], NDArray[Any], int | None]


@dataclass(frozen=True)
class AnnotatedLayer:
    """An image of the viewer and its labels."""

    #: The image, or a stack of which every plane with labels counts.
    stack: Stack
    #: Its labels, taken to its grid.
    mask: Mask
    #: Plane that labels without leading axes belong to.
    at: Index

    def planes(self, left_out: tuple[Any, Index]) -> Iterator[Annotated]:
        """Planes that have labels, but for one of some image."""
        flat = len(getattr(self.mask, 'data', np.empty(())).shape) == 2
        every = np.ndindex(self.stack.grid.leading)
        for index in [self.at] if flat else every:
            if (self.stack.uid, index) == left_out:
                continue
            labels = self.mask.plane(index)
            if labels.any():
                axis = self.stack.channel_axis
                yield self.stack.plane(index), labels, axis


@dataclass(frozen=True)
class AnnotatedFile:
    """An image file and a file of its labels."""

    #: ``image``, ``labels``: the two files, of any kind that a match or a drop
    #: takes.
    image: Path
    labels: Path

    def planes(
        self,
        left_out: tuple[Any, Index],  # noqa: ARG002
    ) -> Iterator[Annotated]:
        """The one pair that the files hold.

        Yields: ``image, labels``: as they are in the files; ``channel_axis``:
        where the image's channels are.
        """
        from napari_samnet.io.annotated import read_annotated

        read = read_annotated(self.image, labels=self.labels)
        assert read.labels is not None
        yield (
            np.asarray(read.picture.pixels),
            np.asarray(read.labels.labels),
            read.picture.channel_axis,
        )


def references_steps(
    references: Sequence[AnnotatedLayer | AnnotatedFile],
    target: Stack,
    at: Index,
    options: MatchOptions,
    stop: Event,
) -> Steps:
    """Carry the labels of all references to a plane of the target.

    ``target``: image that is not annotated.
    ``stop``: set to stop before the next step, with nothing made.
    Returns: one layer of labels, with a verdict by their predicted quality.
    """
    started = time.perf_counter()
    yield Report(0, 0, 'loading the network')
    load_torch()
    from napari_samnet.matching.carry import LabelCarrier

    pairs: list[Annotated] = []
    for number, reference in enumerate(references):
        if stop.is_set():
            return _nothing()
        pairs += reference.planes((target.uid, at))
        yield Report(number, len(references) + 1, 'reading the references')
    if not pairs:
        raise InputError('none of the references has labels')
    carrier = LabelCarrier(
        [(image, labels) for image, labels, _ in pairs],
        options,
        channel_axes=[axis for _, _, axis in pairs],
    )
    yield Report(len(references), len(references) + 1, 'asking all of them')
    if stop.is_set():
        return _nothing()
    carried = carrier(target.plane(at), channel_axis=target.channel_axis)
    quality = carried.predicted_iou
    verdict = _verdict(quality, carried.likely_absent)
    count = len(pairs)
    grid = target.grid.single(at)
    product = Product(
        kind='labels',
        key=f'references {target.uid} {at}',
        name=f'{target.name} ← {count} reference{"s" * (count != 1)}',
        data=carried.labels.reshape(grid.shape),
        grid=grid,
        keywords=_style(references),
        owner=target.uid,
        about={
            'role': 'labels of references',
            'target': target.name,
            'version': version('napari-samnet'),
            'verdict': verdict.as_dict(),
            **carried.metadata,
        },
        missed=() if carried.labels.any() else ((),),
    )
    seconds = time.perf_counter() - started
    asked = len(carried.references)
    return Outcome(
        [product],
        {},
        False,
        f'Done, {asked} of {count} annotated images asked, {seconds:.1f} s',
        verdict=verdict,
    )


def _nothing() -> Outcome:
    return Outcome((), {}, True, 'Cancelled; nothing was added')


def _style(
    references: Sequence[AnnotatedLayer | AnnotatedFile],
) -> dict[str, Any]:
    """Colors and features of the first layer of labels."""
    for reference in references:
        if isinstance(reference, AnnotatedLayer):
            return dict(getattr(reference.mask, 'keywords', {}))
    return {}


def _verdict(quality: float, absent: bool) -> Verdict:
    """What the predicted quality says of the labels."""
    figures = {'predicted_iou': quality}
    if absent:
        return Verdict(
            'bad',
            'what was annotated is probably not in this image',
            'Choose another target, or annotate one that is more alike',
            (),
            figures,
        )
    told = f'expected overlap with the truth (IoU) {quality:.2f}'
    if not quality >= BAD_QUALITY:
        return Verdict(
            'bad', told, 'Annotate an image that is more alike', (), figures
        )
    if quality < LOOK_QUALITY:
        return Verdict('look', told, 'Look at the outlines', (), figures)
    return Verdict('good', told, '', (), figures)
