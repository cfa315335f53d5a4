"""How far colors may change, by how likely the matches are right."""

from __future__ import annotations

import pytest
import torch

from napari_samnet.color.belief import believed

SIZE = 64


@pytest.fixture(scope='module')
def member() -> torch.Tensor:
    """An object of one color, columns 16 to 48, before a background."""
    inside = torch.zeros(SIZE, SIZE)
    inside[:, 16:48] = 1
    return torch.stack((inside, 1 - inside))


def test_likely_matches_are_believed_and_unlikely_ones_are_not(
    member: torch.Tensor,
) -> None:
    sure = torch.ones(SIZE, SIZE)
    torch.testing.assert_close(believed(0.9 * sure, member), sure)
    torch.testing.assert_close(believed(0.1 * sure, member), 0 * sure)
    half = believed(0.3 * sure, member)
    torch.testing.assert_close(half, 0.5 * sure, atol=1e-3, rtol=0)


def test_an_object_changes_and_what_lies_around_it_stays(
    member: torch.Tensor,
) -> None:
    told = believed(0.9 * member[0] + 0.05 * member[1], member)
    assert float(told[:, 24:40].min()) > 0.95
    assert float(told[:, :8].max()) < 0.05
    assert float(told[:, 56:].max()) < 0.05


def test_an_object_does_not_change_in_part(member: torch.Tensor) -> None:
    # Half of what has its color is found.
    likely = torch.full((SIZE, SIZE), 0.05)
    likely[:32, 16:48] = 0.8
    told = believed(likely, member)[:, 20:44]
    assert float(told.min()) > 0.2
    step = (told[1:] - told[:-1]).abs().max()
    assert float(step) < 0.05
