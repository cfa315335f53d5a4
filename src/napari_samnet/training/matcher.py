"""First step for W_G: the recurrence on synthetic pairs with known fields."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from napari_samnet.samnet.correlation import local_correlation
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import flow_of, warp
from napari_samnet.samnet.losses import endpoint_loss
from napari_samnet.samnet.network import SAMNet
from napari_samnet.training.loop import Progress, Run
from napari_samnet.training.synthetic import CachedPairs

__all__ = ['endpoint_errors', 'recur', 'train_matcher']

#: Weight of an iteration against the one that follows it.
SEQUENCE = 0.8


def recur(
    model: SAMNet, pairs: CachedPairs, *, iterations: int, init: str
) -> Iterator[Tensor]:
    """Flow ``(B, 2, H, W)`` after each iteration, matching F^s with F^t.

    The field is detached between iterations: each one learns to do its best
    from where it starts, and the gradients stay short.
    """
    start = model.start(pairs.source, pairs.target, init).detach()
    field = start
    for index in range(iterations):
        with torch.no_grad():
            seen = normalize(warp(pairs.target, field))
            volume = local_correlation(pairs.source, seen, model.config.window)
        field = field.detach()
        field = field + model.matcher(volume, field, start, index)
        yield flow_of(field)


def train_matcher(
    model: SAMNet, pairs: CachedPairs, run: Run, *, iterations: int, batch: int
) -> Generator[Progress, None, None]:
    """Train W_G on cached features.

    Parameters
    ----------
    model : SAMNet
        Its matcher is trained.
    pairs : CachedPairs
        Training pairs.
    run : Run
        Optimises the matcher's parameters.
    iterations : int
        L in training.
    batch : int
        Pairs per step.

    Yields
    ------
    Progress
        After every step.
    """

    def losses() -> dict[str, Tensor]:
        drawn = pairs.draw(batch, run.generator)
        # Seldom from no motion: that start must not be unlearnt.
        chance = torch.rand((), generator=run.generator)
        init = 'identity' if chance < 0.2 else 'global'
        found = {}
        for index, flow in enumerate(
            recur(model, drawn, iterations=iterations, init=init)
        ):
            weight = SEQUENCE ** (iterations - 1 - index)
            error = endpoint_loss(flow, drawn.flow, drawn.valid)
            found[f'epe{index + 1}'] = weight * error
        return found

    model.matcher.train()
    yield from run.steps(losses)
    model.matcher.eval()


@torch.no_grad()
def endpoint_errors(
    model: SAMNet, pairs: CachedPairs, *, iterations: int, batch: int = 8
) -> list[float]:
    """Mean end-point error in cells, of the start and of each iteration.

    Parameters
    ----------
    model : SAMNet
        The network.
    pairs : CachedPairs
        Held-out pairs.
    iterations : int
        L.
    batch : int
        Pairs at a time.
    """
    totals = torch.zeros(iterations + 1)
    for first in range(0, len(pairs), batch):
        part = pairs.part(slice(first, first + batch))
        start = model.start(part.source, part.target, 'global')
        flows = [flow_of(start)]
        flows += recur(model, part, iterations=iterations, init='global')
        for index, flow in enumerate(flows):
            error = endpoint_loss(flow, part.flow, part.valid)
            totals[index] += float(error) * len(part)
    return [round(value / len(pairs), 4) for value in totals.tolist()]
