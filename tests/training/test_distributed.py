"""Two processes that train together make the steps of one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from napari_samnet.training.loop import Run

pytestmark = pytest.mark.slow

# What every process runs; losses come from its own random numbers.
_SCRIPT = """\
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from torch import nn
from napari_samnet.training.distributed import (
    folder_of_process,
    processes,
    rank,
)
from napari_samnet.training.loop import Run

with processes():
    torch.manual_seed(rank())
    model = nn.Linear(4, 1)
    if rank() == 0:
        torch.manual_seed(3)
        model = nn.Linear(4, 1)
    folder = folder_of_process(Path(sys.argv[1]))
    run = Run(stage='line', trained=model, total=4, rate=0.1, folder=folder)

    def losses():
        x = torch.rand(8, 4, generator=run.generator)
        return {'error': (model(x) - x.sum(1, keepdim=True)).square().mean()}

    for _ in run.steps(losses):
        pass
    state = {key: value for key, value in model.state_dict().items()}
    save_file(state, folder / 'result.safetensors')
"""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        port: int = found.getsockname()[1]
        return port


def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    port = str(_free_port())
    started = [
        subprocess.Popen(
            [sys.executable, '-c', _SCRIPT, str(tmp_path)],
            env=os.environ
            | {
                'WORLD_SIZE': '2',
                'RANK': str(number),
                'LOCAL_RANK': str(number),
                'MASTER_ADDR': '127.0.0.1',
                'MASTER_PORT': port,
                'CUDA_VISIBLE_DEVICES': '',
                'OMP_NUM_THREADS': '1',
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    first = load_file(tmp_path / 'result.safetensors')
    second = load_file(tmp_path / '.process-1' / 'result.safetensors')

    # One process that sees what both have seen.
    torch.manual_seed(3)
    model = nn.Linear(4, 1)
    run = Run(stage='line', trained=model, total=4, rate=0.1)
    generators = [
        torch.Generator().manual_seed(1_000_003 * number)
        for number in range(2)
    ]

    def losses() -> dict[str, torch.Tensor]:
        terms = []
        for generator in generators:
            x = torch.rand(8, 4, generator=generator)
            error = model(x) - x.sum(1, keepdim=True)
            terms.append(error.square().mean())
        return {'error': torch.stack(terms).mean()}

    for _ in run.steps(losses):
        pass
    for key, value in model.state_dict().items():
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)
        torch.testing.assert_close(first[key], value)


def test_one_process_needs_no_others(tmp_path: Path) -> None:
    from napari_samnet.training.distributed import (
        folder_of_process,
        processes,
        rank,
    )

    with processes():
        assert rank() == 0
        assert folder_of_process(tmp_path) == tmp_path
