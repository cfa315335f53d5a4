"""Where the pixels of both images confirm a field.

A field that was refined is right to the pixel wherever what it brings looks
like what is there. A small thing that moves on a still ground is where that
fails, although both directions agree: so likeness is asked for within a few
pixels, not over the wide surroundings that the refinement needs. Labels then
go exactly where the field leads; elsewhere other evidence is asked. This is
not part of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import minimum_filter
from scipy.special import expit

from napari_samnet.arrays.resize import center_grid, resized
from napari_samnet.arrays.types import FloatArray
from napari_samnet.matching.lucas_kanade import described
from napari_samnet.warping.fields import Mapping, round_trip, sample_field

if TYPE_CHECKING:
    from torch import Tensor

#: Width in pixels of the mean and deviation that are taken out of brightness
#: and steepness.
LOCAL = 5.0

#: Width in pixels of the correlation, the correlation that confirms by half,
#: and its softness. Chosen on objects cut from training images that move over
#: photographs, where what moves must not be confirmed, beside known warps.
WIDTH, ALIKE, SOFT = 6.0, 0.8, 0.05

#: Forward-backward error in pixels at which confirmation has fallen to 61 %.
AGREED = 1.0

#: Forward-backward error in sides of the image at which a cell of the source
#: counts 61 % of its match; cells are coarser than pixels.
RETURNS = 1 / 64

#: Pixels per place that is confirmed or not, and how many places around one
#: must be confirmed with it.
PLACE, AROUND = 4, 3

#: Pixels per point whose way there and back is followed.
RETURNED = 2

#: Share of the places whose match is right within 3 px of 256 where they are
#: confirmed by ENOUGH or more: on eight bundled photographs with known warps
#: and eight with an object that moves on its own.
RIGHT, ENOUGH = 0.98, 0.3


def confirmed(
    source: FloatArray,
    target: FloatArray,
    forward: FloatArray,
    backward: FloatArray,
) -> FloatArray:
    """Find places of the target where the field is right to the pixel.

    ``source``, ``target`` (n, n, 3): both images, squashed to the same square,
    in [0, 1].
    ``forward``, ``backward`` (h, w, 2): normalized displacements (row,
    column).
    Returns: (n // 4, n // 4): how far each place of the target is confirmed,
    from 0 to 1.
    """
    side = target.shape[0]
    at = Mapping(backward, (side, side), (side, side))
    alike = _alike(source, target, at.positions(slice(0, side)))
    # How far a point ends from its start changes slowly, so that every second
    # one is enough of them.
    half = side // RETURNED
    error, inside = round_trip(backward, forward, 2 * (half,), slice(0, half))
    error *= side / AGREED
    squared = np.square(error, out=error).sum(0)
    returned = np.exp(squared / -2) * inside
    places = returned[..., None] * _blocks(expit((alike - ALIKE) / SOFT), half)
    places = _blocks(places.mean(-1), side // PLACE).mean(-1)
    return np.asarray(minimum_filter(places, AROUND), np.float32)


def _blocks(values: FloatArray, count: int) -> FloatArray:
    """The values (n, n) of so many squares a side, (count, count, K)."""
    side = len(values) // count
    parts = values[: count * side, : count * side]
    parts = parts.reshape(count, side, count, side).swapaxes(1, 2)
    return parts.reshape(count, count, side * side)


def confirmed_shares(
    confirmation: FloatArray,
    forward: FloatArray,
    backward: FloatArray,
    shape: Sequence[int],
) -> FloatArray:
    """How far the pixels confirm the matches of cells of both images.

    A cell of the source is confirmed if its match is, and leads back to it.

    ``confirmation`` (n, m): places of the target, as :func:`confirmed` gives
    them.
    ``forward``, ``backward`` (h, w, 2): normalized displacements (row, column)
    from source to target and back.
    ``shape``: rows and columns of the cells.
    Returns: (2, rows, columns): of source and target, from 0 to 1; 1 from
    `ENOUGH` on.
    """
    rows, columns = shape
    places = np.minimum(confirmation / ENOUGH, 1)[..., None]
    here = np.moveaxis(center_grid((rows, columns)), -1, 0)
    step = sample_field(forward, here)
    there = here + step
    inside = np.all((there >= 0) & (there < 1), axis=0)
    there = there.clip(0, 1)
    error = step + sample_field(backward, there)
    returns = np.exp(-np.square(error / RETURNS).sum(0) / 2) * inside
    share = np.stack(
        [
            sample_field(places, there)[0] * returns,
            resized(places, rows, columns)[..., 0],
        ]
    )
    return share.clip(0, 1).astype(np.float32)


def raised_confidence(
    confidence: FloatArray,
    confirmation: FloatArray,
    forward: FloatArray,
    backward: FloatArray,
) -> FloatArray:
    """Confidence that knows of what the pixels confirm.

    ``confidence`` (2, h, w): of the field from source to target and back, from
    0 to 1. Where it is 0, on what was left out, it stays so.
    ``confirmation``, ``forward``, ``backward``: the same that
    :func:`confirmed_shares` takes.
    Returns: (2, h, w): up to RIGHT where the pixels confirm, elsewhere as it
    was.
    """
    share = confirmed_shares(
        confirmation, forward, backward, confidence.shape[1:]
    )
    gain = np.maximum(RIGHT - confidence, 0) * share
    return (confidence + gain * (confidence > 0)).astype(np.float32)


def _alike(
    source: FloatArray, target: FloatArray, at: FloatArray
) -> FloatArray:
    """Correlation of the target with what is seen of the source, (n, n).

    ``at`` (2, n, n): row and column of the source for each pixel.
    """
    import torch

    from napari_samnet.color.lucas_kanade import sampled
    from napari_samnet.color.smoothing import blurred

    with torch.inference_mode():
        seen = sampled(_described(source), torch.from_numpy(at))
        here = _described(target)
        sums = [(a * b).sum(0) for a, b in ((here, seen), (here, here))]
        sums.append(seen.square().sum(0))
        both, of_target, of_source = blurred(
            torch.stack(sums), WIDTH, mirrored=True
        )
        product = (of_target * of_source).clamp_min_(1e-6)
        alike: FloatArray = (both / product.sqrt_()).numpy()
    return alike


def _described(image: FloatArray) -> Tensor:
    """What the refinement compares, ``(2, n, n)``."""
    import torch

    pixels = torch.from_numpy(np.array(np.moveaxis(image, -1, 0)))
    return described(pixels[None], LOCAL)[0]
