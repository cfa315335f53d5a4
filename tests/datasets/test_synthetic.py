from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from napari_samnet.datasets.appearance_changes import CHANGES, change, regions
from napari_samnet.datasets.pair_lists import read_images
from napari_samnet.datasets.synthetic import (
    WarpRanges,
    bundled_photograph,
    jitter,
    random_field,
    warp_photograph,
)
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import run_benchmark
from napari_samnet.evaluation.interfaces import Answer
from napari_samnet.evaluation.methods.base import Identity, from_fields
from napari_samnet.evaluation.methods.registry import get_methods
from napari_samnet.evaluation.protocols.attributes import Attributes
from napari_samnet.evaluation.protocols.synthetic import (
    Photographs,
    Synthetic,
)

STILL = WarpRanges(scale=0, rotation=0, shear=0, translation=0, bend=0)


def known(pair, *, error=0.0):
    """Answer with the true flow, plus an error in rows."""
    shape = np.array(pair.source.shape[:2])
    forward = (pair.truth.flow + (error, 0)) / shape
    return Answer(from_fields(pair, forward, 0 * forward))


def test_source_shows_the_photograph_where_the_flow_points(photograph):
    image = (photograph / 255).astype(np.float32)
    flow = np.full((60, 80, 2), (3.0, -5.0))
    source, valid = warp_photograph(image, flow)
    assert np.allclose(source[:57, 5:], image[3:, :-5], atol=1e-6)
    assert valid[:57, 5:].all()
    assert valid.sum() == 57 * 75


def test_random_field_stays_in_its_ranges():
    rng = np.random.default_rng(0)
    assert not random_field((20, 30), rng, STILL).any()
    shift = WarpRanges(scale=0, rotation=0, shear=0, bend=0)
    for _ in range(20):
        flow = random_field((20, 30), rng, shift)
        # 0.4 of half a side.
        assert np.ptp(flow, axis=(0, 1)).max() < 1e-9
        assert (np.abs(flow[0, 0]) <= (0.4 * 10, 0.4 * 15)).all()
    turned = random_field(
        (21, 21),
        rng,
        WarpRanges(scale=0, shear=0, translation=0, bend=0),
    )
    assert np.allclose(turned[10, 10], 0, atol=1e-9)


def test_ranges_are_those_of_rtns():
    fields = [
        random_field((32, 32), np.random.default_rng(seed)) * 8
        for seed in range(200)
    ]
    # Notes on the method: about 45 px at 256.
    assert 36 < np.mean(np.linalg.norm(fields, axis=-1)) < 50


def test_jitter_changes_colors_and_not_structure():
    image = bundled_photograph('chelsea')[:128, :128]
    lit = jitter(image, np.random.default_rng(3))
    assert lit.shape == image.shape
    assert 0 <= lit.min() <= lit.max() <= 1
    assert np.abs(lit - image).mean() > 0.02


def test_bundled_photographs_need_no_network():
    protocol = Synthetic(Photographs(repeats=1))
    for index in range(len(protocol)):
        pair = protocol.load(index)
        assert pair.source.shape == pair.target.shape == (256, 256, 3)
        assert pair.truth.valid.mean() > 0.2
    with pytest.raises(InputError, match='photograph must be one of'):
        bundled_photograph('lena')


def test_pairs_depend_on_seed_and_index_alone():
    pair = Synthetic(Photographs(repeats=2)).load(9)
    again = Synthetic(Photographs(repeats=4)).load(9)
    other = Synthetic(Photographs(repeats=2), seed=1).load(9)
    assert np.array_equal(pair.source, again.source)
    assert np.array_equal(pair.truth.flow, again.truth.flow)
    assert not np.array_equal(pair.truth.flow, other.truth.flow)


def test_end_point_error_of_known_answers():
    protocol = Synthetic(Photographs(repeats=1))
    pair = protocol.load(0)
    right = protocol.score(pair, known(pair))
    assert right['epe'] < 1e-3
    assert right['pck@0.05'] == 1
    assert protocol.score(pair, known(pair, error=20))['epe'] == (
        pytest.approx(20, abs=0.01)
    )
    nothing = protocol.score(pair, Identity().answer(pair))
    true = np.linalg.norm(pair.truth.flow[pair.truth.valid], axis=-1)
    assert nothing['epe'] == pytest.approx(true.mean(), abs=0.01)


def test_states_in_between_become_a_curve():
    protocol = Synthetic(Photographs(repeats=1))
    pair = protocol.load(0)
    states = {
        count: known(pair, error=10 / count).correspondence
        for count in protocol.iterations
    }
    answer = Answer(states[10], partial=states)
    result = protocol.summary([protocol.score(pair, answer)], [''])
    curve = result['epe_by_iteration']
    assert list(curve) == ['1', '2', '3', '5', '10']
    assert curve['2'] == pytest.approx(5, abs=0.01)


def test_listed_photographs(two_images, write_list):
    file = write_list('file,category', 'a.png,x', 'b.png,y')
    photographs = Photographs(read_images(file, two_images))
    outcome = run_benchmark(Synthetic(photographs), [Identity()])
    assert outcome.result['pairs'] == 2
    assert set(outcome.result['methods']['identity']['groups']) == {'x', 'y'}


@pytest.mark.parametrize('kind', CHANGES)
def test_changes_keep_the_image_recognizable(kind):
    rng = np.random.default_rng(0)
    image = bundled_photograph('chelsea')[:200, :200]
    labels = regions(image, rng)
    assert set(np.unique(labels)) == {1, 2, 3}
    changed = change(image, kind, labels, rng)
    assert changed.dtype == np.float32
    assert 0 <= changed.min() <= changed.max() <= 1
    assert np.abs(changed - image).mean() > 0.03
    gray = [part.mean(axis=-1) for part in (image, changed)]
    assert structural_similarity(*gray, data_range=1) > 0.3


def test_regions_of_a_constant_image():
    labels = regions(
        np.full((20, 20, 3), 0.5, np.float32), np.random.default_rng(0)
    )
    assert labels.shape == (20, 20)


def test_known_answer_of_attribute_transfer():
    protocol = Attributes(Photographs(repeats=1))
    pair = protocol.load(3)
    shape = np.array(pair.source.shape[:2])
    # The right answer in the right place.
    still = np.zeros((2, 2, 2))
    answer = Answer(from_fields(pair, still, still, pair.truth.image))
    scores = protocol.score(pair, answer)
    assert scores['psnr'] == 100
    assert scores['ssim'] == pytest.approx(1)
    assert scores['delta_e'] == 0
    # A method without an image is taken at its plain warp of the target,
    # which under the true field is the right answer again.
    plain = protocol.score(pair, known(pair))
    assert plain['psnr'] > 40
    # Nothing done at all keeps all of the structure and none of the colors.
    nothing = protocol.score(pair, Identity().answer(pair))
    assert nothing['edge_ssim'] == pytest.approx(1)
    assert nothing['psnr'] < 30
    assert (shape == pair.truth.labels.shape).all()


@pytest.mark.slow
def test_attribute_changes_take_turns():
    protocol = Attributes(Photographs(repeats=4))
    kinds = [protocol.load(index).group for index in range(0, 32, 8)]
    assert sorted(kinds) == sorted(Attributes.kinds)


@pytest.mark.slow
def test_color_transfer_beats_doing_nothing():
    protocol = Attributes(Photographs(repeats=1))
    methods = get_methods(['identity', 'reinhard', 'histogram'], color=True)
    scores = run_benchmark(protocol, methods, limit=4).result['methods']
    for name in ('reinhard', 'histogram'):
        assert scores[name]['delta_e'] < scores['identity']['delta_e']
        assert scores[name]['psnr'] > scores['identity']['psnr']
        assert 'scikit-image' in scores[name]['versions']


def test_panels_are_pictures():
    for protocol in (
        Synthetic(Photographs(repeats=1)),
        Attributes(Photographs(repeats=1)),
    ):
        pair = protocol.load(0)
        for title, image in protocol.panels(pair, Identity().answer(pair)):
            assert title
            assert image.shape[2] == 3
            assert 0 <= image.min() <= image.max() <= 1
