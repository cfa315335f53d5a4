"""Learning a look from two images, whatever they have in common."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from napari_samnet.arrays.resize import resized
from napari_samnet.arrays.types import FloatArray
from napari_samnet.color.look import Look, fit_look
from napari_samnet.images.rgb import to_working
from napari_samnet.matching.job import check_options
from napari_samnet.matching.match import match
from napari_samnet.options import DEFAULTS, MatchOptions
from napari_samnet.warping.fields import Mapping


def learn_look(
    source: Any,
    target: Any,
    *,
    options: MatchOptions = DEFAULTS,
    source_channel_axis: int | None = None,
    target_channel_axis: int | None = None,
) -> Look:
    """Learn the change of color from one image to another.

    The two are matched, and colors are compared where they belong together,
    in proportion to the confidence of the match. The look can then be given
    to any number of images like the source, without matching them.

    Parameters
    ----------
    source : array_like
        An image as those that the look shall be given to.
    target : array_like
        An image that has the look, and shows something alike.
    options : MatchOptions
        How the two are matched. Attribute transfer is not needed and left
        out.
    source_channel_axis, target_channel_axis : int, optional
        Axis of the channels, where it is not the last of an RGB image.

    Returns
    -------
    Look
        Apply it with :meth:`~napari_samnet.color.look.Look.apply`. Its
        `notes` say where nothing could be learnt.

    Raises
    ------
    InputError
        If the images, the options, the weights or the device cannot be used.

    Examples
    --------
    >>> from napari_samnet import learn_look
    >>> from napari_samnet.datasets.samples import load_sample
    >>> pair = load_sample('tissue')
    >>> look = learn_look(pair.source, pair.target)  # doctest: +SKIP
    >>> image = look.apply(pair.source)  # doctest: +SKIP
    """
    check_options(options)
    result = match(
        source,
        target,
        source_channel_axis=source_channel_axis,
        target_channel_axis=target_channel_axis,
        **(asdict(options) | {'attributes': False}),
    )
    size = options.size
    small_source = to_working(
        source, size=size, name='source', channel_axis=source_channel_axis
    )
    small_target = to_working(
        target, size=size, name='target', channel_axis=target_channel_axis
    )
    positions = Mapping(result.forward, (size, size), (size, size)).positions(
        slice(0, size)
    )
    seen = _sampled(small_target, positions)
    inside = ((positions >= -0.5) & (positions <= size - 0.5)).all(axis=0)
    confidence = resized(
        result.forward_cell_confidence[..., None].astype(np.float64),
        size,
        size,
    )[..., 0]
    return fit_look(small_source, seen, inside * confidence**2)


def _sampled(image: FloatArray, places: FloatArray) -> FloatArray:
    """Pixels (h, w, 3) of an image at places (2, h, w) between its own."""
    import torch

    from napari_samnet.color.lucas_kanade import sampled

    planes = torch.from_numpy(image).permute(2, 0, 1)
    seen = sampled(planes, torch.from_numpy(places))
    return np.ascontiguousarray(seen.permute(1, 2, 0).numpy())
