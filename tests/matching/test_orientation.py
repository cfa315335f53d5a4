"""Orientation: what was turned comes out right, what was not stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, transform

from napari_samnet.datasets.samples import load_sample
from napari_samnet.errors import InputError
from napari_samnet.matching.match import match
from napari_samnet.matching.orientation import Frame, Orientation
from napari_samnet.options import MatchOptions, parse_orientation

QUICK: dict[str, Any] = {
    'attributes': False,
    'device': 'cpu',
    'precision': 'fp32',
}


def tissue() -> np.ndarray:
    """A stained section, uint8 (192, 256, 3)."""
    image = transform.resize(
        data.immunohistochemistry()[:384], (192, 256), anti_aliasing=True
    )
    return np.rint(255 * image).astype(np.uint8)


def places(
    shape: tuple[int, int], points: np.ndarray, how: Orientation
) -> Any:
    """Where points of an image lie once it is turned by quarters."""
    row, column = points.T
    height, width = shape
    if how.mirror:
        column = width - 1 - column
    for _ in range(how.quarters or 0):
        row, column = width - 1 - column, row
        height, width = width, height
    return np.stack([row, column], axis=1)


def turned(image: np.ndarray, how: Orientation) -> np.ndarray:
    """An image in another orientation."""
    image = image[:, ::-1] if how.mirror else image
    return np.ascontiguousarray(np.rot90(image, how.quarters or 0))


class TestText:
    @pytest.mark.parametrize(
        ('given', 'canonical'),
        [
            ('auto', 'auto'),
            ('upright', 'upright'),
            (0, 'upright'),
            (90, '90'),
            ('-30', '330'),
            ('Mirror', 'mirror'),
            ('mirror, 180°', '180 mirror'),
            ('22.5 mirror', '22.5 mirror'),
        ],
    )
    def test_is_written_in_one_way(self, given: Any, canonical: str) -> None:
        options = MatchOptions(orientation=given)
        assert options.orientation == canonical
        again = MatchOptions(orientation=options.orientation)
        assert again.orientation == canonical

    @pytest.mark.parametrize(
        'given', ['left', '90 180', '', 'nan', 'auto 90', None, True]
    )
    def test_anything_else_is_refused(self, given: Any) -> None:
        with pytest.raises(InputError, match='orientation must be auto'):
            parse_orientation(given)


class TestFrame:
    @pytest.mark.parametrize('mirror', [False, True])
    @pytest.mark.parametrize('quarters', [0, 1, 2, 3])
    def test_quarter_turns_move_no_value_between_cells(
        self, quarters: int, *, mirror: bool
    ) -> None:
        how = Orientation(90 * quarters, mirror)
        frame = Frame(how, (30, 50))
        rng = np.random.default_rng(0)
        image = rng.random((8, 8, 3)).astype(np.float32)
        seen = frame.seen(image, 8)
        np.testing.assert_array_equal(seen, turned(image, how))
        np.testing.assert_allclose(frame.resampled(seen), image, atol=1e-5)

    @pytest.mark.parametrize('degrees', [0, 35, 90, 200])
    def test_there_and_back_is_nothing(self, degrees: float) -> None:
        frame = Frame(Orientation(degrees, mirror=True), (30, 50))
        still = np.zeros((16, 16, 2), np.float32)
        forward, backward = frame.forward(still), frame.backward(still)
        start = np.stack(np.mgrid[:16, :16] + 0.5, axis=-1) / 16
        # Both are affine, so that any point shows it.
        there = start + forward
        linear, *_ = np.linalg.lstsq(
            np.c_[start.reshape(-1, 2), np.ones(256)],
            (start + backward).reshape(-1, 2),
            rcond=None,
        )
        back = np.c_[there.reshape(-1, 2), np.ones(256)] @ linear
        np.testing.assert_allclose(back, start.reshape(-1, 2), atol=1e-4)

    def test_the_turn_is_that_of_numpy_and_scipy(self) -> None:
        image = ndimage.gaussian_filter(
            np.random.default_rng(1).random((64, 64, 3)), (3, 3, 0)
        ).astype(np.float32)
        seen = Frame(Orientation(30), (64, 64)).seen(image, 64)
        expected = ndimage.rotate(image, 30, reshape=False, order=1)
        middle = slice(20, 44)
        np.testing.assert_allclose(
            seen[middle, middle], expected[middle, middle], atol=2e-3
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    'how', [Orientation(90), Orientation(0, mirror=True)], ids=str
)
def test_a_turned_specimen_is_found(how: Orientation) -> None:
    source = tissue()
    target = turned(source, how)[..., [1, 2, 0]]
    found = match(source, target, **QUICK)
    points = np.array([[60.0, 50], [130, 90], [100, 200], [40, 160]])
    error = found.warp_points(points) - places((192, 256), points, how)
    assert np.hypot(*error.T).max() < 4
    back = found.warp_points(found.warp_points(points), to='source')
    assert np.abs(back - points).max() < 4
    about = found.metadata['orientation']
    assert about['mirror'] == how.mirror
    assert (about['degrees'] + how.degrees) % 360 == 0
    assert about['margin'] > 0.2
    assert about['text']


@pytest.mark.slow
def test_labels_follow_with_their_evidence() -> None:
    source = tissue()
    labels = np.zeros((192, 256), np.uint8)
    labels[40:120, 60:150] = 3
    labels[120:180, 160:240] = 5
    how = Orientation(270, mirror=True)
    target = turned(source, how)
    found = match(source, target, labels=labels, **QUICK)
    truth = turned(labels, how)
    for label in (3, 5):
        one, other = found.warped_labels == label, truth == label
        assert (one & other).sum() / (one | other).sum() > 0.85
    assert found.evidence is not None


@pytest.mark.slow
def test_an_angle_between_is_found() -> None:
    source = tissue()
    target = ndimage.rotate(source, 60, reshape=False, order=1, mode='nearest')
    found = match(source, target, **QUICK)
    assert abs(found.metadata['orientation']['degrees'] - 300) <= 15
    # Around the center, by 60 degrees against the clock.
    points = np.array([[95.5, 127.5], [75, 120], [110, 150], [120, 100]])
    offset = points - (95.5, 127.5)
    cosine, sine = np.cos(np.pi / 3), np.sin(np.pi / 3)
    truth = offset @ np.array([[cosine, -sine], [sine, cosine]]).T + (
        95.5,
        127.5,
    )
    error = found.warp_points(points) - truth
    assert np.hypot(*error.T).max() < 6


@pytest.mark.slow
def test_a_given_orientation_is_taken() -> None:
    source = tissue()
    found = match(source, source[::-1, ::-1], orientation=180, **QUICK)
    about = found.metadata['orientation']
    assert about['degrees'] == 180
    assert about['margin'] is None
    points = np.array([[60.0, 50], [130, 90]])
    error = found.warp_points(points) - ((191, 255) - points)
    assert np.abs(error).max() < 4


@pytest.mark.slow
def test_two_things_that_face_away_from_each_other_are_mirrored() -> None:
    jugs = load_sample('jug')
    found = match(
        jugs.source, jugs.target[:, ::-1], labels=jugs.labels, **QUICK
    )
    upright = match(jugs.source, jugs.target, labels=jugs.labels, **QUICK)
    assert upright.metadata['orientation']['text'] == ''
    assert found.metadata['orientation']['mirror']
    # Two jugs are no specimen, whose pixels could be compared.
    assert found.metadata['refined'] is None
    assert found.warped_labels is not None
    assert upright.warped_labels is not None
    same = found.warped_labels[:, ::-1] == upright.warped_labels
    assert same.mean() > 0.97


@pytest.mark.slow
def test_photographs_of_different_things_stay_upright() -> None:
    found = match(data.astronaut(), data.chelsea(), **QUICK)
    assert found.metadata['orientation']['text'] == ''
    assert found.metadata['orientation']['degrees'] == 0


@pytest.mark.slow
def test_upright_asks_for_no_evidence() -> None:
    source = tissue()
    found = match(source, source[:, ::-1], orientation='upright', **QUICK)
    about = found.metadata['orientation']
    assert about == {
        'degrees': 0.0,
        'mirror': False,
        'margin': None,
        'text': '',
    }
