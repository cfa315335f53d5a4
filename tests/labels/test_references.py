"""Several annotated images, and the quality that is predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage import data

from napari_samnet import InputError, carry, match
from napari_samnet.datasets.metrics import iou
from napari_samnet.labels.quality import (
    LabelMeasures,
    image_quality,
    is_likely_absent,
    predicted_iou,
)
from napari_samnet.labels.references import (
    AnnotatedFeatures,
    common_dtype,
    nearest_references,
    propose_next,
    table_of_references,
)
from napari_samnet.labels.similar import CellFeatures
from napari_samnet.matching.carry import LabelCarrier
from napari_samnet.options import MatchOptions

SIZE = 128


def one_hot(cells: np.ndarray) -> CellFeatures:
    """Cells that look alike where their numbers are equal."""
    features = np.eye(8, dtype=np.float32)[cells]
    return CellFeatures(features, features)


def annotated(cells: list[list[int]], labels: list[list[int]]) -> Any:
    """An image of few cells with one label for each."""
    return AnnotatedFeatures(one_hot(np.array(cells)), np.array(labels))


class TestTable:
    def test_references_are_asked_together(self) -> None:
        references = [
            annotated([[0, 1]], [[0, 7]]),
            annotated([[2, 3]], [[7, 0]]),
        ]
        table = table_of_references(
            one_hot(np.array([[0, 1], [2, 3]])), references
        )
        assert table.values.tolist() == [0, 7]
        shares = table.shares.toarray()[:, 1]
        np.testing.assert_allclose(shares, [0, 1, 1, 0], atol=1e-3)
        np.testing.assert_allclose(table.similarity, 1, atol=1e-3)

    def test_background_is_no_evidence_against_ids_it_lacks(self) -> None:
        # The second reference shows what has id 5, but has only id 9.
        references = [
            annotated([[0, 1]], [[0, 5]]),
            annotated([[0, 1, 2]], [[0, 0, 9]]),
        ]
        table = table_of_references(one_hot(np.array([[0, 1, 2]])), references)
        assert table.values.tolist() == [0, 5, 9]
        np.testing.assert_array_equal(
            table.shares.toarray().argmax(1), [0, 1, 2]
        )

    def test_the_same_set_of_ids_votes_together(self) -> None:
        references = [
            annotated([[1]], [[5]]),
            annotated([[1]], [[5]]),
            annotated([[1, 2]], [[0, 5]]),
        ]
        table = table_of_references(one_hot(np.array([[1]])), references)
        share = table.shares.toarray()[0, table.values.tolist().index(5)]
        assert share == pytest.approx(2 / 3, abs=0.01)

    def test_how_far_pieces_lie_apart_is_that_of_the_widest(self) -> None:
        whole = annotated([[0, 1]], [[5, 5, 0, 0, 0, 0]])
        pieces = annotated([[0, 1]], [[5, 5, 0, 0, 0, 5]])
        target = one_hot(np.array([[0, 1]]))
        alone = table_of_references(target, [whole])
        both = table_of_references(target, [whole, pieces])
        assert alone.gaps is not None
        assert both.gaps is not None
        assert alone.gaps[1] == 0
        assert both.gaps[1] > 1


class TestChoice:
    def test_the_nearest_come_first(self) -> None:
        means = [np.array([x, 0.0]) for x in (5.0, 1.0, 2.0)]
        assert nearest_references(np.zeros(2), means, 2) == [1, 2]

    def test_what_helps_most_is_proposed(self) -> None:
        known = [np.zeros(2)]
        targets = [np.array([x, 0.0]) for x in (0.1, 5.0, 5.2, 9.0)]
        # Two poor ones lie together, far from what is annotated.
        assert propose_next(targets, known, [0.9, 0.2, 0.2, 0.9]) in (1, 2)
        assert propose_next(targets, known, [1, 1, 1, 0.1]) == 3
        assert propose_next([], known, []) is None

    def test_types_that_hold_all_ids(self) -> None:
        kinds = [np.dtype(kind) for kind in (bool, np.uint8, np.int16)]
        assert common_dtype(kinds) == np.int16
        assert common_dtype([np.dtype(bool)] * 2).kind == 'b'
        with pytest.raises(InputError, match='one integer type'):
            common_dtype([np.dtype(np.uint64), np.dtype(np.int64)])


class TestQuality:
    def test_it_rises_with_each_measure(self) -> None:
        low = LabelMeasures(100, 0.7, 0.48)
        high = LabelMeasures(100, 0.95, 0.7)
        assert predicted_iou(high) > 0.7 > 0.5 > predicted_iou(low)
        absent = predicted_iou(LabelMeasures(100, 0.95, 0.4))
        sure = predicted_iou(LabelMeasures(100, 0.9, 0.7, 0.6, 0.95))
        unsure = predicted_iou(LabelMeasures(100, 0.9, 0.7, 0.1, 0.6))
        unknown = predicted_iou(LabelMeasures(100, 0.9, 0.7, 0.6))
        assert sure > unknown > 0.7 > 0.5 > unsure
        assert is_likely_absent(absent)
        assert predicted_iou(LabelMeasures(0, 1, 1)) == 0

    def test_no_labels_no_estimate(self) -> None:
        assert np.isnan(image_quality([]))
        assert not is_likely_absent(image_quality([]))


@pytest.fixture(scope='module')
def cat() -> tuple[np.ndarray, np.ndarray]:
    """A photograph with one label."""
    image = np.ascontiguousarray(data.chelsea()[:, 60:360])
    labels = np.zeros(image.shape[:2], np.uint16)
    labels[40:230, 60:250] = 300
    return image, labels


class TestCarry:
    def test_an_image_gets_its_own_labels_back(
        self, cat: tuple[np.ndarray, np.ndarray]
    ) -> None:
        carried = carry([cat], cat[0], size=SIZE, outlines=False)
        assert carried.labels.dtype == np.uint16
        assert set(np.unique(carried.labels)) == {0, 300}
        assert iou(carried.labels > 0, cat[1] > 0) > 0.9
        assert carried.predicted_iou > 0.6
        assert not carried.likely_absent
        assert carried.vanished == ()

    def test_the_right_reference_is_asked_and_features_kept(
        self, cat: tuple[np.ndarray, np.ndarray]
    ) -> None:
        other = data.coffee()
        marks = np.zeros(other.shape[:2], bool)
        marks[100:300, 200:400] = True
        options = MatchOptions(size=SIZE)
        carrier = LabelCarrier([(other, marks), cat], options, best=1)
        encoded = carrier.describer.encoded
        carried = carrier(np.ascontiguousarray(cat[0][:, ::-1]))
        assert carried.references == (1,)
        assert carrier.describer.encoded == encoded + 1
        carrier(np.ascontiguousarray(cat[0][:, ::-1]))
        assert carrier.describer.encoded == encoded + 1
        truth = cat[1][:, ::-1] > 0
        assert iou(carried.labels == 300, truth) > 0.75

    def test_ids_that_vanish_are_named(
        self, cat: tuple[np.ndarray, np.ndarray]
    ) -> None:
        image, labels = cat
        noise = np.random.default_rng(0).integers(
            0, 255, (120, 150, 3), np.uint8
        )
        carried = carry([(image, labels)], noise, size=SIZE)
        assert carried.labels.shape == (120, 150)
        present = set(np.unique(carried.labels).tolist()) - {0}
        assert set(carried.vanished) == {300} - present
        assert carried.metadata['labels'][0]['label'] == 300

    def test_nothing_is_asked_or_labeled_in_what_is_left_out(
        self, cat: tuple[np.ndarray, np.ndarray]
    ) -> None:
        image, labels = cat
        left = np.zeros(labels.shape, bool)
        left[:, :150] = True
        carried = carry([cat], image, size=SIZE, leave_out=left)
        assert not carried.labels[left].any()
        assert iou(carried.labels > 0, (labels > 0) & ~left) > 0.8
        only = carry([cat], image, size=SIZE, region=labels > 0)
        assert not only.labels[labels == 0].any()
        bare = carry([cat], image, size=SIZE, reference_regions=[labels == 0])
        assert (bare.labels > 0).sum() < 0.5 * (labels > 0).sum()

    def test_wrong_input_is_told(
        self, cat: tuple[np.ndarray, np.ndarray]
    ) -> None:
        with pytest.raises(InputError, match='region must have the shape'):
            carry([cat], cat[0], size=SIZE, region=cat[1][:-1])
        with pytest.raises(InputError, match='leave_outs must hold one'):
            carry([cat], cat[0], size=SIZE, reference_leave_outs=[])
        image = np.zeros((9, 9), np.uint8)
        for alone in ([image], (image, image), [(image, image, image)]):
            with pytest.raises(InputError, match='must be pairs of image'):
                carry(alone, image)
        with pytest.raises(InputError, match='at least one pair'):
            carry([], cat[0])
        with pytest.raises(InputError, match='labels of reference 1'):
            carry([(cat[0], cat[1][:-1])], cat[0], size=SIZE)
        with pytest.raises(InputError, match='best must be'):
            carry([cat], cat[0], size=SIZE, best=0)

    def test_a_match_predicts_the_quality_of_its_labels(
        self, cat: tuple[np.ndarray, np.ndarray]
    ) -> None:
        result = match(
            cat[0],
            cat[0],
            labels=cat[1],
            size=SIZE,
            attributes=False,
            iterations=2,
        )
        (about,) = result.metadata['labels']
        assert about['label'] == 300
        assert about['predicted_iou'] > 0.7
        assert not result.metadata['likely_absent']
