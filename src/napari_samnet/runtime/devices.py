"""Where the network runs and in which arithmetic.

torch is imported inside the functions: names can be listed, and options
checked, before it is needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_samnet.errors import DeviceError
from napari_samnet.options import SIZE_STEP

if TYPE_CHECKING:
    from napari_samnet.runtime.weights import Weights

#: Below this working size, less memory is not worth the loss.
LEAST_SIZE = 128


#: The process in which torch was first used here.
_process: dict[str, int] = {}


class MemoryShortageError(DeviceError):
    """Too little memory on the device for the working size."""


class ExecutionTarget(NamedTuple):
    """Where and how the network runs."""

    #: A torch device, such as 'cpu' or 'cuda:0'.
    device: str = 'cpu'
    #: What computes the convolutions, 'torch' or 'openvino'.
    backend: str = 'torch'
    #: 'fp32', 'bf16' or 'int8'.
    precision: str = 'fp32'


def resolve_device(name: str = 'auto') -> str:
    """Turn a device's name into one that torch has here.

    ``name``: 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'. 'auto' takes CUDA, then
    MPS, then the CPU.
    Raises DeviceError if the device was asked for by name and is not there.
    """
    import torch

    if name == 'auto':
        if torch.cuda.is_available():
            return 'cuda'
        return 'mps' if torch.backends.mps.is_available() else 'cpu'
    kind, _, index = name.partition(':')
    if kind == 'cuda':
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise DeviceError(
                "device 'cuda' was asked for, but torch finds no CUDA "
                "device here; choose 'auto' or 'cpu'"
            )
        if index and not (index.isdecimal() and int(index) < count):
            raise DeviceError(
                f'device must be cuda:0 to cuda:{count - 1}, got {name!r}'
            )
    elif kind == 'mps':
        if not torch.backends.mps.is_available():
            raise DeviceError(
                "device 'mps' was asked for, but torch finds no Apple GPU "
                "here; choose 'auto' or 'cpu'"
            )
    elif name != 'cpu':
        raise DeviceError(
            f'device must be auto, cpu, cuda, cuda:N or mps, got {name!r}'
        )
    return name


def resolve_precision(name: str, device: str) -> str:
    """Turn 'auto' into 'bf16' where that is faster than 'fp32'.

    Returns: 'fp32', 'bf16' or 'int8'. Raises DeviceError if there is no such
    precision, or not on that device.
    """
    if name not in ('auto', 'fp32', 'bf16', 'int8'):
        raise DeviceError(
            f'precision must be auto, fp32, bf16 or int8, got {name!r}'
        )
    if name == 'int8' and device != 'cpu':
        raise DeviceError(
            f"precision 'int8' runs on the device 'cpu' alone, got {device!r}"
        )
    if name != 'auto':
        return name
    able = _processor()
    # Intel's processors that have fp16 compute bf16 in the tiles of AMX;
    # where these are switched off, bf16 is slower than fp32.
    slower = able.get('avx512_fp16') and not able.get('amx_bf16')
    if device == 'cpu' and slower:
        return 'fp32'
    return 'bf16' if has_bf16(device) else 'fp32'


def has_bf16(device: str) -> bool:
    """Whether the hardware computes in bf16, without emulation.

    ``device``: a torch device, such as 'cpu' or 'cuda:0'. Returns: False where
    the hardware would only imitate it.
    """
    import torch

    if device.startswith('cuda'):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = _processor()
    return device == 'cpu' and bool(
        able.get('avx512_bf16') or able.get('amx_bf16')
    )


def _processor() -> dict[str, Any]:
    """What the processor can do; empty where torch cannot tell."""
    import torch

    capabilities: dict[str, Any] = getattr(
        torch.cpu, 'get_capabilities', dict
    )()
    return capabilities


def has_whole_products(place: ExecutionTarget) -> bool:
    """Whether matrices of whole numbers are multiplied faster at a place.

    Without these instructions the products of eight bits may overflow.
    """
    able = _processor()
    fast = ('avx512_vnni', 'avx_vnni', 'amx_int8')
    return place.precision == 'int8' and any(map(able.get, fast))


def _takes_int8(weights: Weights) -> bool:
    """Whether int8 is there, is faster, and was shown to be exact enough."""
    from napari_samnet.runtime.int8 import within_bounds
    from napari_samnet.runtime.int8_check import int8_fault, int8_is_right

    able = _processor()
    # With AVX2 alone it still takes half the time of fp32.
    faster = ('avx512_vnni', 'avx_vnni', 'amx_int8', 'avx2')
    return (
        find_spec('openvino') is not None
        and not int8_fault()
        and any(able.get(name) for name in faster)
        and within_bounds(weights)
        and int8_is_right(weights)
    )


def _check_int8(weights: Weights | None) -> None:
    """Refuse int8, asked for by name, where it is wrong or slow."""
    from napari_samnet.runtime.int8_check import int8_fault, int8_is_right

    reason = int8_fault()
    if reason:
        raise DeviceError(
            f"precision 'int8' is not used here: {reason}; choose 'auto' or "
            f"'fp32'"
        )
    if weights is not None and not int8_is_right(weights):
        raise DeviceError(
            "precision 'int8' is not used here: compared with fp32 on this "
            "computer, its features differ; choose 'auto' or 'fp32'"
        )


def resolve_execution_target(
    device: str = 'auto',
    precision: str = 'auto',
    backend: str = 'auto',
    *,
    weights: Weights | None = None,
) -> ExecutionTarget:
    """Choose device, backend and precision that go together.

    ``weights``: of the network. Without them, 'auto' does not consider 'int8'.
    Raises DeviceError if one is not there, or they do not go together.
    """
    reset_threads_after_fork()
    if backend not in ('auto', 'torch', 'openvino'):
        raise DeviceError(
            f'backend must be auto, torch or openvino, got {backend!r}'
        )
    if (
        precision == 'auto'
        and backend != 'torch'
        and device in ('auto', 'cpu')
        and weights is not None
        and resolve_device(device) == 'cpu'
        and _takes_int8(weights)
    ):
        precision = 'int8'
        asked = False
    else:
        asked = precision == 'int8'
    if backend == 'auto':
        backend = 'openvino' if precision == 'int8' else 'torch'
    if backend == 'torch':
        if precision == 'int8':
            raise DeviceError(
                "precision 'int8' needs the backend 'openvino' or 'auto', "
                "got 'torch'"
            )
        device = resolve_device(device)
        return ExecutionTarget(
            device, backend, resolve_precision(precision, device)
        )
    if device not in ('auto', 'cpu'):
        raise DeviceError(
            f"the backend 'openvino' runs on the device 'cpu' alone, got "
            f'{device!r}'
        )
    check_openvino()
    place = ExecutionTarget(
        'cpu', backend, resolve_precision(precision, 'cpu')
    )
    if asked:
        _check_int8(weights)
    return place


def check_openvino() -> None:
    """Check that OpenVINO is installed.

    Raises DeviceError if it is not, with the way to get it.
    """
    if find_spec('openvino') is None:
        raise DeviceError(
            "the backend 'openvino' and the precision 'int8' need OpenVINO: "
            "pip install 'napari-samnet[openvino]'"
        )


def fallback_targets(
    place: ExecutionTarget, size: int, least: int
) -> Iterator[tuple[ExecutionTarget, int]]:
    """What to try in turn where memory does not suffice.

    ``place``: where it was to run. Yields: half the size, a quarter and so on,
    then the CPU at full size.
    """
    half = size // 2 // SIZE_STEP * SIZE_STEP
    while half >= max(least, LEAST_SIZE):
        yield place, half
        half = half // 2 // SIZE_STEP * SIZE_STEP
    if place.device != 'cpu':
        yield (
            ExecutionTarget('cpu', 'torch', resolve_precision('auto', 'cpu')),
            size,
        )


def reset_threads_after_fork() -> None:
    """Make torch usable in a process forked from one that has used it.

    The threads of OpenMP do not come along in a fork, and torch would wait
    for them for ever: such a process computes with one.
    """
    if _process.setdefault('torch', os.getpid()) != os.getpid():
        import torch

        torch.set_num_threads(1)
        _process['torch'] = os.getpid()


@contextmanager
def out_of_memory_explained(device: str, size: int) -> Iterator[None]:
    """Turn an out-of-memory error into one that names the remedy.

    Raises MemoryShortageError in place of torch's error, after its cache has
    been emptied.
    """
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # For the CPU and MPS, torch has no error class of its own.
        if not (
            isinstance(error, MemoryError | torch.OutOfMemoryError)
            or re.search('allocate memory|out of memory', str(error))
        ):
            raise
        remedy = 'a smaller size'
        if device != 'cpu':
            remedy += " or device 'cpu'"
        message = (
            f'{device} has too little free memory for working size {size}; '
            f'choose {remedy}'
        )
        # The kept traceback would keep its tensors alive.
        error.__traceback__ = None
    else:
        return
    if device.startswith('cuda'):
        torch.cuda.empty_cache()
    raise MemoryShortageError(message)
