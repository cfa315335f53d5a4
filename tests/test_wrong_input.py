"""What is given wrongly to the functions of the package, as people do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import napari_samnet as ns
from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 255, (40, 60, 3), np.uint8)
LABELS = np.zeros((40, 60), np.int64)
LABELS[10:30, 10:30] = 7
PALETTE = Image.fromarray(IMAGE).convert('P')
MIDDLE = np.array([[20.0, 30.0]])


def still() -> Correspondence:
    """Nothing moves."""
    none, sure = np.zeros((4, 6, 2), np.float32), np.ones((4, 6), np.float32)
    return Correspondence(
        forward=none,
        backward=none,
        forward_cell_confidence=sure,
        backward_cell_confidence=sure,
        source_shape=(40, 60),
        target_shape=(40, 60),
    )


FOUND = still()


def film(**options: Any) -> Any:
    return ns.propagate([IMAGE, IMAGE], {0: LABELS}, **options)


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    'a picture with a palette': (
        lambda: ns.match(PALETTE, IMAGE),
        r"source must be gray or RGB, .* mode P: use .convert\('RGB'\)",
    ),
    'ink taken for RGB and opacity': (
        lambda: ns.match(IMAGE, Image.fromarray(IMAGE).convert('CMYK')),
        'target must be gray or RGB, .* mode CMYK',
    ),
    'channels by name': (
        lambda: ns.match(IMAGE, IMAGE, source_channel_axis='c'),  # type: ignore[arg-type]
        "channel_axis='c'",
    ),
    'a word for a flag': (
        lambda: ns.match(IMAGE, IMAGE, transferred='no'),  # type: ignore[arg-type]
        "transferred must be True or False, got 'no'",
    ),
    'what cannot be called': (
        lambda: ns.match(IMAGE, IMAGE, on_step=3),  # type: ignore[arg-type]
        'on_step must be a function or None, got 3',
    ),
    'options as a dict': (
        lambda: list(ns.match_steps(IMAGE, IMAGE, {'size': 64})),  # type: ignore[arg-type]
        'options must be MatchOptions.*got a dict',
    ),
    'options of a look as a dict': (
        lambda: ns.learn_look(IMAGE, IMAGE, options={'size': 64}),  # type: ignore[arg-type]
        'options must be MatchOptions.*got a dict',
    ),
    'a region of text': (
        lambda: ns.match(IMAGE, IMAGE, region=np.full((40, 60), 'a')),
        'region must be a mask of bool or numbers',
    ),
    'a region of nothing but NaN': (
        lambda: ns.match(IMAGE, IMAGE, region=np.full((40, 60), np.nan)),
        'nothing of the source is left',
    ),
    'rows and columns exchanged': (
        lambda: ns.match(IMAGE, IMAGE, labels=LABELS.T),
        'rows and columns are exchanged',
    ),
    'another resolution': (
        lambda: FOUND.warp_labels(LABELS[::2, ::2]),
        'another resolution, resize them to the image without interpolation',
    ),
    'another image': (
        lambda: FOUND.warp_labels(LABELS[:33]),
        'were they drawn on another image',
    ),
    'a stack of labels': (
        lambda: FOUND.warp_labels(LABELS[None]),
        'give one plane of rows and columns',
    ),
    'a confidence in words': (
        lambda: FOUND.warp_labels(LABELS, min_confidence='high'),  # type: ignore[arg-type]
        "min_confidence must be from 0 to 1, got 'high'",
    ),
    'evidence in words': (
        lambda: FOUND.warp_labels(LABELS, evidence='off'),  # type: ignore[arg-type]
        "evidence must be True or False, got 'off'",
    ),
    'a fill that does not fit': (
        lambda: FOUND.warp_image(IMAGE, fill=np.nan),
        'fill must be a number that uint8 holds, got nan',
    ),
    'points as words': (
        lambda: FOUND.warp_points('points.csv'),
        "points must be numbers, .* got '",
    ),
    'a table without rows and columns': (
        lambda: FOUND.warp_points(pd.DataFrame({'x': [1], 'z': [2]})),
        'points must have the columns .* y and x, got x, z',
    ),
    'a match as a picture': (
        lambda: FOUND.save('photo.png'),
        'expected a file ending with .npz, got photo.png',
    ),
    'a number as a file': (
        lambda: Correspondence.load(0),  # type: ignore[arg-type]
        'expected the path of a file, got 0',
    ),
    'no file of a look': (
        lambda: ns.Look.load(None),  # type: ignore[arg-type]
        'expected the path of a file, got None',
    ),
    'no references': (
        lambda: ns.carry(None, IMAGE),  # type: ignore[arg-type]
        'references must be a list',
    ),
    'references to ask in words': (
        lambda: ns.carry([(IMAGE, LABELS)], IMAGE, best='all'),  # type: ignore[arg-type]
        "best must be a whole number of at least 1, got 'all'",
    ),
    'one axis for all references': (
        lambda: ns.carry([(IMAGE, LABELS)], IMAGE, reference_channel_axes=2),  # type: ignore[arg-type]
        'reference_channel_axes must be a list',
    ),
    'a film that is read once': (
        lambda: ns.propagate(iter([IMAGE]), {0: LABELS}),
        'planes must be a film .* or a list of images',
    ),
    'an empty film': (
        lambda: ns.propagate([], {0: LABELS}),
        'planes must be a film .* got none',
    ),
    'no annotations': (
        lambda: ns.propagate([IMAGE], None),
        'annotations must be an array of numbers, got None',
    ),
    'planes by name': (
        lambda: ns.propagate([IMAGE, IMAGE], {'first': LABELS}),
        "numbers of planes, as in {0: labels}, got 'first'",
    ),
    'one id': (lambda: film(ids=7), r'ids must be whole numbers.*got 7'),
    'ids as text': (lambda: film(ids='17'), "ids must be .*got '17'"),
    'an id between two': (lambda: film(ids=[7.5]), 'ids must be .*7.5'),
    'another id': (lambda: film(ids=[9]), r'ids \[9\]; there are 7'),
    'speed in words': (lambda: film(fast='x'), 'fast must be True or False'),
    'no function': (lambda: film(on_plane=1), 'on_plane must be a function'),
}


@pytest.mark.parametrize('name', WRONG)
def test_one_line_says_what_was_expected_and_what_came(name: str) -> None:
    call, said = WRONG[name]
    with pytest.raises(InputError, match=said) as caught:
        call()
    assert '\n' not in str(caught.value)


def test_columns_of_a_table_are_taken_by_name() -> None:
    """Their order is that of whoever made the table."""
    for names in (('x', 'y'), ('column', 'row'), ('axis-1', 'axis-0')):
        table = pd.DataFrame({names[0]: [30.0], names[1]: [20.0]})
        np.testing.assert_allclose(FOUND.warp_points(table), MIDDLE, atol=1e-4)
    plain = pd.DataFrame(MIDDLE)
    np.testing.assert_allclose(FOUND.warp_points(plain), MIDDLE, atol=1e-4)


def test_nan_is_outside_of_a_region() -> None:
    """As in masks of programs that have no other background."""
    drawn = np.where(LABELS > 0, 1.0, np.nan)
    options: dict[str, Any] = {
        'size': 64,
        'iterations': 1,
        'orientation': 'upright',
        'device': 'cpu',
        'precision': 'fp32',
        'transferred': False,
    }
    found = ns.match(IMAGE, IMAGE, region=[drawn, None], **options)
    expected = ns.match(IMAGE, IMAGE, region=(LABELS > 0, None), **options)
    np.testing.assert_array_equal(found.forward, expected.forward)
    assert not found.confidence[35:, 50:].any()


def test_a_photograph_stays_where_a_match_was_to_be_saved(
    tmp_path: Path,
) -> None:
    photo = tmp_path / 'photo.png'
    Image.fromarray(IMAGE).save(photo)
    before = photo.read_bytes()
    with pytest.raises(InputError):
        FOUND.save(photo)
    assert photo.read_bytes() == before
    FOUND.save(tmp_path / 'without an ending')
