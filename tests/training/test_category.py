"""Step 2: pairs of one category, what is learnt from them, what is kept."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from skimage import data
from skimage.io import imsave
from skimage.transform import rotate

from napari_samnet.datasets.image_lists import TrainingImage, read_images
from napari_samnet.datasets.pair_lists import read_keypoint_pairs
from napari_samnet.errors import InputError
from napari_samnet.runtime.weights import get_weights, read_model
from napari_samnet.samnet.features import Features, normalize
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Recurrence
from napari_samnet.training.category import (
    PAIR_LOSSES,
    CategoryPairs,
    category_losses,
    consistency_errors,
    find_pairs,
)
from napari_samnet.training.categorystage import (
    choose_images,
    is_better,
    validation_pairs,
    without,
)
from napari_samnet.training.keypoints import (
    cache_keypoints,
    keypoint_scores,
)
from napari_samnet.training.matcher import (
    learning_iterations,
    renew_learned_part,
)
from napari_samnet.training.options import TRAINING_CHOICES, TrainingOptions
from napari_samnet.training.recipe import train_steps
from napari_samnet.training.runs import WEIGHTS_NAME
from napari_samnet.training.synthetic import (
    CachedPairs,
    cache_each,
    inverse_flow,
)
from napari_samnet.training.viewpairs import choose_pairs, cycle_errors

SMALL: dict[str, Any] = {
    'start': 'samnet',
    'decoder_steps': 0,
    'matcher_steps': 0,
    'category_steps': 2,
    'category_images': 4,
    'category_batch': 1,
    'iterations': 2,
    'size': 96,
    'crop': 32,
    'device': 'cpu',
    'precision': 'fp32',
}


@pytest.fixture(scope='module')
def model() -> SAMNet:
    found: SAMNet = read_model(get_weights('samnet').path).float()
    found.matcher.requires_grad_(True)
    return found


@pytest.fixture(scope='module')
def similar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four views of one cat, without labels."""
    folder = tmp_path_factory.mktemp('similar')
    cat = data.chelsea()[20:280, 90:350]
    for index, angle in enumerate((0, 4, -5, 8)):
        view = rotate(cat, angle, mode='edge')[10 : 240 + index]
        imsave(folder / f'{index}.png', np.round(255 * view).astype(np.uint8))
    return folder


@pytest.fixture(scope='module')
def cached(model: SAMNet, similar: Path) -> CachedPairs:
    images = [TrainingImage(path) for path in sorted(similar.iterdir())]
    return CachedPairs.joined(
        list(
            cache_each(
                model.features,
                images,
                size=96,
                rng=np.random.default_rng(0),
                bf16=False,
            )
        )
    )


@pytest.fixture(scope='module')
def pairs(model: SAMNet, cached: CachedPairs) -> CategoryPairs:
    return find_pairs(model, cached, [''] * 4, iterations=2)


def _features(matching: torch.Tensor) -> Features:
    return Features(matching, matching[:, :0], ())


@pytest.fixture
def renewed(model: SAMNet) -> SAMNet:
    """A network that has learned one thing on the fit of the object."""
    network = copy.deepcopy(model)
    renew_learned_part(network, anew=True)
    torch.nn.init.constant_(network.matcher.network.last.bias, 0.2)
    return network


@pytest.fixture
def rounded(model: SAMNet) -> SAMNet:
    """The packaged network as if it had learned in round windows."""
    network = copy.deepcopy(model)
    network.config = replace(network.config, guided=False)
    return network


def test_every_loss_has_a_name_that_can_be_chosen() -> None:
    assert set(PAIR_LOSSES) == set(TRAINING_CHOICES['loss'])


@pytest.mark.parametrize('attributes', [True, False])
@pytest.mark.parametrize(
    'kind', [pytest.param('round', marks=pytest.mark.slow), 'packaged']
)
def test_training_runs_the_recurrence_that_matching_runs(
    kind: str,
    attributes: bool,
    model: SAMNet,
    rounded: SAMNet,
    cached: CachedPairs,
) -> None:
    network, alikeness = (
        (rounded, 0.0) if kind == 'round' else (model, Recurrence.alikeness)
    )
    part = cached.part(slice(0, 2))
    learnt = learning_iterations(
        network,
        part.source,
        part.target,
        iterations=3,
        attributes=attributes,
    )
    states = network.iterate(
        _features(part.source),
        _features(part.target),
        Recurrence(iterations=3, attributes=attributes, alikeness=alikeness),
    )
    for learning, state in zip(learnt, states, strict=True):
        torch.testing.assert_close(learning.field, state.field)


def test_a_match_by_default_takes_what_fine_tuning_has_taught(
    renewed: SAMNet, cached: CachedPairs
) -> None:
    part = cached.part(slice(0, 2))
    pair = _features(part.source), _features(part.target)

    def field(network: SAMNet, alikeness: float) -> torch.Tensor:
        options = Recurrence(
            iterations=1, attributes=False, alikeness=alikeness
        )
        (state,) = network.iterate(*pair, options)
        return state.field

    default = Recurrence.alikeness
    plain = copy.deepcopy(renewed)
    plain.matcher.forget()
    torch.nn.init.zeros_(plain.matcher.network.last.bias)
    taught = field(renewed, default) - field(plain, default)
    torch.testing.assert_close(
        taught, torch.full_like(taught, 0.2), atol=1e-4, rtol=0
    )
    # What was taught in one kind of window is not added in the other.
    renewed.matcher.forget()
    untaught = field(renewed, 0.0)
    torch.nn.init.constant_(renewed.matcher.network.last.bias, 0.2)
    torch.testing.assert_close(field(renewed, 0.0), untaught)


def test_what_was_learnt_in_round_windows_is_not_gone_on_with(
    rounded: SAMNet,
) -> None:
    network = rounded
    torch.nn.init.ones_(network.matcher.network.last.weight)
    renew_learned_part(network)
    assert network.config.guided
    assert not network.matcher.network.last.weight.any()
    torch.nn.init.ones_(network.matcher.network.last.weight)
    renew_learned_part(network)
    assert network.matcher.network.last.weight.all()
    renew_learned_part(network, anew=True)
    assert not network.matcher.network.last.weight.any()


def test_the_inverse_of_a_flow_leads_back() -> None:
    y, x = torch.meshgrid(
        torch.arange(16.0), torch.arange(16.0), indexing='ij'
    )
    flow = torch.stack((0.1 * x - 1 + 0.3 * (y / 4).sin(), 1 - 0.05 * y))
    back = inverse_flow(flow[None])[0]
    there = CachedPairs(*(torch.zeros(1, 1, 16, 16),) * 2, flow[None], y[None])
    swapped = there.swapped()
    valid = swapped.valid[0, 0] > 0
    assert valid.float().mean() > 0.5
    # An affine part is inverted exactly: y + 1 - y / 20 = p.
    expected = (y - 1) / 0.95 - y
    torch.testing.assert_close(
        back[1][valid], expected[valid], rtol=0, atol=0.1
    )


class TestPairs:
    def test_views_pair_with_those_that_look_alike(self) -> None:
        torch.manual_seed(0)
        scenes = torch.randn(2, 32, 12, 12)
        # Two scenes, three noisy views of each, all of one category.
        views = scenes.repeat_interleave(3, 0)
        views = normalize(views + 0.3 * torch.randn_like(views))
        found = choose_pairs(views, ['same'] * 6, per_image=2)
        assert {tuple(pair) for pair in found.tolist()} == {
            (0, 1),
            (0, 2),
            (1, 2),
            (3, 4),
            (3, 5),
            (4, 5),
        }

    def test_other_categories_and_other_scenes_do_not_pair(self) -> None:
        torch.manual_seed(0)
        views = normalize(torch.randn(4, 32, 12, 12))
        assert len(choose_pairs(views, ['a', 'b', 'c', 'd'])) == 0
        errors = cycle_errors(views[:1], views[1:2])
        assert float(errors) > float(cycle_errors(views[:1], views[:1]))

    def test_a_pair_can_be_drawn_either_way_round(
        self, pairs: CategoryPairs
    ) -> None:
        assert len(pairs) >= 2
        generator = torch.Generator().manual_seed(0)
        own, other, trust, pixels = pairs.draw(8, generator)
        assert pixels is None
        assert trust.shape == (8, 2, 12, 12)
        for row in range(8):
            found = [
                (
                    torch.equal(own.target[row], first.float()),
                    torch.equal(other.target[row], second.float()),
                    torch.equal(trust[row], weights),
                )
                for (a, b), both in zip(
                    pairs.pairs.tolist(), pairs.confidence, strict=True
                )
                for first, second, weights in (
                    (pairs.images.target[a], pairs.images.target[b], both),
                    (
                        pairs.images.target[b],
                        pairs.images.target[a],
                        both.flip(0),
                    ),
                )
            ]
            assert (True, True, True) in found

    def test_images_come_from_categories_with_company(self) -> None:
        images = [
            TrainingImage(Path(f'{name}{k}'), name)
            for name, count in (('bird/a', 2), ('bird/b', 1), ('cup', 1))
            for k in range(count)
        ]
        chosen = choose_images(images, 10, 0)
        assert {image.category for image in chosen} == {'bird/a', 'bird/b'}
        assert len(choose_images(images, 2, 0)) == 2


class TestLosses:
    @pytest.mark.parametrize('loss', ['attribute', 'matching'])
    def test_only_the_matcher_learns_from_every_term(
        self, model: SAMNet, pairs: CategoryPairs, loss: str
    ) -> None:
        drawn = pairs.draw(1, torch.Generator().manual_seed(1))
        terms = category_losses(model, *drawn, iterations=2, loss=loss)
        assert set(terms) == {'synthetic', 'bipath', 'own', 'transferred'}
        last = model.matcher.network.last.weight
        for name, term in terms.items():
            (gradient,) = torch.autograd.grad(term, last, retain_graph=True)
            assert float(gradient.abs().sum()) > 0, name

    @pytest.mark.slow
    def test_the_decoder_learns_through_the_image(
        self, model: SAMNet, pairs: CategoryPairs
    ) -> None:
        torch.manual_seed(0)
        pixels = torch.randint(0, 256, (4, 2, 3, 96, 96), dtype=torch.uint8)
        drawn = replace(pairs, pixels=pixels).draw(
            1, torch.Generator().manual_seed(1)
        )
        model.decoder.requires_grad_(True)
        try:
            terms = category_losses(model, *drawn, iterations=1)
            weights = {
                'decoder': model.decoder.enter.weight,
                'matcher': model.matcher.network.last.weight,
            }
            learns = {
                (term, part): bool(gradient is not None and gradient.any())
                for term, value in terms.items()
                for part, gradient in zip(
                    weights,
                    torch.autograd.grad(
                        value,
                        list(weights.values()),
                        retain_graph=True,
                        allow_unused=True,
                    ),
                    strict=True,
                )
            }
        finally:
            model.decoder.requires_grad_(False)
        for term in ('decoder', 'content', 'variation'):
            assert learns[term, 'decoder']
            assert not learns[term, 'matcher']
        for term in ('synthetic', 'bipath', 'own', 'transferred'):
            assert learns[term, 'matcher']
            assert not learns[term, 'decoder']

    def test_the_truth_costs_less_than_no_motion(
        self, model: SAMNet, cached: CachedPairs
    ) -> None:
        """With its safeguards (12) is no loss that anything minimizes."""
        # Each image and its own warp as the other one: the truth is known.
        warped = cached.part(slice(0, 4))
        trust = torch.ones(4, 2, 12, 12)

        class Fixed(torch.nn.Module):
            """W_G that goes to a given field at once."""

            def __init__(self, flow: torch.Tensor) -> None:
                super().__init__()
                self.flow = flow

            def forward(
                self,
                _volume: torch.Tensor,
                field: torch.Tensor,
                *_: object,
            ) -> torch.Tensor:
                goal = torch.cat((torch.zeros(12, 4, 12, 12), self.flow), 1)
                return goal - field

        still = torch.zeros(4, 2, 12, 12)
        inverse = inverse_flow(warped.flow)
        # I' to J = I, J = I to I, I' to I; and nowhere at all.
        flows = {
            'truth': torch.cat((warped.flow, still, warped.flow)),
            'identity': torch.zeros(12, 2, 12, 12),
            'backwards': torch.cat((inverse, still, inverse)),
        }
        own_matcher, costs = model.matcher, {}
        try:
            for name, flow in flows.items():
                model.matcher = Fixed(flow)
                terms = category_losses(
                    model, warped, warped, trust, iterations=2
                )
                costs[name] = {k: float(v) for k, v in terms.items()}
        finally:
            model.matcher = own_matcher
        for term in ('synthetic', 'bipath', 'own'):
            assert costs['truth'][term] < costs['identity'][term]
            assert costs['truth'][term] < costs['backwards'][term]

    def test_consistency_is_measured_without_learning(
        self, model: SAMNet, pairs: CategoryPairs
    ) -> None:
        found = consistency_errors(model, pairs, iterations=2)
        assert set(found) == {'bipath', 'synthetic'}
        assert all(0 < value < 10 for value in found.values())


def _keypoint_list(folder: Path) -> Path:
    path = folder / 'list.csv'
    points = '20;200;200;20,30;40;200;190'
    path.write_text(
        'source,target,category,XA,YA,XB,YB\n'
        f'0.png,0.png,cat,{points},{points}\n'
        f'0.png,1.png,cat,{points},{points}\n'
    )
    return path


def test_keypoints_of_an_image_and_itself_are_found(
    model: SAMNet, similar: Path, tmp_path: Path
) -> None:
    listed = read_keypoint_pairs(_keypoint_list(tmp_path), similar)
    same = cache_keypoints(model, listed[:1], size=96, bf16=False)
    both = cache_keypoints(model, listed, size=96, bf16=False)
    assert len(both.features) == 2
    assert keypoint_scores(model, same)['pck@0.05'] == 1
    assert 0 <= keypoint_scores(model, both)['pck@0.10'] <= 1


class TestStage:
    @pytest.mark.slow
    def test_a_folder_of_similar_images_is_enough(
        self, similar: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / 'run'
        judged = tmp_path / 'judged'
        shutil.copytree(similar, judged)
        options = TrainingOptions(
            **SMALL,
            validation=str(_keypoint_list(tmp_path)),
            validation_root=str(judged),
        )
        images = read_images(similar)
        told = []
        done = list(train_steps(images, out, options, watch=told.append))
        assert [(p.stage, p.step) for p in done] == [
            ('category', 1),
            ('category', 2),
        ]
        assert {p.stage for p in told} == {'pairs', 'category'}
        record = json.loads((out / 'category.json').read_text())
        assert record['pairs'] >= 2
        assert {'bipath', 'synthetic', 'pck@0.10'} <= set(record['before'])
        assert record['kept'] == is_better(record['before'], record['after'])
        # What was refused has left the network as the stage began with it.
        trained = read_model(out / WEIGHTS_NAME)
        began = read_model(get_weights('samnet').path)
        renew_learned_part(began)
        assert trained.config.guided
        expected = began.matcher.state_dict()
        same = all(
            torch.equal(value, expected[key])
            for key, value in trained.matcher.state_dict().items()
        )
        assert same != record['kept']
        lines = (out / 'curve.jsonl').read_text().splitlines()
        assert json.loads(lines[0])['stage'] == 'category'

    def test_images_with_keypoints_are_not_learnt_from(
        self, similar: Path, tmp_path: Path
    ) -> None:
        options = TrainingOptions(
            **SMALL,
            validation=str(_keypoint_list(tmp_path)),
            validation_root=str(similar),
        )
        left = without(read_images(similar), validation_pairs(options))
        assert sorted(image.path.name for image in left) == ['2.png', '3.png']

    def test_the_paper_network_keeps_the_decoder_that_it_learned(
        self, similar: Path, tmp_path: Path
    ) -> None:
        options = TrainingOptions(
            **{**SMALL, 'start': 'paper', 'category_steps': 1},
            network='paper',
            category_feedback='image',
            storage='fp16',
        )
        out = tmp_path / 'run'
        began = read_model(get_weights('paper').path)
        (step,) = train_steps(read_images(similar), out, options)
        assert step.losses['decoder'] > 0
        kept = json.loads((out / 'category.json').read_text())['kept']
        with safe_open(out / 'samnet.safetensors', 'pt') as file:
            written = set(file.keys())
        # The features are those of the packaged network, and not written.
        assert not any(name.startswith('features') for name in written)
        assert kept == any(name.startswith('decoder') for name in written)
        after = read_model(out / 'samnet.safetensors').decoder.state_dict()
        same = all(
            torch.equal(value, after[name])
            for name, value in began.decoder.state_dict().items()
        )
        assert same != kept

    @pytest.mark.slow
    @pytest.mark.parametrize('feedback', ['feature', 'image'])
    def test_an_interrupted_stage_makes_the_same_steps(
        self, similar: Path, tmp_path: Path, feedback: str
    ) -> None:
        images = read_images(similar)
        options = TrainingOptions(**SMALL, category_feedback=feedback)
        whole = list(train_steps(images, tmp_path / 'whole', options))
        first = train_steps(images, tmp_path / 'parts', options)
        parts = list(islice(first, 1))
        first.close()
        parts += train_steps(images, tmp_path / 'parts', options)
        assert [p.losses for p in whole] == [p.losses for p in parts]

    def test_images_that_have_nothing_in_common_are_refused(
        self, tmp_path: Path
    ) -> None:
        folder = tmp_path / 'images'
        for name in ('chelsea', 'coffee'):
            (folder / name).mkdir(parents=True)
            imsave(folder / name / 'x.png', getattr(data, name)()[:96, :96])
        with pytest.raises(InputError, match='category'):
            list(
                train_steps(
                    read_images(folder),
                    tmp_path / 'run',
                    TrainingOptions(**SMALL),
                )
            )

    def test_what_got_worse_is_not_kept(self) -> None:
        before = {'synthetic': 1.0, 'bipath': 1.0}
        assert is_better(before, {'synthetic': 1.0, 'bipath': 0.9})
        assert not is_better(before, {'synthetic': 1.0, 'bipath': 1.1})
        assert not is_better(before, {'synthetic': 1.2, 'bipath': 0.5})
        with_points = before | {'pck@0.10': 0.5}
        assert is_better(with_points, with_points | {'pck@0.10': 0.51})
        assert not is_better(with_points, with_points)
