"""Which layers of motion explain two images better than one field does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_samnet.matching.lucas_kanade import seen_through, shrunk
from napari_samnet.matching.motion_layers import Layers, resampled

if TYPE_CHECKING:
    from torch import Tensor

#: Layers of motion are taken where the difference of the images is at most
#: this many times what it is without them. They have less freedom, and end
#: where things do.
BETTER = 1.06

#: Least belief by layers: where what moves also changes, as an animal does,
#: its pixels cannot be compared, and less is believed.
CLEAR = 0.5

#: A part that the field has missed is taken where its own pixels then differ
#: by at most this many times what they did, and are believed by so much.
GAIN, BELIEVED = 0.85, 0.3

#: How far places of both images are believed, ``(2, 1, n, n)``, from how these
#: are described and the places.
Belief = Callable[['Tensor', 'Tensor'], 'Tensor']


def composed_of(
    layers: Layers, places: Tensor, described: Tensor, believed: Belief
) -> tuple[Tensor, Tensor] | None:
    """Places by layers of motion, and how far they are believed.

    ``places``: ``(2, 2, n, n)``, normalized (x, y) without layers.
    ``described``: ``(2, C, m, m)``, what the images are compared by.
    Where the fields have several motions, those that they have missed compete
    with them, and all are judged as a whole. Then each missed one is judged by
    its own pixels, and where any is right by them, only such ones are taken.
    Returns: ``places``: ``(2, 2, m, m)``; ``believed``: ``(2, n, n)``. None
    where layers explain the images no better, or little is believed.
    """
    found = None
    if layers.known > len(places):
        found = _all_layers(layers, places, described, believed)
    if layers.known < len(layers.image):
        return _with_missed(layers, places, found, described, believed)
    return found


def _all_layers(
    layers: Layers, places: Tensor, described: Tensor, believed: Belief
) -> tuple[Tensor, Tensor] | None:
    """The same, each pixel by the layer that it was given to."""
    belief = believed(described, layers.composed(places.shape[-1]))
    if float(belief.mean()) < CLEAR:
        return None
    composed = layers.composed(described.shape[-1])
    before, after = (
        float(_difference(described, one).mean()) for one in (places, composed)
    )
    return None if after > BETTER * before else (composed, belief[:, 0])


def _with_missed(
    layers: Layers,
    places: Tensor,
    found: tuple[Tensor, Tensor] | None,
    described: Tensor,
    believed: Belief,
) -> tuple[Tensor, Tensor] | None:
    """The same with the parts that the field has missed.

    ``found``: what comes of all layers, if they explain the images.
    """
    import torch

    side, cells = described.shape[-1], places.shape[-1]
    layer = layers.chosen(side)
    now = finer = resampled(places, side)
    if found is not None:
        now = torch.where(layer < layers.known, found[0], finer)
    difference = _difference(described, now)
    taken = False
    for number in range(layers.known, len(layers.image), 2):
        own = (layer == number) | (layer == number + 1)
        if not own.any():
            continue
        part = resampled(layers.places[number : number + 2], side)
        with_part = torch.where(own, part, now)
        after = _difference(described, with_part)
        if float(after[own].sum()) > GAIN * float(difference[own].sum()):
            continue
        share = shrunk(own.float(), side // cells)
        belief = believed(described, shrunk(with_part, side // cells)) * share
        if float(belief.sum()) > BELIEVED * float(share.sum()):
            now, difference, taken = with_part, after, True
    if not taken:
        return found
    return now, believed(described, shrunk(now, side // cells))[:, 0]


def _difference(described: Tensor, places: Tensor) -> Tensor:
    """How far each pixel differs from what is at its place, from 0 to 1."""
    seen, inside = seen_through(described.flip(0), places)
    squared = (described - seen).square().mean(1, keepdim=True)
    return inside * squared / (squared + 1) + (1 - inside)
