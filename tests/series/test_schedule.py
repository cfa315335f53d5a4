"""Which plane gets its labels from which."""

from __future__ import annotations

from typing import Any

import pytest

from napari_samnet.errors import InputError
from napari_samnet.series.schedule import Chain, plan_chains


@pytest.mark.parametrize(
    ('drawn', 'options', 'expected'),
    [
        ([0], {}, [Chain(0, (1, 2, 3, 4, 5, 6))]),
        ([2], {}, [Chain(2, (3, 4, 5, 6)), Chain(2, (1, 0))]),
        ([0, 6], {}, [Chain(0, (1, 2, 3)), Chain(6, (5, 4))]),
        (
            [0, 4],
            {'direction': 'forwards'},
            [Chain(0, (1, 2, 3)), Chain(4, (5, 6))],
        ),
        ([0, 4], {'direction': 'backwards'}, [Chain(4, (3, 2, 1))]),
        ([0, 4], {'start': 4, 'direction': 'forwards'}, [Chain(4, (5, 6))]),
        (
            [0, 4],
            {'start': 4, 'direction': 'backwards'},
            [Chain(4, (3, 2, 1))],
        ),
        (
            [0, 4],
            {'start': 4},
            [Chain(4, (5, 6)), Chain(4, (3,)), Chain(0, (1, 2))],
        ),
        ([2], {'skip': [3, 1]}, [Chain(2, (4, 5, 6)), Chain(2, (0,))]),
    ],
)
def test_planes_come_from_the_nearest_annotated_one(
    drawn: list[int], options: dict[str, Any], expected: list[Chain]
) -> None:
    assert sorted(plan_chains(7, drawn, **options), key=str) == sorted(
        expected, key=str
    )


def test_each_plane_is_visited_once() -> None:
    chains = plan_chains(50, [3, 11, 12, 40])
    visited = sorted(plane for chain in chains for plane in chain.planes)
    assert visited == sorted(set(range(50)) - {3, 11, 12, 40})


@pytest.mark.parametrize(
    ('drawn', 'options', 'message'),
    [
        ([], {}, 'no plane is annotated'),
        ([1, 3], {'start': 2}, 'plane 2 has no labels.*are 1, 3'),
        ([1], {'direction': 'up'}, "direction must be one of both.*'up'"),
    ],
)
def test_what_cannot_be_is_said(
    drawn: list[int], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        plan_chains(5, drawn, **options)
