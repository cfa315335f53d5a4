"""Where the network runs and in which arithmetic.

torch is imported inside the functions: names can be listed, and options
checked, before it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari_samnet.errors import DeviceError

__all__ = ['out_of_memory_explained', 'resolve_device', 'resolve_precision']


def resolve_device(name: str = 'auto') -> str:
    """Turn a device's name into one that torch has here.

    Parameters
    ----------
    name : str
        'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'. 'auto' takes CUDA, then
        MPS, then the CPU.

    Returns
    -------
    str
        A torch device.

    Raises
    ------
    DeviceError
        If the device was asked for by name and is not there.
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
    """Turn 'auto' into 'bf16' where the hardware computes in it.

    Parameters
    ----------
    name : {'auto', 'fp32', 'bf16'}
        What was asked for.
    device : str
        A torch device, see :func:`resolve_device`.

    Returns
    -------
    str
        'fp32' or 'bf16'.

    Raises
    ------
    DeviceError
        If there is no such precision.
    """
    import torch

    if name not in ('auto', 'fp32', 'bf16'):
        raise DeviceError(
            f'precision must be auto, fp32 or bf16, got {name!r}'
        )
    if name != 'auto':
        return name
    if device.startswith('cuda'):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == 'cpu':
        # Emulated bf16 is slower than fp32.
        able: dict[str, Any] = getattr(torch.cpu, 'get_capabilities', dict)()
        native = bool(able.get('avx512_bf16') or able.get('amx_bf16'))
    else:
        native = False
    return 'bf16' if native else 'fp32'


@contextmanager
def out_of_memory_explained(device: str, size: int) -> Iterator[None]:
    """Turn an out-of-memory error into one that names the remedy.

    Raises
    ------
    DeviceError
        In place of torch's error, after its cache has been emptied.
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
    raise DeviceError(message)
