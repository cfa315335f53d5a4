"""Motions that alike cells show, and the fields have missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_samnet.datasets.composites import bundled_parts
from napari_samnet.matching.match import match
from napari_samnet.matching.missed_motions import (
    MostAlike,
    missed_motions,
    nothing_missed,
)

SIDE = 24


def matches_of(goals: NDArray[np.intp]) -> MostAlike:
    """Matches that are the same there and back where that can be.

    ``goals`` (n, n, 2): row and column of each cell's match. Of two that end
    in one cell, the one that has moved hides the other.
    """
    cells = np.arange(SIDE * SIDE)
    there = (goals[..., 0] * SIDE + goals[..., 1]).ravel()
    back = np.zeros(SIDE * SIDE, np.intp)
    for moved in (there == cells, there != cells):
        back[there[moved]] = cells[moved]
    return MostAlike((SIDE, SIDE), there, back)


def moved_square() -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Cells that stay where they are, but for a square that moves."""
    goals = np.moveaxis(np.indices((SIDE, SIDE)), 0, -1)
    square = np.zeros((SIDE, SIDE), bool)
    square[4:10, 3:9] = True
    return goals + square[..., None] * [9, 10], square


def still() -> tuple[NDArray[Any], NDArray[Any]]:
    """Fields of two images where nothing has moved."""
    field = np.zeros((SIDE, SIDE, 2), np.float32)
    return field, field


def test_a_square_that_moves_on_its_own_is_found() -> None:
    goals, square = moved_square()
    (motion,) = missed_motions(matches_of(goals), still())
    np.testing.assert_array_equal(motion.first, square)
    np.testing.assert_array_equal(motion.second[13:19, 13:19], True)
    assert motion.second.sum() == square.sum()
    shift = np.array([[1, 0, 10 / SIDE], [0, 1, 9 / SIDE]])
    np.testing.assert_allclose(motion.matrix, shift, atol=0.02)
    back, where = motion.seen_from(1)
    np.testing.assert_array_equal(where, motion.second)
    at = np.array([0.6, 0.7])
    np.testing.assert_allclose(
        motion.matrix[:, :2] @ (back[:, :2] @ at + back[:, 2])
        + motion.matrix[:, 2],
        at,
    )


def test_what_the_fields_follow_was_not_missed() -> None:
    goals, square = moved_square()
    forward = (square[..., None] * [9, 10] / SIDE).astype(np.float32)
    found = missed_motions(matches_of(goals), (forward, -forward))
    assert not found


def test_matches_at_random_show_no_motion() -> None:
    rng = np.random.default_rng(0)
    goals = np.stack(
        np.divmod(rng.permutation(SIDE * SIDE), SIDE), -1
    ).reshape(SIDE, SIDE, 2)
    # Cells that were drawn next to each other lead apart.
    assert not missed_motions(matches_of(goals), still())
    assert not nothing_missed(still())


@pytest.mark.parametrize('index', [0, 2])
def test_an_object_that_a_field_misses_is_followed(index: int) -> None:
    pair = bundled_parts().pair(index, 7, 256)
    found = match(pair.source, pair.target, attributes=False, device='cpu')
    plain = match(
        pair.source, pair.target, attributes=False, device='cpu', fine=False
    )
    errors = [
        np.linalg.norm(one.flow - pair.flow, axis=-1)[pair.inside & pair.valid]
        for one in (found, plain)
    ]
    assert errors[0].mean() < 5 < errors[1].mean()
