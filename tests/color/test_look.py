"""A look is learnt once, and given to any number of images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import color, data

from napari_samnet.color.look import Look, fit_look
from napari_samnet.errors import InputError
from napari_samnet.images.rgb import to_working

SURE = np.ones((128, 128))


def restained(image: np.ndarray) -> np.ndarray:
    """A section in another stain: the answer is known everywhere."""
    stains = color.rgb2hed(image)
    mixed = np.stack(
        [
            0.9 * stains[..., 0] + 0.35 * stains[..., 2],
            0.75 * stains[..., 2] + 0.1 * stains[..., 0],
            0.05 * stains[..., 2],
        ],
        axis=-1,
    )
    return color.hed2rgb(mixed).clip(0, 1)


@pytest.fixture(scope='module')
def section() -> np.ndarray:
    return data.immunohistochemistry()


@pytest.fixture(scope='module')
def look(section: np.ndarray) -> Look:
    small = to_working(section, size=128)
    return fit_look(small, restained(small), SURE)


def error(image: np.ndarray, answer: np.ndarray) -> float:
    return float(
        color.deltaE_ciede2000(*map(color.rgb2lab, (image, answer))).mean()
    )


@pytest.mark.slow
def test_a_known_stain_is_learnt(look: Look, section: np.ndarray) -> None:
    answer = restained(section / 255)
    found = look.apply(section)
    assert found.dtype == np.uint8
    assert error(found / 255, answer) < 3
    assert error(section / 255, answer) > 15


def test_it_fits_parts_and_other_sizes(
    look: Look, section: np.ndarray
) -> None:
    whole = look.apply(section)
    part = look.apply(section[100:300, 50:400])
    np.testing.assert_array_equal(part, whole[100:300, 50:400])


def test_the_same_colors_stay(section: np.ndarray) -> None:
    small = to_working(section, size=128)
    found = fit_look(small, small, SURE).apply(section)
    assert np.abs(found.astype(int) - section).mean() < 1


def test_strength_mixes(look: Look, section: np.ndarray) -> None:
    np.testing.assert_array_equal(look.apply(section, strength=0), section)
    half = look.apply(section, strength=0.5).astype(float)
    middle = (look.apply(section).astype(float) + section) / 2
    assert np.abs(half - middle).mean() < 1.5
    with pytest.raises(InputError, match='from 0 to 1, got 2'):
        look.apply(section, strength=2)


def test_only_where_it_is_asked_for(look: Look, section: np.ndarray) -> None:
    where = np.zeros(section.shape[:2], bool)
    where[:200] = True
    found = look.apply(section, where=where)
    np.testing.assert_array_equal(found[200:], section[200:])
    np.testing.assert_array_equal(found[:200], look.apply(section)[:200])
    with pytest.raises(InputError, match='where must have the shape'):
        look.apply(section, where=where[1:])


def test_glass_stays_to_the_last_bit(section: np.ndarray) -> None:
    slide = np.full((300, 300, 3), 243, np.uint8)
    slide[60:240, 60:240] = section[:180, :180]
    slide[::7, ::5] = 245
    small = to_working(slide, size=128)
    white = small.min(axis=-1, keepdims=True) > 0.9
    other = np.where(white, small, restained(small)).astype(np.float32)
    learnt = fit_look(small, other, SURE)
    assert learnt.glass
    found = learnt.apply(slide)
    glass = slide.min(axis=-1) >= 240
    np.testing.assert_array_equal(found[glass], slide[glass])
    assert np.abs(found.astype(int) - slide)[60:240, 60:240].mean() > 10


@pytest.mark.parametrize('empty', ['source', 'target', 'both'])
def test_nothing_to_learn_changes_nothing(
    section: np.ndarray, empty: str
) -> None:
    small = to_working(section, size=128)
    white = np.ones_like(small)
    before = white if empty in ('source', 'both') else small
    after = white if empty in ('target', 'both') else small
    learnt = fit_look(before, after, SURE)
    np.testing.assert_array_equal(learnt.apply(section), section)
    assert 'nothing but white' in learnt.notes[0]
    assert (empty if empty != 'both' else 'target') in learnt.notes[0]


def test_no_tint_without_evidence(section: np.ndarray) -> None:
    small = to_working(section, size=128)
    doubt = np.full((128, 128), 0.1)
    learnt = fit_look(small, restained(small), doubt)
    np.testing.assert_array_equal(learnt.apply(section), section)


def test_values_that_are_no_numbers_stay(look: Look) -> None:
    image = np.random.default_rng(0).random((40, 50, 3)).astype(np.float32)
    image[3, 4] = np.nan
    image[7, 8, 1] = np.inf
    found = look.apply(image)
    np.testing.assert_array_equal(found[3, 4], image[3, 4])
    np.testing.assert_array_equal(found[7, 8], image[7, 8])
    rest = np.isfinite(image).all(axis=-1)
    assert np.isfinite(found[rest]).all()
    holes = np.full((128, 128, 3), np.nan)
    assert fit_look(holes, holes, SURE).notes


@pytest.mark.parametrize('dtype', [np.uint16, np.float64])
def test_keeps_number_type_and_range(
    look: Look, section: np.ndarray, dtype: type
) -> None:
    image = section.astype(dtype) * 100
    found = look.apply(image, contrast_limits=(0, 25500))
    assert found.dtype == dtype
    plain = look.apply(section).astype(float)
    assert np.abs(found / 100 - plain).mean() < 1


def test_gray_stays_gray(look: Look, section: np.ndarray) -> None:
    gray = section[..., 0]
    assert look.apply(gray).shape == gray.shape


class TestFile:
    def test_comes_back(
        self, look: Look, section: np.ndarray, tmp_path: Path
    ) -> None:
        look.save(tmp_path / 'stain.json')
        again = Look.load(tmp_path / 'stain.json')
        np.testing.assert_array_equal(
            again.apply(section), look.apply(section)
        )

    @pytest.mark.parametrize(
        ('change', 'says'),
        [
            ({'format': 'other'}, 'is no look'),
            ({'maps': [[[1, 2, 3]]]}, 'is damaged'),
            ({'maps': 'x'}, 'is damaged'),
            ({'width': float('nan')}, 'is damaged'),
            ({'centers': []}, 'is damaged'),
        ],
    )
    def test_what_is_no_look_is_refused(
        self, look: Look, tmp_path: Path, change: dict[str, object], says: str
    ) -> None:
        path = tmp_path / 'stain.json'
        look.save(path)
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(InputError, match=says):
            Look.load(path)

    def test_text_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / 'stain.json'
        for other in (b'stain', b'\x89PNG\r\n', b'[1]'):
            path.write_bytes(other)
            with pytest.raises(InputError, match='is no look: expected a JS'):
                Look.load(path)
        with pytest.raises(InputError, match=r'cannot read none\.json: No'):
            Look.load(tmp_path / 'none.json')
