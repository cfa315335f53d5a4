"""Labels by vote, with votes whose outcome is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from skimage import data

from napari_samnet import InputError, match
from napari_samnet.correspondence import Correspondence
from napari_samnet.dask_warp import lazy_labels
from napari_samnet.datasets.metrics import iou
from napari_samnet.datasets.synthetic import (
    WarpRanges,
    random_field,
    warp_photograph,
)
from napari_samnet.warping.label_voting import sparse_labels
from napari_samnet.warping.warp import Pixels

CELLS = 16
WINDOW = 5
#: Pixels of a cell.
CELL = 8
SIDE = CELLS * CELL


def votes_for(*steps: tuple[int, int]) -> np.ndarray:
    """All cells divide their votes between displacements (row, column)."""
    votes = np.zeros((CELLS, CELLS, WINDOW, WINDOW), np.float16)
    for row, column in steps:
        votes[..., WINDOW // 2 + row, WINDOW // 2 + column] += 1 / len(steps)
    return votes


def still(votes: np.ndarray | None, **more: Any) -> Correspondence:
    """A field without motion."""
    field = np.zeros((CELLS, CELLS, 2), np.float32)
    trust = np.ones((CELLS, CELLS), np.float32)
    given: dict[str, Any] = {
        'forward': field,
        'backward': field,
        'forward_confidence': trust,
        'backward_confidence': trust,
        'source_shape': (SIDE, SIDE),
        'target_shape': (SIDE, SIDE),
        'votes': votes,
    }
    return Correspondence(**{**given, **more})


def square(
    rows: tuple[int, int], columns: tuple[int, int], value: int = 1
) -> np.ndarray:
    """A label map with one rectangle, in pixels."""
    labels = np.zeros((SIDE, SIDE), np.uint16)
    labels[slice(*rows), slice(*columns)] = value
    return labels


class TestOutcome:
    def test_votes_for_the_field_change_nothing(self) -> None:
        labels = np.random.default_rng(0).integers(10, 19, (SIDE, SIDE))
        labels[20:90, 30:100] = 4
        found = still(votes_for((0, 0)))
        np.testing.assert_array_equal(found.warp_labels(labels), labels)

    @pytest.mark.parametrize('step', [(1, 0), (0, -2), (2, 1)])
    def test_unanimous_votes_move_a_label(self, step: tuple[int, int]) -> None:
        labels = square((32, 88), (40, 88), 7)
        found = still(votes_for(step)).warp_labels(labels)
        # What the target shows is at `step` from there in the source.
        expected = np.roll(labels, [-CELL * k for k in step], (0, 1))
        assert iou(found > 0, expected > 0) > 0.9
        assert set(np.unique(found)) == {0, 7}

    def test_the_majority_decides(self) -> None:
        labels = square((32, 88), (40, 88))
        found = still(votes_for((0, 2), (0, 2), (0, 2), (0, 0))).warp_labels(
            labels
        )
        moved = np.roll(labels, -2 * CELL, 1)
        assert iou(found > 0, moved > 0) > 0.85

    def test_without_vote_the_field_alone_decides(self) -> None:
        labels = square((32, 88), (40, 88))
        found = still(votes_for((2, 2)))
        np.testing.assert_array_equal(
            found.warp_labels(labels, vote=False), labels
        )

    def test_a_label_too_small_for_a_vote_stays(self) -> None:
        labels = square((32, 88), (40, 88))
        labels[100:108, 20:28] = 5
        labels[60:64, 60:64] = 6
        found = still(votes_for((0, 2))).warp_labels(labels)
        for value in (5, 6):
            np.testing.assert_array_equal(found == value, labels == value)
        assert (found[40:80, 30] == 1).all()

    def test_no_label_is_erased(self) -> None:
        labels = square((48, 80), (48, 80))
        every = [(r, c) for r in range(-2, 3) for c in range(-2, 3)]
        found = still(votes_for(*every)).warp_labels(labels)
        assert (found == 1).sum() >= (labels == 1).sum() / 2

    def test_beyond_the_source_is_background(self) -> None:
        labels = np.full((SIDE, SIDE), 3, np.uint8)
        found = still(votes_for((0, 2))).warp_labels(labels)
        assert (found[:, -CELL:] == 0).all()
        assert (found[:, : -3 * CELL] == 3).all()

    def test_low_confidence_is_not_overruled(self) -> None:
        trust = np.ones((CELLS, CELLS), np.float32)
        trust[:, : CELLS // 2] = 0
        labels = square((32, 88), (40, 88))
        found = still(votes_for((0, 2)), backward_confidence=trust)
        kept = found.warp_labels(labels, min_confidence=0.5)
        assert not kept[:, : SIDE // 2 - CELL].any()
        assert kept[40:80, SIDE // 2 + 4].all()

    def test_touching_labels_share_one_border(self) -> None:
        labels = square((32, 88), (20, 64), 1) + square((32, 88), (64, 110), 2)
        found = still(votes_for((0, 1))).warp_labels(labels)
        row = found[60]
        edge = int(np.flatnonzero(row == 2)[0])
        assert abs(edge - (64 - CELL)) <= 3
        assert (row[edge - 4 : edge] == 1).all()

    @pytest.mark.parametrize(
        'kind', [bool, np.uint8, np.int16, np.int64, np.uint64]
    )
    def test_dtypes(self, kind: Any) -> None:
        value = 1 if kind is bool else np.iinfo(kind).max
        labels = np.zeros((SIDE, SIDE), kind)
        labels[32:88, 40:88] = value
        found = still(votes_for((1, 0))).warp_labels(labels)
        assert found.dtype == labels.dtype
        assert set(np.unique(found).tolist()) == {0, int(value)}

    def test_hundreds_of_labels(self) -> None:
        labels = np.kron(
            np.arange(1, 257).reshape(16, 16), np.ones((8, 8), int)
        )
        found = still(votes_for((0, 1))).warp_labels(labels)
        # All are too small.
        np.testing.assert_array_equal(found, labels)


class TestReading:
    @pytest.mark.parametrize('shape', [(SIDE, SIDE), (301, 203), (17, 900)])
    @pytest.mark.parametrize('trust', [0.0, 0.5])
    def test_memory_pieces_and_dask_agree(
        self,
        shape: tuple[int, int],
        trust: float,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        rng = np.random.default_rng(1)
        votes = rng.random((CELLS, CELLS, WINDOW, WINDOW)).astype(np.float32)
        field = rng.normal(0, 0.02, (CELLS, CELLS, 2)).astype(np.float32)
        confidence = rng.random((CELLS, CELLS)).astype(np.float32)
        found = still(
            votes,
            backward=field,
            backward_confidence=confidence,
            source_shape=shape,
            target_shape=shape[::-1],
        )
        labels = np.zeros(shape, np.uint8)
        rows, columns = shape
        labels[rows // 4 : rows // 2, : columns // 2] = 3
        labels[rows // 2 :, columns // 3 :] = 200
        whole = found.warp_labels(labels, min_confidence=trust)
        assert (whole != found.warp_labels(labels, vote=False)).any()
        blocks = lazy_labels(
            found, da.from_array(labels, 64), min_confidence=trust, side=50
        )
        np.testing.assert_array_equal(blocks.compute(), whole)
        blocks = lazy_labels(found, labels, min_confidence=trust, side=50)
        np.testing.assert_array_equal(blocks.compute(), whole)
        monkeypatch.setattr('napari_samnet.warping.warp.COPIED_VALUES', 1)
        pieces = found.warp_labels(
            np.asfortranarray(labels), min_confidence=trust
        )
        np.testing.assert_array_equal(pieces, whole)

    def test_samples_are_taken_at_centers(self) -> None:
        labels = np.arange(64).reshape(8, 8)
        found = sparse_labels(Pixels.of(labels), (8, 8), (2, 2))
        np.testing.assert_array_equal(found, labels[1::2, 1::2])

    def test_saved_and_loaded(self, tmp_path: Path) -> None:
        found = still(votes_for((0, 1), (1, 1)))
        again = Correspondence.load(found.save(tmp_path / 'found.npz'))
        assert again.votes is not None
        np.testing.assert_array_equal(again.votes, found.votes)
        labels = square((32, 88), (40, 88))
        np.testing.assert_array_equal(
            again.warp_labels(labels), found.warp_labels(labels)
        )


class TestBadVotes:
    @pytest.mark.parametrize(
        ('votes', 'text'),
        [
            (np.zeros((CELLS, CELLS, 5)), r'\(16, 16, K, K\)'),
            (np.zeros((CELLS, 3, 5, 5)), r'shape \(16, 3, 5, 5\)'),
            (np.zeros((CELLS, CELLS, 5, 3)), r'shape \(16, 16, 5, 3\)'),
            (np.zeros((CELLS, CELLS, 4, 4)), 'odd K, got 4'),
            (np.zeros((CELLS, CELLS, 5, 5), int), 'must be float'),
            (np.full((CELLS, CELLS, 5, 5), -1.0), 'not below 0'),
            (np.full((CELLS, CELLS, 5, 5), np.nan), 'finite'),
        ],
    )
    def test_are_refused(self, votes: np.ndarray, text: str) -> None:
        with pytest.raises(InputError, match=text):
            still(votes)


class TestNetwork:
    def test_votes_are_likelihoods_around_the_field(self) -> None:
        image = data.chelsea()
        found = match(image, image, size=128, window=7, attributes=False)
        votes = found.votes
        assert votes is not None
        assert votes.shape == (16, 16, 7, 7)
        np.testing.assert_allclose(votes.sum((2, 3)), 1, atol=0.01)
        # An image matches itself where it is.
        best = votes.reshape(16, 16, -1).argmax(2)
        assert (best == 24).mean() > 0.95

    def test_without_vote_there_are_none(self) -> None:
        image = data.chelsea()
        given = {'size': 128, 'attributes': False, 'iterations': 1}
        assert match(image, image, vote=False, **given).votes is None

    def test_known_warp_is_followed_as_well_as_by_the_field(self) -> None:
        photograph = data.astronaut()[:384, :384] / np.float32(255)
        rng = np.random.default_rng(3)
        flow = random_field(photograph.shape[:2], rng, WarpRanges().times(0.6))
        source, _ = warp_photograph(photograph, flow)
        labels = np.zeros(photograph.shape[:2], bool)
        labels[60:300, 120:320] = True
        truth, _ = warp_photograph(
            np.repeat(labels[..., None], 3, 2).astype(np.float32), flow
        )
        # The source is the warped one: carry the target's mask to it.
        found = match(photograph, source)
        voted, plain = (
            iou(found.warp_labels(labels, vote=vote), truth[..., 0] > 0.5)
            for vote in (True, False)
        )
        assert voted > 0.9
        assert voted > plain - 0.01
