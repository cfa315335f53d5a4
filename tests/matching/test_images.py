"""match: any two images, with labels of any kind, are answered in kind."""

from __future__ import annotations

from typing import Any

import dask.array
import numpy as np
import pytest
from skimage import data

from napari_samnet.errors import InputError
from napari_samnet.matching.match import match
from napari_samnet.matching.step import Step

#: As small as it can be; a fraction of a second.
SMALL: dict[str, Any] = {
    'size': 64,
    'window': 5,
    'iterations': 2,
    'device': 'cpu',
    'precision': 'fp32',
    # Which way up is tested elsewhere, and takes as long as the rest.
    'orientation': 'upright',
}


@pytest.fixture(scope='module')
def source() -> np.ndarray:
    """A photograph, uint8 (61, 83, 3)."""
    return data.astronaut()[:305:5, 50:465:5]


@pytest.fixture(scope='module')
def target() -> np.ndarray:
    """Another, of another size."""
    return data.coffee()[50:330:5, 100:475:5]


def variants(photo: np.ndarray) -> dict[str, tuple[Any, int | None]]:
    """The photograph as users have it: array and axis of channels."""
    gray = photo.mean(2)
    unit = photo / 255
    holes = unit.astype(np.float32)
    holes[:5, :7], holes[9, 9], holes[11, 11] = np.nan, np.inf, -np.inf
    alpha = np.full((*gray.shape, 1), 200, np.uint8)
    return {
        'gray': (gray.astype(np.uint8), None),
        'bool': (gray > 128, None),
        'uint16': ((257 * gray).astype(np.uint16), None),
        'int32': (gray.astype(np.int32) * 1000 - 5000, None),
        'float16': (unit.astype(np.float16), None),
        'float64': (1e6 * gray - 3e5, None),
        'big-endian': (gray.astype('>u2'), None),
        'not finite': (holes, None),
        'nothing finite': (np.full(gray.shape, np.nan), None),
        'constant': (np.full((40, 50), 7, np.int16), None),
        'RGBA': (np.concatenate([photo, alpha], 2), None),
        'one channel': (gray[..., None].astype(np.uint8), None),
        'two channels': (photo[..., :2], None),
        'five channels in front': (
            np.stack([gray * k for k in range(1, 6)]).astype(np.float32),
            0,
        ),
        'one pixel': (np.array([[3]], np.uint8), None),
        'one row': (photo[20:21], None),
        'tall': (np.repeat(photo[:, :4], 20, 0), None),
        'turned': (photo.transpose(1, 0, 2), None),
        'dask': (dask.array.from_array(photo, chunks=(20, 30, 3)), None),
        'list': (gray.astype(int).tolist(), None),
    }


#: Targets other than colors, beside the sources that are quick.
TARGETS = {
    'gray': 'not finite',
    'float64': 'turned',
    'RGBA': 'gray',
    'one pixel': 'RGBA',
}
KINDS = [
    pytest.param(name, marks=() if name in TARGETS else pytest.mark.slow)
    for name in variants(np.zeros((61, 83, 3), np.uint8))
]


class TestImages:
    @pytest.mark.parametrize('name', KINDS)
    def test_any_image_is_answered_in_kind(
        self, source: np.ndarray, target: np.ndarray, name: str
    ) -> None:
        image, axis = variants(source)[name]
        if name in TARGETS:
            target, _ = variants(target)[TARGETS[name]]
        like = np.asarray(image)
        shape = like.shape[:2] if axis is None else like.shape[1:]
        result = match(
            image, target, **{**SMALL, 'iterations': 1},
            source_channel_axis=axis,
        )  # fmt: skip
        assert result.source_shape == shape
        assert result.target_shape == target.shape[:2]
        assert result.flow.shape == (*shape, 2)
        assert result.backward_flow.shape == (*target.shape[:2], 2)
        assert np.isfinite(result.flow).all()
        assert np.isfinite(result.backward_flow).all()
        assert np.isfinite(result.confidence).all()
        assert result.transferred is not None
        assert result.transferred.shape == like.shape
        assert result.transferred.dtype == like.dtype

    def test_alpha_and_range_are_kept(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        alpha = np.arange(source[..., 0].size).reshape(61, 83, 1) % 251
        image = np.concatenate([source, alpha.astype(np.uint8)], 2)
        result = match(image, target, **SMALL)
        assert result.transferred is not None
        assert np.array_equal(result.transferred[..., 3:], alpha)
        bright = match(source * 256.0, target, **SMALL).transferred
        assert bright is not None
        assert bright.max() > 1000
        assert bright.max() <= 256 * 255

    def test_colors_come_from_the_target(self, source: np.ndarray) -> None:
        red = (source * [1.0, 0.5, 0.4]).astype(np.uint8)

        def redness(image: np.ndarray) -> float:
            mean = image.reshape(-1, 3).mean(0)
            return float(mean[0] - mean[1])

        options = {**SMALL, 'size': 128, 'window': 9, 'iterations': 4}
        result = match(source, red, **options, tolerance=0)
        assert result.transferred is not None
        gained = redness(result.transferred) - redness(source)
        assert 0.2 < gained / (redness(red) - redness(source)) < 1.3

    def test_the_same_image_does_not_move(self, source: np.ndarray) -> None:
        options = {**SMALL, 'size': 128, 'window': 9}
        result = match(source, source, **options)
        # Half a cell is four of 128 pixels.
        limit = 4 * np.array(source.shape[:2]) / 128
        assert (np.abs(result.flow).mean((0, 1)) < limit / 2).all()
        assert result.mean_consistency() < limit.max()
        assert result.confidence.mean() > 0.3

    @pytest.mark.parametrize(
        ('image', 'match_text'),
        [
            (np.zeros((4, 5, 6, 3)), 'source'),
            (np.zeros((30, 40, 50)), 'source'),
            (np.zeros((0, 5)), 'source'),
            (np.zeros(7), 'source'),
            (np.zeros((5, 5), complex), 'source'),
            (np.array([['a']]), 'source'),
            ('picture.png', 'source'),
            (None, 'source'),
        ],
        ids=['4d', '3d', 'empty', '1d', 'complex', 'text', 'str', 'none'],
    )
    def test_what_is_no_image_is_refused(
        self, target: np.ndarray, image: Any, match_text: str
    ) -> None:
        for pair, name in (
            ((image, target), match_text),
            ((target, image), 'target'),
        ):
            with pytest.raises(InputError, match=name) as caught:
                match(*pair, **SMALL)
            assert '\n' not in str(caught.value)


class TestLabels:
    def test_are_warped_to_the_target(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        labels = np.zeros(source.shape[:2], np.int64)
        labels[20:40, 30:60] = 2**40
        # By the field alone: these images show nothing alike.
        exact = {**SMALL, 'evidence': False}
        result = match(source, target, labels=labels, **exact)
        assert result.warped_labels is not None
        assert result.warped_labels.dtype == np.int64
        assert result.warped_labels.shape == target.shape[:2]
        assert set(np.unique(result.warped_labels)) == {0, 2**40}
        again = result.warp_labels(labels, evidence=False)
        assert np.array_equal(result.warped_labels, again)
        options = {**exact, 'iterations': 1}
        listed = match(source, target, labels=labels.tolist(), **options)
        given = match(source, target, labels=labels, **options)
        assert np.array_equal(listed.warped_labels, given.warped_labels)
        assert match(source, target, **options).warped_labels is None

    @pytest.mark.parametrize(
        ('labels', 'text'),
        [
            (np.zeros((61, 82), int), r'\(61, 83\), got \(61, 82\)'),
            (np.zeros((61, 83, 1), int), r'\(61, 83\), got'),
            (np.zeros((61, 83)), 'integer or bool, got float64'),
            ('mask.png', 'labels'),
        ],
        ids=['shape', 'channels', 'float', 'str'],
    )
    def test_that_do_not_fit_are_refused_before_any_work(
        self, source: np.ndarray, target: np.ndarray, labels: Any, text: str
    ) -> None:
        steps: list[Step] = []
        with pytest.raises(InputError, match=text):
            match(source, target, labels=labels, on_step=steps.append)
        assert steps == []
