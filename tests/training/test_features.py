"""Features that are taught: views, examples, the store, and the stage."""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import map_coordinates
from skimage import data, io
from skimage.transform import resize

from napari_samnet.datasets.image_lists import TrainingImage, read_images
from napari_samnet.errors import InputError
from napari_samnet.runtime.weights import get_weights, read_model, save_model
from napari_samnet.samnet.context import ContextNetwork
from napari_samnet.samnet.taught_blocks import TaughtBlocks
from napari_samnet.training.annotated import (
    AnnotatedImage,
    AnnotatedView,
    read_annotated_images,
    views_of,
)
from napari_samnet.training.categorystage import spread_images
from napari_samnet.training.data import to_tensor
from napari_samnet.training.feature_images import (
    confidence_images,
    taught_images,
)
from napari_samnet.training.feature_store import (
    FeatureStore,
    further_directions,
)
from napari_samnet.training.features import (
    START_NAME,
    STORE_NAME,
    taught_model,
)
from napari_samnet.training.known_motions import moving_objects
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.projection import with_projection
from napari_samnet.training.recipe import WEIGHTS_NAME, train_steps
from napari_samnet.training.taught_examples import (
    Example,
    KeypointExamples,
    LikenessExamples,
    MotionExamples,
    asked,
)
from napari_samnet.training.teaching import (
    TaughtFeatures,
    contrastive_loss,
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
    feature_context=6,
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


class TestViews:
    def test_keypoints_are_scaled_to_the_cells_of_the_square(
        self, annotated: Path
    ) -> None:
        (first, *_) = read_annotated_images(annotated, annotated.parent)
        shape = data.astronaut().shape
        # The center of the image is the center of the cells.
        center = replace(
            first,
            points=np.tile([shape[1] / 2 - 0.5, shape[0] / 2 - 0.5], (4, 1)),
        )
        cells, visible = AnnotatedView(center, shape[:2]).cells(SIDE)
        np.testing.assert_allclose(cells, (SIDE - 1) / 2)
        assert visible.all()

    def test_points_keep_to_what_they_mark_in_every_view(
        self, tmp_path: Path
    ) -> None:
        image = np.zeros((60, 90, 3), np.uint8)
        image[20, 30], image[40, 70] = (255, 0, 0), (0, 255, 0)
        io.imsave(tmp_path / 'dots.png', image, check_contrast=False)
        annotated = AnnotatedImage(
            tmp_path / 'dots.png',
            'dots',
            np.array([[30.0, 20.0], [70.0, 40.0], [2.0, 2.0]]),
            np.array([True, True, False]),
            40.0,
            (1, 0, 2),
        )
        views = views_of(annotated, image.shape[:2], np.random.default_rng(0))
        assert [view.mirrored for view in views[:2]] == [False, True]
        assert views[2].part is not None
        for view in views:
            seen = view.read(256)
            cells, visible = view.cells(256)
            assert visible.tolist() == [True, True, False]
            # What is left is right in the mirror, and is named so.
            colors = (1, 0) if view.mirrored else (0, 1)
            for (x, y), color in zip(cells, colors, strict=False):
                around = seen[round(y) - 2 : round(y) + 3, round(x) - 2 :][
                    :, :5
                ]
                assert around[..., color].max() > 0.3
                assert around[..., 1 - color].max() < 0.1

    def test_left_and_right_change_sides_by_their_names(
        self, annotated: Path
    ) -> None:
        content = json.loads(annotated.read_text())
        content['names'] = ['left_eye', 'Right_eye', 'nose', 'left_ear']
        annotated.write_text(json.dumps(content))
        (first, *_) = read_annotated_images(annotated, annotated.parent)
        assert first.mirror == (1, 0, 2, 3)
        content['names'] = ['nose']
        annotated.write_text(json.dumps(content))
        with pytest.raises(InputError, match='as many keypoints'):
            read_annotated_images(annotated, annotated.parent)

    def test_without_names_there_is_no_mirror(self, annotated: Path) -> None:
        (first, *_) = read_annotated_images(annotated, annotated.parent)
        shape = data.astronaut().shape
        views = views_of(first, shape[:2], np.random.default_rng(0))
        assert first.mirror is None
        assert not any(view.mirrored for view in views)

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

    @pytest.mark.parametrize('confidence', [0, 4])
    def test_what_is_measured_or_fitted_on_is_not_taught(
        self, annotated: Path, confidence: int
    ) -> None:
        def split(root: Path) -> tuple[set[str], set[str]]:
            options = replace(
                OPTIONS,
                keypoints=str(annotated),
                keypoints_root=str(root),
                confidence_pairs=confidence,
            )
            taught = {image.path.stem for image in taught_images(options)}
            kept = {image.path.stem for image in confidence_images(options)}
            return taught, kept

        published = annotated.parent / 'animal-pose'
        shutil.copytree(annotated.parent / 'things', published / 'things')
        # By the CRC-32 of the file's name.
        expected = {'chelsea', 'coffee'}, {'astronaut'}
        assert split(published) == expected
        # Of one's own images none is left out.
        kept = {'astronaut'} if confidence else set()
        assert split(annotated.parent) == (set(NAMES) - kept, kept)


class TestExamples:
    def test_a_pair_has_the_points_that_both_show(self) -> None:
        places = [np.arange(8.0).reshape(4, 2) + shift for shift in (0, 1)]
        visible = [
            np.array([True, True, True, False]),
            np.array([True, True, True, True]),
        ]
        examples = KeypointExamples(
            ['a', 'a'], ['one', 'other'], places, visible, SIDE, first=7
        )
        (drawn,) = examples.draw(np.random.default_rng(0), 1)
        assert {drawn.source, drawn.target} == {7, 8}
        assert drawn.back is not None
        assert len(drawn.there.places) == 3
        torch.testing.assert_close(
            (drawn.there.places - drawn.back.places).abs(), torch.ones(3, 2)
        )
        torch.testing.assert_close(
            goals_of(drawn.there.label), drawn.back.places, atol=0.5, rtol=0
        )

    def test_all_images_of_a_step_are_compared(self) -> None:
        groups = ['cat', 'cat', 'horse', 'horse', 'sheep']
        names = [f'image {index}' for index in range(5)]
        places = [np.full((4, 2), index + 1.0) for index in range(5)]
        visible = [np.ones(4, dtype=bool)] * 5
        examples = KeypointExamples(groups, names, places, visible, SIDE)
        rng = np.random.default_rng(0)
        for _ in range(10):
            drawn = examples.draw(rng, 2)
            used = {k for one in drawn for k in (one.source, one.target)}
            assert len({groups[k] for k in used}) == 2
            # Two by two, or the only sheep beside two others.
            assert len(drawn) == len(used) * (len(used) - 1) / 2
            for one in drawn:
                same = groups[one.source] == groups[one.target]
                assert (one.weight == 1) == same

    @pytest.mark.parametrize('photographs', [['one', 'other'], ['one'] * 2])
    def test_nothing_in_common_is_an_error(
        self, photographs: list[str]
    ) -> None:
        # Two views of one photograph are no pair, whatever they show.
        same = photographs[0] == photographs[1]
        visible = [np.eye(4, dtype=bool)[k] | same for k in (0, 1)]
        examples = KeypointExamples(
            ['a', 'a'], photographs, [np.zeros((4, 2))] * 2, visible, SIDE
        )
        with pytest.raises(InputError, match='3 keypoints in common'):
            examples.draw(np.random.default_rng(0), 1)

    def test_warps_lead_where_the_flow_does(self) -> None:
        flow = torch.zeros(1, 2, SIDE, SIDE)
        flow[:, 0], flow[:, 1] = 1.5, -0.5
        valid = torch.zeros(1, 1, SIDE, SIDE)
        valid[..., 3:6, 2:8] = 1
        examples = MotionExamples(flow, valid, 3)
        (drawn,) = examples.draw(np.random.default_rng(0), 1)
        assert (drawn.source, drawn.target) == (3, 4)
        assert len(drawn.there.places) == 18
        assert drawn.back is None
        torch.testing.assert_close(
            goals_of(drawn.there.label) - drawn.there.places,
            torch.tensor([1.5, -0.5]).expand(18, 2),
            atol=1e-3,
            rtol=0,
        )

    def test_cells_without_weight_are_never_asked_for(self) -> None:
        weight = torch.zeros(3, 1, SIDE, SIDE)
        weight[1, 0, 2, 3:7] = torch.tensor([1.0, 0.0, 5.0, 5.0])
        examples = MotionExamples(torch.zeros(3, 2, SIDE, SIDE), weight, 0)
        (drawn,) = examples.draw(np.random.default_rng(0), 1)
        assert (drawn.source, drawn.target) == (1, 4)
        asked_for = {tuple(place) for place in drawn.there.places.tolist()}
        assert asked_for == {(3, 2), (5, 2), (6, 2)}

    def test_moving_objects_lead_where_they_go(self) -> None:
        options = replace(OPTIONS, size=256)
        known = moving_objects(options, 2)
        assert len(known.readers) == 4
        assert known.flow.shape == (2, 2, 32, 32)
        images = [read() for read in known.readers]
        # What is dark in the first image is dark where it goes.
        for index in range(2):
            weight = known.weight[index, 0]
            rows, columns = torch.nonzero(weight, as_tuple=True)
            assert len(rows) > 10
            goals = (
                torch.stack((columns, rows))
                + known.flow[index][:, rows, columns]
            )
            gray = [
                resize(images[index + first].mean(-1), (32, 32))
                for first in (0, 2)
            ]
            there = map_coordinates(
                gray[1], goals.flip(0).numpy(), order=1, mode='nearest'
            )
            here = gray[0][rows.numpy(), columns.numpy()]
            assert np.corrcoef(here, there)[0, 1] > 0.6, index

    def test_likenesses_are_those_of_the_features_before(self) -> None:
        # An image and the same one a cell to the right.
        rng = np.random.default_rng(0)
        cells = rng.standard_normal((SIDE, SIDE, 24))
        moved = np.roll(cells, 1, axis=1)
        both = np.stack([cells, moved]).reshape(2, SIDE * SIDE, 24)
        store = FeatureStore(both.astype(np.float16), torch.eye(24), SIDE)
        examples = LikenessExamples(
            store, lambda maps, _: unit(maps), [0, 1], ['a', 'a']
        )
        (drawn,) = examples.draw(np.random.default_rng(1), 1)
        step = 1 if drawn.source == 0 else -1
        goals = goals_of(drawn.there.label)
        inside = (drawn.there.places[:, 0] + step) % SIDE
        inner = (inside > 0) & (inside < SIDE - 1)
        torch.testing.assert_close(
            goals[inner, 0], inside[inner], atol=0.3, rtol=0
        )

    def test_single_images_have_no_likenesses(self) -> None:
        store = random_store()
        examples = LikenessExamples(store, unit, [0, 1], ['a', 'b'])
        assert len(examples) == 0


def unit(maps: torch.Tensor) -> torch.Tensor:
    """Features as they are, of unit length."""
    return torch.nn.functional.normalize(maps, dim=1)


def goals_of(label: torch.Tensor) -> torch.Tensor:
    """Mean place, in (x, y) cells, of a label."""
    cells = torch.arange(SIDE * SIDE)
    return label @ torch.stack((cells % SIDE, cells // SIDE), 1).float()


def random_store(count: int = 2, directions: int = 24) -> FeatureStore:
    rng = np.random.default_rng(0)
    cells = rng.standard_normal((count, SIDE * SIDE, directions))
    return FeatureStore(cells.astype(np.float16), torch.eye(directions), SIDE)


class TestLoss:
    def test_it_is_least_where_the_places_are(self) -> None:
        store = random_store()
        features = torch.nn.functional.normalize(store.whole(0), dim=0)
        places = torch.tensor([[2.0, 3.0], [7.0, 5.0]])

        def loss(goals: torch.Tensor) -> float:
            # An image and itself.
            question = asked(places, goals, side=SIDE, spread=0.6)
            example = Example(0, 0, question)
            beta = torch.tensor(20.0)
            return float(contrastive_loss(beta, {0: features}, [example]))

        assert loss(places) < loss(places + 1) - 1
        assert loss(places) < loss(places - 2) - 1

    def test_context_tells_apart_what_is_alike_on_its_own(self) -> None:
        torch.manual_seed(0)
        # Two cells that look the same, of which one has a neighbor.
        maps = torch.zeros(1, 4, SIDE, SIDE)
        maps[:, 0] = 1
        maps[0, :, 3, 3] = maps[0, :, 3, 9] = torch.tensor([0, 1.0, 0, 0])
        maps[0, :, 3, 4] = torch.tensor([0, 0, 1.0, 0])
        start = torch.eye(4)
        places = torch.tensor([[3.0, 3.0], [9.0, 3.0]])
        question = asked(places, places, side=SIDE, spread=0.3)

        def learnt(width: int) -> float:
            context = ContextNetwork(4, width, 4) if width else None
            taught = TaughtFeatures(start, context)
            assert float(taught.pull().detach()) == 0
            optimizer = torch.optim.Adam(taught.parameters(), lr=0.01)
            for _ in range(200):
                features = taught(maps)[0]
                loss = contrastive_loss(
                    taught.beta, {0: features}, [Example(0, 0, question)]
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return float(loss.detach())

        assert learnt(8) < 0.2
        # Without it, one of the two is as good as the other.
        assert learnt(0) > 0.6

    def test_what_is_learnt_in_a_basis_is_the_same_in_all_channels(
        self,
    ) -> None:
        model = read_model(get_weights('samnet').path)
        channels = model.features.matching_channels
        torch.manual_seed(0)
        basis = torch.linalg.qr(torch.randn(channels, 16))[0]
        context = ContextNetwork(16, 6, 8)
        torch.nn.init.normal_(context.leave.weight)
        taught = TaughtFeatures(
            torch.linalg.qr(torch.randn(16, 8))[0], context
        )
        whole = torch.nn.functional.normalize(
            torch.randn(1, channels, 5, 5), dim=1
        )
        other = taught_model(model, taught, basis)
        assert (other.config.projection, other.config.context) == (8, 6)
        with torch.no_grad():
            inside = torch.einsum('bchw,cd->bdhw', whole, basis)
            torch.testing.assert_close(
                other.features.projected(whole), taught(inside)
            )


class TestPartOfTheWay:
    @pytest.fixture
    def start(self) -> TaughtFeatures:
        light = read_model(get_weights('samnet').path).features.light
        assert light is not None
        torch.manual_seed(0)
        blocks = TaughtBlocks.copy_of(light).float().requires_grad_(True)
        context = ContextNetwork(16 + blocks.channels, 6, 8)
        return TaughtFeatures(
            torch.linalg.qr(torch.randn(16, 8))[0], context, blocks
        )

    @staticmethod
    def learnt_from(start: TaughtFeatures) -> TaughtFeatures:
        end = copy.deepcopy(start)
        with torch.no_grad():
            for parameter in end.parameters():
                parameter += 0.05 * torch.randn(parameter.shape)
        return end

    @staticmethod
    def seen() -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(2, 16, 6, 6), torch.randn(2, 80, 3, 3)

    def test_its_ends_are_the_start_and_what_was_taught(
        self, start: TaughtFeatures
    ) -> None:
        end, seen = self.learnt_from(start), self.seen()
        with torch.no_grad():
            for share, same in ((0.0, start), (1.0, end)):
                between = end.part_of_the_way(start, share, share)
                torch.testing.assert_close(between(*seen), same(*seen))

    def test_what_knows_something_goes_back_to_what_it_knew(
        self, start: TaughtFeatures
    ) -> None:
        known = self.learnt_from(start)
        end, seen = self.learnt_from(known), self.seen()
        with torch.no_grad():
            between = end.part_of_the_way(known, 0.0, 0.0)
            torch.testing.assert_close(between(*seen), known(*seen))

    def test_what_is_added_to_the_start_shrinks(
        self, start: TaughtFeatures
    ) -> None:
        end = self.learnt_from(start)
        between = end.part_of_the_way(start, 0.25)
        torch.testing.assert_close(
            between.projection - start.projection,
            0.25 * (end.projection - start.projection).detach(),
        )
        assert between.context is not None
        assert end.context is not None
        maps = torch.randn(1, between.context.enter.in_channels, 4, 4)
        with torch.no_grad():
            torch.testing.assert_close(
                between.context(maps), 0.25 * end.context(maps)
            )


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
            torch.einsum('chw,dc->dhw', store.whole(1), basis),
            within(model.features.match_only(batch, project=False)[0], basis),
            atol=2e-3,
            rtol=0,
        )


def within(channels: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """The part of a feature ``(C, h, w)`` that lies in a basis."""
    return torch.einsum('chw,cd,ed->ehw', channels, basis, basis)


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
    def test_it_teaches_what_joins_the_layers_alone_and_goes_on(
        self, annotated: Path, tmp_path: Path
    ) -> None:
        options = replace(OPTIONS, keypoints=str(annotated), feature_objects=2)
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
        losses = progress[-1].losses.keys()
        assert {'pull', 'warps', 'objects', 'keypoints'} <= losses
        assert list(train_steps(images, folder, options)) == []
        assert not (folder / STORE_NAME).exists()
        before = read_model(get_weights('samnet').path).state_dict()
        after = read_model(folder / WEIGHTS_NAME).state_dict()
        assert before.keys() == after.keys()
        taught = tuple(
            f'features.{part}' for part in ('projection', 'context', 'taught')
        )
        for name, value in before.items():
            same = bool(torch.equal(after[name], value))
            assert same != name.startswith(taught), name

    @pytest.mark.parametrize('backend', ['openvino', 'torch'])
    def test_blocks_of_the_light_network_learn_beside_it(
        self,
        annotated: Path,
        tmp_path: Path,
        backend: str,
    ) -> None:
        options = replace(
            OPTIONS,
            keypoints=str(annotated),
            feature_start='directions',
            feature_blocks='taught',
        )
        images = read_images(annotated.parent)
        folder = tmp_path / 'run'
        steps = train_steps(images, folder, options)
        assert [next(steps).step for _ in range(2)] == [1, 2]
        steps.close()
        assert [one.step for one in train_steps(images, folder, options)] == [
            3,
            4,
        ]
        assert not list(folder.glob('features*.npy'))
        model = read_model(folder / WEIGHTS_NAME)
        taught, light = model.features.taught, model.features.light
        assert model.config.taught_blocks
        assert taught is not None
        assert light is not None
        copied = TaughtBlocks.copy_of(light).state_dict()
        assert any(
            not torch.equal(value, copied[name])
            for name, value in taught.state_dict().items()
        )
        image = np.random.default_rng(0).random((96, 96, 3))
        batch = to_tensor([image.astype(np.float32)])
        with torch.inference_mode():
            exact = model.features.match_only(batch)
            if backend == 'openvino':
                pytest.importorskip('openvino')
                from napari_samnet.runtime.openvino_modules import use_openvino

                other = use_openvino(model, 'fp32').features
                torch.testing.assert_close(
                    other.match_only(batch), exact, atol=1e-3, rtol=0
                )
                return
            for block in taught.parameters():
                block.zero_()
            assert not torch.allclose(model.features.match_only(batch), exact)
        # What was taught is taught further.
        again = replace(
            options,
            start=str(folder / WEIGHTS_NAME),
            feature_start='kept',
            feature_blocks='frozen',
            feature_steps=1,
        )
        assert len(list(train_steps(images, tmp_path / 'again', again))) == 1
        assert read_model(tmp_path / 'again' / WEIGHTS_NAME).config == (
            model.config
        )

    def test_likeness_is_taught_by_the_same_examples_and_goes_on(
        self, annotated: Path, tmp_path: Path
    ) -> None:
        images = read_images(annotated.parent)
        options = replace(
            OPTIONS,
            keypoints=str(annotated),
            feature_start='directions',
            feature_channels=12,
            feature_steps=1,
            likeness_steps=2,
        )
        folder = tmp_path / 'run'
        steps = train_steps(images, folder, options)
        made = [next(steps) for _ in range(2)]
        steps.close()
        made += list(train_steps(images, folder, options))
        assert [(one.stage, one.step) for one in made] == [
            ('features', 1),
            ('likeness', 1),
            ('likeness', 2),
        ]
        assert not list(folder.glob('features*.npy'))
        features = read_model(folder / WEIGHTS_NAME).features
        start = load_file(folder / START_NAME)['projection']
        assert features.likeness is not None
        assert features.likeness.shape == start.shape
        moved = (features.likeness - start).norm() / start.norm()
        assert 1e-4 < moved < 0.1
        whole = replace(options, likeness_share=1.0)
        list(train_steps(images, tmp_path / 'whole', whole))
        end = read_model(tmp_path / 'whole' / WEIGHTS_NAME).features.likeness
        torch.testing.assert_close(
            features.likeness - start, 0.4 * (end - start), atol=1e-5, rtol=0
        )

    def test_likeness_begins_in_the_directions(self) -> None:
        with pytest.raises(InputError, match='feature_start=directions'):
            replace(OPTIONS, likeness_steps=2)

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

    def test_a_network_without_a_projection_gets_one(
        self, annotated: Path, tmp_path: Path
    ) -> None:
        from napari_samnet.samnet.network import SAMNet

        old = read_model(get_weights('samnet').path)
        model = SAMNet(
            replace(old.config, projection=0, context=0, taught_blocks=False)
        )
        wanted = model.state_dict().keys()
        model.load_state_dict(
            {k: v for k, v in old.state_dict().items() if k in wanted}
        )
        start = tmp_path / 'start.safetensors'
        save_model(model, start)
        options = replace(
            OPTIONS,
            start=str(start),
            feature_channels=8,
            feature_context_layers=3,
            feature_steps=1,
        )
        images = read_images(annotated.parent)
        (step,) = train_steps(images, tmp_path / 'run', options)
        assert 'keypoints' not in step.losses
        config = read_model(tmp_path / 'run' / WEIGHTS_NAME).config
        assert (config.projection, config.context) == (8, 6)
        assert config.context_layers == 3
