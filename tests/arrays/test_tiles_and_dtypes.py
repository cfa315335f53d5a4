"""Blocks cover a grid once; numbers of any type come back in range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_samnet.arrays.dtypes import as_dtype, check_limits, value_range
from napari_samnet.arrays.tiles import cores, run_tiles, tiles
from napari_samnet.errors import InputError


@pytest.mark.parametrize('side', [None, (3, 4), (1, 100)])
def test_tiles_cover_every_pixel_once(side: tuple[int, int] | None) -> None:
    times = np.zeros((10, 13), int)
    for tile in tiles(times.shape, side=side):
        times[tile] += 1
    assert (times == 1).all()


def test_the_first_error_of_a_part_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(part: int) -> None:
        if part:
            raise ValueError(part)

    monkeypatch.setattr('napari_samnet.arrays.tiles.cores', lambda: 2)
    with pytest.raises(ValueError, match='1'):
        run_tiles(work, range(3))


@pytest.mark.parametrize('text', ['1', 'many', ''])
def test_cores_are_limited_by_the_variable(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    every = cores()
    monkeypatch.setenv('OMP_NUM_THREADS', text)
    assert cores() == (1 if text == '1' else every)


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'uint64', 'float16'])
def test_values_beyond_a_type_are_clipped(dtype: str) -> None:
    kind: Any = np.iinfo if np.dtype(dtype).kind in 'iu' else np.finfo
    values = as_dtype(np.array([-1e30, 0.6, 1e30]), np.dtype(dtype))
    assert values.dtype == dtype
    assert values[0] == kind(dtype).min
    assert float(values[2]) == pytest.approx(float(kind(dtype).max))


def test_half_and_above_is_true() -> None:
    kept = as_dtype(np.array([0.2, 0.5, 1.0]), np.dtype(bool))
    assert kept.tolist() == [False, True, True]


def test_a_range_leaves_outliers_out_and_is_never_empty() -> None:
    assert value_range(np.array([0.2, 0.7])) == (0.0, 1.0)
    assert value_range(np.full(3, 7)) == (6.5, 7.5)
    low, high = value_range(np.r_[np.arange(1000.0), 1e9, np.nan])
    assert 0 <= low < high < 1000


def test_limits_in_the_wrong_order_are_refused() -> None:
    assert check_limits((1, 2), 'source') == (1.0, 2.0)
    with pytest.raises(InputError, match='two finite numbers'):
        check_limits((2, 1), 'source')
