"""Bend a match to landmarks, in the worker."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.io.landmarks_csv import Landmarks
from napari_samnet.plugin.model.request import Report, Request


def bent_to_landmarks(
    match: Correspondence,
    landmarks: Landmarks | None,
    source: NDArray[Any],
    target: NDArray[Any],
    request: Request,
) -> Correspondence:
    """Bend a match to pairs of points, and its transferred image with it.

    ``match``: what was found without landmarks.
    ``request``: how they were matched, and what is wanted of them.
    Returns: `match` itself if there are no landmarks to meet, and no
    transferred image is missing.
    """
    if landmarks is not None and landmarks.active.any():
        match = match.with_landmarks(*landmarks.used)
    wanted = 'transferred' in request.outputs and request.options.attributes
    if not wanted or match.transferred is not None:
        return match
    from napari_samnet.color.guided_affine import transfer_colors
    from napari_samnet.color.transfer import recolored
    from napari_samnet.images.rgb import to_working

    size = request.options.size
    axes = request.source.channel_axis, request.target.channel_axis
    small_source, small_target = (
        to_working(image, size=size, channel_axis=axis)
        for image, axis in zip((source, target), axes, strict=True)
    )
    sure = match.forward_cell_confidence
    colors = recolored(
        small_source,
        small_target,
        match.forward,
        sure**2,
        likely=None if request.options.confidence == 'paper' else sure,
    )
    recolored_source = transfer_colors(source, *colors, channel_axis=axes[0])
    return replace(match, transferred=recolored_source)


def started_again(
    match: Correspondence,
    landmarks: Landmarks | None,
    planes: tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_] | None],
    request: Request,
    stop: Event,
) -> Generator[Report, None, Correspondence]:
    """Match again from landmarks, where they contradict a match.

    ``match``: what was found without landmarks.
    ``planes``: source and target, and the pixels of the source that are
    matched; all of them if None.
    ``stop``: set to stop after the current iteration.
    Returns: `match` itself where it agrees with the landmarks.
    """
    if landmarks is None or not landmarks.active.any():
        return match
    bent = match.with_landmarks(*landmarks.used)
    if not bent.metadata['landmarks']['restarted'] or stop.is_set():
        return match
    yield Report(0, 0, 'matching again from the landmarks')
    from napari_samnet.matching.landmarks import match_again
    from napari_samnet.matching.match import match_steps

    source, target, kept = planes

    def rematch(nearer: NDArray[Any]) -> Correspondence:
        steps = match_steps(
            source,
            nearer,
            replace(request.options, orientation='upright'),
            # The target is bent by then, and seen in whole.
            region=kept,
            source_channel_axis=request.source.channel_axis,
            target_channel_axis=request.target.channel_axis,
        )
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                again: Correspondence = end.value
                return again
            if stop.is_set() and step.snapshot is not None:
                stopped: Correspondence = step.snapshot(final=True)
                steps.close()
                return stopped

    return match_again(match, target, landmarks.used, rematch) or match
