"""What a correspondence answers, on motions that are known exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import InputError
from napari_samnet.warping import warp as warping

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]

#: Target row and column, in units of its sides, of a source point: linear in
#: (row, column, 1).
IDENTITY: Matrix = ((1, 0, 0), (0, 1, 0))
SHIFT: Matrix = ((1, 0, 0.13), (0, 1, -0.07))
TURN: Matrix = ((0.94, -0.34, 0.2), (0.34, 0.94, -0.14))
SCALE: Matrix = ((0.7, 0, 0.15), (0, 1.3, -0.15))
SHEAR: Matrix = ((0.9, 0.2, -0.03), (-0.1, 1.1, 0.04))
MOTIONS = {
    'identity': IDENTITY,
    'shift': SHIFT,
    'turn': TURN,
    'scale': SCALE,
    'shear': SHEAR,
}

#: Odd, unequal, smaller than the grid of cells, one pixel wide.
SIZES = [
    ((64, 64), (64, 64)),
    ((101, 67), (83, 120)),
    ((7, 5), (8, 9)),
    ((1, 1), (40, 1)),
]


def inverse(matrix: Matrix) -> Matrix:
    """The motion back."""
    full = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    return tuple(map(tuple, full[:2]))  # type: ignore[return-value]


def displacement(matrix: Matrix, cells: tuple[int, int]) -> np.ndarray:
    """An affine motion, sampled at cell centers."""
    row, column = np.meshgrid(
        *((np.arange(n) + 0.5) / n for n in cells), indexing='ij'
    )
    at = np.stack([row, column], axis=-1)
    there = at @ np.array(matrix)[:, :2].T + np.array(matrix)[:, 2]
    return (there - at).astype(np.float32)


def affine(
    matrix: Matrix = IDENTITY,
    source: tuple[int, int] = (64, 64),
    target: tuple[int, int] = (64, 64),
    *,
    cells: tuple[int, int] = (8, 6),
    back_cells: tuple[int, int] = (5, 9),
    **more: Any,
) -> Correspondence:
    """The correspondence of two images that an affine motion relates."""
    given: dict[str, Any] = {
        'forward': displacement(matrix, cells),
        'backward': displacement(inverse(matrix), back_cells),
        'forward_cell_confidence': np.ones(cells, np.float32),
        'backward_cell_confidence': np.ones(back_cells, np.float32),
        'source_shape': source,
        'target_shape': target,
    }
    return Correspondence(**{**given, **more})


def expected_position(
    matrix: Matrix, shape: tuple[int, int], other: tuple[int, int]
) -> np.ndarray:
    """Where each pixel lies in the other image, (H, W, 2) in pixels."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    at = (index + 0.5) / shape
    there = at @ np.array(matrix)[:, :2].T + np.array(matrix)[:, 2]
    return there * other - 0.5


class TestFlow:
    @pytest.mark.parametrize('name', MOTIONS)
    @pytest.mark.parametrize(('source', 'target'), SIZES)
    def test_affine_motion_is_reproduced_exactly(
        self, name: str, source: tuple[int, int], target: tuple[int, int]
    ) -> None:
        matrix = MOTIONS[name]
        found = affine(matrix, source, target)
        for flow, motion, here, there in (
            (found.flow, matrix, source, target),
            (found.backward_flow, inverse(matrix), target, source),
        ):
            index = np.moveaxis(np.indices(here), 0, -1)
            expected = expected_position(motion, here, there) - index
            assert flow.dtype == np.float32
            np.testing.assert_allclose(flow, expected, atol=1e-4)

    def test_no_motion_is_exactly_zero(self) -> None:
        flow = affine(source=(61, 97), target=(61, 97)).flow
        np.testing.assert_array_equal(flow, 0)

    def test_a_shift_is_the_same_everywhere(self) -> None:
        flow = affine(((1, 0, 0.25), (0, 1, -0.5)), (40, 40), (40, 40)).flow
        np.testing.assert_allclose(flow[..., 0], 10, atol=1e-5)
        np.testing.assert_allclose(flow[..., 1], -20, atol=1e-5)

    def test_cells_are_centerd_on_their_pixels(self) -> None:
        # 8 pixels a cell: cell k has its center at 8 k + 3.5.
        forward = np.zeros((4, 4, 2), np.float32)
        forward[1, 2, 0] = 1 / 8
        flow = affine(
            source=(32, 32),
            target=(32, 32),
            forward=forward,
            forward_cell_confidence=np.ones((4, 4), np.float32),
        ).flow[..., 0]
        assert flow[11:13, 19:21].min() == flow.max()
        np.testing.assert_allclose(
            flow[11, 12:20], 4 * (15 / 16) * np.arange(1, 17, 2) / 16
        )
        np.testing.assert_array_equal(flow[:, 19], flow[:, 20])

    def test_one_cell_moves_everything(self) -> None:
        found = affine(SHIFT, cells=(1, 1), back_cells=(1, 1))
        np.testing.assert_allclose(
            found.flow,
            np.broadcast_to([0.13 * 64, -0.07 * 64], (64, 64, 2)),
            rtol=1e-5,
        )


class TestConfidence:
    def test_is_enlarged_between_0_and_1(self) -> None:
        small = np.random.default_rng(0).random((8, 6)).astype(np.float32)
        small[0, 0], small[0, 1], small[3, 3] = 1, 0, 1
        found = affine(
            SHEAR, (50, 31), (20, 77), forward_cell_confidence=small
        )
        assert found.confidence.shape == (50, 31)
        assert found.confidence.min() >= 0
        assert found.confidence.max() <= 1
        # Not extrapolated: the corner has the value of its cell.
        assert found.confidence[0, 0] == 1
        assert found.backward_confidence.shape == (20, 77)
        np.testing.assert_array_equal(found.backward_confidence, 1)


class TestLabels:
    @pytest.mark.parametrize(
        'dtype',
        [
            'bool',
            'uint8',
            'int16',
            'uint16',
            'int32',
            '>i4',
            'uint32',
            'int64',
            'uint64',
        ],
    )
    def test_ids_and_dtype_survive(self, dtype: str) -> None:
        labels = np.zeros((101, 67), dtype)
        highest = 1 if dtype == 'bool' else np.iinfo(dtype).max
        labels[10:60, 5:40] = min(70000, highest)
        labels[70:, 30:] = highest
        warped = affine(TURN, (101, 67), (83, 120)).warp_labels(labels)
        assert warped.dtype == labels.dtype
        assert warped.shape == (83, 120)
        assert set(np.unique(warped)) == set(np.unique(labels))

    @pytest.mark.parametrize('name', MOTIONS)
    @pytest.mark.parametrize(('source', 'target'), SIZES)
    def test_each_target_pixel_has_the_nearest_source_label(
        self, name: str, source: tuple[int, int], target: tuple[int, int]
    ) -> None:
        labels = np.random.default_rng(0).integers(1, 70001, source)
        matrix = MOTIONS[name]
        warped = affine(matrix, source, target).warp_labels(labels)
        at = expected_position(inverse(matrix), target, source) + 0.5
        inside = np.all((at >= 0) & (at < source), axis=-1)
        # Where rounding could go either way, either is right.
        clear = np.all(np.abs(at - np.rint(at)) > 1e-3, axis=-1)
        index = np.clip(np.floor(at).astype(int), 0, np.array(source) - 1)
        expected = np.where(inside, labels[index[..., 0], index[..., 1]], 0)
        np.testing.assert_array_equal(warped[clear], expected[clear])

    def test_no_motion_changes_nothing(self) -> None:
        labels = np.random.default_rng(0).integers(0, 9, (61, 97))
        found = affine(source=labels.shape, target=labels.shape)
        np.testing.assert_array_equal(found.warp_labels(labels), labels)

    def test_whole_pixels_move_exactly(self) -> None:
        labels = np.random.default_rng(0).integers(1, 9, (40, 40))
        found = affine(((1, 0, 0.25), (0, 1, -0.5)), (40, 40), (40, 40))
        expected = np.zeros_like(labels)
        expected[10:, :20] = labels[:30, 20:]
        np.testing.assert_array_equal(found.warp_labels(labels), expected)

    def test_what_lies_far_outside_is_background(self) -> None:
        far = np.full((5, 9, 2), 1e6, np.float32)
        labels = np.ones((64, 64), np.uint8)
        for backward in (far, -far):
            found = affine(backward=backward)
            assert not found.warp_labels(labels).any()

    def test_low_confidence_is_background(self) -> None:
        trust = np.zeros((5, 9), np.float32)
        trust[:, 5:] = 1
        found = affine(backward_cell_confidence=trust)
        labels = np.ones((64, 64), np.uint8)
        kept = found.warp_labels(labels, min_confidence=0.5)
        np.testing.assert_array_equal(kept, found.backward_confidence >= 0.5)
        assert found.warp_labels(labels).all()

    @pytest.mark.parametrize('wrong', [30, -0.1, np.nan])
    def test_a_confidence_in_percent_is_refused(self, wrong: float) -> None:
        labels = np.ones((64, 64), np.uint8)
        with pytest.raises(InputError, match='min_confidence must be from 0'):
            affine().warp_labels(labels, min_confidence=wrong)

    def test_any_memory_layout_gives_the_same(self, tmp_path: Path) -> None:
        dask = pytest.importorskip('dask.array')
        found = affine(TURN, (301, 203), (220, 311))
        labels = np.random.default_rng(0).integers(0, 70001, (301, 203))
        labels = labels.astype(np.int32)
        labels.flags.writeable = False
        expected = found.warp_labels(labels)
        mapped = np.memmap(
            tmp_path / 'labels', labels.dtype, mode='w+', shape=labels.shape
        )
        mapped[:] = labels
        for same in (
            np.asfortranarray(labels),
            np.repeat(labels, 2, axis=1)[:, ::2],
            labels[::-1].copy()[::-1],
            labels.astype('>i4'),
            mapped,
            dask.from_array(labels, chunks=(100, 64)),
        ):
            np.testing.assert_array_equal(found.warp_labels(same), expected)

    def test_a_list_is_taken(self) -> None:
        found = affine(source=(2, 2), target=(2, 2))
        np.testing.assert_array_equal(
            found.warp_labels([[1, 2], [3, 4]]), [[1, 2], [3, 4]]
        )

    def test_result_can_go_to_a_file(self, tmp_path: Path) -> None:
        labels = np.random.default_rng(0).integers(0, 9, (64, 64), np.uint8)
        out = np.memmap(tmp_path / 'out', np.uint8, 'w+', shape=(64, 64))
        found = affine(TURN)
        assert found.warp_labels(labels, out=out) is out
        np.testing.assert_array_equal(out, found.warp_labels(labels))
        for wrong in (np.zeros((64, 63), np.uint8), np.zeros((64, 64))):
            with pytest.raises(InputError, match='out must be uint8'):
                found.warp_labels(labels, out=wrong)

    @pytest.mark.parametrize(
        'labels',
        [
            np.zeros((64, 63), int),
            np.zeros((64, 64, 3), np.uint8),
            np.zeros((64, 64)),
            np.zeros((64, 64), complex),
            np.zeros((64, 64), object),
            [[1, 2], [3]],
        ],
    )
    def test_other_shapes_and_kinds_are_refused(
        self, labels: np.ndarray
    ) -> None:
        with pytest.raises(InputError, match=r'^labels must .* got '):
            affine().warp_labels(labels)


class TestWindows:
    """Arrays that are too large to copy are read piece by piece."""

    @pytest.fixture(autouse=True)
    def small_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(warping, 'COPIED_VALUES', 1000)
        monkeypatch.setattr(warping, 'WINDOW_SIDE', 64)

    @pytest.mark.parametrize('name', MOTIONS)
    def test_give_the_same_labels(self, name: str) -> None:
        found = affine(MOTIONS[name], (301, 203), (220, 311))
        labels = np.random.default_rng(0).integers(0, 70001, (301, 203))
        expected = found.warp_labels(labels)
        lazy = Lazy(np.asfortranarray(labels))
        np.testing.assert_array_equal(found.warp_labels(lazy), expected)
        assert lazy.largest < labels.size / 2

    @pytest.mark.parametrize('name', MOTIONS)
    @pytest.mark.parametrize('axis', [None, 0, 2])
    def test_give_the_same_image(self, name: str, axis: int | None) -> None:
        found = affine(MOTIONS[name], (301, 203), (220, 311))
        shape = [301, 203]
        if axis is not None:
            shape.insert(axis, 3)
        image = np.random.default_rng(0).random(shape)
        if axis != 0:
            expected = found.warp_image(image, to='target')
        else:
            planes = [found.warp_image(p, to='target') for p in image]
            expected = np.stack(planes)
        lazy = Lazy(image)
        warped = found.warp_image(lazy, to='target')
        np.testing.assert_array_equal(warped, expected)
        assert lazy.largest < image.size / 2


class Lazy:
    """Pixels that can only be had by slices."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self._array[index]
        self.largest = max(self.largest, part.size)
        return part


class TestImage:
    @pytest.mark.parametrize('name', MOTIONS)
    @pytest.mark.parametrize(('source', 'target'), SIZES[:3])
    def test_a_ramp_is_sampled_where_the_flow_points(
        self, name: str, source: tuple[int, int], target: tuple[int, int]
    ) -> None:
        found = affine(MOTIONS[name], source, target)
        ramp = np.add.outer(3.0 * np.arange(target[0]), np.arange(target[1]))
        warped = found.warp_image(ramp, to='source', fill=-1)
        at = expected_position(MOTIONS[name], source, target)
        border = np.array(target) - 1
        inside = np.all((at > -0.499) & (at < border + 0.499), axis=-1)
        outside = np.any((at < -0.501) | (at > border + 0.501), axis=-1)
        at = np.clip(at, 0, border)
        expected = 3 * at[..., 0] + at[..., 1]
        np.testing.assert_allclose(warped[inside], expected[inside], atol=1e-3)
        np.testing.assert_array_equal(warped[outside], -1)

    def test_both_grids(self) -> None:
        found = affine(SHEAR, (50, 31), (20, 77))
        assert found.warp_image(np.zeros((20, 77))).shape == (50, 31)
        to_target = found.warp_image(np.zeros((50, 31)), to='target')
        assert to_target.shape == (20, 77)

    @pytest.mark.parametrize(
        'dtype',
        [
            'bool',
            'uint8',
            'int16',
            '>u2',
            'int32',
            'uint64',
            'float16',
            'float32',
            'float64',
        ],
    )
    @pytest.mark.parametrize(
        'shape', [(64, 64), (64, 64, 3), (64, 64, 7), (2, 64, 64)]
    )
    def test_dtype_and_channels_survive(
        self, dtype: str, shape: tuple[int, ...]
    ) -> None:
        image = np.random.default_rng(0).random(shape) * 200
        image = (image > 100) if dtype == 'bool' else image.astype(dtype)
        same = affine().warp_image(image)
        assert same.dtype == image.dtype
        np.testing.assert_array_equal(same, image)
        turned = affine(TURN).warp_image(image)
        assert turned.dtype == image.dtype
        assert turned.shape == shape
        assert turned.max() <= image.max()

    def test_highest_integers_do_not_overflow(self) -> None:
        image = np.full((64, 64), np.iinfo(np.int64).max)
        warped = affine(((1, 0, 0.001), (0, 1, 0.001))).warp_image(image)
        assert warped.min() > 2**62

    def test_nan_does_not_spread_without_motion(self) -> None:
        image = np.random.default_rng(0).random((64, 64))
        image[3, 4], image[9, 9] = np.nan, np.inf
        np.testing.assert_array_equal(affine().warp_image(image), image)

    def test_undoes_itself(self) -> None:
        image = data.camera()[::2, ::2]
        found = affine(TURN, image.shape, image.shape)
        there = found.warp_image(image, to='target')
        back = found.warp_image(there, to='source')
        valid = found.warp_image(np.ones_like(image), to='source') > 0
        error = np.abs(back.astype(float) - image)[valid]
        assert np.median(error) < 4

    @pytest.mark.parametrize(
        ('image', 'options', 'message'),
        [
            (np.zeros((64, 63)), {}, r'target, \(64, 64\).*\(64, 63\)'),
            (np.zeros((4, 64, 64, 3)), {}, 'shape of the target'),
            (np.zeros((64, 64), complex), {}, 'real numbers'),
            (np.zeros((64, 64)), {'to': 'here'}, "'source' or 'target'"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, image: np.ndarray, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            affine().warp_image(image, **options)


class TestPoints:
    @pytest.mark.parametrize('name', MOTIONS)
    @pytest.mark.parametrize(('source', 'target'), SIZES)
    def test_there_and_back(
        self, name: str, source: tuple[int, int], target: tuple[int, int]
    ) -> None:
        points = np.random.default_rng(0).random((20, 2)) * source - 0.5
        found = affine(MOTIONS[name], source, target)
        there = found.warp_points(points)
        assert there.dtype == np.float64
        back = found.warp_points(there, to='source')
        np.testing.assert_allclose(back, points, atol=1e-3)

    def test_follow_the_flow(self) -> None:
        found = affine(SHEAR, (50, 31), (20, 77))
        points = np.argwhere(np.ones((50, 31)))
        expected = points + found.flow[points[:, 0], points[:, 1]]
        np.testing.assert_allclose(
            found.warp_points(points), expected, atol=1e-4
        )

    def test_none_are_none(self) -> None:
        assert affine().warp_points(np.empty((0, 2))).shape == (0, 2)

    @pytest.mark.parametrize(
        'points',
        [[1, 2], [[1, 2, 3]], [[np.nan, 1]], [['a', 'b']], [[1], [2, 3]]],
    )
    def test_what_are_no_points_is_refused(self, points: Any) -> None:
        with pytest.raises(InputError, match='points must be'):
            affine().warp_points(points)


class TestConsistency:
    @pytest.mark.parametrize('name', MOTIONS)
    def test_true_inverses_agree(self, name: str) -> None:
        found = affine(MOTIONS[name], (101, 67), (83, 120))
        assert found.mean_consistency() < 1e-3
        at = expected_position(MOTIONS[name], (101, 67), (83, 120)) + 0.5
        inside = np.all((at >= 0) & (at < (83, 120)), axis=-1)
        assert found.consistency.shape == (101, 67)
        assert found.consistency[inside].max() < 1e-3

    def test_is_measured_in_source_pixels(self) -> None:
        found = affine(
            source=(100, 200),
            target=(30, 30),
            backward=np.full((5, 9, 2), (0.03, 0.02), np.float32),
        )
        np.testing.assert_allclose(found.consistency, 5, atol=1e-3)
        assert found.mean_consistency() == pytest.approx(5, abs=1e-3)

    def test_points_that_leave_do_not_count(self) -> None:
        found = affine(((1, 0, 0.5), (0, 1, 0)), (40, 40), (40, 40))
        assert found.mean_consistency() < 1e-3
        gone = affine(((1, 0, 2), (0, 1, 0)), (40, 40), (40, 40))
        assert np.isnan(gone.mean_consistency())
        assert np.isfinite(gone.consistency).all()


class TestMaking:
    @pytest.mark.parametrize(
        ('more', 'message'),
        [
            ({'forward': np.zeros((8, 6, 3), 'f4')}, r'\(h, w, 2\)'),
            ({'forward': np.zeros((8, 6, 2), int)}, 'forward must be float'),
            ({'backward': np.zeros((0, 9, 2), 'f4')}, 'must have cells'),
            ({'backward': np.full((5, 9, 2), np.nan)}, 'finite'),
            ({'backward': np.full((5, 9, 2), np.inf)}, 'finite'),
            ({'backward': np.full((5, 9, 2), 1e7)}, 'up to 1e'),
            ({'forward_cell_confidence': np.ones((6, 8))}, r'\(8, 6\)'),
            ({'forward_cell_confidence': np.full((8, 6), 1.1)}, 'from 0 to 1'),
            ({'backward_cell_confidence': np.full((5, 9), np.nan)}, '0 to 1'),
            ({'source': (0, 4)}, 'source_shape must be'),
            ({'target': (4, 4, 4)}, 'target_shape must be'),
            ({'target': None}, 'target_shape must be'),
            ({'transferred': np.zeros((64, 63))}, 'transferred must'),
            ({'transferred': np.zeros((64, 64), complex)}, 'transferred'),
            ({'warped_labels': np.zeros((64, 64))}, 'warped_labels must'),
            ({'warped_labels': np.zeros((3, 3), int)}, 'warped_labels must'),
        ],
    )
    def test_parts_that_do_not_fit_are_refused(
        self, more: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            affine(**more)

    def test_confidence_may_be_off_by_rounding(self) -> None:
        found = affine(forward_cell_confidence=np.full((8, 6), 1 + 1e-6))
        assert found.forward_cell_confidence.max() == 1

    def test_it_is_printed_without_its_numbers(self) -> None:
        found = affine(transferred=np.zeros((64, 64, 3), np.uint8))
        text = repr(found)
        assert len(text) < 600
        assert 'source_shape=(64, 64)' in text
        assert 'transferred=<(64, 64, 3) uint8>' in text
        assert 'warped_labels=None' in text

    def test_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            affine().forward = np.zeros((2, 2, 2))  # type: ignore[misc]
