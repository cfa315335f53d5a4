"""Where the network runs, and what is said where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from napari_samnet.errors import DeviceError, InputError
from napari_samnet.runtime.devices import (
    out_of_memory_explained,
    resolve_device,
    resolve_precision,
)

CUDA = torch.cuda.is_available()
MPS = torch.backends.mps.is_available()

without_cuda = pytest.mark.skipif(CUDA, reason='CUDA is here')
with_cuda = pytest.mark.skipif(not CUDA, reason='needs CUDA')


class TestDevice:
    def test_the_processor_is_always_there(self) -> None:
        assert resolve_device('cpu') == 'cpu'

    def test_auto_takes_the_best(self) -> None:
        best = 'cuda' if CUDA else 'mps' if MPS else 'cpu'
        assert resolve_device() == resolve_device('auto') == best
        torch.empty(1, device=best)

    @without_cuda
    @pytest.mark.parametrize('name', ['cuda', 'cuda:0', 'cuda:1'])
    def test_cuda_that_is_not_there(self, name: str) -> None:
        with pytest.raises(DeviceError, match=r"no CUDA.*'auto' or 'cpu'"):
            resolve_device(name)

    @with_cuda
    def test_cuda_that_is_there(self) -> None:
        assert resolve_device('cuda:0') == 'cuda:0'
        for name in ('cuda:99', 'cuda:x', 'cuda:-1', 'cuda:0:0'):
            with pytest.raises(DeviceError, match=f'cuda:0 .*got {name!r}'):
                resolve_device(name)

    @pytest.mark.skipif(MPS, reason='MPS is here')
    def test_mps_that_is_not_there(self) -> None:
        with pytest.raises(DeviceError, match=r"Apple.*'auto' or 'cpu'"):
            resolve_device('mps')

    @pytest.mark.parametrize('name', ['tpu', '', 'CUDA', 'cpu:0', 'gpu'])
    def test_unknown_names(self, name: str) -> None:
        with pytest.raises(DeviceError, match=f'auto, cpu.*got {name!r}'):
            resolve_device(name)

    def test_is_bad_input(self) -> None:
        assert issubclass(DeviceError, InputError)


class TestPrecision:
    @pytest.mark.parametrize('name', ['fp32', 'bf16'])
    def test_what_was_asked_for(self, name: str) -> None:
        assert resolve_precision(name, 'cpu') == name

    def test_auto_is_one_of_both(self) -> None:
        assert resolve_precision('auto', 'cpu') in ('fp32', 'bf16')
        assert resolve_precision('auto', 'mps') == 'fp32'

    def test_unknown_names(self) -> None:
        with pytest.raises(DeviceError, match="bf16 or int8, got 'fp16'"):
            resolve_precision('fp16', 'cpu')


class TestOutOfMemory:
    def test_names_the_remedy(self) -> None:
        with (
            pytest.raises(DeviceError, match=r'cuda:1 .* size 512') as caught,
            out_of_memory_explained('cuda:1', 512),
        ):
            raise torch.OutOfMemoryError('CUDA out of memory')
        message = str(caught.value)
        assert "a smaller size or device 'cpu'" in message
        assert '\n' not in message

    @pytest.mark.parametrize('empty', [torch.empty, np.empty])
    def test_of_the_processor(self, empty: Callable[[int], Any]) -> None:
        # More than any computer has; nothing is allocated.
        with (
            pytest.raises(DeviceError, match=r'choose a smaller size$'),
            out_of_memory_explained('cpu', 256),
        ):
            empty(1 << 57)

    def test_what_was_allocated_can_be_freed(self) -> None:
        class Large:
            pass

        def work() -> None:
            kept = Large()
            raise MemoryError(id(kept))

        with (
            pytest.raises(DeviceError) as caught,
            out_of_memory_explained('cpu', 256),
        ):
            work()
        error = caught.value.__context__
        assert isinstance(error, MemoryError)
        trace = error.__traceback__
        while trace is not None:
            assert trace.tb_frame.f_code.co_name != 'work'
            trace = trace.tb_next

    @pytest.mark.parametrize('error', [RuntimeError('size'), KeyError('x')])
    def test_other_errors_stay(self, error: Exception) -> None:
        with (
            pytest.raises(type(error)) as caught,
            out_of_memory_explained('cpu', 256),
        ):
            raise error
        assert caught.value is error

    def test_nothing_happens_without_an_error(self) -> None:
        with out_of_memory_explained('cuda', 256):
            pass
