"""match(source, target): from two images to their correspondence.

Underneath is a generator, :func:`match_steps`, that yields after every
iteration and can be closed between any two: the plugin's worker, the command
line's progress bar and :func:`match` all drive the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_samnet.arrays.checks import as_array, check_function
from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.images.plane import Plane
from napari_samnet.matching.attempt import Attempt
from napari_samnet.matching.job import MatchJob
from napari_samnet.matching.labeled import labeled
from napari_samnet.matching.landmarks import (
    checked_landmarks,
    match_from_landmarks,
)
from napari_samnet.matching.region import kept_parts
from napari_samnet.matching.step import Step
from napari_samnet.options import DEFAULTS, MatchOptions
from napari_samnet.runtime.devices import (
    MemoryShortageError,
    fallback_targets,
    resolve_execution_target,
)
from napari_samnet.samnet.config import STRIDE

if TYPE_CHECKING:
    from napari_samnet.samnet.given_features import FeatureFunction


def match_steps(
    source: Any,
    target: Any,
    options: MatchOptions = DEFAULTS,
    *,
    features: FeatureFunction | None = None,
    labels: Any = None,
    region: Any = None,
    leave_out: Any = None,
    transferred: bool = True,
    carried: bool = False,
    source_channel_axis: int | None = None,
    target_channel_axis: int | None = None,
) -> Generator[Step, None, Correspondence]:
    """Match two images step by step.

    Parameters
    ----------
    source, target : array_like
        2-D images, see :func:`match`.
    options : MatchOptions
        Options of the match.
    features : callable, optional
        What computes the features, see :func:`match`.
    labels : array_like of int or bool, shape (Hs, Ws), optional
        Labels of the source. The largest of them are each taken to move as
        one where their matches agree on it.
    region, leave_out : array_like or tuple of two, optional
        Parts of the images that are matched, or left out, see :func:`match`.
    transferred : bool
        Make the transferred image, see :func:`match`.
    carried : bool
        Carry the labels as well, see :func:`match`: beside the colors, where
        there are two cores.
    source_channel_axis, target_channel_axis : int, optional
        Axis of the channels, where it is not the last of an RGB image.

    Yields
    ------
    Step
        Two while preparing, then one per iteration.

    Returns
    -------
    Correspondence
        As the generator's value. Close the generator to stop early, and call
        the last step's `snapshot` for what has been found.

    Raises
    ------
    InputError
        If the images, the options, the weights or the device cannot be used.
    """
    from napari_samnet.runtime.weights import get_weights

    job = MatchJob(
        source,
        target,
        options,
        {'source': source_channel_axis, 'target': target_channel_axis},
        features,
        labels,
        region=region,
        leave_out=leave_out,
        transferred=transferred,
        carried=carried,
    )
    total = options.iterations
    yield Step(0, total, 'loading the network')
    place = resolve_execution_target(
        options.device,
        options.precision,
        options.backend,
        weights=get_weights(options.weights),
    )
    shortage = ''
    for tried, size in (
        (place, options.size),
        *fallback_targets(place, options.size, _least_size(options)),
    ):
        if shortage:
            job.warnings.append(
                f'{shortage.partition(";")[0]}: going on at size {size} on '
                f'{tried.device}'
            )
            yield Step(0, total, job.warnings[-1])
        try:
            return (yield from Attempt(job, tried, size).steps())
        except MemoryShortageError as error:
            shortage = str(error)
        job.free_caches()
    raise MemoryShortageError(shortage)


def _least_size(options: MatchOptions) -> int:
    """Smallest working size that the search window fits in."""
    cells = options.window * (2 if options.coarse_iterations else 1)
    return STRIDE * cells


def match(
    source: Any,
    target: Any,
    *,
    labels: Any = None,
    landmarks: Any = None,
    region: Any = None,
    leave_out: Any = None,
    features: FeatureFunction | None = None,
    transferred: bool = True,
    window: int = DEFAULTS.window,
    iterations: int = DEFAULTS.iterations,
    size: int = DEFAULTS.size,
    device: str = DEFAULTS.device,
    precision: str = DEFAULTS.precision,
    backend: str = DEFAULTS.backend,
    weights: str = DEFAULTS.weights,
    attributes: bool = DEFAULTS.attributes,
    evidence: bool = DEFAULTS.evidence,
    outlines: bool = DEFAULTS.outlines,
    init: str = DEFAULTS.init,
    motions: int = DEFAULTS.motions,
    alikeness: float = DEFAULTS.alikeness,
    orientation: str | float = DEFAULTS.orientation,
    fine: bool = DEFAULTS.fine,
    confidence: str = DEFAULTS.confidence,
    candidates: bool = DEFAULTS.candidates,
    coarse_iterations: int = DEFAULTS.coarse_iterations,
    feedback: str = DEFAULTS.feedback,
    lambda_max: float = DEFAULTS.lambda_max,
    skip: float = DEFAULTS.skip,
    tolerance: float = DEFAULTS.tolerance,
    reference: bool = DEFAULTS.reference,
    source_channel_axis: int | None = None,
    target_channel_axis: int | None = None,
    on_step: Callable[[Step], object] | None = None,
) -> Correspondence:
    """Find the dense semantic correspondence of two images [1]_.

    Parameters
    ----------
    source, target : array_like
        2-D images of any size and real dtype: gray ``(H, W)``, RGB or RGBA
        ``(H, W, 3 or 4)``, or with any number of channels along a given
        axis. The two need not have the same size, dtype or channels.
    labels : array_like of int or bool, optional
        Labels of the source, ``(H, W)``; warped to the target they are the
        result's `warped_labels`. The motion inside each of the eight largest
        is a hypothesis of the start, unless `motions` is 1, so that what is
        drawn is followed where it moves on its own.
    landmarks : tuple of array_like, optional
        Pairs of points that the fields shall meet: row and column in pixels
        of the source, (K, 2), and of the target, (K, 2). Where three or more
        contradict the match, it starts again from their affine motion. See
        :meth:`Correspondence.with_landmarks`.
    region : array_like of bool or int, or tuple of two, optional
        The part that is matched, where it is not 0: ``(H, W)`` for the
        source, or two arrays for source and target, of which None stands for
        all of an image. What is outside is compared with nothing: the field
        goes on there as it is around, and the confidence is 0.
    leave_out : array_like of bool or int, or tuple of two, optional
        The part that is not matched, given in the same way: damaged tissue,
        or a second animal.
    features : callable, optional
        Other features than the network's: a function from a float32 tensor
        of RGB images in [0, 1], ``(B, 3, size, size)``, to their feature
        maps, ``(B, C, h, w)``, of any stride and sign. They are matched
        without anything learned; `weights`, `precision` and `backend` do not
        count, and `orientation` 'auto' leaves the target upright.
    transferred : bool
        Make the image with the target's attributes. Without it the fields
        are the same, and the time of its colors is saved.
    window, iterations, size, device, precision, backend, weights, \
attributes, evidence, outlines, init, motions, alikeness, orientation, fine, \
confidence, candidates, coarse_iterations, feedback, lambda_max, skip, \
tolerance, reference
        The same as in :class:`~napari_samnet.MatchOptions`.
    source_channel_axis, target_channel_axis : int, optional
        Axis of the channels, where it is not the last of an RGB image.
    on_step : callable, optional
        Called with a :class:`Step` after each one. If it returns True, the
        match stops there and its result so far is returned.

    Returns
    -------
    Correspondence
        Fields in both directions at the images' own size, confidence, and
        the attribute-transferred source.

    Raises
    ------
    InputError
        If the images, labels, options, weights or device cannot be used.

    References
    ----------
    .. [1] Kim, Min, Jeong, Kim, Jeon, Sohn. Semantic Attribute Matching
       Networks. CVPR 2019. arXiv:1904.02969

    Examples
    --------
    >>> import numpy as np
    >>> from napari_samnet import match
    >>> image = np.random.default_rng(0).random((64, 64, 3))
    >>> result = match(image, image, size=64, window=5, iterations=1)
    >>> result.flow.shape
    (64, 64, 2)
    """
    check_function('on_step', on_step)
    options = MatchOptions(
        window=window,
        iterations=iterations,
        size=size,
        device=device,
        precision=precision,
        backend=backend,
        weights=weights,
        attributes=attributes,
        evidence=evidence,
        outlines=outlines,
        init=init,
        motions=motions,
        alikeness=alikeness,
        orientation=str(orientation),
        fine=fine,
        confidence=confidence,
        candidates=candidates,
        coarse_iterations=coarse_iterations,
        feedback=feedback,
        lambda_max=lambda_max,
        skip=skip,
        tolerance=tolerance,
        reference=reference,
    )
    if labels is not None:
        labels = as_array(labels, 'labels')
    pairs = None if landmarks is None else checked_landmarks(landmarks)
    planes = [
        Plane.of(image, name=name, channel_axis=axis)
        for image, name, axis in (
            (source, 'source', source_channel_axis),
            (target, 'target', target_channel_axis),
        )
    ]
    kept = kept_parts(region, leave_out, (planes[0].shape, planes[1].shape))
    result = _run(
        match_steps(
            planes[0],
            planes[1],
            options,
            features=features,
            labels=labels,
            region=kept,
            transferred=transferred,
            carried=pairs is None,
            source_channel_axis=source_channel_axis,
            target_channel_axis=target_channel_axis,
        ),
        on_step,
    )
    if pairs is not None:
        result = match_from_landmarks(
            result,
            target,
            pairs,
            lambda nearer: _run(
                match_steps(
                    planes[0],
                    nearer,
                    replace(options, orientation='upright'),
                    features=features,
                    labels=labels,
                    # The target is bent by then, and seen in whole.
                    region=kept[0],
                    transferred=transferred,
                    source_channel_axis=source_channel_axis,
                    target_channel_axis=target_channel_axis,
                ),
                on_step,
            ),
        )
    if labels is None or result.warped_labels is not None:
        return result
    carried, record = labeled(result, labels, planes[1] if outlines else None)
    result.metadata.update(record)
    return replace(result, warped_labels=carried)


def _run(
    steps: Generator[Step, None, Correspondence],
    on_step: Callable[[Step], object] | None,
) -> Correspondence:
    """Drive the steps of a match to their end, or until they are stopped."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Correspondence = end.value
            return result
        if on_step is not None and on_step(step) is True:
            if step.snapshot is None:
                raise InputError(
                    'on_step stopped the match before its first iteration, '
                    'when there is no result yet'
                )
            stopped: Correspondence = step.snapshot(final=True)
            steps.close()
            return stopped
