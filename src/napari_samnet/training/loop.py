"""The training loop: steps, curve, checkpoints without pickle.

A checkpoint holds the trained parameters, the optimizer's moments, the state
of the random generators and the number of the step, as tensors. A run that
goes on from one makes the same steps as one that was never interrupted.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_samnet.errors import WeightsError, in_one_line
from napari_samnet.files import atomic_write
from napari_samnet.training.distributed import average, rank, share
from napari_samnet.training.runs import CHECKPOINT, CURVE_NAME, Progress

#: Steps of the warm-up at most.
WARM_UP = 50


def cosine_rate(step: int, total: int) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine."""
    # A short run spends at most a tenth of its steps on the warm-up.
    warm = min(WARM_UP, max(1, total // 10))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(total - warm, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


@dataclass
class Run:
    """A resumable optimization of some parameters."""

    #: Name, used for the files.
    stage: str
    #: Whose parameters with gradient are optimized.
    trained: nn.Module
    #: Number of steps after which the run is done.
    total: int
    #: Learning rate of AdamW at its peak.
    rate: float
    #: Where checkpoints and the curve go; none are written without it.
    folder: Path | None = None
    #: Of the random generator.
    seed: int = 0
    #: Shares of the rate of some of them; 1 for the others.
    rates: Mapping[nn.Parameter, float] = field(default_factory=dict)
    #: Number of steps between two checkpoints.
    every: int = 100
    #: Norm above which gradients are shortened to it.
    clip: float = 1.0
    #: Draws what the steps learn from.
    generator: torch.Generator = field(init=False)
    #: Of the parameters of `trained`.
    optimizer: torch.optim.AdamW = field(init=False)
    #: Steps that are done.
    step: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        # Processes that train together learn from different pairs.
        process_seed = self.seed + 1_000_003 * rank()
        self.generator = torch.Generator().manual_seed(process_seed)
        torch.manual_seed(self.seed)
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter in self._parameters():
            groups.setdefault(self.rates.get(parameter, 1.0), []).append(
                parameter
            )
        self.optimizer = torch.optim.AdamW(
            [
                {'params': group, 'share': share}
                for share, group in groups.items()
            ],
            lr=self.rate,
            weight_decay=1e-4,
        )

    def _parameters(self) -> list[nn.Parameter]:
        return [p for p in self.trained.parameters() if p.requires_grad]

    @property
    def checkpoint(self) -> Path | None:
        """File of the checkpoint."""
        if self.folder is None:
            return None
        return self.folder / f'{self.stage}{CHECKPOINT}'

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        state = {
            'step': torch.tensor(self.step),
            'generator': self.generator.get_state(),
            'torch': torch.get_rng_state(),
        }
        for index, parameter in enumerate(self._parameters()):
            state[f'parameter.{index}'] = parameter.detach().contiguous()
            for key, value in self.optimizer.state[parameter].items():
                state[f'optimizer.{index}.{key}'] = value.contiguous()
        return state

    def save(self) -> None:
        """Write the checkpoint; it appears whole or not at all."""
        from safetensors.torch import save

        if self.checkpoint is None:
            return
        content = save(self.state())
        with atomic_write(self.checkpoint) as file:
            file.write(content)

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if self.checkpoint is None or not self.checkpoint.is_file():
            return False
        try:
            state = load_file(self.checkpoint)
            for index, parameter in enumerate(self._parameters()):
                parameter.data.copy_(state[f'parameter.{index}'])
                prefix = f'optimizer.{index}.'
                self.optimizer.state[parameter] = {
                    key.removeprefix(prefix): value
                    for key, value in state.items()
                    if key.startswith(prefix)
                }
            self.generator.set_state(state['generator'])
            torch.set_rng_state(state['torch'])
            self.step = int(state['step'])
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise WeightsError(
                f'{self.checkpoint.name} does not fit this run: '
                f'{in_one_line(error)}'
            ) from error
        return True

    def steps(
        self, losses: Callable[[], dict[str, Tensor]]
    ) -> Iterator[Progress]:
        """Optimize the sum of the losses, yielding after every step."""
        began = time.perf_counter()
        parameters = self._parameters()
        share(parameters)
        try:
            while self.step < self.total:
                for group in self.optimizer.param_groups:
                    group['lr'] = (
                        group['share']
                        * self.rate
                        * cosine_rate(self.step, self.total)
                    )
                terms = losses()
                total = torch.stack(list(terms.values())).sum()
                self.optimizer.zero_grad(set_to_none=True)
                total.backward()
                average(parameters)
                norm = nn.utils.clip_grad_norm_(parameters, self.clip)
                # Of the average, so that all processes decide alike.
                if bool(norm.isfinite()):
                    self.optimizer.step()
                self.step += 1
                values = {
                    key: float(term.detach()) for key, term in terms.items()
                }
                progress = Progress(
                    self.stage,
                    self.step,
                    self.total,
                    values,
                    time.perf_counter() - began,
                )
                self._record(progress)
                if self.step % self.every == 0:
                    self.save()
                yield progress
        finally:
            self.save()

    def _record(self, progress: Progress) -> None:
        if self.folder is None:
            return
        line = {
            'stage': progress.stage,
            'step': progress.step,
            **{key: round(value, 5) for key, value in progress.losses.items()},
        }
        with open(self.folder / CURVE_NAME, 'a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')
