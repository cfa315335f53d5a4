"""Motion continued from where it is believed to where it is not.

The network may take a part of an image for something else that looks alike,
such as one cell among hundreds, though the parts around it are matched to the
pixel. From these the motion is continued, cell by cell outwards, solved for
anew, and kept where the images then are more alike than before. A thing that
moves on its own is not alike by the motion of what is around it, so it keeps
its own. This is not part of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari_samnet.matching.lucas_kanade import (
    Descriptions,
    Level,
    moved_step,
    seen_through,
    slopes,
    spread_out,
    still_places,
)

if TYPE_CHECKING:
    from torch import Tensor

#: Belief from which on motion is continued, and by which it must rise.
SURE, RISE = 0.5, 0.1

#: How often motion is continued, the share of cells worth trying it for, and
#: the rise of the mean belief below which it ends.
ROUNDS, WORTH, LEAST_RISE = 5, 0.01, 0.002

#: Sums of weights below this are none.
FAINT = 1e-12


class Solver:
    """Solves for the motion between two images, level by level."""

    def __init__(self, images: Descriptions) -> None:
        self._images = images

    def __call__(self, start: Tensor, levels: Sequence[Level]) -> Tensor:
        """Refine places.

        ``start``: ``(2, 2, h, w)``: normalized (x, y) of the other image.
        ``levels``: from coarse to fine. Returns: places of the same shape.
        """
        import torch

        right, down = slopes(start)

        def moved(motion: Tensor) -> Tensor:
            places = torch.addcmul(start, right, motion[:, :1])
            return places.addcmul_(down, motion[:, 1:])

        motion = torch.zeros_like(start)
        for level in levels:
            one = self._images.of(level)
            other = one.flip(0)
            for _ in range(level.rounds):
                seen, inside = seen_through(other, moved(motion))
                motion = moved_step(one, seen, inside, motion, level)
        return moved(motion)


def grown(
    places: Tensor,
    believed: Tensor,
    solved: Callable[[Tensor], Tensor],
    judged: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Continue motion to where it is not believed.

    ``places``: ``(2, 2, h, w)``: normalized (x, y) of the other image.
    ``believed``: ``(2, 1, h, w)``: how far they are believed, from 0 to 1.
    ``solved``: refines places. ``judged``: how far places are believed.
    Returns: places, those of most cells as they were, and which changed,
    ``(2, 1, h, w)`` bool.
    """
    import torch

    changed = torch.zeros_like(believed, dtype=torch.bool)
    for _ in range(ROUNDS):
        sure = believed >= SURE
        further = continued(places, believed * sure)
        inside = ((further > 0) & (further < 1)).all(1, keepdim=True)
        if float((~sure & inside).float().mean()) < WORTH:
            break
        tried = solved(torch.where(sure, places, further))
        now = judged(tried)
        better = now > believed + RISE
        rise = float(((now - believed) * better).mean())
        if rise < LEAST_RISE:
            break
        places = torch.where(better, tried, places)
        believed = torch.where(better, now, believed)
        changed |= better
    return places, changed


def continued(places: Tensor, weight: Tensor) -> Tensor:
    """Where places lead, continued from the cells with weight.

    ``places``: ``(B, 2, h, w)``: normalized (x, y).
    ``weight``: ``(B, 1, h, w)``, from 0. Returns: what the affine maps of the
    nearest cells with weight say.
    """
    import torch

    at = still_places(places)
    right, down = (part * places.shape[-1] for part in slopes(places))
    rest = places - right * at[:, :1] - down * at[:, 1:]
    maps = torch.cat((right, down, rest, torch.ones_like(weight)), 1) * weight
    total = spread_out(maps)
    right, down, rest = (total[:, :6] / (total[:, 6:] + FAINT)).split(2, 1)
    return right * at[:, :1] + down * at[:, 1:] + rest
