from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_samnet.datasets.composites import (
    bundled_parts,
    compose,
    horse_parts,
)
from napari_samnet.datasets.instances import LABELED_IMAGES, labeled_image
from napari_samnet.datasets.synthetic import (
    WarpRanges,
    inverse_flow,
    random_field,
)
from napari_samnet.errors import InputError
from napari_samnet.evaluation.interfaces import Answer
from napari_samnet.evaluation.methods.base import Identity, from_fields
from napari_samnet.evaluation.protocols.instances import Instances
from napari_samnet.evaluation.protocols.objects import Objects
from napari_samnet.evaluation.protocols.registry import (
    PairRequest,
    open_protocol,
)


def test_the_true_flow_of_an_object_has_no_error():
    protocol = Objects(bundled_parts())
    pair = protocol.load(0)
    flow = pair.truth.flow / 256
    scores = protocol.score(pair, Answer(from_fields(pair, flow, -flow)))
    assert all(value < 0.01 for value in scores.values())
    still = protocol.score(pair, Identity().answer(pair))
    # The object goes further than what is behind it.
    assert still['epe_inside'] > still['epe_outside'] > 3


def test_what_the_source_shows_is_where_the_flow_leads():
    made = bundled_parts().pair(2, 0)
    # Without noise, relighting is a function of the pixel's color alone, so
    # equal places stay alike in rank: compare where both are dark or bright.
    rows, columns = np.nonzero(made.valid)
    at = np.stack([rows, columns], axis=1) + made.flow[rows, columns]
    end = np.round(at).astype(int)
    source = made.source.mean(axis=-1)[rows, columns]
    target = made.target.mean(axis=-1)[end[:, 0], end[:, 1]]
    assert np.corrcoef(source, target)[0, 1] > 0.85


def test_pairs_depend_on_seed_and_index_alone():
    parts = bundled_parts()
    one, again, other = (parts.pair(3, seed) for seed in (0, 0, 1))
    assert np.array_equal(one.source, again.source)
    assert not np.array_equal(one.source, other.source)


def test_before_another_background_the_object_alone_is_in_both():
    parts = bundled_parts()
    same, other = (parts.pair(3, 0, elsewhere=way) for way in (False, True))
    assert np.array_equal(same.flow, other.flow)
    assert np.array_equal(other.valid, same.valid & same.inside)
    inside = same.target_inside
    away = np.abs(same.target - other.target).mean(-1)
    assert away[~inside].mean() > 5 * away[inside].mean()


def test_horses_of_a_data_folder(tmp_path):
    horses = tmp_path / 'train' / 'weizmann-horse'
    for kind in ('images', 'masks'):
        (horses / kind).mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 255, (50, 60, 3), np.uint8)
    mask = np.zeros((50, 60), bool)
    mask[10:40, 15:50] = True
    Image.fromarray(pixels).save(horses / 'images' / 'horse001.jpg')
    Image.fromarray(mask).save(horses / 'masks' / 'horse001.png')
    Image.fromarray(pixels[::-1]).save(tmp_path / 'b.png')
    (tmp_path / 'manifests').mkdir()
    (tmp_path / 'manifests' / 'train_images.csv').write_text(
        'file,dataset\nb.png,imagenet-sample\n'
    )
    # What is measured with is not learnt from.
    assert not horse_parts(tmp_path).learnt_from().objects
    pair = open_protocol('objects', PairRequest(root=tmp_path)).load(0)
    assert 0.01 < pair.truth.inside.mean() < 0.6
    (horses / 'masks' / 'horse001.png').unlink()
    with pytest.raises(InputError, match='does not hold objects'):
        open_protocol('objects', PairRequest(root=tmp_path))


def test_an_empty_mask_is_no_object():
    image = np.zeros((20, 20, 3), np.float32)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match='must not be empty'):
        compose(image, image, np.zeros((20, 20), bool), rng)


@pytest.mark.slow
@pytest.mark.parametrize('name', LABELED_IMAGES)
def test_images_have_twenty_to_two_hundred_labels(name):
    image, labels = labeled_image(name)
    assert image.shape == (*labels.shape, 3)
    assert 18 <= labels.max() <= 200
    sizes = np.bincount(labels.ravel())[1:]
    assert sizes.min() >= 20


@pytest.mark.slow
def test_labels_along_the_true_flow_keep_their_shape():
    protocol = Instances()
    pair = protocol.load(8)
    rng = np.random.default_rng([0, 8, 3])
    shape = pair.truth.labels.shape
    flow = random_field(shape, rng, WarpRanges().times(0.5))
    back = inverse_flow(flow)
    answer = Answer(from_fields(pair, flow / shape, back / shape))
    scores = protocol.score(pair, answer)
    assert scores['iou'] > 0.93
    assert scores['lost'] == 0
    still = protocol.score(pair, Identity().answer(pair))
    assert still['iou'] < 0.5


def test_inverse_flow_leads_back():
    rng = np.random.default_rng(5)
    flow = random_field((60, 80), rng, WarpRanges().times(0.5))
    back = inverse_flow(flow)
    at = np.indices((60, 80)) + np.moveaxis(back, -1, 0)
    inside = np.all((at > 1) & (at < [[[58]], [[78]]]), axis=0)
    rows, columns = np.round(at).astype(int)[:, inside]
    assert inside.mean() > 0.3
    assert np.abs(flow[rows, columns] + back[inside]).max() < 0.6
