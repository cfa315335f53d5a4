"""Where a GPU runs out of memory: what is done instead, and given back."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from napari_samnet import match
from napari_samnet.matching import match as matching
from napari_samnet.runtime import devices, loading
from napari_samnet.runtime.devices import ExecutionTarget
from napari_samnet.runtime.feature_cache import FEATURES
from napari_samnet.samnet.network import SAMNet

QUICK: dict[str, Any] = {
    'size': 256,
    'iterations': 1,
    'window': 5,
    'device': 'cpu',
    'precision': 'fp32',
    # Which way up is tested elsewhere, and takes as long as the rest.
    'orientation': 'upright',
}

STAGES = {'encode': 'encode', 'iterate': '_compare', 'decode': 'picture'}


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Two small images."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (2, 10, 12, 3), np.uint8)
    one, other = blocks.repeat(8, 1).repeat(8, 2)
    return one, other


@pytest.mark.slow
@pytest.mark.parametrize('stage', STAGES)
def test_a_smaller_size_is_taken(
    pair: Any, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    FEATURES.clear()
    # Only the reference decodes what it shows.
    options = {**QUICK, 'reference': stage == 'decode'}
    plain = getattr(SAMNet, STAGES[stage])
    kept: list[weakref.ref[torch.Tensor]] = []
    sizes: list[int] = []

    def full(self: SAMNet, first: Any, *args: Any, **how: Any) -> Any:
        tensors = first if isinstance(first, tuple) else (first,)
        if isinstance(first, torch.Tensor):
            side = first.shape[-1]
        else:
            side = 8 * tensors[0].shape[-1]
        sizes.append(side)
        if side == 256:
            large = torch.ones(1 << 22)
            kept.extend((weakref.ref(large), weakref.ref(tensors[0])))
            raise torch.OutOfMemoryError('CUDA out of memory')
        return plain(self, first, *args, **how)

    told: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(SAMNet, STAGES[stage], full)
        found = match(*pair, **options, on_step=lambda s: told.append(s.text))
    assert 256 in sizes
    gc.collect()
    assert all(reference() is None for reference in kept)
    assert found.metadata['size'] == 128
    (notice,) = found.metadata['warnings']
    assert 'cpu has too little free memory for working size 256' in notice
    assert 'going on at size 128 on cpu' in notice
    assert notice in told
    # It is the match that was possible, with nothing of the other in it.
    again = match(*pair, **{**options, 'size': 128})
    np.testing.assert_array_equal(found.forward, again.forward)
    np.testing.assert_array_equal(found.transferred, again.transferred)


@pytest.mark.slow
def test_the_processor_is_taken_last(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = loading.load_model
    tried: list[str] = []
    emptied: list[bool] = []

    def gpu_is_full(*args: Any, device: str, **how: Any) -> Any:
        tried.append(device)
        if device == 'cuda':
            raise torch.OutOfMemoryError('CUDA out of memory')
        return load(*args, device=device, **how)

    with monkeypatch.context() as patched:
        patched.setattr(
            matching,
            'resolve_execution_target',
            lambda *_, **__: ExecutionTarget('cuda', 'torch', 'fp32'),
        )
        patched.setattr(loading, 'load_model', gpu_is_full)
        patched.setattr(
            torch.cuda, 'empty_cache', lambda: emptied.append(True)
        )
        found = match(*pair, **{**QUICK, 'device': 'cuda'})
    assert tried == ['cuda', 'cuda', 'cpu']
    assert len(emptied) == 2
    assert found.metadata['device'] == 'cpu'
    assert found.metadata['size'] == 256
    first, last = found.metadata['warnings']
    assert 'going on at size 128 on cuda' in first
    assert 'going on at size 256 on cpu' in last


def test_sizes_that_are_tried() -> None:
    gpu = ExecutionTarget('cuda', 'torch', 'bf16')
    found = list(devices.fallback_targets(gpu, 1024, 72))
    assert [size for _, size in found] == [512, 256, 128, 1024]
    assert [place.device for place, _ in found] == [*['cuda'] * 3, 'cpu']
    here = ExecutionTarget('cpu', 'torch', 'fp32')
    assert [s for _, s in devices.fallback_targets(here, 1024, 300)] == [512]
