"""Training in several processes, one per GPU, started by ``torchrun``.

Every process draws its own pairs; the gradients are averaged, as by
DistributedDataParallel, which cannot wrap the recurrence, since it calls the
matching network many times per step. The first process alone judges, and
writes the run's folder; the others write into hidden folders within it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch import distributed as dist


@contextmanager
def processes() -> Iterator[None]:
    """Join the other processes, if ``torchrun`` has started this one."""
    if int(os.environ.get('WORLD_SIZE', '1')) < 2:
        yield
        return
    backend = 'gloo'
    if torch.cuda.is_available():
        backend = 'nccl'
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
    dist.init_process_group(backend)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Number of this process, 0 for the first or only one."""
    return dist.get_rank() if _several() else 0


def folder_of_process(folder: Path) -> Path:
    """Folder that this process writes to."""
    if not rank():
        return folder
    process_folder = folder / f'.process-{rank()}'
    process_folder.mkdir(parents=True, exist_ok=True)
    return process_folder


def share(tensors: Iterable[Tensor]) -> None:
    """Take over the first process's values."""
    if _several():
        for tensor in tensors:
            dist.broadcast(tensor.detach(), 0)


def average(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Average the gradients of all processes."""
    if not _several():
        return
    for parameter in parameters:
        # A parameter without gradient here may have one elsewhere.
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
        parameter.grad /= dist.get_world_size()
