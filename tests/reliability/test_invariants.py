"""What must hold for any images, with the real network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data
from soak.images import blobs

from napari_samnet.matching.match import match

pytestmark = pytest.mark.slow

#: Working size, and side of a cell in its pixels.
SIZE, CELL = 64, 8

SMALL: dict[str, Any] = {
    'size': SIZE,
    'window': 5,
    'device': 'cpu',
    'precision': 'fp32',
}

seeds = st.integers(0, 10_000)
sides = st.integers(20, 150)


def ids(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Blocks of labels with large and small ids."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice([0, 1, 7, 300, 2**31 - 1, 2**40], (3, 3))
    rows, columns = (np.arange(side) * 3 // side for side in shape)
    return blocks[np.ix_(rows, columns)]


@settings(max_examples=12)
@given(
    seed=seeds,
    shape=st.tuples(sides, sides),
    attributes=st.booleans(),
    init=st.sampled_from(['global', 'identity']),
    iterations=st.integers(1, 2),
)
def test_an_image_lies_on_itself(
    seed: int,
    shape: tuple[int, int],
    attributes: bool,
    init: str,
    iterations: int,
) -> None:
    image = blobs(shape, 3, seed)
    labels = ids(shape, seed)
    found = match(
        image,
        image,
        labels=labels,
        attributes=attributes,
        init=init,
        iterations=iterations,
        # Exactly where the field leads; evidence decides within a cell.
        evidence=False,
        **SMALL,
    )
    pixel = np.array(shape) / SIZE
    for flow in (found.flow, found.backward_flow):
        # A quarter of a cell on average, half a cell anywhere.
        assert (np.abs(flow).mean((0, 1)) < CELL / 4 * pixel).all()
        assert (np.abs(flow).max((0, 1)) < CELL / 2 * pixel).all()
    # So no label changes but along its border, and that of the image.
    reach = 2 * np.ceil(CELL / 2 * pixel).astype(int) + 1
    beyond = {'size': reach, 'mode': 'constant', 'cval': -1}
    inner = ndimage.maximum_filter(labels, **beyond) == ndimage.minimum_filter(
        labels, **beyond
    )
    assert found.warped_labels is not None
    np.testing.assert_array_equal(found.warped_labels[inner], labels[inner])


@settings(max_examples=12)
@given(
    seed=seeds,
    source=st.tuples(sides, sides),
    target=st.tuples(sides, sides),
    dtype=st.sampled_from(['int64', 'uint64', '>i8', 'bool', 'uint8']),
    attributes=st.booleans(),
)
def test_no_label_is_made_up(
    seed: int,
    source: tuple[int, int],
    target: tuple[int, int],
    dtype: str,
    attributes: bool,
) -> None:
    labels = ids(source, seed).astype(dtype)
    found = match(
        blobs(source, 3, seed),
        blobs(target, 1, seed + 1)[..., 0],
        labels=labels,
        attributes=attributes,
        iterations=1,
        **SMALL,
    )
    warped = found.warped_labels
    assert warped is not None
    assert warped.shape == target
    assert warped.dtype == labels.dtype
    assert set(np.unique(warped)) <= {0, *np.unique(labels)}
    for flow, shape in (
        (found.flow, source),
        (found.backward_flow, target),
    ):
        assert flow.shape == (*shape, 2)
        assert flow.dtype == np.float32
        assert np.isfinite(flow).all()


class TestShift:
    """A photograph and itself enlarged, seen through a window."""

    SIDE, BY = 128, 32
    OPTIONS: dict[str, Any] = {  # noqa: RUF012
        **SMALL,
        'size': SIDE,
        'window': 9,
        'iterations': 3,
        'attributes': False,
        'init': 'identity',
        'tolerance': 0.0,
    }

    def flow(
        self, source: np.ndarray, target: np.ndarray, top: int, left: int
    ) -> np.ndarray:
        window = slice(top, top + self.SIDE), slice(left, left + self.SIDE)
        return match(source[window], target[window], **self.OPTIONS).flow

    def test_of_both_images_shifts_the_result(self) -> None:
        source = data.astronaut() / 255
        middle = (np.array(source.shape[:2]) - 1) / 2
        # What moves how far depends on the place.
        target = ndimage.affine_transform(
            source,
            np.diag([1 / 1.15, 1 / 1.15, 1]),
            [*(middle - middle / 1.15), 0],
            order=1,
        )
        margin = 16
        inner = slice(self.BY + margin, self.SIDE - margin)
        same_place = slice(margin, self.SIDE - self.BY - margin)
        followed, stayed = [], []
        for top, left in [(120, 130), (130, 210), (200, 120), (210, 220)]:
            before = self.flow(source, target, top, left)
            after = self.flow(source, target, top + self.BY, left + self.BY)
            for flow, where, errors in (
                (after, same_place, followed),
                (after, inner, stayed),
            ):
                apart = flow[where, where] - before[inner, inner]
                errors.append(np.linalg.norm(apart, axis=-1).mean())
        assert np.mean(followed) < 0.6 * CELL
        assert np.mean(followed) < 0.65 * np.mean(stayed)

    @pytest.mark.parametrize('shift', [(8, 0), (0, -8), (-12, 10)])
    def test_of_the_target_is_added(self, shift: tuple[int, int]) -> None:
        photo = data.astronaut()
        still = self.flow(photo, photo, 150, 150)
        moved = self.flow(photo, np.roll(photo, shift, (0, 1)), 150, 150)
        added = (moved - still)[32:96, 32:96].mean((0, 1))
        np.testing.assert_allclose(added, shift, atol=CELL / 4)
