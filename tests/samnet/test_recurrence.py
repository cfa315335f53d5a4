"""The recurrence without attributes, on features whose motion is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from napari_samnet.samnet.features import Features
from napari_samnet.samnet.field import affine_field, flow_of, grid
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Iteration, Recurrence

Smooth = Callable[[Tensor], Tensor]

#: A turn and a shift, in (x, y) cells.
TURN = torch.tensor([[[0.98, -0.17, 4.2], [0.17, 0.98, -3.1]]])
STILL = torch.eye(2, 3)[None]


def shift(x: float, y: float) -> Tensor:
    return torch.tensor([[[1.0, 0.0, x], [0.0, 1.0, y]]])


def bare(
    smooth: Smooth, matrix: Tensor, size: tuple[int, int]
) -> tuple[tuple[Features, Features], Tensor]:
    """Features for matching alone, of a known motion, and its field."""
    truth = affine_field(matrix, *size)
    points = grid(*size, truth)[None]
    empty = torch.empty(1, 0, *size)
    source = Features(smooth(points + flow_of(truth)), empty, ())
    return (source, Features(smooth(points), empty, ())), truth


def run(
    model: SAMNet, pair: tuple[Features, Features], options: Recurrence
) -> list[Iteration]:
    with torch.no_grad():
        return list(model.iterate(*pair, options))


def error_of(step: Iteration, truth: Tensor, rim: int = 6) -> float:
    """Mean distance in cells, away from the sides."""
    error = flow_of(step.field) - flow_of(truth)
    inner = error[..., rim:-rim, rim:-rim]
    return float(inner.norm(dim=1).mean())


@pytest.mark.parametrize('window', range(3, 22, 2))
def test_every_window(untrained: SAMNet, smooth: Smooth, window: int) -> None:
    pair, truth = bare(smooth, TURN, (23, 25))
    options = Recurrence(window=window, iterations=2, attributes=False)
    (*_, last) = run(untrained, pair, options)
    assert last.correlation.shape == (1, window**2, 23, 25)
    assert error_of(last, truth) < 0.5


@pytest.mark.parametrize('iterations', [1, 2, 5, 20])
def test_every_number_of_iterations(
    untrained: SAMNet, smooth: Smooth, iterations: int
) -> None:
    pair, truth = bare(smooth, TURN, (17, 19))
    options = Recurrence(iterations=iterations, attributes=False)
    steps = run(untrained, pair, options)
    assert len(steps) == iterations
    assert error_of(steps[-1], truth) < 0.5


def test_iterating_helps_from_no_motion(
    untrained: SAMNet, smooth: Smooth
) -> None:
    pair, truth = bare(smooth, shift(7.0, -5.0), (24, 28))
    options = Recurrence(iterations=4, attributes=False, init='identity')
    steps = run(untrained, pair, options)
    errors = [error_of(step, truth, rim=8) for step in steps]
    assert errors[-1] < 1.5
    assert errors[-1] < 0.6 * errors[0]


def test_a_coarse_level_doubles_the_reach(
    untrained: SAMNet, smooth: Smooth
) -> None:
    """Six cells lie outside a 9 x 9 window, and inside at half size."""
    pair, truth = bare(smooth, shift(6.0, -6.0), (24, 28))
    errors = []
    for coarse in (0, 1):
        options = Recurrence(
            iterations=2,
            attributes=False,
            init='identity',
            coarse_iterations=coarse,
        )
        steps = run(untrained, pair, options)
        sides = [tuple(step.correlation.shape[2:]) for step in steps]
        assert sides[0] == ((12, 14) if coarse else (24, 28))
        assert sides[1] == (24, 28)
        assert all(step.alpha.shape[2:] == (24, 28) for step in steps)
        errors.append(error_of(steps[-1], truth, rim=8))
    assert errors[1] < errors[0]


def test_images_alike_do_not_move(untrained: SAMNet, smooth: Smooth) -> None:
    pair, _ = bare(smooth, STILL, (17, 19))
    for init in ('global', 'identity'):
        options = Recurrence(iterations=5, attributes=False, init=init)
        (*_, last) = run(untrained, pair, options)
        assert flow_of(last.field).abs().max() < 0.1


def test_rests_where_it_has_converged(
    untrained: SAMNet, smooth: Smooth
) -> None:
    pair, _ = bare(smooth, TURN, (17, 19))
    options = Recurrence(iterations=20, attributes=False)
    changes = [s.change for s in run(untrained, pair, options)]
    assert changes[-1] < 0.05
    tolerance = (changes[1] + changes[0]) / 2
    steps = run(untrained, pair, replace(options, tolerance=tolerance))
    calm = next(i for i, c in enumerate(changes) if c < tolerance)
    assert len(steps) == calm + 1
    assert steps[-1].last


def test_does_not_rest_on_the_coarse_level(
    untrained: SAMNet, smooth: Smooth
) -> None:
    pair, _ = bare(smooth, STILL, (18, 20))
    options = Recurrence(
        iterations=5, attributes=False, coarse_iterations=2, tolerance=1.0
    )
    steps = run(untrained, pair, options)
    assert len(steps) == 3
