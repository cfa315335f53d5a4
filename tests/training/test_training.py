"""Training: data with a known truth, steps that learn, runs that go on."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from skimage import data
from skimage.io import imsave
from torch import nn

from napari_samnet.cli.main import main
from napari_samnet.datasets.image_lists import read_images, split
from napari_samnet.errors import InputError, WeightsError
from napari_samnet.runtime.weights import read_model, save_model
from napari_samnet.samnet.features import VGGFeatures
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.vgg_plan import layer_plan
from napari_samnet.training.backbone import load_backbone, scale_activations
from napari_samnet.training.data import batches
from napari_samnet.training.loop import Run, cosine_rate
from napari_samnet.training.options import TrainingOptions
from napari_samnet.training.recipe import WEIGHTS_NAME, train_steps
from napari_samnet.training.runs import Progress
from napari_samnet.training.synthetic import synthetic_pair

pytestmark = pytest.mark.slow

SMALL = {
    'start': 'samnet',
    'decoder_steps': 2,
    'matcher_steps': 2,
    'pairs': 2,
    'iterations': 2,
    'size': 96,
    'crop': 32,
    'decoder_batch': 1,
    'matcher_batch': 1,
    'device': 'cpu',
    'precision': 'fp32',
}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of two categories, three photographs."""
    folder = tmp_path / 'photographs'
    for category, name in (
        ('cats', 'chelsea'),
        ('people', 'astronaut'),
        ('cups', 'coffee'),
    ):
        (folder / category).mkdir(parents=True)
        imsave(folder / category / f'{name}.png', getattr(data, name)())
    return folder


class TestImages:
    def test_a_folder_gives_files_and_categories(
        self, photographs: Path
    ) -> None:
        found = read_images(photographs)
        assert {image.category for image in found} == {
            'cats',
            'people',
            'cups',
        }

    def test_a_csv_file_gives_files_relative_to_the_root(
        self, photographs: Path, tmp_path: Path
    ) -> None:
        table = tmp_path / 'list.csv'
        table.write_text('file,category\ncats/chelsea.png,cat\n')
        (image,) = read_images(table, root=photographs)
        assert image.path.is_file()
        assert image.category == 'cat'

    @pytest.mark.parametrize('content', ['name\nx.png\n', 'file\n', ''])
    def test_a_list_without_files_is_refused(
        self, content: str, tmp_path: Path
    ) -> None:
        table = tmp_path / 'list.csv'
        table.write_text(content)
        with pytest.raises(InputError):
            read_images(table)

    def test_a_missing_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match='neither'):
            read_images(tmp_path / 'nothing')

    def test_the_split_is_the_same_at_every_call(self, tmp_path: Path) -> None:
        table = tmp_path / 'list.csv'
        table.write_text('file\n' + ''.join(f'{k}.png\n' for k in range(200)))
        images = read_images(table)
        chosen, held_out = split(images)
        assert (chosen, held_out) == split(images)
        assert 0 < len(held_out) < 30
        assert len(chosen) + len(held_out) == 200

    def test_crops_have_the_size_asked_for(self, photographs: Path) -> None:
        endless = batches(
            read_images(photographs),
            batch=2,
            crop=32,
            size=64,
            generator=torch.Generator().manual_seed(0),
        )
        for images in islice(endless, 2):
            assert images.shape == (2, 3, 32, 32)
            assert 0 <= float(images.min()) <= float(images.max()) <= 1


def test_a_synthetic_pair_is_what_its_flow_says() -> None:
    photograph = (data.chelsea()[50:242:2, 50:242:2] / 255).astype(np.float32)
    for seed in range(4):
        source, target, flow, valid = synthetic_pair(
            photograph, np.random.default_rng(seed)
        )
        at = np.indices((96, 96)) + np.moveaxis(flow, -1, 0)
        seen = np.stack(
            [
                map_coordinates(target[..., band], at, order=1)
                for band in range(3)
            ],
            axis=-1,
        )
        # One side has another light, so the images are compared by rank.
        a = np.argsort(np.argsort(source[valid].mean(1)))
        b = np.argsort(np.argsort(seen[valid].mean(1)))
        assert np.corrcoef(a, b)[0, 1] > 0.9


def _backbone_file(path: Path) -> dict[str, torch.Tensor]:
    """Random weights under torchvision's names, VGG-16 to conv5_1."""
    from safetensors.torch import save_file

    state, index, block, previous = {}, 0, '1', 3
    for name, channels in layer_plan('vgg16'):
        if name > 'relu5_1':
            break
        if name[4] != block:
            block, index = name[4], index + 1
        scale = (2 / (9 * previous)) ** 0.5
        state[f'features.{index}.weight'] = (
            torch.randn(channels, previous, 3, 3) * scale
        )
        state[f'features.{index}.bias'] = torch.randn(channels) * 0.1
        previous, index = channels, index + 2
    save_file(state, path)
    return state


class TestBackbone:
    def test_oxford_weights_see_blue_green_red(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        state = _backbone_file(tmp_path / 'vgg.safetensors')
        features = VGGFeatures().requires_grad_(False)
        load_backbone(features, tmp_path / 'vgg.safetensors')
        image = torch.rand(1, 3, 32, 32)
        mean = torch.tensor((103.939, 116.779, 123.68)).view(1, 3, 1, 1)
        first = nn.functional.conv2d(
            image.flip(1) * 255 - mean,
            state['features.0.weight'],
            state['features.0.bias'],
            padding=1,
        ).relu()
        found = features.activations(features.prepare(image), {'relu1_1'})
        torch.testing.assert_close(
            found['relu1_1'], first, rtol=1e-4, atol=1e-2
        )

    def test_scaling_changes_only_the_scale(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        _backbone_file(tmp_path / 'vgg.safetensors')
        features = VGGFeatures().requires_grad_(False)
        load_backbone(features, tmp_path / 'vgg.safetensors')
        image = torch.rand(2, 3, 32, 32)
        wanted = {'relu1_1', 'relu3_1', 'relu5_1'}
        before = features.activations(features.prepare(image), wanted)
        matching = features.match_only(image)
        scale_activations(features, [image])
        after = features.activations(features.prepare(image), wanted)
        for name in wanted:
            assert float(after[name].mean()) == pytest.approx(1, rel=1e-3)
            ratio = float(before[name].mean())
            torch.testing.assert_close(
                after[name] * ratio, before[name], rtol=1e-3, atol=1e-2
            )
        torch.testing.assert_close(
            features.match_only(image), matching, rtol=1e-3, atol=1e-4
        )

    def test_a_missing_layer_is_named(self, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        path = tmp_path / 'vgg.safetensors'
        state = _backbone_file(path)
        del state['features.17.weight']
        save_file(state, path)
        with pytest.raises(WeightsError, match=r'features\.17\.weight'):
            load_backbone(VGGFeatures(), path)

    def test_a_damaged_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / 'vgg.safetensors'
        path.write_bytes(b'nothing of the kind')
        with pytest.raises(WeightsError, match='cannot be read'):
            load_backbone(VGGFeatures(), path)

    def test_without_internet_it_says_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def offline(*_: Any, **__: Any) -> None:
            raise URLError('no route to host')

        monkeypatch.setenv('TORCH_HOME', str(tmp_path))
        monkeypatch.setattr(torch.hub, 'urlopen', offline)
        with pytest.raises(WeightsError, match=r'no route.*backbone_weights'):
            load_backbone(VGGFeatures())
        assert not [path for path in tmp_path.rglob('*') if path.is_file()]


class TestRun:
    def _run(self, folder: Path | None, total: int = 6) -> Run:
        torch.manual_seed(3)
        model = nn.Linear(4, 1)
        return Run(
            stage='line', trained=model, total=total, rate=0.1, folder=folder
        )

    def _losses(self, run: Run) -> Any:
        def losses() -> dict[str, torch.Tensor]:
            x = torch.rand(16, 4, generator=run.generator)
            noise = torch.rand(16, 1)
            y = x.sum(1, keepdim=True) + 0.01 * noise
            return {'error': (run.trained(x) - y).square().mean()}

        return losses

    def test_steps_learn(self) -> None:
        run = self._run(None, total=300)
        errors = [
            progress.losses['error']
            for progress in run.steps(self._losses(run))
        ]
        assert np.mean(errors[-20:]) < 0.1 * np.mean(errors[:20])

    def test_an_interrupted_run_makes_the_same_steps(
        self, tmp_path: Path
    ) -> None:
        whole = self._run(None)
        for _ in whole.steps(self._losses(whole)):
            pass
        first = self._run(tmp_path)
        steps = first.steps(self._losses(first))
        for _ in range(3):
            next(steps)
        steps.close()
        second = self._run(tmp_path)
        assert second.resume()
        assert second.step == 3
        for _ in second.steps(self._losses(second)):
            pass
        for one, other in zip(
            whole.trained.parameters(),
            second.trained.parameters(),
            strict=True,
        ):
            torch.testing.assert_close(one, other, rtol=0, atol=0)

    def test_a_damaged_checkpoint_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / 'line.checkpoint.safetensors').write_bytes(b'broken')
        with pytest.raises(WeightsError, match='does not fit'):
            self._run(tmp_path).resume()

    def test_the_rate_warms_up_and_falls_to_zero(self) -> None:
        rates = [cosine_rate(step, 1000) for step in range(1001)]
        assert rates[0] < rates[49] == pytest.approx(1.0)
        assert rates[-1] == pytest.approx(0.0, abs=1e-9)


class TestRecipe:
    def test_both_stages_leave_a_network_and_a_curve(
        self, photographs: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / 'run'
        images = read_images(photographs)
        options = TrainingOptions(**SMALL)
        done = list(train_steps(images, out, options))
        assert [(p.stage, p.step) for p in done] == [
            ('decoder', 1),
            ('decoder', 2),
            ('matcher', 1),
            ('matcher', 2),
        ]
        assert len((out / 'curve.jsonl').read_text().splitlines()) == 4
        model = read_model(out / WEIGHTS_NAME)
        assert isinstance(model, SAMNet)
        # A finished run has nothing left to do.
        assert list(train_steps(images, out, options)) == []

    def test_what_moves_on_its_own_is_learnt_from_beside_warps(
        self, photographs: Path, tmp_path: Path
    ) -> None:
        images = read_images(photographs)
        given = SMALL | {'decoder_steps': 0, 'matcher_batch': 3}
        options = TrainingOptions(
            **given, matcher_objects=3, matcher_start='nothing'
        )
        made: list[Progress] = []
        done = list(
            train_steps(images, tmp_path / 'run', options, watch=made.append)
        )
        assert [one.step for one in done] == [1, 2]
        pairs = [one for one in made if one.stage == 'pairs']
        # Learnt from, and measured with, of either kind.
        assert [one.total for one in pairs[-1:]] == [2 + 3 + 8 + 8]
        assert pairs[-1].step == pairs[-1].total
        assert all(
            np.isfinite(list(one.losses.values())).all() for one in done
        )
        model = read_model(tmp_path / 'run' / WEIGHTS_NAME)
        assert model.config.guided

    def test_another_recipe_needs_another_folder(
        self, photographs: Path, tmp_path: Path
    ) -> None:
        images = read_images(photographs)
        out = tmp_path / 'run'
        only = SMALL | {'decoder_steps': 1, 'matcher_steps': 0}
        list(train_steps(images, out, TrainingOptions(**only)))
        other = TrainingOptions(**(only | {'seed': 1}))
        with pytest.raises(InputError, match='seed'):
            list(train_steps(images, out, other))

    @pytest.mark.parametrize(
        'wrong',
        [
            {'size': 100},
            {'crop': 300},
            {'pairs': 0},
            {'decoder_steps': -1},
            {'preprocessing': 'none'},
        ],
    )
    def test_impossible_options_are_refused(
        self, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(InputError):
            TrainingOptions(**wrong)

    def test_from_the_command_line(
        self,
        photographs: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        given = SMALL | {'matcher_steps': 0, 'decoder_steps': 1}
        words = ['train', str(photographs), '--out', str(tmp_path / 'run')]
        for name, value in given.items():
            words += ['--option', f'{name}={value}']
        assert main([*words, '--json']) == 0
        found = json.loads(capsys.readouterr().out)
        assert Path(found['weights']).is_file()
        assert found['losses']['decoder']['pixel'] > 0

    def test_the_command_line_shows_what_is_made_before_the_first_step(
        self,
        photographs: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        given = SMALL | {'matcher_steps': 1, 'decoder_steps': 0}
        words = ['train', str(photographs), '--out', str(tmp_path / 'run')]
        for name, value in given.items():
            words += ['--option', f'{name}={value}']
        assert main(words) == 0
        shown = capsys.readouterr().err
        assert 'pairs for the matching network: 100%' in shown
        assert 'matcher: 100%' in shown
        assert shown.index('pairs for') < shown.index('matcher:')

    def test_unknown_options_are_one_clear_line(
        self,
        photographs: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        words = ['train', str(photographs), '--out', str(tmp_path / 'run')]
        assert main([*words, '--option', 'steps=3']) == 2
        assert main([*words, '--option', 'pairs=many']) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 2
        assert not (tmp_path / 'run').exists()


def test_saved_in_half_precision_and_read_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SAMNet()
    path = tmp_path / 'net.safetensors'
    save_model(model, path)
    again = read_model(path)
    for (name, one), (_, other) in zip(
        model.state_dict().items(), again.state_dict().items(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=1e-3, msg=name)
