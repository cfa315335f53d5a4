"""carry(references, target): labels of several annotated images at once.

All cells of the annotated images are asked, without a field between: so poses
may differ, and things may be there several times or not at all. One image,
one pass of the network, however many references there are.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from napari_samnet.arrays.checks import (
    as_array,
    check_count,
    check_labels,
    listed,
)
from napari_samnet.arrays.lazy import new_array
from napari_samnet.arrays.tiles import Tile, run_tiles, tiles
from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError
from napari_samnet.images.plane import Plane
from napari_samnet.labels.grids import grid_shape
from napari_samnet.labels.kernel import (
    outline_guide,
    sample_labels,
)
from napari_samnet.labels.painter import LabelPainter
from napari_samnet.labels.quality import (
    LabelQuality,
    predicted_iou,
    quality_record,
)
from napari_samnet.labels.references import (
    BEST,
    AnnotatedFeatures,
    common_dtype,
    mean_feature,
    nearest_references,
    table_of_references,
)
from napari_samnet.labels.scores import LabelScores, score_table
from napari_samnet.labels.tables import LabelTable
from napari_samnet.matching.carried import CarriedLabels
from napari_samnet.matching.describe import Describer
from napari_samnet.matching.region import kept_part
from napari_samnet.options import DEFAULTS, MatchOptions
from napari_samnet.warping.warp import SourceArray


class LabelCarrier:
    """Annotated images, ready to be asked for any number of targets.

    Parameters
    ----------
    references : sequence of (image, labels)
        Annotated images: 2-D images as for :func:`napari_samnet.match`, and
        int or bool labels of their rows and columns. Sizes, channels and
        sets of ids may differ.
    options : MatchOptions
        Working size, weights, device, precision and backend, and whether
        outlines are moved to edges.
    best : int
        How many references are asked for each target: those whose mean
        feature is nearest.
    channel_axes : sequence of int or None, optional
        Axis of the channels of each image, where it is not the last of RGB.
    regions, leave_outs : sequence of array_like or None, optional
        Of each reference the pixels that are asked, and those that are not:
        where these are not 0. Use them for damage, or for a second object
        that has no label.
    describer : Describer, optional
        What computes features, and keeps those of images that it has seen;
        by default a new one.

    Raises
    ------
    InputError
        If there is no reference, or one cannot be used.
    """

    def __init__(
        self,
        references: Sequence[tuple[Any, Any]],
        options: MatchOptions = DEFAULTS,
        *,
        best: int = BEST,
        channel_axes: Sequence[int | None] | None = None,
        regions: Sequence[Any] | None = None,
        leave_outs: Sequence[Any] | None = None,
        describer: Describer | None = None,
    ) -> None:
        check_count('best', best)
        references = listed('references', references)
        axes, inside, outside = (
            _one_each(name, given, len(references))
            for name, given in (
                ('reference_channel_axes', channel_axes),
                ('reference_regions', regions),
                ('reference_leave_outs', leave_outs),
            )
        )
        if not references:
            raise InputError(
                'references must hold at least one pair of image and labels, '
                'got none'
            )
        self._options = options
        self._best = best
        self.describer = describer or Describer(options)
        self._known: list[AnnotatedFeatures] = []
        kinds = []
        for number, (reference, axis, region, leave_out) in enumerate(
            zip(references, axes, inside, outside, strict=True), start=1
        ):
            image, labels = _checked_pair(reference, number)
            plane = Plane.of(
                image, name=f'reference {number}', channel_axis=axis
            )
            name = f'labels of reference {number}'
            array = as_array(labels, name)
            check_labels(name, array, plane.shape)
            kinds.append(array.dtype)
            samples = sample_labels(SourceArray.of(array), plane.shape)
            if samples.dtype.kind == 'b':
                # Masks of Pillow have the byte 255 as True.
                samples = samples != 0
            features = self.describer(plane)
            kept = kept_part(
                region, leave_out, plane.shape, f'reference {number}'
            )
            if kept is not None:
                features = features.within(kept)
            self._known.append(AnnotatedFeatures(features, samples))
        self._dtype = common_dtype(kinds)

    @property
    def means(self) -> list[FloatArray]:
        """Mean feature of each reference."""
        return [known.mean for known in self._known]

    def mean(
        self, target: Any, *, channel_axis: int | None = None
    ) -> FloatArray:
        """Mean feature of an image, to compare with :attr:`means`.

        Parameters
        ----------
        target : array_like
            A 2-D image of any kind that a match takes.
        channel_axis : int, optional
            Axis of its channels, where it is not the last of RGB.

        Returns
        -------
        ndarray of float32, shape (C,)
            Computed anew only for images that were not seen before.
        """
        plane = Plane.of(target, name='target', channel_axis=channel_axis)
        return mean_feature(self.describer(plane))

    def __call__(
        self,
        target: Any,
        *,
        channel_axis: int | None = None,
        region: Any = None,
        leave_out: Any = None,
    ) -> CarriedLabels:
        """Carry the labels to one target.

        Parameters
        ----------
        target : array_like
            A 2-D image of any kind that a match takes.
        channel_axis : int, optional
            Axis of its channels, where it is not the last of RGB.
        region, leave_out : array_like of bool or int, optional
            Pixels of the target that can have labels, and pixels that get
            none: where these are not 0.

        Returns
        -------
        CarriedLabels
            Labels at the target's own size, and their predicted quality.

        Raises
        ------
        InputError
            If the image or a mask of it cannot be used.
        """
        start = time.perf_counter()
        plane = Plane.of(target, name='target', channel_axis=channel_axis)
        kept = kept_part(region, leave_out, plane.shape, 'target')
        features = self.describer(plane)
        chosen = nearest_references(
            mean_feature(features), self.means, self._best
        )
        table = table_of_references(
            features, [self._known[index] for index in chosen], kept
        )
        guide = outline_guide(plane) if self._options.outlines else None
        scores = score_table(table, None, grid_shape(plane.shape), guide)
        labels = new_array(plane.shape, self._dtype)
        labels[...] = 0
        if scores is not None:
            _paint(LabelPainter(scores, plane.shape, plane), labels)
        if kept is not None:
            labels[~kept] = 0
        quality = _qualities(table, scores)
        place = self.describer.place
        return CarriedLabels(
            labels,
            quality,
            tuple(chosen),
            {
                'references': chosen,
                **quality_record(quality),
                **place._asdict(),
                'size': self._options.size,
                'weights': {
                    'name': self.describer.weights.name,
                    'sha256': self.describer.weights.sha256,
                },
                'seconds': round(time.perf_counter() - start, 4),
            },
        )


def _checked_pair(reference: Any, number: int) -> tuple[Any, Any]:
    """An image and its labels; an image alone is no pair."""
    if not isinstance(reference, tuple | list) or len(reference) != 2:
        raise InputError(
            f'references must be pairs of image and labels, as in '
            f'[(image, labels)], got a {type(reference).__name__} as '
            f'reference {number}'
        )
    return reference[0], reference[1]


def _one_each(
    name: str, given: Sequence[Any] | None, count: int
) -> Sequence[Any]:
    """An entry for each reference; Raises InputError if some lack one."""
    if given is None:
        return [None] * count
    given = listed(name, given)
    if len(given) != count:
        raise InputError(
            f'{name} must hold one entry for each of the {count} references, '
            f'got {len(given)}'
        )
    return given


def _paint(painter: LabelPainter, labels: npt.NDArray[Any]) -> None:
    """Fill labels block by block, on all cores."""

    def work(tile: Tile) -> None:
        painter.paint(tile, labels[tile])

    shape = labels.shape[0], labels.shape[1]
    run_tiles(work, tiles(shape))


def _qualities(
    table: LabelTable, scores: LabelScores | None
) -> list[LabelQuality]:
    """Estimates for all ids; those that took no part have vanished."""
    measured = {} if scores is None else scores.measures_by_label()
    qualities = []
    for label in table.values.tolist():
        if not label:
            continue
        measures = measured.get(label)
        estimate = 0.0 if measures is None else predicted_iou(measures)
        gone = measures is None or not measures.area
        qualities.append(LabelQuality(int(label), estimate, gone, measures))
    return qualities


def carry(
    references: Sequence[tuple[Any, Any]],
    target: Any,
    *,
    best: int = BEST,
    outlines: bool = DEFAULTS.outlines,
    size: int = DEFAULTS.size,
    device: str = DEFAULTS.device,
    precision: str = DEFAULTS.precision,
    backend: str = DEFAULTS.backend,
    weights: str = DEFAULTS.weights,
    reference_channel_axes: Sequence[int | None] | None = None,
    target_channel_axis: int | None = None,
    reference_regions: Sequence[Any] | None = None,
    reference_leave_outs: Sequence[Any] | None = None,
    region: Any = None,
    leave_out: Any = None,
) -> CarriedLabels:
    """Carry labels of several annotated images to another one.

    Parameters
    ----------
    references : sequence of (image, labels)
        Annotated images: 2-D images as for :func:`napari_samnet.match`, and
        int or bool labels of their rows and columns. A reference has a say
        only on the ids that it contains, so label sets may differ.
    target : array_like
        The 2-D image that labels are wanted for.
    best : int
        How many references are asked: those that look most like the target
        on the whole. More of them cover more poses and cost time.
    outlines : bool
        Move outlines to the edges that the target shows nearby.
    size : int
        Length of the shorter side of each image for the network, in pixels.
        Larger sizes find smaller objects and lose large ones.
    device, precision, backend, weights
        The same as in :class:`~napari_samnet.MatchOptions`.
    reference_channel_axes : sequence of int or None, optional
        Axis of the channels of each reference, where it is not the last of
        an RGB image.
    target_channel_axis : int, optional
        The same of the target.
    reference_regions, reference_leave_outs : sequence, optional
        One entry for each reference, an array of its rows and columns or
        None: the pixels that are asked, and those that are not, where these
        are not 0. Leave out what looks like a label and has none.
    region, leave_out : array_like of bool or int, shape (H, W), optional
        Pixels of the target that can have labels, and pixels that get none:
        where these are not 0. Leave out a second object that looks the same.

    Returns
    -------
    CarriedLabels
        Labels at the target's own size, an estimate of the IoU of each, and
        which references were asked.

    Raises
    ------
    InputError
        If the images, labels, masks, weights or device cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_samnet import carry
    >>> image = np.random.default_rng(0).random((64, 64, 3))
    >>> labels = np.zeros((64, 64), int)
    >>> labels[16:48, 16:48] = 7
    >>> carried = carry([(image, labels)], image, size=64)
    >>> carried.labels.shape
    (64, 64)
    """
    options = MatchOptions(
        size=size,
        device=device,
        precision=precision,
        backend=backend,
        weights=weights,
        outlines=outlines,
    )
    carrier = LabelCarrier(
        references,
        options,
        best=best,
        channel_axes=reference_channel_axes,
        regions=reference_regions,
        leave_outs=reference_leave_outs,
    )
    return carrier(
        target,
        channel_axis=target_channel_axis,
        region=region,
        leave_out=leave_out,
    )
