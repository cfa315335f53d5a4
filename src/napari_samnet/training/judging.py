"""Measuring a network while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from torch import nn

from napari_samnet.training.loop import Run
from napari_samnet.training.runs import Progress


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and back."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def with_held_out(
    steps: Generator[Progress, None, None],
    run: Run,
    *,
    measure: Callable[[], float],
    times: int,
) -> Generator[Progress, None, None]:
    """Pass steps on, some of them with the error of held-out pairs.

    ``steps``: closed with this one, so that its checkpoint is written first.
    ``measure``: gives the error in pixels at working size.
    ``times``: how often it is measured in all of the run.
    Yields: the progress after every step.
    """
    every = max(1, run.total // times)
    with closing(steps) as made:
        for progress in made:
            if progress.step % every:
                yield progress
            else:
                yield replace(progress, held_out=measure())
