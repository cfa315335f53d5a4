"""What somebody has drawn is a hypothesis of how things move."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_samnet.samnet.cell_matches import CellMatches
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import affine_field, flow_of, grid
from napari_samnet.samnet.recurrence import Recurrence
from napari_samnet.samnet.regions import region_maps
from napari_samnet.samnet.start import guided_start

Smooth = Callable[[Tensor], Tensor]

SIDE = 24
MAP = torch.tensor([[[0.9, -0.2, 6.0], [0.2, 0.9, 1.0]]])


def square(first: int, last: int) -> Tensor:
    """A region, ``(1, h, w)``."""
    region = torch.zeros(1, SIDE, SIDE)
    region[:, first:last, first:last] = 1
    return region


def matches(region: Tensor, batch: int = 1) -> CellMatches:
    """Matches that follow MAP inside a region, and stay outside."""
    flow = flow_of(affine_field(MAP, SIDE, SIDE)) * region
    shape = (batch, 1, SIDE, SIDE)
    count = SIDE * SIDE
    return CellMatches(
        torch.zeros(batch, count, count),
        flow.expand(batch, 2, SIDE, SIDE),
        torch.full(shape, 0.3),
    )


def test_the_map_of_a_region_is_that_of_its_matches() -> None:
    region = square(6, 14)
    found = region_maps(matches(region, 2), region)
    (field,) = found.fields
    inside = region[0] > 0
    truth = flow_of(affine_field(MAP, SIDE, SIDE))
    error = (flow_of(field)[:1] - truth).norm(dim=1)[0]
    assert error[inside].max() < 0.3
    # There and back again.
    there = (grid(SIDE, SIDE, truth) + flow_of(field)[0])[:, 10, 10]
    back = flow_of(field)[1][:, there[1].round().int(), there[0].round().int()]
    assert (there + back - 10).norm() < 1.0
    # Its own cells take it, and no others.
    lead = found.leads[0, :, 0].view(SIDE, SIDE)
    assert (lead[inside] > 1).all()
    assert (lead[~inside] < -1).all()
    assert (found.leads[1] < 1).all()


def test_regions_that_say_nothing_are_left_out() -> None:
    tiny = square(6, 7)
    assert not region_maps(matches(tiny), tiny).fields
    region = square(4, 20)
    noise = matches(region)._replace(motion=10 * torch.randn(1, 2, SIDE, SIDE))
    found = region_maps(noise, region)
    assert not found.fields
    assert found.leads.shape == (1, SIDE * SIDE, 0)


def test_a_drawn_object_is_followed_where_single_matches_are_few(
    smooth: Smooth,
) -> None:
    """Half of the object looks like nothing in the target."""
    points = grid(SIDE, SIDE, torch.zeros(()))[None]
    region = square(6, 14)
    shift = torch.tensor([7.0, 5.0]).view(1, 2, 1, 1)
    moved = torch.zeros_like(region)
    moved[:, 11:19, 13:21] = 1
    source = torch.where(region > 0, smooth(points + 100), smooth(points))
    target = torch.where(
        moved > 0, smooth(points + 100 - shift), smooth(points)
    )
    noise = normalize(torch.randn_like(source))
    hidden = region * (torch.rand(SIDE, SIDE) < 0.5)
    source = torch.where(hidden > 0, noise, source)
    errors = []
    for regions in (None, region):
        start = guided_start(source, target, Recurrence(), regions)
        error = (flow_of(start.field) - shift).norm(dim=1)[0]
        errors.append(error[region[0] > 0].mean())
    assert errors[1] < 0.5
    assert errors[1] < 0.5 * errors[0]
