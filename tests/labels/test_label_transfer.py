"""Labels by evidence, with evidence whose outcome is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data

from napari_samnet import InputError, match
from napari_samnet.correspondence import Correspondence
from napari_samnet.dask_warp import lazy_labels
from napari_samnet.datasets.metrics import iou
from napari_samnet.images.plane import Plane
from napari_samnet.labels.evidence import (
    Evidence,
    find_evidence,
    label_shares,
)
from napari_samnet.labels.kernel import sample_labels
from napari_samnet.labels.painter import TEXTURE_WIDTH, LabelPainter
from napari_samnet.labels.pieces import widest_gap, widest_gaps
from napari_samnet.labels.scores import LabelScores
from napari_samnet.labels.similar import most_similar, pooled
from napari_samnet.warping.warp import SourceArray

CELLS = 16
#: Pixels of a cell.
CELL = 8
SIDE = CELLS * CELL


def evidence_for(*steps: tuple[int, int]) -> Evidence:
    """Every cell looks like those at displacements (row, column)."""
    row, column = np.indices((CELLS, CELLS))
    index = np.stack(
        [
            (row + down).clip(0, CELLS - 1) * CELLS
            + (column + along).clip(0, CELLS - 1)
            for down, along in steps
        ],
        axis=-1,
    )
    return Evidence(
        index,
        np.full(index.shape, 1 / len(steps), np.float16),
        np.ones((CELLS, CELLS), np.float16),
        np.array([[CELLS, CELLS]]),
    )


def still(evidence: Evidence | None, **more: Any) -> Correspondence:
    """A field without motion."""
    field = np.zeros((CELLS, CELLS, 2), np.float32)
    trust = np.ones((CELLS, CELLS), np.float32)
    given: dict[str, Any] = {
        'forward': field,
        'backward': field,
        'forward_cell_confidence': trust,
        'backward_cell_confidence': trust,
        'source_shape': (SIDE, SIDE),
        'target_shape': (SIDE, SIDE),
        'evidence': evidence,
    }
    return Correspondence(**{**given, **more})


def square(
    rows: tuple[int, int], columns: tuple[int, int], value: int = 1
) -> np.ndarray:
    """A label map with one rectangle, in pixels."""
    labels = np.zeros((SIDE, SIDE), np.uint16)
    labels[slice(*rows), slice(*columns)] = value
    return labels


class TestEvidence:
    def test_the_most_similar_cells_are_found(self) -> None:
        rng = np.random.default_rng(0)
        features = rng.normal(size=(6, 7, 16)).astype(np.float32)
        order = rng.permutation(42)
        target = features.reshape(42, 16)[order].reshape(7, 6, 16)
        evidence = find_evidence(target, [features], neighbors=3)
        np.testing.assert_array_equal(evidence.index[..., 0].ravel(), order)
        np.testing.assert_allclose(evidence.similarity, 1, atol=1e-3)
        np.testing.assert_allclose(evidence.weight.sum(-1), 1, atol=2e-3)

    def test_weights_are_a_softmax_of_cosines(self) -> None:
        angle = np.radians([0, 10, 20, 90])
        reference = np.stack([np.cos(angle), np.sin(angle)], -1)
        evidence = find_evidence(
            np.array([[[1.0, 0.0]]]),
            [reference[None]],
            neighbors=3,
            temperature=0.1,
            mutual=0,
        )
        expected = np.exp(np.cos(angle[:3]) / 0.1)
        np.testing.assert_array_equal(evidence.index.ravel(), [0, 1, 2])
        np.testing.assert_allclose(
            evidence.weight.ravel(), expected / expected.sum(), atol=1e-3
        )

    def test_what_is_mutual_counts_more(self) -> None:
        angle = np.radians([0, 40, 50])
        target = np.stack([np.cos(angle), np.sin(angle)], -1)[None]
        # The first cell of the source is like both others of the target, but
        # it has a match of its own.
        angle = np.radians([30, 100])
        source = np.stack([np.cos(angle), np.sin(angle)], -1)[None]
        shares = [
            find_evidence(target, [source], temperature=0.2, mutual=mutual)
            .matrix()
            .toarray()[2, 1]
            for mutual in (0, 0.5, 1)
        ]
        assert shares[0] < shares[1] < shares[2]

    def test_likeness_may_be_told_by_other_features(self) -> None:
        features = np.eye(4, dtype=np.float32).reshape(2, 2, 4)
        other = np.full((2, 2, 3), 2.0, np.float32)
        other[0, 0] = 0, 0, 1
        alike = most_similar(features, [other[..., :1] * features])
        np.testing.assert_allclose(alike, [[0, 1], [1, 1]], atol=1e-6)
        evidence = find_evidence(features, [features], similarity=alike)
        np.testing.assert_array_equal(evidence.index[..., 0].ravel(), range(4))
        np.testing.assert_allclose(evidence.similarity, alike)

    def test_several_images_are_asked_at_once(self) -> None:
        features = np.eye(8, dtype=np.float32).reshape(2, 4, 8)
        evidence = find_evidence(
            features[::-1], [features[:1], features[1:]], neighbors=1
        )
        np.testing.assert_array_equal(
            evidence.index[..., 0], [[4, 5, 6, 7], [0, 1, 2, 3]]
        )
        np.testing.assert_array_equal(
            evidence.reference_cells, [[1, 4], [1, 4]]
        )

    def test_many_cells_are_pooled(self) -> None:
        features = np.ones((130, 40, 3), np.float32)
        assert pooled(features).shape == (44, 14, 3)
        np.testing.assert_allclose(
            np.linalg.norm(pooled(features), axis=-1), 1, rtol=1e-5
        )

    def test_shares_are_areas(self) -> None:
        places = np.zeros((8, 8), int)
        places[:4, :3] = 1
        shares = label_shares(places, 3, (2, 2)).toarray()
        np.testing.assert_allclose(
            shares, [[0.25, 0.75, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]
        )

    def test_fewer_samples_than_cells_are_repeated(self) -> None:
        shares = label_shares(np.array([[0, 1]]), 2, (2, 4)).toarray()
        np.testing.assert_array_equal(shares[:, 1], [0, 0, 1, 1] * 2)

    @pytest.mark.parametrize(
        ('changed', 'text'),
        [
            ({'index': np.zeros((2, 2), int)}, r'shape \(h, w, k\)'),
            ({'index': np.full((16, 16, 1), 256)}, 'from 0 to 255'),
            ({'weight': np.zeros((16, 16, 2))}, r'shape \(16, 16, 1\)'),
            ({'weight': np.full((16, 16, 1), np.nan)}, 'from 0 to 1'),
            ({'similarity': np.zeros((16, 16), int)}, 'must be float'),
            ({'reference_cells': np.zeros((0, 2), int)}, 'whole numbers'),
        ],
    )
    def test_bad_parts_are_refused(
        self, changed: dict[str, Any], text: str
    ) -> None:
        good = evidence_for((0, 0))
        parts = {
            name: getattr(good, name)
            for name in ('index', 'weight', 'similarity', 'reference_cells')
        }
        with pytest.raises(InputError, match=text):
            Evidence(**{**parts, **changed})

    def test_channels_must_agree(self) -> None:
        with pytest.raises(InputError, match='2, 3'):
            find_evidence(np.ones((2, 2, 3)), [np.ones((2, 2, 2))])
        with pytest.raises(InputError, match='at least one'):
            find_evidence(np.ones((2, 2, 3)), [])


class TestOutcome:
    def test_evidence_for_the_field_changes_nothing(self) -> None:
        labels = np.random.default_rng(0).integers(10, 19, (SIDE, SIDE))
        labels[24:88, 32:104] = 4
        result = still(evidence_for((0, 0)))
        np.testing.assert_array_equal(result.warp_labels(labels), labels)

    @pytest.mark.parametrize('step', [(1, 0), (0, -4), (4, 3)])
    def test_unanimous_evidence_moves_a_label(
        self, step: tuple[int, int]
    ) -> None:
        labels = square((32, 88), (40, 88), 7)
        carried = still(evidence_for(step)).warp_labels(labels)
        # What the target shows is at `step` from there in the source.
        expected = np.roll(labels, [-CELL * k for k in step], (0, 1))
        assert iou(carried > 0, expected > 0) > 0.85
        assert set(np.unique(carried)) == {0, 7}

    def test_without_evidence_the_field_alone_decides(self) -> None:
        labels = square((32, 88), (40, 88))
        result = still(evidence_for((2, 2)))
        np.testing.assert_array_equal(
            result.warp_labels(labels, evidence=False), labels
        )

    def test_what_cells_do_not_resolve_follows_the_field(self) -> None:
        labels = square((32, 88), (40, 88))
        labels[100:104, :] = 5
        labels[60:64, 60:64] = 6
        carried = still(evidence_for((0, 2))).warp_labels(labels)
        for value in (5, 6):
            np.testing.assert_array_equal(carried == value, labels == value)
        assert (carried[40:80, 30] == 1).all()

    def test_a_small_label_that_evidence_loses_stays_with_the_field(
        self,
    ) -> None:
        elsewhere = evidence_for((0, 6), (6, 0), (0, -6), (-6, 0))
        small = square((56, 72), (56, 72), 3)
        carried = still(elsewhere).warp_labels(small)
        np.testing.assert_array_equal(carried, small)
        # Not where nothing speaks for the field.
        unsure = np.zeros((CELLS, CELLS), np.float32)
        result = still(elsewhere, backward_cell_confidence=unsure)
        assert not result.warp_labels(small).any()
        # And not where the evidence knows another place.
        moved = still(evidence_for((0, 3))).warp_labels(small)
        assert iou(moved > 0, np.roll(small, -24, 1) > 0) > 0.5

    def test_one_of_many_labels_does_not_vanish(self) -> None:
        labels = np.arange(1, 17).reshape(4, 4).repeat(32, 0).repeat(32, 1)
        evidence = evidence_for((0, 0))
        index = evidence.index.reshape(CELLS, CELLS).copy()
        # What shows label 6 looks like label 7.
        index[4:8, 4:8] = index[4:8, 8:12]
        lost = replace(evidence, index=index[..., None])
        for trust in (0.05, 1):
            unsure = np.full((CELLS, CELLS), trust, np.float32)
            result = still(lost, backward_cell_confidence=unsure)
            carried = result.warp_labels(labels)
            np.testing.assert_array_equal(carried == 6, labels == 6)
        # With hardly anything else there, it may well be missing.
        alone = np.where(np.isin(labels, [1, 6]), labels, 0)
        unsure = np.full((CELLS, CELLS), 0.05, np.float32)
        carried = still(lost, backward_cell_confidence=unsure).warp_labels(
            alone
        )
        assert set(np.unique(carried)) == {0, 1}

    def test_labels_that_no_sample_shows_stay_with_the_field(self) -> None:
        labels = square((0, SIDE), (0, SIDE)).repeat(16, 0).repeat(16, 1)
        corners = np.arange(5, 2000, 97)
        for number, corner in enumerate(corners, start=2):
            labels[corner : corner + 3, corner : corner + 4] = number
        result = still(
            evidence_for((0, 3)),
            source_shape=labels.shape,
            target_shape=labels.shape,
        )
        carried = result.warp_labels(labels)
        np.testing.assert_array_equal(carried, labels)

    def test_what_pixels_confirm_in_most_of_a_label_holds_for_all_of_it(
        self,
    ) -> None:
        labels = square((32, 96), (32, 96), 3)
        confirmed = np.zeros((CELLS, CELLS), np.float32)
        confirmed[:, :8] = 1
        evidence = replace(evidence_for((0, 2)), confirmed=confirmed)
        carried = still(evidence).warp_labels(labels)
        np.testing.assert_array_equal(carried, labels)
        little = replace(evidence, confirmed=np.roll(confirmed, -3, 1))
        carried = still(little).warp_labels(labels)
        assert (carried != labels).any()

    def test_low_confidence_is_not_overruled(self) -> None:
        trust = np.ones((CELLS, CELLS), np.float32)
        trust[:, : CELLS // 2] = 0
        labels = square((32, 88), (40, 88))
        result = still(evidence_for((0, 2)), backward_cell_confidence=trust)
        kept = result.warp_labels(labels, min_confidence=0.5)
        assert not kept[:, : SIDE // 2 - CELL].any()
        assert kept[40:80, SIDE // 2 + 4].all()

    def test_touching_labels_share_one_border(self) -> None:
        labels = square((32, 88), (20, 64), 1) + square((32, 88), (64, 110), 2)
        carried = still(evidence_for((0, 1))).warp_labels(labels)
        row = carried[60]
        edge = int(np.flatnonzero(row == 2)[0])
        assert row[edge - 1] == 1
        assert abs(edge - (64 - CELL)) <= 2

    @pytest.mark.parametrize('value', [1, 70_000, 2**40, True])
    def test_ids_and_dtype_stay(self, value: int) -> None:
        kind = bool if value is True else np.int64 if value > 1 else np.uint8
        labels = np.zeros((SIDE, SIDE), kind)
        labels[32:88, 40:88] = value
        carried = still(evidence_for((1, 0))).warp_labels(labels)
        assert carried.dtype == labels.dtype
        assert set(np.unique(carried).tolist()) == {0, int(value)}


class TestSpecks:
    """What looks like the labeled thing somewhere else, and is small."""

    def carried(self, labels: np.ndarray, cells: tuple[slice, slice]) -> Any:
        """Labels where some cells look like the middle of the source."""
        evidence = evidence_for((0, 0))
        evidence.index[cells] = CELLS // 2 * CELLS + CELLS // 2
        back = np.full((CELLS, CELLS, 2), 0, np.float32)
        return still(
            evidence,
            backward=back,
            backward_cell_confidence=np.zeros((CELLS, CELLS), np.float32),
        ).warp_labels(labels)

    def test_a_speck_far_away_is_dropped(self) -> None:
        labels = np.zeros((SIDE, SIDE), np.uint8)
        labels[44:100, 44:100] = 5
        speck = np.s_[1:3, 1:3]
        carried = self.carried(labels, speck)
        assert not carried[:36, :36].any()
        assert iou(carried > 0, labels > 0) > 0.9

    def test_a_label_that_was_drawn_in_pieces_stays_in_pieces(self) -> None:
        labels = np.zeros((SIDE, SIDE), np.uint8)
        labels[44:100, 44:100] = 5
        labels[108:124, 8:24] = 5
        assert self.carried(labels, np.s_[1:3, 1:3])[16, 16] == 5

    def test_gaps_of_all_labels_are_those_of_each(self) -> None:
        rng = np.random.default_rng(0)
        places = rng.integers(0, 6, (40, 50))
        places[10:20, 10:30] = 3
        gaps = widest_gaps(places, 8)
        for label in range(6):
            assert gaps[label] == pytest.approx(widest_gap(places == label))
        assert not gaps[6:].any()
        # One at a time, so many would take seconds.
        every = np.arange(1 << 16).reshape(256, 256)
        assert not widest_gaps(every, every.size).any()

    def test_a_second_thing_as_large_keeps_its_label(self) -> None:
        labels = np.zeros((SIDE, SIDE), np.uint8)
        labels[60:92, 60:92] = 5
        assert self.carried(labels, np.s_[1:4, 1:4])[20, 20] == 5


class TestOutlines:
    def picture(self, labels: np.ndarray) -> np.ndarray:
        """An image in which labels differ in color, with some noise."""
        rng = np.random.default_rng(2)
        colors = np.array([[60, 90, 60], [180, 120, 90], [90, 90, 180]])
        noise = rng.normal(0, 6, (*labels.shape, 3))
        return np.clip(colors[labels] + noise, 0, 255).astype(np.uint8)

    def test_move_to_the_edges_of_the_image(self) -> None:
        truth = square((35, 91), (43, 91)) + square((35, 91), (91, 110), 2)
        labels = np.roll(truth, (3, 4), (0, 1))
        result = still(evidence_for((0, 0)))
        carried = result.warp_labels(labels, image=self.picture(truth))
        assert iou(carried > 0, truth > 0) > iou(labels > 0, truth > 0) + 0.05
        assert (carried == truth).mean() > (labels == truth).mean() + 0.01

    def test_are_sharp_at_native_resolution(self) -> None:
        large = np.zeros((1024, 1024), np.uint8)
        row, column = np.indices(large.shape)
        large[np.hypot(row - 500, column - 520) < 260] = 1
        labels = np.zeros((512, 512), np.uint8)
        labels[::] = large[::2, ::2]
        labels = np.roll(labels, (8, -8), (0, 1))
        result = still(
            evidence_for((0, 0)),
            source_shape=(512, 512),
            target_shape=(1024, 1024),
        )
        carried = result.warp_labels(labels, image=self.picture(large))
        assert iou(carried > 0, large > 0) > 0.97

    def test_wide_blurs_of_large_images_are_those_of_their_means(self) -> None:
        rng = np.random.default_rng(0)
        image = gaussian_filter(rng.random((200, 3000)), 3)
        image = (image - image.min()) / np.ptp(image)
        image[:, 1000:] /= 2
        nothing = np.array([], int)
        scores = LabelScores(nothing, [], [], np.zeros((17, 256), bool), [])
        painter = LabelPainter(scores, image.shape)
        width = TEXTURE_WIDTH * 3000 / 256
        whole = gaussian_filter(image, width, mode='nearest', truncate=3)
        for part in (
            (slice(0, 128), slice(930, 1058)),
            (slice(128, 200), slice(2944, 3000)),
        ):
            colors = painter._smoothed_colors(Plane.of(image), part)
            assert colors.shape == (*whole[part].shape, 3)
            assert np.abs(colors[..., 0] - whole[part]).max() < 0.01

    def test_stay_where_colors_do_not_tell(self) -> None:
        labels = square((32, 88), (40, 88))
        image = np.random.default_rng(0).integers(
            0, 255, (SIDE, SIDE, 3), np.uint8
        )
        result = still(evidence_for((0, 0)))
        carried = result.warp_labels(labels, image=image)
        assert iou(carried > 0, labels > 0) > 0.9

    @pytest.mark.parametrize('kind', ['gray', 'float', 'channels first'])
    def test_images_of_all_kinds(self, kind: str) -> None:
        truth = square((35, 91), (43, 91))
        labels = np.roll(truth, (3, 4), (0, 1))
        image: np.ndarray = self.picture(truth)
        axis = None
        if kind == 'gray':
            image = image[..., 0].astype(np.uint16) * 20
        elif kind == 'float':
            image = image / 255
        else:
            axis = 0
            image = np.moveaxis(image[..., [0, 1, 2, 0, 1]], 2, 0)
        result = still(evidence_for((0, 0)))
        carried = result.warp_labels(labels, image=image, channel_axis=axis)
        assert iou(carried > 0, truth > 0) > iou(labels > 0, truth > 0) + 0.05

    def test_the_image_must_be_the_target(self) -> None:
        result = still(evidence_for((0, 0)))
        with pytest.raises(InputError, match='must be the target'):
            result.warp_labels(
                square((32, 88), (40, 88)), image=np.zeros((9, 9))
            )


class TestReading:
    @pytest.mark.parametrize(
        ('shape', 'trust'),
        [((SIDE, SIDE), 0.5), ((151, 103), 0.0), ((17, 450), 0.5)],
    )
    def test_memory_pieces_and_dask_agree(
        self,
        shape: tuple[int, int],
        trust: float,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        rng = np.random.default_rng(1)
        field = rng.normal(0, 0.02, (CELLS, CELLS, 2)).astype(np.float32)
        confidence = rng.random((CELLS, CELLS)).astype(np.float32)
        result = still(
            evidence_for((0, 1), (1, 1)),
            backward=field,
            backward_cell_confidence=confidence,
            source_shape=shape,
            target_shape=shape[::-1],
        )
        labels = np.zeros(shape, np.uint8)
        rows, columns = shape
        labels[rows // 4 : rows // 2, : columns // 2] = 3
        labels[rows // 2 :, columns // 3 :] = 200
        whole = result.warp_labels(labels, min_confidence=trust)
        assert (whole != result.warp_labels(labels, evidence=False)).any()
        blocks = lazy_labels(
            result, da.from_array(labels, 64), min_confidence=trust, side=50
        )
        np.testing.assert_array_equal(blocks.compute(), whole)
        blocks = lazy_labels(result, labels, min_confidence=trust, side=50)
        np.testing.assert_array_equal(blocks.compute(), whole)
        monkeypatch.setattr('napari_samnet.warping.warp.COPIED_VALUES', 1)
        pieces = result.warp_labels(
            np.asfortranarray(labels), min_confidence=trust
        )
        np.testing.assert_array_equal(pieces, whole)

    def test_samples_are_taken_at_centers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr('napari_samnet.labels.kernel.SAMPLE_SIDE', 4)
        labels = np.arange(64).reshape(8, 8)
        samples = sample_labels(SourceArray.of(labels), (8, 8))
        np.testing.assert_array_equal(samples, labels[1::2, 1::2])

    def test_saved_and_loaded(self, tmp_path: Path) -> None:
        result = still(evidence_for((0, 1), (1, 1)))
        again = Correspondence.load(result.save(tmp_path / 'result.npz'))
        assert again.evidence is not None
        assert result.evidence is not None
        np.testing.assert_array_equal(
            again.evidence.index, result.evidence.index
        )
        labels = square((32, 88), (40, 88))
        np.testing.assert_array_equal(
            again.warp_labels(labels), result.warp_labels(labels)
        )


class TestNetwork:
    def test_an_image_finds_itself(self) -> None:
        image = data.chelsea()
        given = {'size': 128, 'attributes': False, 'iterations': 1}
        result = match(image, image, **given)
        assert result.evidence is not None
        np.testing.assert_array_equal(
            result.evidence.index[..., 0].ravel(), np.arange(256)
        )
        assert match(image, image, evidence=False, **given).evidence is None

    @pytest.mark.slow
    def test_a_wide_image_is_asked_in_its_own_proportions(self) -> None:
        image = data.chelsea()[:150, :300]
        result = match(image, image, size=128, attributes=False)
        assert result.evidence is not None
        assert result.evidence.shape == (16, 32)
        np.testing.assert_array_equal(
            result.evidence.reference_cells, [[16, 32]]
        )
        labels = np.zeros((150, 300), np.uint8)
        labels[40:110, 120:180] = 4
        assert iou(result.warp_labels(labels) > 0, labels > 0) > 0.9

    def test_a_photograph_costs_no_further_pass(self) -> None:
        image = data.chelsea()[:150, :225]
        result = match(image, image, size=128, attributes=False)
        assert result.evidence is not None
        assert result.evidence.shape == (16, 16)
