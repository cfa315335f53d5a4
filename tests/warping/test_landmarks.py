"""Fields that are bent to pairs of points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_samnet import Correspondence, match
from napari_samnet.errors import InputError
from napari_samnet.io.landmarks_csv import (
    Landmarks,
    read_landmarks,
    write_landmarks,
)
from napari_samnet.labels.evidence import Evidence
from napari_samnet.warping.landmarks import _areas, fit_affine

SOURCE, TARGET = (300, 400), (250, 350)


def still(**more: Any) -> Correspondence:
    """A match that moves nothing."""
    zero, trust = np.zeros((32, 32, 2), np.float32), np.full((32, 32), 0.5)
    return Correspondence(
        forward=zero,
        backward=zero.copy(),
        forward_cell_confidence=trust,
        backward_cell_confidence=trust.copy(),
        source_shape=SOURCE,
        target_shape=TARGET,
        **more,
    )


def turned(points: np.ndarray) -> np.ndarray:
    """Where points of the source lie in a target turned by 100 degrees."""
    angle = np.deg2rad(100)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    unit = (points + 0.5) / SOURCE - 0.5
    return (unit @ turn.T + 0.5) * TARGET - 0.5


def error(found: Correspondence, source: Any, target: Any) -> float:
    """Largest distance from where points belong, both ways, in pixels."""
    there = found.warp_points(source) - target
    back = found.warp_points(target, to='source') - source
    return float(np.abs(np.concatenate([there, back])).max())


class TestPairs:
    def test_they_are_met_exactly(self) -> None:
        source = np.array([[100.0, 100], [150, 300], [250, 200], [40, 60]])
        target = still().warp_points(source)
        target += [[9, -5], [3, 3], [-4, 6], [2, 8]]
        bent = still().with_landmarks(source, target)
        assert error(bent, source, target) < 0.5
        assert bent.metadata['landmarks']['met'] == [True] * 4
        assert not bent.metadata['landmarks']['restarted']

    def test_what_is_far_stays(self) -> None:
        source = np.array([[100.0, 100]])
        target = still().warp_points(source) + 8
        bent = still().with_landmarks(source, target)
        far = np.array([[280.0, 380]])
        np.testing.assert_allclose(
            bent.warp_points(far), still().warp_points(far), atol=0.5
        )

    def test_no_fold_is_made(self) -> None:
        rng = np.random.default_rng(0)
        source = rng.uniform(20, 280, (12, 2))
        target = still().warp_points(source) + rng.normal(0, 15, (12, 2))
        bent = still().with_landmarks(source, target)
        for field in (bent.forward, bent.backward):
            assert (_areas(field.astype(float)) > 0).all()
        met = np.array(bent.metadata['landmarks']['met'])
        assert met.sum() >= 6
        assert error(bent, source[met], target[met]) < 0.5

    def test_pairs_that_cross_are_not_both_met(self) -> None:
        source = np.array([[100.0, 100], [110, 110]])
        target = still().warp_points(source[::-1])
        bent = still().with_landmarks(source, target)
        assert sorted(bent.metadata['landmarks']['met']) == [False, True]

    def test_a_picture_keeps_a_correction_within_its_object(self) -> None:
        picture = np.zeros(SOURCE)
        picture[:, 200:] = 1
        source = np.array([[150.0, 180]])
        target = still().warp_points(source) + [8, 0]
        beside = np.array([[150.0, 225]])
        moved = [
            still()
            .with_landmarks(source, target, guides=guides)
            .warp_points(beside)[0, 0]
            for guides in (None, (picture, np.zeros(TARGET)))
        ]
        before = still().warp_points(beside)[0, 0]
        assert moved[0] - before > 3
        assert abs(moved[1] - before) < 0.5

    def test_few_pairs_rescue_a_match_that_failed(self) -> None:
        rng = np.random.default_rng(1)
        source = rng.uniform(60, 240, (5, 2))
        bent = still().with_landmarks(source, turned(source))
        assert bent.metadata['landmarks']['restarted']
        others = rng.uniform(60, 240, (50, 2))
        off = np.linalg.norm(bent.warp_points(others) - turned(others), axis=1)
        before = still().warp_points(others) - turned(others)
        assert np.median(off) < 6
        assert np.median(np.linalg.norm(before, axis=1)) > 60

    def test_pairs_of_a_bent_object_lead_between_them(self) -> None:
        """An affine motion alone misses by more than a part of the object."""
        columns = np.array([60.0, 130, 200, 270, 340])
        source = np.stack([150 + 20 * np.cos(columns), columns], 1)

        def bow(points: np.ndarray) -> np.ndarray:
            away = (points[:, 1] - 200) / 200
            return turned(points) + np.stack([60 * away**2, 0 * away], 1)

        bent = still().with_landmarks(source, bow(source))
        assert bent.metadata['landmarks']['restarted']
        assert bent.metadata['landmarks']['met'] == [True] * 5
        between = np.stack([np.full(4, 150.0), columns[:-1] + 35], 1)
        off = np.linalg.norm(bent.warp_points(between) - bow(between), axis=1)
        assert off.max() < 12
        for field in (bent.forward, bent.backward):
            assert (_areas(field.astype(float)) > 0).all()

    def test_pairs_that_are_met_are_exact_however_wild_the_others(
        self,
    ) -> None:
        rng = np.random.default_rng(0)
        for _ in range(8):
            source = rng.uniform(20, 280, (5, 2))
            target = rng.uniform(20, 240, (5, 2))
            bent = still().with_landmarks(source, target)
            met = np.array(bent.metadata['landmarks']['met'])
            assert np.isfinite(bent.backward).all()
            off = bent.warp_points(source[met]) - target[met]
            assert np.abs(off).max(initial=0) < 0.5

    def test_two_pairs_may_start_at_one_point(self) -> None:
        source = np.array([[60.0, 60], [60, 60], [200, 300], [240, 80]])
        target = turned(source)
        target[1] += 9
        bent = still().with_landmarks(source, target)
        assert np.isfinite(bent.forward).all()
        assert 1 <= sum(bent.metadata['landmarks']['met']) < 4

    def test_a_mirrored_affine_is_fitted(self) -> None:
        start = np.random.default_rng(0).random((3, 2))
        end = start * [1, -1] + [0, 1]
        motion = fit_affine(start, end)
        np.testing.assert_allclose(motion, [[1, 0, 0], [0, -1, 1]], atol=1e-6)

    def test_labels_go_with_the_field(self) -> None:
        flat = np.arange(32 * 32).reshape(32, 32, 1)
        evidence = Evidence(
            flat,
            np.ones((32, 32, 1), np.float32),
            np.ones((32, 32), np.float32),
            np.array([[32, 32]]),
        )
        labels = np.zeros(SOURCE, np.uint8)
        labels[120:180, 160:240] = 7
        source = np.array([[150.0, 200], [120, 160], [180, 240]])
        target = still().warp_points(source) + [50, 0]
        bent = still(evidence=evidence).with_landmarks(source, target)
        moved = np.argwhere(bent.warp_labels(labels) == 7).mean(0)
        middle = still().warp_points([[150.0, 200]])[0] + [50, 0]
        assert np.linalg.norm(moved - middle) < 10

    @pytest.mark.parametrize(
        ('source', 'target', 'message'),
        [
            ([], [], 'must be pairs'),
            ([[1, 2]], [[1, 2], [3, 4]], 'must be pairs'),
            ([[1, np.nan]], [[1, 2]], 'finite'),
        ],
    )
    def test_what_are_no_pairs_is_refused(
        self, source: Any, target: Any, message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            still().with_landmarks(source, target)


@pytest.mark.slow
def test_a_match_starts_again_from_pairs_that_contradict_it() -> None:
    from skimage import data
    from skimage.transform import resize

    source = resize(data.chelsea()[:, 60:360], (120, 120))
    target = np.rot90(source, 1).copy()
    points = np.array([[30.0, 30], [30, 90], [90, 60], [60, 60]])
    there = np.stack([119 - points[:, 1], points[:, 0]], 1)
    found = match(
        source,
        target,
        landmarks=(points, there),
        size=128,
        iterations=3,
        orientation='upright',
    )
    assert found.target_shape == (120, 120)
    assert found.metadata['landmarks']['met'] == [True] * 4
    assert error(found, points, there) < 0.5
    grid = np.stack(np.mgrid[20:101:16, 20:101:16], -1).reshape(-1, 2)
    true = np.stack([119 - grid[:, 1], grid[:, 0]], 1)
    off = np.linalg.norm(found.warp_points(grid) - true, axis=1)
    assert np.median(off) < 5


class TestFiles:
    @pytest.fixture
    def pairs(self) -> Landmarks:
        return Landmarks(
            np.array([[1.5, 2.0], [30.0, 4.0]]),
            np.array([[5.0, 6.25], [7.0, 8.0]]),
            np.array([True, False]),
        )

    @pytest.mark.parametrize('name', ['pairs.csv', 'pairs-bigwarp.csv'])
    def test_round_trip(
        self, tmp_path: Path, pairs: Landmarks, name: str
    ) -> None:
        write_landmarks(tmp_path / name, pairs)
        found = read_landmarks(tmp_path / name)
        np.testing.assert_array_equal(found.source, pairs.source)
        np.testing.assert_array_equal(found.target, pairs.target)
        np.testing.assert_array_equal(found.active, pairs.active)

    def test_a_file_of_bigwarp(self, tmp_path: Path) -> None:
        file = tmp_path / 'landmarks.csv'
        file.write_text(
            '"Pt-0","true","10.0","20.0","30.0","40.0"\n'
            '"Pt-1","true","1.0","2.0","Infinity","Infinity"\n'
        )
        found = read_landmarks(file)
        np.testing.assert_array_equal(found.source, [[20, 10]])
        np.testing.assert_array_equal(found.target, [[40, 30]])

    def test_a_line_may_end_before_active(self, tmp_path: Path) -> None:
        head = 'source-row,source-column,target-row,target-column,active\n'
        (tmp_path / 'x.csv').write_text(head + '1,2,3,4\n5,6,7,8,false\n')
        found = read_landmarks(tmp_path / 'x.csv')
        np.testing.assert_array_equal(found.active, [True, False])

    def test_two_files_of_points(self, tmp_path: Path) -> None:
        for name, rows in (('a', '0,1.0,2.0\n'), ('b', '0,3.0,4.0\n')):
            (tmp_path / name).write_text('index,axis-0,axis-1\n' + rows)
        found = read_landmarks(tmp_path / 'a', tmp_path / 'b')
        np.testing.assert_array_equal(found.source, [[1, 2]])
        np.testing.assert_array_equal(found.target, [[3, 4]])

    @pytest.mark.parametrize(
        ('text', 'message'),
        [
            ('', 'begins with nothing'),
            ('a,b\n1,2\n', 'begins with a, b'),
            (
                'source-row,source-column,target-row,target-column\n1,2,3,x\n',
                "finite numbers; line 2 has 'x'",
            ),
            (
                'source-row,source-column,target-row,target-column\n1,2,3\n',
                "line 2 has ''",
            ),
            ('"Pt-0","true","1","2","3"\n', 'begins with Pt-0, true'),
            (
                'Pt-0,true,1,2,3,4\nPt-1,true,1,2,3,\n',
                "must be numbers; line 2 has ''",
            ),
        ],
    )
    def test_other_files_are_refused(
        self, tmp_path: Path, text: str, message: str
    ) -> None:
        (tmp_path / 'x.csv').write_text(text)
        with pytest.raises(InputError, match=message):
            read_landmarks(tmp_path / 'x.csv')
