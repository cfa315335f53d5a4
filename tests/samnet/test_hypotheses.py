"""Several motions: found, and given to the cells that move with them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_samnet.samnet.cell_matches import (
    consensus,
    few_cells,
    match_cells,
)
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import affine_field, flow_of, grid
from napari_samnet.samnet.recurrence import Recurrence
from napari_samnet.samnet.start import guided_start

Smooth = Callable[[Tensor], Tensor]

SIDE = 24


def moving_object(smooth: Smooth) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features of both images, the true flow, and where the object is.

    A patch of other features moves by 9 cells over a background that moves
    by 1.
    """
    points = grid(SIDE, SIDE, torch.zeros(()))[None]
    shift = torch.tensor([9.0, 4.0]).view(1, 2, 1, 1)
    drift = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    inside = torch.zeros(1, 1, SIDE, SIDE)
    inside[..., 8:14, 4:10] = 1
    moved = torch.zeros_like(inside)
    moved[..., 12:18, 13:19] = 1
    kind = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)

    def features(at: Tensor, mask: Tensor, offset: Tensor) -> Tensor:
        object_ = torch.cat((smooth(at + 100 - offset), mask * kind), 1)
        still = torch.cat((smooth(at), (1 - mask) * kind.flip(1)), 1)
        return normalize(torch.where(mask > 0, object_, still))

    none = torch.zeros_like(shift)
    source = features(points + drift * (1 - inside), inside, none)
    target = features(points, moved, shift)
    flow = torch.where(inside > 0, shift, drift)
    return source, target, flow.expand(1, 2, SIDE, SIDE), inside


def test_consensus_is_the_mean_over_equal_displacements() -> None:
    source, target = torch.randn(1, 5, 4, 6), torch.randn(1, 5, 5, 3)
    volume = consensus(source, target)
    expected = torch.zeros(4, 6, 5, 3)
    raw = torch.einsum('chw,cij->hwij', source[0], target[0])
    for y, x, i, j in torch.cartesian_prod(
        *(torch.arange(side) for side in raw.shape)
    ).tolist():
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                at = (y + dy, x + dx, i + dy, j + dx)
                if all(0 <= k < n for k, n in zip(at, raw.shape, strict=True)):
                    expected[y, x, i, j] += raw[at] / 9
    torch.testing.assert_close(volume[0], expected)


def test_both_directions_at_once_are_the_same_as_apart(
    smooth: Smooth,
) -> None:
    source, target, _, _ = moving_object(smooth)
    both = match_cells(
        torch.cat((source, target)), torch.cat((target, source))
    )
    apart = [
        match_cells(source, target),
        match_cells(target, source),
    ]
    for name in ('volume', 'motion', 'confidence'):
        torch.testing.assert_close(
            getattr(both, name),
            torch.cat([getattr(one, name) for one in apart]),
            atol=1e-4,
            rtol=1e-4,
        )


def test_an_object_against_its_background_is_followed(
    smooth: Smooth,
) -> None:
    source, target, flow, inside = moving_object(smooth)
    errors = {}
    for motions in (1, 3):
        start = guided_start(source, target, Recurrence(motions=motions))
        error = (flow_of(start.field) - flow).norm(dim=1, keepdim=True)
        errors[motions] = error[inside > 0].mean()
        behind = (inside == 0) & (grid(SIDE, SIDE, flow)[:1] < SIDE - 3)
        assert error[behind].median() < 1.0
    assert errors[3] < 1.5
    assert errors[1] > 5


def test_one_motion_loses_nothing_by_others(smooth: Smooth) -> None:
    matrix = torch.tensor([[[0.98, -0.17, 4.2], [0.17, 0.98, -3.1]]])
    truth = affine_field(matrix, SIDE, SIDE)
    points = grid(SIDE, SIDE, truth)[None]
    there = points + flow_of(truth)
    pair = smooth(there), smooth(points)
    inside = ((there > 1) & (there < SIDE - 2)).all(1)[0]
    for motions in (1, 4):
        start = guided_start(*pair, Recurrence(motions=motions))
        error = (flow_of(start.field) - flow_of(truth)).norm(dim=1)[0]
        assert error[inside].mean() < 0.3


def test_clues_are_low_where_nothing_can_be_matched(smooth: Smooth) -> None:
    source, target, _, _ = moving_object(smooth)
    noise = source.clone()
    noise[..., :12] = normalize(torch.randn_like(source))[..., :12]
    clues = guided_start(noise, target, Recurrence()).clues
    assert clues is not None
    for clue in clues:
        assert clue.shape == (1, 1, SIDE, SIDE)
        assert clue.min() >= 0
        assert clue.max() <= 1
    unique = clues.uniqueness[0, 0]
    assert unique[:, 2:10].mean() < 0.5 * unique[:, 14:22].mean()


def test_large_maps_start_from_few_cells(smooth: Smooth) -> None:
    points = grid(70, 80, torch.zeros(()))[None] / 2.5
    features = smooth(points)
    start = guided_start(features, features, Recurrence())
    assert few_cells(features).shape[-2:] == (28, 32)
    assert start.field.shape == (1, 6, 70, 80)
    assert flow_of(start.field).abs().max() < 0.5
