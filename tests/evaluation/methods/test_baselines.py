from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data

from napari_samnet.errors import InputError
from napari_samnet.evaluation.interfaces import Pair
from napari_samnet.evaluation.methods.features import (
    affine_fields,
    nearest_fields,
)
from napari_samnet.evaluation.methods.registry import METHODS, get_methods
from napari_samnet.options import MatchOptions

SHIFT = np.array((5, 3))


@pytest.fixture
def shifted() -> Pair:
    """Blobs; the target shows the same, 5 rows and 3 columns further."""
    noise = np.random.default_rng(1).random((160, 160))
    blobs = gaussian_filter(noise, 5)
    blobs = (blobs - blobs.min()) / np.ptp(blobs)
    image = np.repeat(blobs[..., None], 3, axis=2).astype(np.float32)
    target = image[16:144, 16:144]
    source = image[16 + 5 : 144 + 5, 16 + 3 : 144 + 3]
    return Pair('', '', source, target, None)


@pytest.mark.parametrize(
    ('name', 'package'),
    [
        ('tvl1', 'skimage'),
        ('ilk', 'skimage'),
        ('dis', 'cv2'),
        pytest.param('elastix', 'itk', marks=pytest.mark.slow),
    ],
)
def test_baselines_recover_a_shift_in_both_directions(
    shifted, name, package, tmp_path, monkeypatch
):
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    (method,) = get_methods([name], MatchOptions(size=128))
    method.prepare()
    found = method.answer(shifted).correspondence
    inner = slice(24, -24), slice(24, -24)
    for flow, truth in (
        (found.flow, SHIFT),
        (found.backward_flow, -SHIFT),
    ):
        error = np.linalg.norm(flow[inner] - truth, axis=-1)
        assert np.median(error) < 1
    assert method.packages
    # Some packages leave files behind where they are called.
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_elastix_counts_a_pair_without_structure_as_still():
    pytest.importorskip('itk')
    (method,) = get_methods(['elastix'], MatchOptions(size=96))
    gray = np.full((64, 64, 3), 0.5, np.float32)
    found = method.answer(Pair('', '', gray, gray, None)).correspondence
    assert np.abs(found.flow).max() < 1


def matches(shape, affine):
    """Cell indices that an affine of normalized positions leads to."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width] + 0.5
    points = np.stack([rows / height, columns / width], -1).reshape(-1, 2)
    end = points @ affine[:, :2].T + affine[:, 2]
    cells = np.clip(np.floor(end * shape), 0, np.array(shape) - 1)
    return (cells[:, 0] * width + cells[:, 1]).astype(int)


def test_nearest_keeps_every_match():
    shape = (6, 8)
    best = np.random.default_rng(0).permutation(48)
    forward, backward = nearest_fields(best, np.argsort(best), shape)
    assert forward.shape == (48, 64, 2)
    # The center of cell 0 lands on the center of the cell it matched.
    row, column = divmod(best[0], 8)
    end = np.array([0.5 / 6, 0.5 / 8]) + forward[4, 4]
    assert np.allclose(end, ((row + 0.5) / 6, (column + 0.5) / 8))
    row, column = divmod(np.argsort(best)[9], 8)
    end = np.array([1.5 / 6, 1.5 / 8]) + backward[12, 12]
    assert np.allclose(end, ((row + 0.5) / 6, (column + 0.5) / 8))


def test_affine_is_found_among_wrong_matches():
    shape = (32, 32)
    affine = np.array([[1.0, 0.1, 0.05], [-0.05, 1.0, 0.02]])
    inverse = np.linalg.inv(np.vstack([affine, (0, 0, 1)]))[:2]
    forward, backward = matches(shape, affine), matches(shape, inverse)
    rng = np.random.default_rng(0)
    wrong = rng.random(forward.size) < 0.4
    forward[wrong] = rng.integers(0, forward.size, wrong.sum())
    found, back = affine_fields(forward, backward, shape)
    at = np.array([0.5 + 0.5 / 32, 0.5 + 0.5 / 32])
    assert np.allclose(
        at + found[16, 16], affine[:, :2] @ at + affine[:, 2], atol=0.5 / 32
    )
    assert np.allclose(
        at + back[16, 16], inverse[:, :2] @ at + inverse[:, 2], atol=0.5 / 32
    )


def test_affine_of_nothing_stays():
    nowhere = np.zeros(16, int)
    found, back = affine_fields(nowhere, nowhere, (4, 4))
    assert not found.any()
    assert not back.any()


def test_a_missing_package_is_told_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'cv2', None)
    with pytest.raises(InputError, match=r'of dis need .* cv2: .*\[bench\]'):
        get_methods(['dis'])[0].prepare()


def test_names_of_methods():
    names = [method.name for method in get_methods(['all'])]
    assert names[: len(METHODS)] == list(METHODS)
    assert len(get_methods(['identity', 'identity'])) == 1
    with pytest.raises(InputError, match='method must be one of samnet'):
        get_methods(['raft'])
    # Without a field of its own, a method takes part in attributes alone.
    with pytest.raises(InputError, match='method must be one of'):
        get_methods(['reinhard'])


@pytest.mark.slow
def test_the_field_alone_is_run_when_asked_for() -> None:
    (field,) = get_methods(['field'], MatchOptions(size=128, iterations=1))
    (network,) = get_methods(['samnet'], MatchOptions(size=128, iterations=1))
    image = data.chelsea()[:200, :200] / np.float32(255)
    pair = Pair('cat', '', image, np.roll(image, 5, 1), None)
    alone, whole = (
        method.answer(pair).correspondence for method in (field, network)
    )
    assert alone.evidence is None
    assert whole.evidence is not None
    np.testing.assert_array_equal(alone.backward, whole.backward)
    assert 'field' not in [method.name for method in get_methods(['all'])]


def test_a_method_is_told_what_moves_as_one() -> None:
    options = MatchOptions(size=128, iterations=1, attributes=False)
    methods = get_methods(['with-labels', 'samnet'], options)
    image = data.chelsea()[:200, :200] / np.float32(255)
    drawn = np.zeros((200, 200), bool)
    drawn[60:140, 60:140] = True
    pair = Pair('cat', '', image, np.roll(image, 5, 1), None, regions=drawn)
    told, untold = (method.regions(pair) for method in methods)
    assert told is drawn
    assert untold is None
    answer = methods[0].answer(pair)
    assert answer.correspondence.metadata['warnings'] == []
