"""The options of a match: their limits, their texts, their one home."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_samnet import match
from napari_samnet.errors import InputError
from napari_samnet.options import (
    CHOICES,
    DEFAULTS,
    LIMITS,
    MatchOptions,
    option_names,
    parameter_text,
)


def test_the_default_window_and_iterations_are_the_papers() -> None:
    assert DEFAULTS.window == 9
    assert DEFAULTS.iterations == 10


def test_windows_and_iterations_reach_as_far_as_promised() -> None:
    assert LIMITS['window'] == (3, 21)
    assert LIMITS['iterations'] == (1, 20)
    for window in range(3, 22, 2):
        for iterations in (1, 20):
            MatchOptions(window=window, iterations=iterations)


def test_the_default_window_fits_small_sizes() -> None:
    assert MatchOptions(size=64).window == 7
    assert MatchOptions(size=64, coarse_iterations=1).window == 3
    assert MatchOptions(size=128, coarse_iterations=1).window == 7
    image = np.random.default_rng(0).random((64, 64))
    found = match(image, image, size=64, iterations=1, attributes=False)
    assert found.metadata['options']['window'] == 7


@pytest.mark.parametrize('name', LIMITS)
def test_limits_belong_to_the_range(name: str) -> None:
    low, high = LIMITS[name]
    room = {'size': 1024, 'window': 3}
    for value in (low, high):
        options = MatchOptions(**{**room, name: value})
        assert getattr(options, name) == value
    for value in (low - 1, high + 1, high + 1e6, np.nan, np.inf, 10**400):
        with pytest.raises(
            InputError, match=f'{name} must be from {low:g} to {high:g}, got'
        ) as caught:
            MatchOptions(**{**room, name: value})
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', LIMITS)
@pytest.mark.parametrize('value', ['9', None, True, [9], np.arange(3), 9j])
def test_a_number_must_be_one(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f'{name} must be a number'):
        MatchOptions(**{name: value})


@pytest.mark.parametrize(
    ('given', 'match'),
    [
        ({'window': 8}, 'window must be odd .*got 8'),
        ({'window': 7.5}, 'window must be whole, got 7.5'),
        ({'iterations': 1.5}, 'iterations must be whole, got 1.5'),
        ({'size': 100}, 'multiple of 32, got 100'),
        ({'size': 64, 'window': 11}, '8x8 cells at size 64, got 11'),
        (
            {'size': 128, 'window': 11, 'coarse_iterations': 1},
            '8x8 cells .*got 11',
        ),
        ({'device': 'tpu'}, "device must be one of auto, .*got 'tpu'"),
        ({'device': None}, 'device must be one of'),
        ({'precision': 'fp16'}, "auto, fp32, bf16, int8, got 'fp16'"),
        ({'precision': 'fp32:1'}, 'precision must be one of'),
        ({'precision': ['fp32']}, 'precision must be one of'),
        ({'init': 'random'}, "global, identity, got 'random'"),
        ({'init': 'global:0'}, 'init must be one of'),
        ({'orientation': 'left'}, "degrees such as 90, .* got 'left'"),
        ({'attributes': 'no'}, "True or False, got 'no'"),
        ({'attributes': 1}, 'True or False, got 1'),
        ({'weights': 5}, 'a name or a path, got 5'),
        ({'weights': None}, 'a name or a path, got None'),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused(
    given: dict[str, Any], match: str
) -> None:
    with pytest.raises(InputError, match=match) as caught:
        MatchOptions(**given)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('device', ['cuda:0', 'cuda:12', 'cpu', 'auto'])
def test_one_card_of_several_can_be_named(device: str) -> None:
    assert MatchOptions(device=device).device == device


def test_numbers_of_numpy_and_paths_become_plain() -> None:
    options = MatchOptions(
        window=np.int64(7),
        size=np.float64(128),
        lambda_max=np.float32(0.5),
        skip=1,
        weights=Path('folder') / 'net.safetensors',
    )
    assert options == MatchOptions(
        window=7,
        size=128,
        lambda_max=0.5,
        skip=1.0,
        weights=str(Path('folder') / 'net.safetensors'),
    )
    values = dataclasses.asdict(options)
    assert json.loads(json.dumps(values)) == values
    for name, value in values.items():
        assert type(value) is type(getattr(DEFAULTS, name)), name


def test_options_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULTS.window = 5  # type: ignore[misc]


@pytest.mark.parametrize('name', option_names())
def test_each_has_a_text(name: str) -> None:
    text = parameter_text(name)
    assert len(text) > 40
    assert '\n' not in text
    assert text.endswith('.')


@pytest.mark.parametrize('name', sorted({*LIMITS} - {'tolerance'}))
def test_texts_name_the_limits(name: str) -> None:
    for limit in LIMITS[name]:
        assert f'{limit:g}' in parameter_text(name)


def test_texts_are_the_same_in_every_python() -> None:
    """From 3.13 on, the compiler takes the indentation of docstrings away."""
    kept, removed = (
        type('Options', (), {'__doc__': text})
        for text in (
            """X.\n\n    Parameters\n    ----------\n    size : int\n"""
            """        First\n        and second.\n    """,
            """X.\n\nParameters\n----------\nsize : int\n"""
            """    First\n    and second.\n""",
        )
    )
    assert parameter_text('size', kept) == 'First and second.'
    assert parameter_text('size', removed) == 'First and second.'


def test_a_text_that_is_not_there() -> None:
    with pytest.raises(KeyError, match='MatchOptions does not describe'):
        parameter_text('wind')


def test_there_is_one_home_of_defaults() -> None:
    """The signature of match has exactly these options and defaults."""
    found = inspect.signature(match).parameters
    keywords = {
        name: parameter.default
        for name, parameter in found.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for name in option_names():
        assert keywords.pop(name) == getattr(DEFAULTS, name)
    assert set(keywords) == {
        'features',
        'labels',
        'landmarks',
        'leave_out',
        'on_step',
        'region',
        'source_channel_axis',
        'target_channel_axis',
        'transferred',
    }
    assert {*LIMITS, *CHOICES} <= set(option_names())
