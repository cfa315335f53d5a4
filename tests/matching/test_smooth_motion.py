"""The motion of a scene where nothing of it is seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from napari_samnet.matching.lucas_kanade import (
    LEVELS,
    Descriptions,
    sample,
    shrunk,
    still_places,
)
from napari_samnet.matching.missed_motions import CellMatches
from napari_samnet.matching.smooth_motion import continued_motion

#: Pixels, cells that are judged, and cells that are matched, of a side.
SIDE, CELLS, MATCHED = 256, 64, 32


class Scene(NamedTuple):
    """Two images of a scene with a part that is shown or not."""

    described: Tensor
    truth: Tensor
    matches: CellMatches
    #: ``(CELLS, CELLS)``: the part, in the first image.
    part: Tensor


def led(points: Tensor, *, inverse: bool) -> Tensor:
    """A slightly bent motion of normalized (x, y) ``(1, 2, h, w)``."""
    x, y = points[:, :1], points[:, 1:]
    bent = torch.cat((0.03 + 0.02 * y**2 + 0.01 * x, -0.02 + 0.02 * x * y), 1)
    return points - bent if inverse else points + bent


def scene(part: str) -> Scene:
    """A texture that moves, with a part that is 'plain' or an 'object'."""
    rng = np.random.default_rng(3)
    texture = gaussian_filter(rng.random((3, SIDE, SIDE)), (0, 2, 2))
    texture = (texture - texture.min()) / np.ptp(texture)
    second = torch.from_numpy(texture.astype(np.float32))[None]
    inner = slice(96, 176)
    if part == 'plain':
        second[..., inner, inner] = 0.5
    pixels = still_places(second)
    # The first image shows at x what the second one shows where x leads.
    first = sample(second, led(pixels, inverse=False))
    shown = torch.zeros(1, 1, SIDE, SIDE)
    shown[..., inner, inner] = 1
    where = sample(shown, led(pixels, inverse=False)) > 0.5
    truth = [led(pixels, inverse=way) for way in (False, True)]
    if part == 'object':
        # It goes another way, by 24 pixels more.
        own = pixels + torch.tensor([24 / SIDE, 0.0]).view(1, 2, 1, 1)
        first = torch.where(where, sample(second, own), first)
        truth[0] = torch.where(where, own, truth[0])
        there = torch.roll(where, 24, 3)
        back = pixels - torch.tensor([24 / SIDE, 0.0]).view(1, 2, 1, 1)
        truth[1] = torch.where(there, back, truth[1])
    described = Descriptions(torch.cat((first, second))).of(LEVELS[1])
    both = torch.cat([shrunk(one, SIDE // CELLS) for one in truth])
    ends = (shrunk(both, 2) * MATCHED).floor().clamp(0, MATCHED - 1).long()
    best = (ends[:, 1] * MATCHED + ends[:, 0]).flatten(1)
    if part == 'plain':
        # Cells of which nothing is seen are alike to any other.
        hidden = shrunk(where.float(), SIDE // MATCHED).flatten() > 0
        chance = torch.from_numpy(rng.permutation(MATCHED**2))
        best[0] = torch.where(hidden, chance, best[0])
    one, other = best.numpy()
    return Scene(
        described,
        both,
        CellMatches((MATCHED, MATCHED), one, other),
        shrunk(where.float(), SIDE // CELLS)[0, 0] > 0.5,
    )


def missed_by(places: Tensor, truth: Tensor, where: Tensor) -> float:
    """Mean error in pixels of the first image's cells."""
    error = (places - truth)[0].norm(dim=0) * SIDE
    return float(error[where].mean())


def test_a_plain_part_goes_with_what_is_around_it() -> None:
    given = scene('plain')
    wrong = given.truth.clone()
    wrong[0, :, given.part] += 14 / SIDE
    assert missed_by(wrong, given.truth, given.part) > 15
    found = continued_motion(wrong, given.described, given.matches, CELLS)
    assert missed_by(found, given.truth, given.part) < 4
    # What is surely seen stays exactly where it was.
    far = torch.ones_like(given.part)
    far[20:50, 20:50] = False
    far[:4], far[-4:], far[:, :4], far[:, -4:] = False, False, False, False
    assert missed_by(found, wrong, far) < 0.05


def test_what_moves_on_its_own_keeps_its_motion() -> None:
    given = scene('object')
    found = continued_motion(
        given.truth, given.described, given.matches, CELLS
    )
    assert missed_by(found, given.truth, given.part) < 0.5


@pytest.mark.parametrize('side', [CELLS, 2 * CELLS])
def test_finer_places_are_continued_as_well(side: int) -> None:
    given = scene('plain')
    wrong = given.truth.clone()
    wrong[0, :, given.part] += 14 / SIDE
    finer = torch.nn.functional.interpolate(
        wrong, size=(side, side), mode='bilinear', align_corners=False
    )
    found = continued_motion(finer, given.described, given.matches, CELLS)
    assert found.shape == finer.shape
    coarse = shrunk(found, side // CELLS)
    assert missed_by(coarse, given.truth, given.part) < 4


def test_nothing_is_continued_from_hardly_anything() -> None:
    given = scene('plain')
    rng = torch.Generator().manual_seed(0)
    wrong = given.truth + 0.2 * torch.randn(given.truth.shape, generator=rng)
    found = continued_motion(wrong, given.described, given.matches, CELLS)
    assert found is wrong
