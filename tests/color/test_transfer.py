"""The target's colors for the source, from fields that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from napari_samnet.color.guided_affine import transfer_colors
from napari_samnet.color.transfer import Recolored, recolored
from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_working

SIZE = 128
CELLS = (16, 16)
STILL = np.zeros((*CELLS, 2), np.float32)
SURE = np.ones(CELLS, np.float32)


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    """Peak signal to noise ratio in dB, of values in [0, 1]."""
    return float(-10 * np.log10(np.mean((found - expected) ** 2)))


def contrast(image: np.ndarray) -> float:
    return float(image.std(axis=(0, 1)).mean())


def regions(image: np.ndarray) -> np.ndarray:
    """Other curves where it is bright than where it is dark."""
    bright = 1 / (1 + np.exp(-(image.mean(-1, keepdims=True) - 0.4) / 0.03))
    one = image[..., [1, 2, 0]] ** 1.3
    two = 0.2 + 0.6 * image[..., [2, 0, 1]] ** 0.8
    return bright * one + (1 - bright) * two


@pytest.fixture(scope='module')
def source() -> np.ndarray:
    """A photograph, float32 (128, 128, 3)."""
    return to_working(data.astronaut(), size=SIZE)


@pytest.fixture(scope='module')
def other() -> np.ndarray:
    """A photograph of something else."""
    return to_working(data.coffee(), size=SIZE)


def test_the_same_image_stays(source: np.ndarray) -> None:
    before, after, rest = recolored(source, source, STILL, SURE)
    np.testing.assert_allclose(before, source, atol=1e-6)
    assert psnr(after, source) > 45
    assert psnr(transfer_colors(source, before, after), source) > 45
    assert rest is not None
    assert np.abs(rest).mean() < 0.003


@pytest.mark.parametrize('wrong', [1.5, 3.0])
def test_beats_the_pixels_of_the_target_where_these_are_misplaced(
    source: np.ndarray, wrong: float
) -> None:
    truth = regions(source)
    field = STILL + np.float32([wrong / SIZE, -wrong / SIZE])
    _, found, _ = recolored(source, truth, field, SURE)
    warped = ndimage.shift(truth, (-wrong, wrong, 0), order=1, mode='nearest')
    assert psnr(found, truth) > psnr(warped, truth) + 2


def test_the_field_is_followed(source: np.ndarray) -> None:
    truth = regions(source)
    moved = ndimage.shift(truth, (20, -12, 0), order=1, mode='nearest')
    field = STILL + np.float32([20 / SIZE, -12 / SIZE])
    _, found, _ = recolored(source, moved, field, SURE)
    assert psnr(found, truth) > 28
    _, astray, _ = recolored(source, moved, STILL, SURE)
    assert psnr(astray, truth) < psnr(found, truth) - 5


def test_pixels_without_a_match_get_the_colors_of_alike_ones(
    source: np.ndarray,
) -> None:
    truth = regions(source)
    target = truth.copy()
    target[:48, :48] = (1, 0, 1)
    unsure = SURE.copy()
    unsure[:6, :6] = 0
    hole = np.s_[:40, :40]
    _, found, _ = recolored(source, target, STILL, unsure)
    assert psnr(found[hole], truth[hole]) > 18
    _, fooled, _ = recolored(source, target, STILL, SURE)
    assert psnr(fooled[hole], truth[hole]) < 12


def test_colors_stay_where_no_match_is_likely(
    source: np.ndarray, other: np.ndarray
) -> None:
    _, kept, rest = recolored(source, other, STILL, SURE, likely=0.1 * SURE)
    np.testing.assert_allclose(kept, source, atol=1e-6)
    assert rest is None
    _, free, _ = recolored(source, other, STILL, SURE)
    _, told, _ = recolored(source, other, STILL, SURE, likely=SURE)
    np.testing.assert_allclose(told, free, atol=1e-5)
    assert psnr(told, source) < 20


def test_what_lies_outside_of_the_target_is_not_made_up(
    source: np.ndarray,
) -> None:
    truth = regions(source)
    # The target shows all but the left quarter.
    target = np.concatenate([truth[:, 32:], np.zeros((SIZE, 32, 3))], axis=1)
    field = STILL + np.float32([0, -32 / SIZE])
    _, found, _ = recolored(source, target, field, SURE)
    assert psnr(found[:, :28], truth[:, :28]) > 18


def test_another_scene_keeps_its_contrast_and_structure(
    source: np.ndarray, other: np.ndarray
) -> None:
    def edges(image: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_gradient_magnitude(image.mean(-1), 1).ravel()

    _, found, _ = recolored(source, other, STILL, SURE)
    assert 0.6 < contrast(found) / contrast(other) < 1.4
    assert np.corrcoef(edges(found), edges(source))[0, 1] > 0.75
    assert np.corrcoef(edges(found), edges(other))[0, 1] < 0.4
    gap = found.mean((0, 1)) - other.mean((0, 1))
    assert np.abs(gap).max() < 0.1


def test_borders_do_not_bleed() -> None:
    source = np.full((SIZE, SIZE, 3), 0.2)
    source[:, 64:] = 0.8
    target = np.empty_like(source)
    target[:, :64], target[:, 64:] = (0.8, 0.1, 0.1), (0.1, 0.3, 0.9)
    # The field is two pixels off.
    field = STILL + np.float32([0, 2 / SIZE])
    _, found, _ = recolored(source, target, field, SURE)
    assert np.abs(found[:, :63] - target[:, :63]).max() < 0.12
    assert np.abs(found[:, 65:] - target[:, 65:]).max() < 0.12


def test_any_size_and_no_confidence_will_do(source: np.ndarray) -> None:
    for shape in ((1, 1), (3, 200), (300, 40)):
        small = np.resize(source, (*shape, 3))
        before, after, _ = recolored(small, source, STILL, 0 * SURE)
        expected = tuple(min(side, 128) for side in shape)
        assert before.shape == after.shape == (*expected, 3)
        assert np.isfinite(after).all()


def test_is_the_same_every_time(source: np.ndarray, other: np.ndarray) -> None:
    first, again = (recolored(source, other, STILL, SURE)[1] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def shown(source: np.ndarray, found: Recolored) -> np.ndarray:
    return transfer_colors(source, *found)


@pytest.mark.parametrize('wrong', [0.0, 1.0])
def test_grain_is_carried_over(source: np.ndarray, wrong: float) -> None:
    rng = np.random.default_rng(0)
    grain = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 0.8)
    truth = regions(source)
    truth = np.clip(truth * (1 + 0.2 * grain[..., None]), 0, 1)
    field = STILL + np.float32([wrong / SIZE, -wrong / SIZE])
    found = recolored(source, truth, field, SURE)
    assert found.residual is not None
    with_grain = psnr(shown(source, found), truth)
    plain = psnr(shown(source, found._replace(residual=None)), truth)
    assert with_grain > plain + 2


def test_blur_is_carried_over(source: np.ndarray) -> None:
    truth = ndimage.gaussian_filter(regions(source), (1.2, 1.2, 0))
    found = recolored(source, truth, STILL, SURE)
    sharp = shown(source, found._replace(residual=None))
    assert psnr(shown(source, found), truth) > psnr(sharp, truth) + 3


def test_details_of_another_thing_are_not_carried_over(
    source: np.ndarray, other: np.ndarray
) -> None:
    assert recolored(source, other, STILL, SURE).residual is None
    # Alike in every part, but of another pattern.
    rng = np.random.default_rng(0)
    coarse = ndimage.gaussian_filter(source, (4, 4, 0))
    one, two = (
        ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE, 1)), (2, 2, 0))
        for _ in range(2)
    )
    found = recolored(coarse + one, coarse + two, STILL, SURE)
    if found.residual is not None:
        assert np.abs(found.residual).mean() < 0.1 * np.abs(two).mean()


@pytest.mark.parametrize(
    ('changed', 'text'),
    [
        ({'source': np.zeros((4, 4))}, r'small source .* got \(4, 4\)'),
        ({'target': np.zeros((0, 4, 3))}, r'small target .* got \(0, 4, 3\)'),
        ({'weight': np.zeros((3, 3))}, r'\(16, 16\), got \(3, 3\)'),
    ],
)
def test_what_does_not_fit_is_refused(
    source: np.ndarray, changed: dict[str, np.ndarray], text: str
) -> None:
    given = {'source': source, 'target': source, 'field': STILL}
    with pytest.raises(InputError, match=text):
        recolored(**{**given, 'weight': SURE, **changed})
