"""OpenVINO computes what torch does; int8 within the bounds that are told."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_samnet.datasets.image_lists import TrainingImage
from napari_samnet.datasets.samples import load_sample
from napari_samnet.errors import DeviceError, WeightsError
from napari_samnet.matching.match import match
from napari_samnet.runtime import devices
from napari_samnet.runtime import int8 as quantization
from napari_samnet.runtime.devices import (
    ExecutionTarget,
    resolve_execution_target,
)
from napari_samnet.runtime.int8 import (
    BOUNDS,
    digest_of,
    find_limits,
    read_calibration,
    within_bounds,
)
from napari_samnet.runtime.loading import load_model
from napari_samnet.runtime.weights import (
    Weights,
    get_weights,
    read_model,
    save_model,
)
from napari_samnet.samnet.config import SAMNetConfig
from napari_samnet.samnet.network import SAMNet
from napari_samnet.training import calibration

pytest.importorskip('openvino')

PRECISIONS = ('fp32', 'bf16', 'int8')


def photograph(size: int = 96) -> Tensor:
    """The sample's source, ``(1, 3, size, size)``."""
    from napari_samnet.images.rgb import to_working

    small = to_working(load_sample('coffee').source, size=size)
    return torch.from_numpy(small).permute(2, 0, 1)[None]


def decibel(one: Any, other: Any) -> float:
    error = np.square(np.asarray(one) - np.asarray(other)).mean()
    return -10 * float(np.log10(max(float(error), 1e-12)))


@pytest.fixture(scope='module')
def exact() -> SAMNet:
    return read_model(get_weights('samnet').path)


class TestSameNumbers:
    @pytest.mark.slow
    @pytest.mark.parametrize('skips', [True, False])
    def test_features(self, exact: SAMNet, skips: bool) -> None:
        other = load_model(backend='openvino', precision='fp32')
        image = photograph()
        with torch.inference_mode():
            expected = exact.encode(image, skips=skips)
            found = other.encode(image, skips=skips)
        for one, two in zip(
            (expected.matching, expected.content, *expected.skips),
            (found.matching, found.content, *found.skips),
            strict=True,
        ):
            assert one.shape == two.shape
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-3)

    @pytest.mark.slow
    def test_continued_features(self, exact: SAMNet) -> None:
        other = load_model(backend='openvino', precision='fp32')
        image = photograph(64)
        with torch.inference_mode():
            found = exact.encode(image, project=False)
            parts = found.content, found.matching
            torch.testing.assert_close(
                other.features.continue_from_content(*parts),
                exact.features.continue_from_content(*parts),
                rtol=0,
                atol=1e-4,
            )

    # An odd number of rows is padded on both sides, an even one on one.
    @pytest.mark.parametrize('size', [(96, 96), (144, 80)])
    @pytest.mark.parametrize('precision', PRECISIONS)
    def test_light_network(
        self, exact: SAMNet, size: tuple[int, int], precision: str
    ) -> None:
        other = load_model(backend='openvino', precision=precision)
        image = torch.rand(1, 3, *size)
        mine, theirs = exact.features.light, other.features.light
        assert mine is not None
        assert theirs is not None
        with torch.inference_mode():
            torch.testing.assert_close(
                theirs(image), mine(image), rtol=1e-4, atol=1e-3
            )

    @pytest.mark.parametrize('precision', PRECISIONS)
    def test_surroundings(self, exact: SAMNet, precision: str) -> None:
        other = load_model(backend='openvino', precision=precision)
        mine, theirs = exact.features.context, other.features.context
        assert mine is not None
        assert theirs is not None
        cells = torch.rand(2, mine.enter.in_channels, 12, 9)
        with torch.inference_mode():
            wanted = mine(cells / cells.norm(dim=1, keepdim=True))
            found = theirs(cells / cells.norm(dim=1, keepdim=True))
        near = 1e-5 if precision == 'fp32' else 0.02
        assert (wanted - found).abs().max() < near * wanted.abs().max()

    @pytest.mark.parametrize('precision', PRECISIONS)
    def test_taught_blocks(self, exact: SAMNet, precision: str) -> None:
        other = load_model(backend='openvino', precision=precision)
        mine, theirs = exact.features.taught, other.features.taught
        assert mine is not None
        assert theirs is not None
        entry = torch.randn(2, 80, 6, 5)
        with torch.inference_mode():
            wanted, found = mine(entry, (12, 10)), theirs(entry, (12, 10))
        near = 1e-4 if precision == 'fp32' else 0.05
        assert (wanted - found).abs().max() < near

    @pytest.mark.slow
    @pytest.mark.parametrize('skip', [0.0, 0.5])
    def test_images(self, exact: SAMNet, skip: float) -> None:
        other = load_model(backend='openvino', precision='fp32')
        with torch.inference_mode():
            own = exact.encode(photograph())
            torch.testing.assert_close(
                other.decoder(own.content, own.skips, skip=skip),
                exact.decoder(own.content, own.skips, skip=skip),
                rtol=0,
                atol=1e-4,
            )

    def test_links_need_what_they_link(self) -> None:
        other = load_model(backend='openvino', precision='fp32')
        with pytest.raises(ValueError, match='must be 3 skips'):
            other.decoder(
                torch.zeros(1, 512, 8, 8), (torch.zeros(1, 256, 16, 16),)
            )


class TestPrecisions:
    @pytest.mark.slow
    @pytest.mark.parametrize('precision', PRECISIONS)
    def test_close_to_torch(self, exact: SAMNet, precision: str) -> None:
        """Each is less exact than the one before, and none is torch's."""
        other = load_model(backend='openvino', precision=precision)
        with torch.inference_mode():
            expected = exact.encode(photograph(128), skips=False)
            found = other.encode(photograph(128), skips=False)
            cosine = (expected.matching * found.matching).sum(1)
            image = exact.decoder(expected.content, (), skip=0.0)
            again = other.decoder(expected.content, (), skip=0.0)
        least = {'fp32': 0.99999, 'bf16': 0.999, 'int8': 0.99}[precision]
        assert float(cosine.mean()) > least
        least = {'fp32': 90, 'bf16': 40, 'int8': 30}[precision]
        assert decibel(image, again) > least
        if precision == 'int8':
            assert not torch.equal(expected.matching, found.matching)
            assert decibel(image, again) < 80

    @pytest.mark.slow
    def test_threads_do_not_mix(self) -> None:
        model = load_model(backend='openvino', precision='int8')
        images = [photograph(64), photograph(64).flip(3)]

        def work(index: int) -> Tensor:
            with torch.inference_mode():
                return model.encode(images[index % 2], skips=False).matching

        alone = [work(0), work(1)]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(work, range(12)))
        for index, found in enumerate(together):
            assert torch.equal(found, alone[index % 2])

    @pytest.mark.slow
    def test_results_outlive_the_next_run(self) -> None:
        model = load_model(backend='openvino', precision='int8')
        with torch.inference_mode():
            first = model.encode(photograph(64), skips=False)
            kept = first.content.clone()
            model.encode(1 - photograph(64), skips=False)
        assert torch.equal(first.content, kept)


@pytest.mark.slow
class TestMatch:
    @pytest.mark.parametrize('precision', PRECISIONS)
    def test_within_the_bounds(self, precision: str) -> None:
        pair = load_sample('coffee')
        exact, found = (
            match(
                pair.source,
                pair.target,
                size=128,
                iterations=4,
                tolerance=0,
                device='cpu',
                precision=chosen,
                backend=backend,
            )
            for chosen, backend in (
                ('fp32', 'torch'),
                (precision, 'openvino'),
            )
        )
        assert found.metadata['backend'] == 'openvino'
        assert found.metadata['precision'] == precision
        scale = np.asarray(pair.source.shape[:2]) / 128
        apart = np.linalg.norm((found.flow - exact.flow) / scale, axis=-1)
        assert apart.mean() < BOUNDS['mean_px']
        one, other = exact.transferred, found.transferred
        assert one is not None
        assert other is not None
        assert decibel(one / 255, other / 255) > BOUNDS['psnr_db']

    def test_feedback_by_the_image(self) -> None:
        """Skips and links pass through the backend too."""
        pair = load_sample('coffee')
        exact, found = (
            match(
                pair.source,
                pair.target,
                size=64,
                window=5,
                iterations=3,
                tolerance=0,
                feedback='image',
                device='cpu',
                precision='fp32',
                backend=backend,
            )
            for backend in ('torch', 'openvino')
        )
        np.testing.assert_allclose(found.forward, exact.forward, atol=1e-3)


class TestAuto:
    """What 'auto' chooses, by processor, packages and what was measured."""

    @pytest.fixture
    def able(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
        able = {'avx512_vnni': True}
        monkeypatch.setattr(devices, '_processor', lambda: able)
        monkeypatch.setattr(quantization, 'within_bounds', lambda _: True)
        return able

    def choose(self, **changes: str) -> ExecutionTarget:
        given = {'device': 'cpu', **changes}
        return resolve_execution_target(**given, weights=get_weights('samnet'))

    def test_int8_where_it_is_exact_enough(
        self, able: dict[str, bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.choose() == ExecutionTarget('cpu', 'openvino', 'int8')
        assert self.choose(backend='openvino').precision == 'int8'
        monkeypatch.setattr(quantization, 'within_bounds', lambda _: False)
        assert self.choose() == ExecutionTarget('cpu', 'torch', 'fp32')

    def test_not_where_torch_was_asked_for(
        self, able: dict[str, bool]
    ) -> None:
        assert self.choose(backend='torch') == ExecutionTarget(
            'cpu', 'torch', 'fp32'
        )
        assert self.choose(precision='fp32').precision == 'fp32'
        assert resolve_execution_target('cpu').backend == 'torch'

    def test_not_where_it_is_not_faster(self, able: dict[str, bool]) -> None:
        able.clear()
        assert self.choose() == ExecutionTarget('cpu', 'torch', 'fp32')

    def test_not_without_the_package(
        self, able: dict[str, bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(devices, 'find_spec', lambda _: None)
        assert self.choose() == ExecutionTarget('cpu', 'torch', 'fp32')
        with pytest.raises(DeviceError, match=r'napari-samnet\[openvino\]'):
            self.choose(precision='int8')

    def test_bf16_where_it_is_faster(self, able: dict[str, bool]) -> None:
        able.clear()
        for flags, expected in (
            (('amx_bf16', 'avx512_bf16', 'avx512_fp16'), 'bf16'),
            (('avx512_bf16',), 'bf16'),
            (('avx512_bf16', 'avx512_fp16'), 'fp32'),
        ):
            able.clear()
            able.update(dict.fromkeys(flags, True))
            assert self.choose().precision == expected


class TestCalibration:
    def test_shipped_one_is_of_the_shipped_weights(
        self, exact: SAMNet
    ) -> None:
        """Whoever trains new weights must calibrate them again."""
        weights = get_weights('samnet')
        limits = find_limits(weights, exact)
        assert set(limits) == {'features', 'decoder'}
        assert 'conv1_1' not in limits['features']
        assert 'conv5_1' in limits['features']
        assert 'enter' in limits['decoder']
        assert within_bounds(weights)

    @pytest.mark.slow
    def test_other_weights_keep_what_they_share(
        self, exact: SAMNet, tmp_path: Path
    ) -> None:
        """Fine-tuned with the same features: int8 for these alone."""
        other = read_model(get_weights('samnet').path)
        with torch.no_grad():
            other.decoder.enter.weight.mul_(1.5)
        path = tmp_path / 'own.safetensors'
        save_model(other, path)
        model = load_model(path, precision='int8')
        assert model.features.limits
        assert not model.decoder.limits
        assert not within_bounds(get_weights(path))

    def test_unknown_weights_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / 'own.safetensors'
        save_model(SAMNet(SAMNetConfig()), path)
        with pytest.raises(DeviceError, match=r'training\.calibration IMAGES'):
            load_model(path, precision='int8')

    @pytest.mark.parametrize(
        'text', ['', '[]', '{"limits": 3}', '{"weights": "x"}']
    )
    def test_damaged_file(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / 'own.int8.json'
        path.write_text(text)
        with pytest.raises(WeightsError, match=r'own\.int8\.json'):
            read_calibration(path)

    def test_bounds(self, tmp_path: Path) -> None:
        shipped = read_calibration(
            quantization.calibration_path(get_weights('samnet'))
        )
        assert shipped is not None
        path = tmp_path / 'own.safetensors'
        weights = Weights('own', path, shipped.weights)
        beside = tmp_path / 'own.int8.json'
        assert not within_bounds(weights)
        beside.write_text(shipped.to_json())
        assert within_bounds(weights)
        for name, value in (
            ('mean_px', 2 * BOUNDS['mean_px']),
            ('epe_change_px', 2 * BOUNDS['epe_change_px']),
            ('psnr_db', BOUNDS['psnr_db'] / 2),
        ):
            worse = {**shipped.deviation, name: value}
            beside.write_text(replace(shipped, deviation=worse).to_json())
            assert not within_bounds(weights)
        beside.write_text(replace(shipped, weights='other').to_json())
        assert not within_bounds(weights)

    def test_digest_is_of_the_numbers(self) -> None:
        one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        other.load_state_dict(one.state_dict())
        assert digest_of(one) == digest_of(other)
        with torch.no_grad():
            other.bias[0] += 1
        assert digest_of(one) != digest_of(other)

    def test_limit_cuts_what_is_rare(self) -> None:
        found = calibration._Histogram()
        found.widen(torch.tensor([0.0, 60.0]))
        found.count(torch.tensor([60.0, 60.0]))
        assert found.limit() > 55
        found.counts[:34] = 1e7
        assert 0.9 < found.limit() < 10
        found = calibration._Histogram()
        found.widen(torch.rand(10_000))
        found.count(torch.rand(10_000))
        assert 0.9 < found.limit() <= 1.0

    @pytest.mark.slow
    def test_command_writes_the_file(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """On a small network, small images and what they find there."""
        from skimage import data
        from skimage.io import imsave

        folder = tmp_path / 'images'
        folder.mkdir()
        for name in ('astronaut', 'coffee'):
            imsave(folder / f'{name}.png', getattr(data, name)())
        path = tmp_path / 'own.safetensors'
        save_model(read_model(get_weights('samnet').path), path)
        monkeypatch.setattr(calibration.MatchOptions, 'size', 96)
        calibration.main([str(folder), '--weights', str(path), '--pairs', '1'])
        assert 'the bounds' in capsys.readouterr().out
        written = json.loads((tmp_path / 'own.int8.json').read_text())
        assert written['images'] == 2
        assert written['weights'] == get_weights(path).sha256
        assert written['deviation']['mean_px'] < 5
        with pytest.raises(SystemExit):
            calibration.main([str(tmp_path / 'nowhere')])
        assert 'nowhere' in capsys.readouterr().err

    @pytest.mark.slow
    def test_deviation_of_the_same_is_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from skimage import data
        from skimage.io import imsave

        imsave(tmp_path / 'a.png', data.coffee())
        real = match

        def plain(*images: Any, **options: Any) -> Any:
            options |= {'precision': 'fp32', 'iterations': 1, 'size': 64}
            return real(*images, window=5, **options)

        monkeypatch.setattr('napari_samnet.matching.match.match', plain)
        found = calibration.measure_deviation(
            'samnet', [TrainingImage(tmp_path / 'a.png')], pairs=1
        )
        assert found['mean_px'] == found['max_px'] == 0
        assert found['epe_change_px'] == 0
        assert found['psnr_db'] == 120


@pytest.mark.slow
def test_importing_openvino_reports_nothing_to_its_makers() -> None:
    code = (
        'import sys, multiprocessing\n'
        'def start(self): raise AssertionError("a report was sent")\n'
        'multiprocessing.Process.start = start\n'
        'import napari_samnet.runtime.openvino_graphs as backend\n'
        'assert backend.ov.__version__\n'
        'assert not any(n.startswith(backend.REPORTER) for n in sys.modules)\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
