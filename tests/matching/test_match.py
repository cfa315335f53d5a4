"""match: any two images in, steps to watch and stop, one answer out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data, transform

from napari_samnet.correspondence import Correspondence
from napari_samnet.errors import DeviceError, InputError, WeightsError
from napari_samnet.matching.match import match, match_steps
from napari_samnet.matching.step import Step
from napari_samnet.options import MatchOptions
from napari_samnet.runtime.feature_cache import FEATURES
from napari_samnet.samnet.network import SAMNet

#: As small as it can be; a fraction of a second.
SMALL: dict[str, Any] = {
    'size': 64,
    'window': 5,
    'iterations': 2,
    'device': 'cpu',
    'precision': 'fp32',
    'skip': 0.5,
    'tolerance': 0.0,
    # Which way up is tested elsewhere, and takes as long as the rest.
    'orientation': 'upright',
}


@pytest.fixture(scope='module')
def source() -> np.ndarray:
    """A photograph, uint8 (61, 83, 3)."""
    shrunk = transform.resize(data.astronaut()[:300, 50:450], (61, 83))
    return np.rint(255 * shrunk).astype(np.uint8)


@pytest.fixture(scope='module')
def target(source: np.ndarray) -> np.ndarray:
    """The same, moved, in other colors and another size."""
    moved = np.roll(source[:, ::1], (4, -6), (0, 1))[2:58, 5:80]
    return (255 - 0.8 * moved[..., ::-1]).astype(np.uint8)


@pytest.fixture(scope='module')
def matched(source: np.ndarray, target: np.ndarray) -> Correspondence:
    """Both, matched with ``SMALL``: what others are compared with."""
    return match(source, target, **SMALL)


@pytest.fixture(scope='module')
def once(source: np.ndarray, target: np.ndarray) -> Correspondence:
    """The same after one iteration."""
    return match(source, target, **{**SMALL, 'iterations': 1})


def same(one: Correspondence, other: Correspondence) -> bool:
    """Whether two results hold the same arrays."""
    names = ('forward', 'backward', 'forward_cell_confidence')
    names += ('backward_cell_confidence', 'transferred')
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in names
    )


class TestSteps:
    def test_one_per_iteration(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        steps: list[Step] = []

        def note(step: Step) -> str:
            steps.append(step)
            return 'only True stops'

        result = match(source, target, on_step=note, **SMALL)
        assert [step.index for step in steps] == [0, 0, 1, 2]
        assert {step.total for step in steps} == {2}
        assert all(step.text for step in steps)
        assert len({step.text for step in steps}) == len(steps)
        for step in steps[:2]:
            assert step.change is None
            assert step.snapshot is None
        changes = [step.change for step in steps[2:]]
        assert changes == result.metadata['changes']
        assert all(change >= 0 for change in changes if change is not None)

    def test_snapshots_are_results(
        self, source: np.ndarray, target: np.ndarray, once: Correspondence
    ) -> None:
        steps = match_steps(source, target, MatchOptions(**SMALL))
        snapshots, finals = [], []
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                result = end.value
                break
            if step.snapshot is not None:
                snapshots.append(step.snapshot())
                finals.append(step.snapshot(final=True))
        assert same(snapshots[-1], result)
        assert not same(snapshots[0], result)
        used = [shot.metadata['iterations_used'] for shot in snapshots]
        assert used == [1, 2]
        # What is shown on the way is not yet down to the pixel.
        assert same(finals[0], once)
        assert same(finals[1], result)

    def test_true_stops_and_keeps_what_there_is(
        self, source: np.ndarray, target: np.ndarray, once: Correspondence
    ) -> None:
        seen: list[int] = []

        def stop(step: Step) -> bool:
            seen.append(step.index)
            return step.index == 1

        options = {**SMALL, 'iterations': 20}
        result = match(source, target, on_step=stop, **options)
        assert seen == [0, 0, 1]
        assert result.metadata['iterations_used'] == 1
        assert same(result, once)
        labels = np.ones(source.shape[:2], np.uint8)
        stopped = match(source, target, labels=labels, on_step=stop, **options)
        assert stopped.warped_labels is not None

    def test_too_early_there_is_nothing_to_keep(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        with pytest.raises(InputError, match='before its first iteration'):
            match(source, target, on_step=lambda _: True, **SMALL)

    @pytest.mark.parametrize('after', [1, 2, 3])
    def test_may_be_closed_between_any_two(
        self, source: np.ndarray, target: np.ndarray, after: int
    ) -> None:
        steps = match_steps(source, target, MatchOptions(**SMALL))
        for _ in range(after):
            step = next(steps)
            # The caller's own torch is left as it is.
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
        steps.close()
        assert list(steps) == []
        if step.snapshot is not None:
            assert step.snapshot().flow.shape == (*source.shape[:2], 2)

    @pytest.mark.slow
    def test_two_matches_may_take_turns(
        self, source: np.ndarray, target: np.ndarray, matched: Correspondence
    ) -> None:
        options = MatchOptions(**SMALL)
        pairs = [(source, target), (target, source)]
        steps = [match_steps(*pair, options) for pair in pairs]
        results: list[Any] = [None, None]
        while any(result is None for result in results):
            for index, one in enumerate(steps):
                try:
                    next(one)
                except StopIteration as end:
                    results[index] = end.value
        assert same(results[0], matched)
        assert same(results[1], match(target, source, **SMALL))

    def test_stops_when_nothing_moves_any_more(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        options = {**SMALL, 'iterations': 12, 'attributes': False}
        full = match(source, target, **options)
        assert full.metadata['iterations_used'] == 12
        changes = full.metadata['changes']
        assert changes[-1] < 0.5
        options['tolerance'] = 1.0
        early = match(source, target, **options)
        used = early.metadata['iterations_used']
        assert early.metadata['changes'] == changes[:used]
        assert changes[used - 1] < 1.0
        assert all(change >= 1.0 for change in changes[: used - 1])


@pytest.mark.slow
class TestOptions:
    def test_without_attributes_there_is_no_image(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        plain = match(source, target, **{**SMALL, 'attributes': False})
        assert plain.transferred is None
        free = match(source, target, **{**SMALL, 'lambda_max': 0.0})
        np.testing.assert_allclose(plain.forward, free.forward, atol=1e-5)
        assert free.transferred is not None

    def test_the_image_can_be_left_out(
        self, source: np.ndarray, target: np.ndarray, matched: Correspondence
    ) -> None:
        fields = match(source, target, transferred=False, **SMALL)
        assert fields.transferred is None
        assert 'recolor' not in fields.metadata['stages']
        np.testing.assert_array_equal(fields.forward, matched.forward)

    @pytest.mark.parametrize(
        'change',
        [
            {'window': 3},
            {'window': 21, 'size': 192, 'attributes': False},
            {'window': 3, 'coarse_iterations': 1},
            {'init': 'identity'},
            {'lambda_max': 0.3},
            {'feedback': 'continue'},
            {'feedback': 'image'},
            {'precision': 'bf16'},
        ],
        ids=str,
    )
    def test_each_makes_a_difference(
        self,
        source: np.ndarray,
        target: np.ndarray,
        matched: Correspondence,
        change: dict[str, Any],
    ) -> None:
        result = match(source, target, **{**SMALL, **change})
        assert np.isfinite(result.flow).all()
        assert not same(result, matched)

    @pytest.mark.parametrize('skip', [0.0, 1.0])
    def test_own_features_matter_where_images_are_encoded_again(
        self, source: np.ndarray, target: np.ndarray, skip: float
    ) -> None:
        options = {**SMALL, 'feedback': 'image'}
        result = match(source, target, **{**options, 'skip': skip})
        assert not same(result, match(source, target, **options))

    @pytest.mark.slow
    def test_half_precision_finds_the_same(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        options = {**SMALL, 'size': 128, 'window': 9}
        exact = match(source, target, **options)
        half = match(source, target, **{**options, 'precision': 'bf16'})
        assert half.metadata['precision'] == 'bf16'
        assert np.abs(half.flow - exact.flow).mean() < 1.0

    def test_records_what_was_done(
        self, matched: Correspondence, tmp_path: Path
    ) -> None:
        record = matched.metadata
        assert json.loads(json.dumps(record)) == record
        assert {**record['options'], **SMALL} == record['options']
        assert record['device'] == 'cpu'
        assert record['precision'] == 'fp32'
        assert record['iterations_used'] == 2
        assert record['seconds'] > 0
        assert record['weights']['name'] == 'samnet'
        assert len(record['weights']['sha256']) == 64
        path = matched.save(tmp_path / 'match.npz')
        assert same(Correspondence.load(path), matched)

    def test_both_directions_are_alike(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        """Swapping the images swaps the fields."""
        options = {**SMALL, 'attributes': False}
        there = match(source, target, **options)
        back = match(target, source, **options)
        for one, other in (
            (there.forward, back.backward),
            (there.backward, back.forward),
            (there.forward_cell_confidence, back.backward_cell_confidence),
        ):
            # Sums in another order: a hundredth of a pixel.
            np.testing.assert_allclose(one, other, atol=1e-2)

    def test_inputs_are_not_changed_and_twice_is_the_same(
        self, source: np.ndarray, target: np.ndarray, matched: Correspondence
    ) -> None:
        pair = source.copy(), target.copy()
        for image in pair:
            image.flags.writeable = False
        assert same(matched, match(*pair, **SMALL))
        assert np.array_equal(pair[0], source)


class TestRefused:
    @pytest.mark.parametrize(
        'change',
        [
            {'window': 4},
            {'window': 11},
            {'size': 65},
            {'iterations': 0},
            {'device': 'tpu'},
            {'precision': 'fp8'},
            {'init': 'none'},
            {'skip': 2},
            {'weights': 'resnet'},
            {'weights': 'no/such.safetensors'},
        ],
        ids=str,
    )
    def test_options_in_one_line(
        self, source: np.ndarray, target: np.ndarray, change: dict[str, Any]
    ) -> None:
        with pytest.raises(InputError, match=next(iter(change))) as caught:
            match(source, target, **{**SMALL, **change})
        assert '\n' not in str(caught.value)

    def test_a_file_that_holds_no_weights(
        self, source: np.ndarray, target: np.ndarray, tmp_path: Path
    ) -> None:
        path = tmp_path / 'photo.safetensors'
        path.write_bytes(source.tobytes())
        options = {**SMALL, 'weights': path}
        with pytest.raises(WeightsError, match=r'photo\.safetensors'):
            match(source, target, **options)

    @pytest.mark.skipif(torch.cuda.is_available(), reason='CUDA is here')
    def test_cuda_that_is_not_there(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        with pytest.raises(DeviceError, match='no CUDA device'):
            match(source, target, **{**SMALL, 'device': 'cuda'})

    @pytest.mark.parametrize(
        'part',
        [
            'encode',
            pytest.param('correlate', marks=pytest.mark.slow),
            pytest.param('synthesize', marks=pytest.mark.slow),
        ],
    )
    def test_too_little_memory(
        self,
        source: np.ndarray,
        target: np.ndarray,
        part: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise torch.OutOfMemoryError('CUDA out of memory.\nTried to ...')

        FEATURES.clear()
        monkeypatch.setattr(SAMNet, part, full)
        options = {**SMALL, 'feedback': 'image'}
        with pytest.raises(DeviceError, match='choose a smaller') as caught:
            match(source, target, **options)
        assert 'size 64' in str(caught.value)
        assert '\n' not in str(caught.value)
        monkeypatch.undo()
        # Nothing is left of it.
        options['iterations'] = 1
        assert match(source, target, **options).transferred is not None


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
class TestCuda:
    def test_finds_the_same_as_the_processor(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        options = {**SMALL, 'size': 128, 'window': 9}
        here = match(source, target, **options)
        there = match(source, target, **{**options, 'device': 'cuda'})
        assert there.metadata['device'] == 'cuda'
        assert np.abs(there.flow - here.flow).mean() < 0.5

    def test_half_precision(
        self, source: np.ndarray, target: np.ndarray
    ) -> None:
        options = {**SMALL, 'device': 'cuda', 'precision': 'bf16'}
        result = match(source, target, **options)
        assert np.isfinite(result.flow).all()


def test_options_and_weights_are_known_without_torch() -> None:
    code = (
        'import sys, napari_samnet\n'
        'from napari_samnet import match, match_steps, MatchOptions\n'
        'from napari_samnet.runtime.weights import available_weights\n'
        'from napari_samnet.options import parameter_text\n'
        'assert "samnet" in available_weights()\n'
        'assert not {"torch", "napari", "qtpy"} & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60)


@pytest.mark.slow
def test_what_is_drawn_is_followed_where_it_moves_on_its_own() -> None:
    """The match is given an object that jumps over a still background."""
    background = transform.resize(
        data.astronaut(), (128, 128), anti_aliasing=True
    )
    object_ = transform.resize(data.chelsea()[50:250, 120:320], (40, 40))
    source, target = background.copy(), background.copy()
    source[20:60, 16:56] = object_
    target[64:104, 72:112] = object_
    labels = np.zeros((128, 128), np.uint8)
    labels[20:60, 16:56] = 3
    errors = []
    for given in (None, labels):
        found = match(
            source,
            target,
            labels=given,
            size=128,
            attributes=False,
            orientation='upright',
            device='cpu',
        )
        error = np.linalg.norm(found.flow[24:56, 20:52] - (44, 56), axis=-1)
        errors.append(float(error.mean()))
    assert errors[1] < 4
    assert errors[1] <= errors[0] + 0.5
