"""The motion of a scene, continued to where nothing of it is seen.

A plain wall, or what has left the image, does not say where it went, and the
field ends there in whatever the network took for alike. Where pixels are sure
of enough of a scene, and most of these agree with one motion of few
parameters, that motion goes on into the rest. What moves on its own is left
alone: cells near others that pixels have led elsewhere, or whose most alike
cells confirm the field and not this motion. This is not part of the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samnet.matching.lucas_kanade import (
    blurred,
    correlation,
    sample,
    seen_through,
    shrunk,
    spread_out,
    still_places,
)
from napari_samnet.matching.missed_motions import CellMatches
from napari_samnet.matching.motion_layers import resampled

if TYPE_CHECKING:
    from torch import Tensor

#: A cell is sure by half where what is seen there correlates by this over so
#: many cells, and with this softness; forward-backward error in sides of the
#: image at which that has fallen to 61 %.
ALIKE, WIDTH, SOFT, AGREED = 0.8, 1.5, 0.05, 1 / 256

#: How sure a cell must be to say where the scene goes, share of each image
#: that must be, and share of those that must agree with the motion.
SURE, LEAST, MOST = 0.5, 0.1, 0.6

#: Rounds of the fit, and the misfit in sides of the image at which a cell
#: counts a quarter in the first and in the last; one of less than twice the
#: last agrees.
ROUNDS, WIDE, NARROW = 6, 1 / 16, 1 / 128

#: Pull of the motion towards none, relative to the sums of the fit.
PULL = 1e-4

#: What the nearest sure cells leave of the motion fades where their weights
#: sum to less than this.
FAINT = 1e-7

#: Share of the sure cells around one that must agree for the motion to go on.
AROUND = 0.5

#: Matches there and back that miss each other by at most so many of their
#: cells vote: for the motion if they miss it by at most as much, against it if
#: by more than the second number, and the field by no more than the first.
MUTUAL, AWAY = 1.5, 2.0

#: Width in cells over which votes are counted, and the most votes against the
#: motion per vote for it, around a cell and in both images.
COUNTED, AGAINST, AGAINST_ALL = 2.0, 0.1, 0.2


def continued_motion(
    places: Tensor, described: Tensor, matches: CellMatches, cells: int
) -> Tensor:
    """Places, those of which nothing is seen by the motion of the others.

    ``places``: ``(2, 2, m, m)``, normalized (x, y) of the other image.
    ``described``: ``(2, C, k, k)``, what both images are compared by.
    ``matches``: the most alike cells of both.
    ``cells``: cells a side by which it is judged.
    Returns: of the same shape; `places` itself where the scene has no such
    motion.
    """
    import torch
    import torch.nn.functional as F

    coarse = resampled(places, cells)
    sure = _sureness(described, places, coarse)
    told = sure > SURE
    if float(told.flatten(1).float().mean(1).min()) < LEAST:
        return places
    weight = sure * told
    motion, agrees = _motion(coarse, weight)
    if float((weight * agrees).sum()) < MOST * float(weight.sum()):
        return places
    own = spread_out(torch.cat((weight * agrees, weight), 1))
    left = _motion_left(coarse - motion(cells), weight * agrees)
    side = places.shape[-1]
    further = motion(side) + resampled(left, side)
    votes = _votes(matches, further, places)
    if float(votes[:, 1].sum()) > AGAINST_ALL * float(votes[:, 0].sum()):
        return places
    near = blurred(votes, COUNTED)
    taken = (near[:, 1:] <= AGAINST * near[:, :1]).float()
    taken = F.interpolate(taken, size=(cells, cells), mode='nearest')
    taken = taken * ~told * (own[:, :1] >= AROUND * own[:, 1:])
    if side != cells:
        taken = F.interpolate(taken, size=(side, side), mode='nearest')
    return torch.where(taken > 0, further, places)


def _sureness(described: Tensor, places: Tensor, coarse: Tensor) -> Tensor:
    """How sure pixels are of each cell and its neighbors, ``(2, 1, n, n)``."""
    import torch
    import torch.nn.functional as F

    cells = coarse.shape[-1]
    seen, inside = seen_through(described.flip(0), places)
    alike = correlation(described, seen, inside, cells, WIDTH)
    still = still_places(coarse)
    error = coarse - still + sample(coarse.flip(0) - still, coarse)
    squared = error.square().sum(1, keepdim=True) / AGREED**2
    sure = torch.sigmoid((alike - ALIKE) / SOFT) * torch.exp(-squared / 2)
    sure = sure * shrunk(inside, inside.shape[-1] // cells)
    return -F.max_pool2d(-sure, 3, 1, 1)


class _Quadratic:
    """Motions of two images, quadratic in the place.

    ``coefficients``: ``(2, 6, 2)``.
    """

    def __init__(self, coefficients: Tensor) -> None:
        self._coefficients = coefficients

    def __call__(self, side: int) -> Tensor:
        """Where it leads on a grid, ``(2, 2, side, side)``."""
        terms = _terms(side, self._coefficients)
        led = (terms @ self._coefficients).transpose(1, 2)
        return led.reshape(-1, 2, side, side)


def _terms(side: int, like: Tensor) -> Tensor:
    """1, x, y, x², xy and y² from the middle of a grid, ``(side², 6)``."""
    import torch

    at = (torch.arange(side, device=like.device) + 0.5) / side - 0.5
    y, x = torch.meshgrid(at, at, indexing='ij')
    one = torch.ones_like(x)
    return torch.stack((one, x, y, x * x, x * y, y * y), -1).flatten(0, 1)


def _motion(places: Tensor, weight: Tensor) -> tuple[_Quadratic, Tensor]:
    """The motion that most cells with weight agree with, and which do."""
    import torch

    x = _terms(places.shape[-1], places)
    y = places.flatten(2).transpose(1, 2)
    still = x.new_zeros(x.shape[1], 2)
    still[0], still[1, 0], still[2, 1] = 0.5, 1.0, 1.0
    eye = torch.eye(x.shape[1], device=x.device)
    prior = share = weight.flatten(1)
    for number in range(ROUNDS):
        weighted = (x * share[..., None]).transpose(1, 2)
        sums = weighted @ x
        pull = PULL * sums.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        found = torch.linalg.solve(
            sums + pull * eye, weighted @ y + pull * still
        )
        error = (y - x @ found).norm(dim=2)
        width = WIDE * (NARROW / WIDE) ** (number / (ROUNDS - 1))
        share = prior / (1 + (error / width).square()).square()
    return _Quadratic(found), (error < 2 * NARROW).view_as(weight)


def _motion_left(rest: Tensor, weight: Tensor) -> Tensor:
    """What cells with weight leave of the motion, continued around them."""
    import torch

    sums = spread_out(torch.cat((rest * weight, weight), 1))
    return sums[:, :2] / (sums[:, 2:] + FAINT)


def _votes(matches: CellMatches, motion: Tensor, places: Tensor) -> Tensor:
    """Matches for the motion and for the places, ``(2, 2, rows, columns)``."""
    import torch
    import torch.nn.functional as F

    rows, columns = matches.size
    size = torch.tensor((columns, rows), device=places.device)
    at = [
        torch.from_numpy(best).to(places.device)
        for best in (matches.there, matches.back)
    ]
    cell = torch.arange(rows * columns, device=places.device)
    centers = torch.stack((cell % columns, cell // columns), 1) + 0.5
    led = [
        F.interpolate(
            one, size=(rows, columns), mode='bilinear', align_corners=False
        ).flatten(2)
        for one in (motion, places)
    ]
    votes = []
    for image in (0, 1):
        there, back = at[image], at[1 - image]
        goals = centers[there]
        missed = (centers[back[there]] - centers).norm(dim=1)
        off, now = ((one[image].T * size - goals).norm(dim=1) for one in led)
        mutual = missed <= MUTUAL
        votes.append(
            torch.stack(
                (
                    mutual & (off <= MUTUAL),
                    mutual & (off > AWAY) & (now <= MUTUAL),
                )
            )
        )
    return torch.stack(votes).float().view(2, 2, rows, columns)
