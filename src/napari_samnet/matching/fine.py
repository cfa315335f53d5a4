"""Down to the pixel: a field refined by the images themselves.

The network compares cells of eight pixels, so that its field ends a few
pixels off, although the pixels could tell where both images show the same
scene or specimen. There the rest of the way is found by the method of Lucas
and Kanade [1]_, from coarse to fine: window by window, the motion is solved
for that brings the second image, seen through the field, onto the first.

Compared are not colors, which differ with light and stain, but brightness
and steepness, each less its local mean and over its local deviation. Windows
without texture follow their neighbors. What comes out is believed where the
two images then are alike, and where both directions, which are solved for
independently, say the same. Elsewhere, and in the whole image where that is
hardly anywhere, the field stays as it was. This is not part of the paper.

References
----------
.. [1] Lucas, Kanade. An iterative image registration technique with an
   application to stereo vision. IJCAI 1981.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_samnet.arrays.resize import Upsampler, centers
from napari_samnet.arrays.types import FloatArray
from napari_samnet.matching.growing import Solver, grown
from napari_samnet.matching.lucas_kanade import (
    CELL,
    LEVELS,
    Descriptions,
    Level,
    blurred,
    sample,
    seen_through,
    shrunk,
    still_places,
)
from napari_samnet.matching.missed_motions import Missed, nothing_missed
from napari_samnet.matching.motion_composition import composed_of
from napari_samnet.matching.motion_layers import (
    Layers,
    refined_layers,
    separate_motions,
)
from napari_samnet.runtime.side_by_side import Later, PutOff

if TYPE_CHECKING:
    from torch import Tensor

#: Softness of the belief in a correlation, forward-backward error in pixels
#: at which it has fallen to 61 %, and width in cells over which both are
#: taken.
SOFT, AGREED, REGION = 0.08, 2.0, 4.0


class Belief(NamedTuple):
    """When a refined place is believed."""

    #: Correlation from which it is by half.
    alike: float
    #: Share of the image that must be for anything to be.
    share: float


#: Two images of which nothing is known, and two that surely show one
#: specimen, if in another stain.
UNKNOWN, SPECIMEN = Belief(0.4, 0.2), Belief(0.1, 0.05)

#: Pixels of the images per pixel at which this is judged.
JUDGED = 2


class Refined(NamedTuple):
    """Fields with a cell for every few pixels, or more as they came."""

    #: ``forward``, ``backward``: (h, w, 2): normalized displacements (row,
    #: column).
    forward: FloatArray
    backward: FloatArray
    #: (2, n, n): how far each place of the two images was refined, from 0 to
    #: 1, with a cell for every ``CELL`` pixels.
    believed: FloatArray


def refine(
    source: FloatArray,
    target: FloatArray,
    forward: FloatArray,
    backward: FloatArray,
    *,
    specimen: bool = False,
    again: bool = False,
    device: str = 'cpu',
    later: Later = PutOff,
    missed: Missed = nothing_missed,
) -> Refined | None:
    """Refine the fields of two images.

    ``source``, ``target`` (n, n, 3): both images, squashed to the same square,
    in [0, 1]; n is a multiple of 16.
    ``forward``, ``backward`` (h, w, 2): normalized displacements (row,
    column), within a few pixels of the truth.
    ``specimen``: whether they are known to show the same scene or specimen:
    then less likeness is asked for, so that stains may differ.
    ``again``: whether the fields have been refined at a smaller size, so that
    the coarsest level is left out.
    ``device``: where it is computed.
    ``later``: how a part is done beside the rest.
    ``missed``: finds motions of parts from which the fields lead away.
    Returns: None where the images do not show the same scene.
    """
    import torch

    cells = source.shape[0] // CELL
    start = np.stack([_places(one, cells) for one in (forward, backward)])
    belief = SPECIMEN if specimen else UNKNOWN
    given_up = Event()
    with torch.inference_mode():
        images = torch.from_numpy(np.stack([source, target])).to(device)
        seen = Descriptions(images.permute(0, 3, 1, 2))

        def layered() -> Layers | None:
            # Of another thread, perhaps, which has modes of its own.
            with torch.inference_mode():
                fields = forward, backward
                motions = separate_motions(
                    fields, cells, device, missed(fields)
                )
                return motions and refined_layers(seen, motions, given_up)

        begun = None if again else later(layered, soon=True)
        found, believed = _solved(
            seen,
            torch.from_numpy(start).to(device),
            LEVELS[1:] if again else LEVELS,
            belief,
        )
        if found is None:
            given_up.set()
            return None
        layers = None if begun is None else begun.result()
        if layers is not None:
            better = composed_of(
                layers, found, _judged(seen), partial(_believed, belief=belief)
            )
            if better is not None:
                composed, believed = better
                change = (composed - still_places(composed)).cpu().numpy()
                change = np.moveaxis(change[:, ::-1], 1, -1)
                return Refined(
                    np.ascontiguousarray(change[0]),
                    np.ascontiguousarray(change[1]),
                    believed.cpu().numpy(),
                )
        # Back from (x, y) to (row, column).
        change = found.cpu().numpy() - start
        change = np.moveaxis(change[:, ::-1], 1, -1)
    return Refined(
        _added(forward, change[0]),
        _added(backward, change[1]),
        believed.cpu().numpy(),
    )


def _added(field: FloatArray, change: FloatArray) -> FloatArray:
    """A field and a smooth change of it, on the finer grid of both."""
    rows, columns = np.maximum(field.shape[:2], change.shape[:2])
    one, other = (
        Upsampler(part, (rows, columns), extrapolate=True).rows(slice(0, rows))
        for part in (field, change)
    )
    return np.ascontiguousarray(np.moveaxis(one + other, 0, -1))


def _places(field: FloatArray, cells: int) -> FloatArray:
    """Normalized (x, y) of the other image at each cell, (2, cells, cells)."""
    at = Upsampler(field, (cells, cells), extrapolate=True)
    places = at.rows(slice(0, cells))[:2]
    row, column = (
        places[0] + centers(cells)[:, None],
        places[1] + centers(cells),
    )
    return np.stack([column, row]).astype(np.float32)


def _solved(
    images: Descriptions,
    start: Tensor,
    levels: Sequence[Level],
    belief: Belief,
) -> tuple[Tensor | None, Tensor]:
    """Refined places of both directions, and how far they are believed."""
    import torch

    solve = Solver(images)
    judge = partial(_believed, _judged(images), belief=belief)
    coarse, finest = levels[:-1], levels[-1:]
    places = solve(start, coarse)
    if coarse == LEVELS[:-1]:
        places, changed = grown(
            places, judge(places), partial(solve, levels=coarse), judge
        )
        start = torch.where(changed, places, start)
    places = solve(places, finest)
    believed = judge(places)
    if float(believed.mean()) < belief.share:
        return None, believed[:, 0]
    return start + (places - start) * believed, believed[:, 0]


def _judged(images: Descriptions) -> Tensor:
    """What places are judged by, of both images."""
    (level,) = (one for one in LEVELS if one.shrink == JUDGED)
    return images.of(level)


def _believed(one: Tensor, places: Tensor, belief: Belief) -> Tensor:
    """How far places are believed, ``(2, 1, n, n)``.

    ``one``: both images, as :func:`_judged` describes them.
    """
    import torch

    side = one.shape[-1] * JUDGED
    seen, inside = seen_through(one.flip(0), places)
    likeness = _correlation(one, seen, inside, places.shape[-1])
    back = sample(places.flip(0) - still_places(places), places)
    error = (places + back - still_places(places)) * side
    squared = error.square().sum(1, keepdim=True) / AGREED**2
    believed = torch.sigmoid((likeness - belief.alike) / SOFT)
    believed = believed * torch.exp(-squared / 2)
    believed = believed * shrunk(inside, inside.shape[-1] // places.shape[-1])
    return blurred(believed, REGION / 2)


def _correlation(
    one: Tensor, seen: Tensor, inside: Tensor, cells: int
) -> Tensor:
    """Correlation of two descriptions around each cell, ``(B, 1, h, w)``."""
    import torch

    parts = (one * seen, one * one, seen * seen)
    sums = torch.cat(
        [(inside * part).sum(1, keepdim=True) for part in parts], 1
    )
    both, of_one, of_seen = blurred(
        shrunk(sums, one.shape[-1] // cells), REGION
    ).split(1, 1)
    return both / (of_one * of_seen).sqrt().clamp_min(1e-3)
