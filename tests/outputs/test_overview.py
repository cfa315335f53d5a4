"""The overview shows what is there, whatever the images are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_samnet.correspondence import Correspondence
from napari_samnet.outputs.colormaps import (
    confidence_to_rgb,
    flow_to_rgb,
    label_colors,
)
from napari_samnet.outputs.overview import (
    CAPTION,
    GAP,
    HEAD,
    MARGIN,
    draw_overview,
    summary,
)
from napari_samnet.outputs.panels import WIDTH, flow_picture, sure_points

RNG = np.random.default_rng(3)


def correspondence(
    source_shape: tuple[int, int],
    target_shape: tuple[int, int],
    *,
    forward: tuple[float, float] = (0.0, 0.0),
    transferred: Any = None,
) -> Correspondence:
    """A shift of the whole image, in sides."""
    field = np.broadcast_to(np.float32(forward), (6, 6, 2))
    sure = np.ones((6, 6), np.float32)
    return Correspondence(
        forward=field,
        backward=-field,
        forward_cell_confidence=sure,
        backward_cell_confidence=sure,
        source_shape=source_shape,
        target_shape=target_shape,
        transferred=transferred,
        metadata={
            'iterations_used': 1,
            'seconds': 0.25,
            'device': 'cpu',
            'precision': 'fp32',
        },
    )


def panel(
    sheet: np.ndarray, number: int, shape: tuple[int, int]
) -> np.ndarray:
    """One picture of the upper line of an overview."""
    left = MARGIN + number * (WIDTH + GAP)
    top = HEAD + CAPTION
    return sheet[top : top + shape[0], left : left + shape[1]]


def test_no_motion_shows_the_same_labels_on_both_sides() -> None:
    image = RNG.integers(0, 255, (60, 80, 3), np.uint8)
    labels = np.zeros((60, 80), np.uint8)
    labels[20:40, 30:60] = 1
    still = correspondence((60, 80), (60, 80))
    sheet = draw_overview(image, image, still, labels=labels)
    shape = (330, 440)
    first, second = panel(sheet, 0, shape), panel(sheet, 1, shape)
    np.testing.assert_array_equal(first, second)
    # The outline has the label's color at the middle of its upper side.
    line = first[110, 220].astype(int)
    assert np.abs(line - label_colors(np.array(1))).max() < 40


def test_moved_labels_are_drawn_where_they_went() -> None:
    image = np.full((80, 80), 0.5, np.float32)
    labels = np.zeros((80, 80), bool)
    labels[30:50, 10:30] = True
    moved = correspondence((80, 80), (80, 80), forward=(0, 0.5))
    sheet = draw_overview(image, image, moved, labels=labels)
    second = panel(sheet, 1, (440, 440)).astype(int)
    colored = np.ptp(second, axis=-1) > 10
    assert not colored[:, :250].any()
    assert colored[200:240, 290:370].all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('source', 'axis'),
    [
        (RNG.random((50, 70)).astype(np.float32), None),
        (RNG.integers(0, 60_000, (50, 70), np.uint16), None),
        (RNG.random((50, 70, 3)), None),
        (RNG.random((5, 50, 70)), 0),
        (RNG.random((50, 70)) > 0.5, None),
        (np.zeros((50, 70), np.uint8), None),
        (np.full((3, 400), 7, np.int16), None),
    ],
    ids=['float', '16 bits', 'rgb', 'channels', 'bool', 'black', 'strip'],
)
def test_any_image_will_do(source: np.ndarray, axis: int | None) -> None:
    target = RNG.integers(0, 255, (90, 40, 3), np.uint8)
    shape = source.shape[1:] if axis == 0 else source.shape[:2]
    result = correspondence(
        shape, (90, 40), forward=(0.1, 0.2), transferred=source
    )
    sheet = draw_overview(source, target, result, source_channel_axis=axis)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 2 * MARGIN + 3 * WIDTH + 2 * GAP


@pytest.mark.slow
@pytest.mark.parametrize('value', [0, 1])
def test_labels_may_be_nowhere_or_everywhere(value: int) -> None:
    image = RNG.random((30, 40))
    labels = np.full((30, 40), value, np.uint64)
    still = correspondence((30, 40), (30, 40))
    draw_overview(image, image, still, labels=labels)


@pytest.mark.slow
def test_heading_and_size_do_not_change_with_the_image_size() -> None:
    sheets = []
    for scale in (1, 4):
        image = np.zeros((60 * scale, 80 * scale, 3), np.uint8)
        still = correspondence(image.shape[:2], image.shape[:2])
        sheets.append(draw_overview(image, image, still))
    assert sheets[0].shape == sheets[1].shape


def test_summary_says_what_was_done() -> None:
    text = summary(correspondence((30, 40), (30, 40)))
    assert '1 iteration ·' in text
    assert '0.2 s on cpu (fp32)' in text
    assert 'error 0.0 px' in text


def test_flow_is_measured_in_pixels_of_the_images() -> None:
    moved = correspondence((300, 400), (300, 400), forward=(0.03, 0.04))
    _, longest = flow_picture(moved)
    assert longest == pytest.approx(np.hypot(9, 16), rel=1e-3)


def test_flow_between_images_of_two_sizes() -> None:
    larger = correspondence((100, 100), (200, 200))
    _, longest = flow_picture(larger)
    # Without motion in sides, a pixel of the larger is twice as far out, and
    # a few of the longest are not counted.
    lengths = np.hypot(*(np.indices((100, 100)) + 0.5))
    assert longest == pytest.approx(np.percentile(lengths, 95), rel=1e-2)


def test_surest_points_are_where_the_confidence_is() -> None:
    trust = np.zeros((10, 12), np.float32)
    trust[:, 6:] = 1
    result = replace(
        correspondence((100, 120), (90, 80)),
        forward=np.zeros((10, 12, 2), np.float32),
        forward_cell_confidence=trust,
    )
    points = sure_points(result)
    assert 4 <= len(points) <= 16
    assert (points[:, 1] > 50).all()
    assert ((points >= 0) & (points < (100, 120))).all()


def test_still_is_white_and_directions_differ() -> None:
    directions = [(0, 0), (0, 5), (5, 0), (0, -5), (-5, 0), (np.nan, 0)]
    colors = flow_to_rgb(np.array([directions], float), 5)[0]
    np.testing.assert_array_equal(colors[0], 255)
    assert len(np.unique(colors[1:5], axis=0)) == 4
    assert len(set(colors[5].tolist())) == 1


def test_confidence_grows_brighter() -> None:
    values = confidence_to_rgb(np.linspace(0, 1, 9)).sum(axis=-1, dtype=int)
    assert (np.diff(values) > 0).all()


def test_neighboring_labels_have_different_colors() -> None:
    colors = label_colors(np.arange(1, 9))
    assert len(np.unique(colors, axis=0)) == 8
