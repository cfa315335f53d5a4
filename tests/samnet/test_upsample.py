"""Fields between the centers of their cells."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_samnet.samnet.field import affine_field, flow_of, grid
from napari_samnet.samnet.upsample import sample_affine

SIDE = 12
SAMPLES = 4

STILL = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
TURNED = torch.tensor([[[0.9, 0.3, 4.0], [-0.2, 1.1, 3.0]]])


def places(samples: int = SAMPLES) -> Tensor:
    """Where the samples are, ``(2, n, n)`` in (x, y) cells."""
    side = SIDE * samples
    return (grid(side, side, torch.zeros(1)) + 0.5) / samples - 0.5


def moved(matrix: Tensor, at: Tensor) -> Tensor:
    """Displacement of places by an affine map, ``(2, n, n)``."""
    linear, shift = matrix[0, :, :2], matrix[0, :, 2]
    return torch.einsum('ij,jhw->ihw', linear, at) + shift[:, None, None] - at


@pytest.mark.parametrize('samples', [1, 2, 4])
def test_one_affine_motion_is_reproduced_everywhere(samples: int) -> None:
    field = affine_field(TURNED, SIDE, SIDE).repeat(2, 1, 1, 1)
    found = sample_affine(field, samples)
    assert found.shape == (2, 2, SIDE * samples, SIDE * samples)
    torch.testing.assert_close(
        found[1], moved(TURNED, places(samples)), atol=1e-5, rtol=1e-5
    )


def test_two_motions_meet_where_their_cells_do() -> None:
    """An object that turns on a still ground, within a cell of its outline."""
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[3:9, 4:10] = True
    maps = [affine_field(one, SIDE, SIDE) for one in (STILL, TURNED)]
    field = torch.where(inside, maps[1], maps[0])
    at = places()
    fine = inside.repeat_interleave(SAMPLES, 0).repeat_interleave(SAMPLES, 1)
    truth = torch.where(fine, moved(TURNED, at), moved(STILL, at))
    found = sample_affine(field)[0]
    bilinear = F.interpolate(
        flow_of(field), scale_factor=SAMPLES, mode='bilinear'
    )[0]
    reach = 2 * SAMPLES + 1
    within, beyond = (
        F.max_pool2d(one[None].float(), reach, 1, SAMPLES)[0]
        for one in (fine, ~fine)
    )
    near = within * beyond > 0
    before, after = (
        (one - truth).norm(dim=0)[near].mean() for one in (bilinear, found)
    )
    assert before > 0.5
    assert after < 0.05


def test_with_no_end_of_likeness_all_cells_are_heard() -> None:
    """A smooth field is then what its affine maps say on average."""
    field = torch.randn(1, 6, SIDE, SIDE)
    field[:, :4] = 0
    inner = slice(SAMPLES, -SAMPLES)
    torch.testing.assert_close(
        sample_affine(field, same_motion=1e4)[..., inner, inner],
        F.interpolate(flow_of(field), scale_factor=SAMPLES, mode='bilinear')[
            ..., inner, inner
        ],
        atol=1e-4,
        rtol=1e-4,
    )
