"""Both directions of a pair at the same time, each on a core of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from napari_samnet.runtime.side_by_side import beside

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samnet.samnet.features import Features
    from napari_samnet.samnet.network import SAMNet
    from napari_samnet.samnet.recurrence import Iteration, Recurrence


def both_ways(
    model: SAMNet,
    source: Features,
    target: Features,
    options: Recurrence,
    regions: Tensor | None,
    meanwhile: Callable[[], None],
) -> Iterator[Iteration]:
    """Run the recurrence of two directions, in step with each other.

    ``source``, ``target``: features of a batch of two, a pair and the same
    pair the other way round. ``options``: with guided fits.
    ``meanwhile``: something else to be done before the first state.
    Yields: the same as :meth:`~.network.SAMNet.iterate` for the batch.
    """
    import torch

    from napari_samnet.samnet.recurrence import is_last
    from napari_samnet.samnet.start import gathered

    # When both end is decided for both.
    alone = replace(options, tolerance=0.0)

    def another() -> None:
        with torch.inference_mode():
            meanwhile()

    def step(run: Iterator[Iteration]) -> Iteration:
        with torch.inference_mode():
            return next(run)

    runs: list[Iterator[Iteration]] = []
    for index in count():
        with beside('cpu') as later:
            waiting = None if runs else later(another, soon=True)
            if not runs:
                found = gathered(
                    source.matching, target.matching, options, regions
                )
                runs = [
                    model.iterate(
                        source.part(one),
                        target.part(one),
                        alone,
                        found=found.part(one),
                    )
                    for one in (slice(0, 1), slice(1, 2))
                ]
            back = later(partial(step, runs[1]), soon=True)
            there = step(runs[0])
            state = joined(there, back.result())
            if waiting is not None:
                waiting.result()
        last = is_last(index, state.change, options)
        yield state._replace(last=last)
        if last:
            return


def joined(one: Iteration, other: Iteration) -> Iteration:
    """Two directions that ran on their own, as of one batch."""
    import torch

    from napari_samnet.samnet.recurrence import Clues, Iteration

    return Iteration(
        one.step,
        torch.cat((one.field, other.field)),
        torch.cat((one.correlation, other.correlation)),
        torch.cat((one.alpha, other.alpha)),
        (one.change + other.change) / 2,
        one.last,
        one.clues
        and other.clues
        and Clues(
            *(
                torch.cat(clue)
                for clue in zip(one.clues, other.clues, strict=True)
            )
        ),
    )
