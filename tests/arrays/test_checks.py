"""Input of the kinds that people have, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_samnet.arrays.checks import as_array, checked_points
from napari_samnet.errors import InputError


def test_tensors_of_any_kind() -> None:
    torch = pytest.importorskip('torch')
    values = torch.tensor([[0.5, 2.0]])
    for tensor in (values, values.clone().requires_grad_(), values.bfloat16()):
        np.testing.assert_array_equal(as_array(tensor, 'source'), [[0.5, 2]])


@pytest.mark.parametrize(
    ('value', 'said'),
    [
        ('a b.png', 'got the path a b.png: read the file first'),
        (Path('a.png'), 'got the path a.png: read the file first'),
        (None, 'source must be an array of numbers, got None'),
    ],
)
def test_what_is_no_array(value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        as_array(value, 'source')


def test_points() -> None:
    assert checked_points([]).shape == (0, 2)
    with pytest.raises(InputError, match=r'\[\[row, column\]\]'):
        checked_points([3, 4])
    with pytest.raises(InputError, match='finite'):
        checked_points([[3, np.nan]])
