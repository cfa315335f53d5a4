"""Sample pairs: there offline, and true to what they claim."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from napari_samnet.datasets.known_motion import (
    PhotometricChange,
    SyntheticWarp,
)
from napari_samnet.datasets.real_pairs import REAL_PAIRS, brain_series
from napari_samnet.datasets.sample_pair import SamplePair
from napari_samnet.datasets.samples import SAMPLES, load_sample
from napari_samnet.errors import InputError


@pytest.fixture(scope='module', params=SAMPLES)
def pair(request: pytest.FixtureRequest) -> SamplePair:
    return load_sample(request.param)


@pytest.fixture(
    scope='module', params=[n for n in SAMPLES if n not in REAL_PAIRS]
)
def known(request: pytest.FixtureRequest) -> SamplePair:
    """A pair whose true flow is known."""
    return load_sample(request.param)


@pytest.mark.slow
def test_arrays_fit_together(pair: SamplePair) -> None:
    assert pair.source.dtype == pair.target.dtype == np.uint8
    assert pair.source.shape[2] == pair.target.shape[2] == 3
    assert pair.labels.shape == pair.source.shape[:2]
    if pair.flow is not None:
        assert pair.flow.shape[:2] == pair.source.shape[:2]
    assert pair.target_labels.shape == pair.target.shape[:2]
    count = len(pair.label_names)
    everything = set(range(count + 1))
    assert set(np.unique(pair.labels).tolist()) == everything
    assert set(np.unique(pair.target_labels).tolist()) == everything
    assert pair.title
    assert pair.credit


@pytest.mark.slow
def test_flow_leads_to_the_same_label(known: SamplePair) -> None:
    start = np.argwhere((known.labels > 0) & np.isfinite(known.flow[..., 0]))
    end = np.round(start + known.flow[tuple(start.T)]).astype(int)
    inside = np.all((end >= 0) & (end < known.target_labels.shape), axis=1)
    start, end = start[inside], end[inside]
    same = known.labels[tuple(start.T)] == known.target_labels[tuple(end.T)]
    # Pixels on an outline may round to its other side, and in the stereo
    # pair what one camera sees may hide from the other.
    assert same.mean() > 0.97


@pytest.mark.slow
def test_flow_leads_to_the_same_look(known: SamplePair) -> None:
    seen = np.isfinite(known.flow[..., 0])
    start = np.argwhere(seen)
    places = (start + known.flow[seen]).T
    source = known.source.mean(axis=-1)[seen]
    target = known.target.mean(axis=-1)

    def likeness(rows_and_columns: np.ndarray) -> float:
        moved = ndimage.map_coordinates(
            target, rows_and_columns, order=1, mode='nearest'
        )
        return float(np.corrcoef(source, moved)[0, 1])

    assert likeness(places) > 0.75
    assert likeness(places) > likeness(start.T.astype(float)) + 0.2


@pytest.mark.slow
def test_displacement_is_worth_finding(known: SamplePair) -> None:
    lengths = np.hypot(*np.moveaxis(known.flow, -1, 0))
    assert np.nanmean(lengths) > 0.04 * max(known.source.shape)


def test_real_pairs_show_different_things() -> None:
    for name in REAL_PAIRS:
        real = load_sample(name)
        assert real.flow is None
        assert 'CC BY 4.0' in real.credit or 'BSD-3-Clause' in real.credit


def test_landmarks_lie_on_both_sections() -> None:
    kidney = load_sample('kidney')
    assert kidney.points is not None
    assert kidney.target_points is not None
    assert len(kidney.points) == len(kidney.target_points) == 69
    for points, image in (
        (kidney.points, kidney.source),
        (kidney.target_points, kidney.target),
    ):
        assert (points >= 0).all()
        assert (points < image.shape[:2]).all()


def test_one_section_of_the_series_is_annotated() -> None:
    sections, labels, names = brain_series()
    assert sections.shape[:3] == labels.shape
    assert labels.any((1, 2)).sum() == 1
    assert set(np.unique(labels)) == set(range(len(names) + 1))


@pytest.mark.slow
def test_same_picture_each_time() -> None:
    first, second = load_sample('cat'), load_sample('cat')
    np.testing.assert_array_equal(first.target, second.target)


def test_unknown_pair_is_refused() -> None:
    with pytest.raises(InputError, match='elephant, jug, kidney, coffee'):
        load_sample('dog')


@pytest.mark.slow
def test_needs_no_network_and_no_download_helper() -> None:
    code = (
        'import socket, sys\n'
        "sys.modules['pooch'] = None\n"
        'def refuse(*_): raise OSError\n'
        'socket.socket.connect = refuse\n'
        'from napari_samnet.datasets.samples import SAMPLES, load_sample\n'
        'for name in SAMPLES: load_sample(name)\n'
        "assert not {'torch', 'napari', 'qtpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=120)


MOTION = SyntheticWarp(
    source_shape=(50, 80),
    target_shape=(64, 60),
    rotation=12,
    zoom=0.9,
    shift=(3, -2),
    bend=1.5,
)


def test_motion_there_and_back_ends_where_it_began() -> None:
    start = np.stack(np.mgrid[0:50:7, 0:80:9], axis=-1).astype(float)
    back = MOTION.to_source(MOTION.to_target(start))
    np.testing.assert_allclose(back, start, atol=1e-6)


def test_no_motion_changes_nothing() -> None:
    still = SyntheticWarp(source_shape=(20, 30), target_shape=(20, 30))
    image = np.random.default_rng(0).random((20, 30, 3))
    labels = np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
    np.testing.assert_array_equal(still.flow(), 0)
    np.testing.assert_allclose(still.move_image(image), image, atol=1e-9)
    np.testing.assert_array_equal(still.move_labels(labels), labels)


def test_rotation_turns_with_the_clock() -> None:
    quarter = SyntheticWarp(
        source_shape=(21, 21), target_shape=(21, 21), rotation=90
    )
    top = np.array([[0.0, 10.0]])
    right = np.array([[10.0, 20.0]])
    np.testing.assert_allclose(quarter.to_target(top), right, atol=1e-9)


def test_flow_is_unknown_outside_the_target() -> None:
    away = SyntheticWarp(
        source_shape=(20, 20), target_shape=(20, 20), shift=(0, 15)
    )
    flow = away.flow()
    np.testing.assert_allclose(flow[:, :5], [0, 15] * np.ones((20, 5, 2)))
    assert np.isnan(flow[:, 5:]).all()


def test_light_without_change_keeps_the_image() -> None:
    image = np.random.default_rng(1).random((8, 9, 3))
    same = PhotometricChange(noise=0).on(image)
    np.testing.assert_array_equal(same, np.round(image * 255))


def test_light_comes_from_its_direction() -> None:
    lit = PhotometricChange(shade=0.8, direction=90, noise=0).on(
        np.full((9, 9, 3), 0.5)
    )
    assert lit[0].mean() > lit[4].mean() > lit[8].mean()
