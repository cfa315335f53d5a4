"""Features that are taught: examples, the store, and the stage."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage import data, io

from napari_samnet.datasets.image_lists import TrainingImage, read_images
from napari_samnet.errors import InputError
from napari_samnet.runtime.weights import get_weights, read_model, save_model
from napari_samnet.training import teaching
from napari_samnet.training.categorystage import spread_images
from napari_samnet.training.feature_store import (
    FeatureStore,
    further_directions,
)
from napari_samnet.training.features import (
    START_NAME,
    STORE_NAME,
    confidence_images,
    taught_images,
)
from napari_samnet.training.matches import category_matches
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.projection import with_projection
from napari_samnet.training.recipe import WEIGHTS_NAME, train_steps
from napari_samnet.training.taught_examples import (
    Example,
    KeypointExamples,
    WarpExamples,
    read_annotated_images,
)
from napari_samnet.training.teaching import (
    TaughtProjection,
    contrastive_loss,
    questions,
)

SIDE = 12
OPTIONS = TrainingOptions(
    start='samnet',
    decoder_steps=0,
    matcher_steps=0,
    feature_steps=4,
    feature_images=4,
    feature_warps=2,
    feature_batch=1,
    size=8 * SIDE,
    crop=32,
    device='cpu',
    precision='fp32',
)
NAMES = ('astronaut', 'coffee', 'cell', 'chelsea')


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Four photographs, each with four points, and the file that says so."""
    folder = tmp_path / 'images' / 'things'
    folder.mkdir(parents=True)
    images = {}
    for name in NAMES:
        image = getattr(data, name)()
        io.imsave(folder / f'{name}.png', image)
        height, width = image.shape[:2]
        shares = ((0.2, 0.2), (0.8, 0.3), (0.5, 0.5), (0.4, 0.8))
        images[f'things/{name}.png'] = {
            'kp': [[x * width, y * height, 1] for x, y in shares]
        }
    path = tmp_path / 'images' / 'points.json'
    path.write_text(json.dumps({'images': images}))
    return path


class TestExamples:
    def test_keypoints_are_scaled_to_the_cells_of_the_square(
        self, annotated: Path
    ) -> None:
        (first, *_) = read_annotated_images(annotated, annotated.parent)
        shape = data.astronaut().shape
        cells = first.cells(shape, SIDE)
        # The center of the image is the center of the cells.
        center = replace(
            first,
            points=np.array([[shape[1], shape[0]]]) / 2 - 0.5,
        ).cells(shape, SIDE)
        np.testing.assert_allclose(center, (SIDE - 1) / 2)
        assert cells.shape == (4, 2)

    def test_a_pair_has_the_points_that_both_show(self) -> None:
        places = [np.arange(8.0).reshape(4, 2) + shift for shift in (0, 1)]
        visible = [
            np.array([True, True, True, False]),
            np.array([True, True, True, True]),
        ]
        examples = KeypointExamples(['a', 'a'], places, visible, first=7)
        drawn = examples.draw(np.random.default_rng(0))
        assert {drawn.source, drawn.target} == {7, 8}
        assert len(drawn.places) == 3
        torch.testing.assert_close(
            (drawn.places - drawn.goals).abs(), torch.ones(3, 2)
        )

    def test_nothing_in_common_is_an_error(self) -> None:
        visible = [np.eye(4, dtype=bool)[k] for k in (0, 1)]
        examples = KeypointExamples(
            ['a', 'a'], [np.zeros((4, 2))] * 2, visible
        )
        with pytest.raises(InputError, match='3 keypoints in common'):
            examples.draw(np.random.default_rng(0))

    def test_warps_lead_where_the_flow_does(self) -> None:
        flow = torch.zeros(1, 2, SIDE, SIDE)
        flow[:, 0], flow[:, 1] = 1.5, -0.5
        valid = torch.zeros(1, 1, SIDE, SIDE)
        valid[..., 3:6, 2:8] = 1
        drawn = WarpExamples(flow, valid, 3).draw(np.random.default_rng(0))
        assert (drawn.source, drawn.target) == (3, 4)
        assert len(drawn.places) == 18
        torch.testing.assert_close(
            drawn.goals - drawn.places,
            torch.tensor([1.5, -0.5]).expand(18, 2),
        )

    @pytest.mark.parametrize(
        'content', ['', '[]', '{"images": {"a": {}}}', '{"images": {}}']
    )
    def test_a_file_without_keypoints_is_refused(
        self, content: str, tmp_path: Path
    ) -> None:
        path = tmp_path / 'points.json'
        path.write_text(content)
        with pytest.raises(InputError, match='must hold'):
            read_annotated_images(path, tmp_path)

    def test_left_out_images_are_not_taught(self, annotated: Path) -> None:
        options = replace(OPTIONS, keypoints=str(annotated))
        taught = {image.path.stem for image in taught_images(options)}
        kept = {image.path.stem for image in confidence_images(options)}
        # By the CRC-32 of the file's name.
        assert (taught, kept) == ({'chelsea', 'coffee'}, {'astronaut'})


def random_store(count: int = 2, directions: int = 24) -> FeatureStore:
    rng = np.random.default_rng(0)
    cells = rng.standard_normal((count, SIDE * SIDE, directions))
    return FeatureStore(cells.astype(np.float16), torch.eye(directions), SIDE)


class TestLoss:
    def test_it_is_least_where_the_places_are(self) -> None:
        store = random_store()
        taught = TaughtProjection(torch.eye(24))
        places = torch.tensor([[2.0, 3.0], [7.0, 5.0]])

        def loss(goals: torch.Tensor) -> float:
            # An image and itself.
            example = Example(0, 0, places, goals, 0.6)
            asked = questions(store, example, np.random.default_rng(0))
            return float(contrastive_loss(taught, asked).detach())

        assert loss(places) < loss(places + 1) - 1
        assert loss(places) < loss(places - 2) - 1

    def test_some_cells_stand_for_all(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = random_store()
        taught = TaughtProjection(torch.eye(24))
        places = torch.tensor([[2.5, 3.0], [7.0, 5.25]])
        example = Example(0, 1, places, places + 2, 0.8)

        def loss(seed: int) -> float:
            asked = questions(store, example, np.random.default_rng(seed))
            return float(contrastive_loss(taught, asked).detach())

        whole = loss(0)
        monkeypatch.setattr(teaching, 'FAR', 40)
        some = [loss(seed) for seed in range(20)]
        assert np.std(some) > 0
        assert np.mean(some) == pytest.approx(whole, abs=0.5)

    def test_learning_makes_it_smaller(self) -> None:
        torch.manual_seed(0)
        store = random_store()
        taught = TaughtProjection(torch.linalg.qr(torch.randn(24, 8))[0])
        assert float(taught.pull().detach()) == 0
        places = torch.tensor([[2.0, 3.0], [7.0, 5.0], [4.0, 9.0]])
        example = Example(0, 1, places, places.flip(0), 0.8)
        optimizer = torch.optim.Adam(taught.parameters(), lr=0.02)
        losses = []
        for step in range(60):
            rng = np.random.default_rng(step)
            loss = contrastive_loss(taught, questions(store, example, rng))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.7 * losses[0]
        assert float(taught.pull().detach()) > 0


class TestStore:
    def test_it_holds_what_the_network_gives_and_goes_on(
        self, tmp_path: Path
    ) -> None:
        model = read_model(get_weights('samnet').path)
        projection = model.features.projection
        assert projection is not None
        rng = np.random.default_rng(0)
        images = [rng.random((96, 96, 3)).astype(np.float32) for _ in range(2)]
        basis = further_directions(model.features, projection, images, 8)
        assert basis.shape == (1328, 392)
        torch.testing.assert_close(
            basis.T @ basis, torch.eye(392), atol=1e-4, rtol=0
        )
        read: list[int] = []

        def reader(index: int) -> np.ndarray:
            read.append(index)
            return images[index]

        for _ in range(2):
            store = FeatureStore.fill(
                tmp_path / 'store.npy',
                [partial(reader, 0), partial(reader, 1)],
                model.features,
                basis=basis,
                side=SIDE,
            )
        assert read == [0, 1]
        batch = torch.from_numpy(images[1]).permute(2, 0, 1)[None]
        torch.testing.assert_close(
            store.maps(1, projection),
            model.features.match_only(batch),
            atol=2e-3,
            rtol=0,
        )


class TestMatches:
    def test_no_images_make_no_labels(self) -> None:
        model = read_model(get_weights('samnet').path)
        made = category_matches(model, random_store(), [], [])
        assert len(made.pairs) == 0

    def test_an_image_and_its_copy_agree(self) -> None:
        model = read_model(get_weights('samnet').path)
        projection = model.features.projection
        assert projection is not None
        rng = np.random.default_rng(0)
        cells = rng.standard_normal((1, SIDE * SIDE, len(projection)))
        whole = np.repeat(np.abs(cells), 2, 0).astype(np.float16)
        store = FeatureStore(whole, torch.eye(len(projection)), SIDE)
        made = category_matches(model, store, [0, 1], ['a', 'a'])
        assert made.pairs.tolist() == [[0, 1]]
        drawn = made.draw(np.random.default_rng(0))
        apart = (drawn.goals - drawn.places).norm(dim=1)
        assert float(apart.median()) < 0.5


class TestSpread:
    def test_large_categories_give_more_and_none_is_passed_over(self) -> None:
        images = [
            TrainingImage(Path(f'{kind}{number}.jpg'), kind, 'set')
            for kind, count in (('few', 9), ('many', 100), ('single', 1))
            for number in range(count)
        ]
        chosen = spread_images(images, 100, 0)
        kinds = Counter(image.category for image in chosen)
        assert kinds == {'many': 20, 'few': 6}
        assert spread_images(images, 7, 0) == chosen[:7]


@pytest.mark.slow
class TestStage:
    def test_it_teaches_the_projection_alone_and_goes_on(
        self, annotated: Path, tmp_path: Path
    ) -> None:
        options = replace(OPTIONS, keypoints=str(annotated))
        images = read_images(annotated.parent)
        folder = tmp_path / 'run'
        steps = train_steps(images, folder, options)
        assert [next(steps).step for _ in range(2)] == [1, 2]
        steps.close()
        assert (folder / START_NAME).is_file()
        # The network so far is the old one until the stage is done, and what
        # is interrupted after the last step is not lost.
        steps = train_steps(images, folder, options)
        progress = [next(steps) for _ in range(2)]
        steps.close()
        assert [one.step for one in progress] == [3, 4]
        assert {'pull', 'warps', 'keypoints'} <= progress[-1].losses.keys()
        assert list(train_steps(images, folder, options)) == []
        assert not (folder / STORE_NAME).exists()
        before = read_model(get_weights('samnet').path).state_dict()
        after = read_model(folder / WEIGHTS_NAME).state_dict()
        # All the way was gone, so that there is no second projection.
        assert before.keys() - after.keys() == {'features.taught'}
        for name in after:
            value = before[name]
            same = bool(torch.equal(after[name], value))
            assert same == (name != 'features.projection'), name

    def test_directions_do_not_depend_on_what_was_there(
        self, annotated: Path, tmp_path: Path
    ) -> None:
        model = read_model(get_weights('samnet').path)
        projection = model.features.projection
        assert projection is not None
        other = with_projection(model, projection.flip(1) + 0.01)
        start = tmp_path / 'start.safetensors'
        save_model(other, start)
        images = read_images(annotated.parent)
        learnt = []
        for name, used in (('one', 'samnet'), ('two', str(start))):
            options = replace(
                OPTIONS,
                start=used,
                feature_start='directions',
                feature_channels=12,
                feature_steps=2,
                feature_images=0,
                storage='fp16',
            )
            folder = tmp_path / name
            list(train_steps(images, folder, options))
            learnt.append((folder / WEIGHTS_NAME).read_bytes())
        assert learnt[0] == learnt[1]

    def test_a_share_of_nothing_is_the_start(
        self, annotated: Path, tmp_path: Path
    ) -> None:
        options = replace(
            OPTIONS, feature_share=0.0, feature_steps=2, feature_images=0
        )
        images = read_images(annotated.parent)
        list(train_steps(images, tmp_path / 'run', options))
        before = read_model(get_weights('samnet').path).features.projection
        after = read_model(tmp_path / 'run' / WEIGHTS_NAME).features.projection
        assert before is not None
        assert after is not None
        torch.testing.assert_close(after, before)

    def test_a_network_without_a_projection_gets_one(
        self, annotated: Path, tmp_path: Path
    ) -> None:
        from napari_samnet.samnet.network import SAMNet

        old = read_model(get_weights('samnet').path)
        model = SAMNet(replace(old.config, projection=0, taught=False))
        state = old.state_dict()
        del state['features.projection'], state['features.taught']
        model.load_state_dict(state)
        start = tmp_path / 'start.safetensors'
        save_model(model, start)
        options = replace(
            OPTIONS,
            start=str(start),
            feature_channels=8,
            feature_steps=1,
            feature_share=0.25,
        )
        images = read_images(annotated.parent)
        (step,) = train_steps(images, tmp_path / 'run', options)
        assert 'keypoints' not in step.losses
        trained = read_model(tmp_path / 'run' / WEIGHTS_NAME)
        assert trained.config.projection == 8
        # A quarter of the way is matched in, all of it tells candidates.
        kept = load_file(tmp_path / 'run' / START_NAME)['projection']
        assert trained.features.projection is not None
        assert trained.features.taught is not None
        torch.testing.assert_close(
            4 * (trained.features.projection - kept),
            trained.features.taught - kept,
            atol=1e-4,
            rtol=0,
        )
