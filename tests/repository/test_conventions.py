"""The conventions, from the network's cells to the pixels of the user.

Part by part they are tested beside each part; here the parts meet: exact
motions from cells to pixels, and real photographs that were moved in a known
way, so that a swapped axis, a wrong sign or half a cell would show.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from skimage import data

from napari_samnet.correspondence import Correspondence
from napari_samnet.matching.directions import directions
from napari_samnet.matching.match import match
from napari_samnet.samnet.config import STRIDE
from napari_samnet.samnet.field import affine_field

pytestmark = pytest.mark.slow

#: Working size and grid of the network in these tests.
SIZE = 128
CELLS = SIZE // STRIDE

OPTIONS: dict[str, Any] = {
    'size': SIZE,
    'iterations': 3,
    'attributes': False,
    'device': 'cpu',
    'precision': 'fp32',
    # Which way up is tested elsewhere, and takes as long as the rest.
    'orientation': 'upright',
}

#: Odd and oblong.
SHAPE = (301, 351)


def turn(degrees: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """A similarity of (row, column)."""
    angle = np.deg2rad(degrees)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


#: Linear part about the middle, and shift, in pixels of SHAPE.
MOTIONS = {
    'identity': (turn(), (0, 0)),
    'down': (turn(), (44, 0)),
    'left': (turn(), (0, -38)),
    'part of a cell': (turn(), (10, 9)),
    'rotation': (turn(12), (0, 0)),
    'larger': (turn(scale=1.15), (0, 0)),
    'smaller': (turn(scale=0.85), (8, -8)),
}


def motion(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the source goes, and each of the target came from.

    Minus its own index, both on the grid of SHAPE.
    """
    linear, shift = MOTIONS[name]
    index = np.moveaxis(np.indices(SHAPE, np.float64), 0, -1)
    middle = (np.array(SHAPE) - 1) / 2
    there = (index - middle) @ linear.T + middle + shift
    back = (index - middle - shift) @ np.linalg.inv(linear).T + middle
    return there - index, back - index


def sampled(image: np.ndarray, positions: np.ndarray) -> np.ndarray:
    at = np.moveaxis(positions, -1, 0)
    return np.stack(
        [
            map_coordinates(image[..., k].astype(float), at, order=1)
            for k in range(image.shape[-1])
        ],
        axis=-1,
    ).astype(image.dtype)


@pytest.fixture(scope='module')
def photograph() -> np.ndarray:
    return data.astronaut()


def moved(photograph: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A part of the photograph, and the same part after a motion."""
    rows, columns = SHAPE
    corner = np.array((60, 50))
    source = photograph[60 : 60 + rows, 50 : 50 + columns]
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    target = sampled(photograph, index + motion(name)[1] + corner)
    return source, target


def inside(flow: np.ndarray, rim: int = 8) -> np.ndarray:
    """Which pixels stay in the image."""
    there = np.moveaxis(np.indices(flow.shape[:2]), 0, -1) + flow
    high = np.array(flow.shape[:2]) - 1 - rim
    return np.all((there >= rim) & (there <= high), axis=-1)


def working_error(flow: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Differences (N, 2) in pixels of the working size."""
    scale = SIZE / np.array(flow.shape[:2])
    return ((flow - truth) * scale)[inside(truth)]


@pytest.fixture(scope='module', params=MOTIONS)
def case(
    request: pytest.FixtureRequest, photograph: np.ndarray
) -> tuple[str, Correspondence, np.ndarray, np.ndarray]:
    """A motion's name, what was found, source and target."""
    source, target = moved(photograph, request.param)
    result = match(source, target, **OPTIONS)
    return request.param, result, source, target


Case = tuple[str, Correspondence, np.ndarray, np.ndarray]


class TestPhotographs:
    def test_flow_is_where_a_pixel_goes(self, case: Case) -> None:
        name, found, _, _ = case
        forward, backward = motion(name)
        for flow, truth in (
            (found.flow, forward),
            (found.backward_flow, backward),
        ):
            assert flow.shape == (*SHAPE, 2)
            error = working_error(flow, truth)
            assert np.linalg.norm(error, axis=1).mean() < STRIDE / 2
            # Half a cell in a wrong place would be four pixels.
            assert np.abs(error.mean(0)).max() < STRIDE / 4

    def test_points_go_with_it_and_come_back(self, case: Case) -> None:
        name, found, _, _ = case
        forward, _ = motion(name)
        points = np.array([[100.0, 120.0], [150.0, 220.0], [210.0, 90.0]])
        there = found.warp_points(points)
        truth = points + forward[tuple(points.astype(int).T)]
        pixel = max(SHAPE) / SIZE
        assert np.abs(there - truth).mean() < STRIDE / 2 * pixel
        again = found.warp_points(there, to='source')
        assert np.abs(again - points).mean() < STRIDE / 2 * pixel

    def test_warp_is_backward_sampling(self, case: Case) -> None:
        """The target, seen from the source, looks like the source."""
        name, found, source, target = case
        known = inside(motion(name)[0])
        seen = found.warp_image(target)
        assert seen.shape == source.shape
        after = np.abs(seen - source.astype(float))[known].mean()
        before = np.abs(target - source.astype(float))[known].mean()
        if name == 'identity':
            assert after < 10
        else:
            assert after < 0.75 * before

    def test_each_target_pixel_gets_one_label(self, case: Case) -> None:
        name, found, _, _ = case
        labels = np.zeros(SHAPE, np.uint16)
        labels[80:220, 90:180] = 700
        labels[80:220, 180:260] = 40_000
        warped = found.warp_labels(labels)
        assert warped.dtype == labels.dtype
        assert set(np.unique(warped)) == {0, 700, 40_000}
        index = np.moveaxis(np.indices(SHAPE), 0, -1)
        row, column = np.moveaxis(
            np.rint(index + motion(name)[1]).astype(int), -1, 0
        )
        known = inside(motion(name)[1], rim=0)
        expected = np.zeros_like(labels)
        expected[known] = labels[row[known], column[known]]
        for value in (700, 40_000):
            both = (warped == value) & (expected == value)
            either = (warped == value) | (expected == value)
            assert both.sum() / either.sum() > 0.75

    def test_both_directions_agree(self, case: Case) -> None:
        _, found, _, _ = case
        pixel = max(SHAPE) / SIZE
        assert found.mean_consistency() < STRIDE / 2 * pixel

    def test_confidence_is_where_there_is_a_match(self, case: Case) -> None:
        name, found, _, _ = case
        confidence = found.confidence
        assert confidence.shape == SHAPE
        assert confidence.min() >= 0
        assert confidence.max() <= 1
        known = inside(motion(name)[0], rim=0)
        if known.mean() < 0.9:
            assert confidence[known].mean() > confidence[~known].mean()


class TestCellsToPixels:
    """A field that is known in cells, in pixels of any two images."""

    @pytest.mark.parametrize('name', MOTIONS)
    @pytest.mark.parametrize(
        ('source', 'target'),
        [((128, 128), (128, 128)), ((301, 351), (97, 211)), ((5, 3), (7, 9))],
    )
    def test_exact(
        self, name: str, source: tuple[int, int], target: tuple[int, int]
    ) -> None:
        """Both fields are linear in u = (index + 0.5) / side."""
        linear, shift = MOTIONS[name]
        offset = np.array([0.5, 0.5]) - linear @ [0.5, 0.5]
        offset += np.array(shift) / SHAPE
        inverse = np.linalg.inv(linear)
        maps = [(linear, offset), (inverse, -inverse @ offset)]
        found = self.correspondence(maps, source, target)
        for flow, (matrix, add), here, there in (
            (found.flow, maps[0], source, target),
            (found.backward_flow, maps[1], target, source),
        ):
            index = np.moveaxis(np.indices(here), 0, -1)
            unit = (index + 0.5) / here
            expected = (unit @ matrix.T + add) * there - 0.5 - index
            np.testing.assert_allclose(flow, expected, atol=1e-3)

    def correspondence(
        self,
        maps: list[tuple[np.ndarray, np.ndarray]],
        source: tuple[int, int],
        target: tuple[int, int],
    ) -> Correspondence:
        """Through the one function that turns fields into results."""
        flip = np.eye(2)[::-1]
        matrices = []
        for linear, offset in maps:
            # The same map in (x, y) cells: u = (x + 0.5) / cells.
            turned = flip @ linear @ flip
            add = CELLS * (flip @ offset) - 0.5 + turned @ [0.5, 0.5]
            matrices.append(np.column_stack([turned, add]))
        field = affine_field(
            torch.tensor(np.stack(matrices), dtype=torch.float32),
            CELLS,
            CELLS,
        )
        state: Any = SimpleNamespace(
            field=field, alpha=torch.ones(2, 1, CELLS, CELLS)
        )
        forward, backward, trust = directions(state, window=9)
        return Correspondence(
            forward=forward,
            backward=backward,
            forward_cell_confidence=trust[-1, 0],
            backward_cell_confidence=trust[-1, 1],
            source_shape=source,
            target_shape=target,
        )

    def test_no_motion_is_exactly_zero(self) -> None:
        still = (np.eye(2), np.zeros(2))
        found = self.correspondence([still, still], (31, 57), (31, 57))
        assert not found.flow.any()
        assert not found.backward_flow.any()
        assert found.confidence.min() == 1

    def test_directions_that_disagree_are_not_trusted(self) -> None:
        there = (np.eye(2), np.array([0.0, 0.5]))
        still = (np.eye(2), np.zeros(2))
        good = self.correspondence([still, still], (64, 64), (64, 64))
        bad = self.correspondence([there, still], (64, 64), (64, 64))
        assert bad.confidence.max() < 0.05 < good.confidence.min()
