"""Seconds that the stages of a match take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Stages:
    """Seconds spent per stage of a match."""

    #: What to wait for at the end of a stage.
    device: str = 'cpu'
    #: Sums of the stages so far.
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time within to a stage."""
        start = time.perf_counter()
        try:
            yield
            if self.device.startswith('cuda'):
                import torch

                torch.cuda.synchronize(self.device)
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def rounded(self) -> dict[str, float]:
        """To a tenth of a millisecond."""
        return {name: round(value, 4) for name, value in self.seconds.items()}
