"""Labels go where the field leads, wherever the pixels confirm it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from skimage import data
from skimage.transform import resize

from napari_samnet import match
from napari_samnet.correspondence import Correspondence
from napari_samnet.matching.confirmation import (
    RIGHT,
    confirmed,
    raised_confidence,
)

SIDE = 128


@pytest.fixture(scope='module')
def photograph() -> np.ndarray:
    return resize(data.astronaut(), (SIDE, SIDE), anti_aliasing=True).astype(
        np.float32
    )


def still() -> np.ndarray:
    return np.zeros((16, 16, 2), np.float32)


def test_the_same_image_is_confirmed_in_another_light(
    photograph: np.ndarray,
) -> None:
    darker = 0.1 + 0.6 * photograph
    places = confirmed(photograph, darker, still(), still())
    assert places.shape == (SIDE // 4, SIDE // 4)
    assert 0 <= places.min() <= places.max() <= 1
    assert np.median(places) > 0.9


def test_what_moves_on_a_still_ground_is_not(photograph: np.ndarray) -> None:
    target = photograph.copy()
    target[40:72, 40:72] = photograph[80:112, 20:52]
    places = confirmed(photograph, target, still(), still())
    assert places[11:17, 11:17].max() < 0.1
    assert np.median(places[:, 24:]) > 0.9


def test_directions_that_disagree_confirm_nothing(
    photograph: np.ndarray,
) -> None:
    shifted = still() + np.float32(0.05)
    assert confirmed(photograph, photograph, shifted, still()).max() < 0.1


def test_confidence_rises_where_the_pixels_confirm_on_either_grid() -> None:
    places = np.zeros((8, 8), np.float32)
    places[:, 4:] = 1
    confidence = np.full((2, 16, 16), 0.5, np.float32)
    left = np.zeros((16, 16, 2), np.float32)
    left[..., 1] = 0.25
    there, back = raised_confidence(confidence, places, left, -left)
    # A quarter of the way to the right of it lies what is confirmed.
    assert np.allclose(there[:, 5:11], RIGHT)
    assert np.allclose(there[:, :3], 0.5)
    assert np.allclose(there[:, 12:], 0.5), 'beyond the target'
    assert np.allclose(back[:, 9:], RIGHT)
    assert np.allclose(back[:, :7], 0.5)


def test_what_was_left_out_stays_without_confidence() -> None:
    confidence = np.zeros((2, 16, 16), np.float32)
    raised = raised_confidence(
        confidence, np.ones((8, 8), np.float32), still(), still()
    )
    assert not raised.any()


def test_what_does_not_come_back_is_not_raised() -> None:
    """A match into the still ground, which is confirmed for another cell."""
    forward = still()
    forward[4:8, 4:8] = 0.25
    confidence = np.full((2, 16, 16), 0.5, np.float32)
    there, back = raised_confidence(
        confidence, np.ones((32, 32), np.float32), forward, still()
    )
    assert np.allclose(there[4:8, 4:8], 0.5)
    assert np.allclose(there[10:], RIGHT)
    assert np.allclose(back, RIGHT)


def test_an_image_matches_itself_with_confidence(
    photograph: np.ndarray,
) -> None:
    result = match(photograph, photograph, size=SIDE, transferred=False)
    assert np.median(result.forward_cell_confidence) > 0.9
    assert np.median(result.backward_cell_confidence) > 0.9


@pytest.fixture(scope='module')
def known() -> tuple[np.ndarray, ...]:
    """Labels smaller than cells, and where a known warp takes them."""
    image = data.immunohistochemistry()[:256, :256]
    rows, columns = np.indices((256, 256))
    at = [
        rows + 4 * np.sin(columns / 40),
        columns + 5 * np.cos(rows / 50),
    ]
    source = np.stack(
        [
            map_coordinates(image[..., k].astype(float), at, mode='reflect')
            for k in range(3)
        ],
        -1,
    ).astype(np.uint8)
    truth = np.zeros((256, 256), np.int32)
    for number, (row, column) in enumerate(
        (r, c) for r in range(40, 220, 26) for c in range(40, 220, 26)
    ):
        truth[row : row + 11, column : column + 9] = number + 1
    labels = map_coordinates(truth, at, order=0)
    return source, image, labels, truth


@pytest.mark.slow
def test_small_labels_of_a_known_warp(
    known: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    source, target, labels, truth = known
    found = match(source, target, iterations=4, attributes=False)
    assert found.evidence is not None
    assert found.evidence.confirmed is not None

    def mean_iou(found: Correspondence) -> float:
        carried = found.warp_labels(labels, image=target)
        return float(
            np.mean(
                [
                    ((carried == k) & (truth == k)).sum()
                    / ((carried == k) | (truth == k)).sum()
                    for k in range(1, truth.max() + 1)
                ]
            )
        )

    found.save(tmp_path / 'found.npz')
    again = Correspondence.load(tmp_path / 'found.npz')
    assert mean_iou(again) == mean_iou(found) > 0.95
    # Files of before do not say where the field was confirmed.
    unknown = replace(found, evidence=replace(found.evidence, confirmed=None))
    unknown.save(tmp_path / 'before.npz')
    before = Correspondence.load(tmp_path / 'before.npz')
    assert 0.94 < mean_iou(before) < mean_iou(found)
