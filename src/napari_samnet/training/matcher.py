"""First step for W_G: the recurrence on synthetic pairs with known fields."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from napari_samnet.samnet.correlation import confidence
from napari_samnet.samnet.features import normalize
from napari_samnet.samnet.field import flow_of
from napari_samnet.samnet.losses import endpoint_loss
from napari_samnet.samnet.matching import ResidualMatching
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Recurrence, schedule
from napari_samnet.samnet.start import Start
from napari_samnet.training.loop import Run
from napari_samnet.training.runs import Progress
from napari_samnet.training.synthetic import CachedPairs

#: Weight of an iteration against the one that follows it.
SEQUENCE = 0.8

#: Pairs that are measured at once.
BATCH = 8


class IterationState(NamedTuple):
    """State after one iteration in training."""

    #: T^{l+1}, with the gradient of this iteration alone.
    field: Tensor
    #: The transferred feature F^{s<-t,l+1}, without gradient.
    transferred: Tensor
    #: Confidence (9), without gradient.
    alpha: Tensor


def has_estimate(model: SAMNet) -> bool:
    """Whether W_G rests on the parameter-free estimate, as ours does."""
    return model.config.matcher == 'residual'


def start_of(model: SAMNet) -> str:
    """T^0 that a network learns from."""
    return 'global' if has_estimate(model) else 'identity'


def as_it_learns(
    model: SAMNet, *, init: str | None = None, attributes: bool = True
) -> Recurrence:
    """Settings of the recurrence in which W_G learns.

    ``init``: T^0; that of :func:`start_of` by default.
    """
    return Recurrence(
        window=model.config.window,
        init=init or start_of(model),
        attributes=attributes,
        lambda_max=Recurrence.lambda_max if has_estimate(model) else 1.0,
    )


def begin(
    model: SAMNet, source: Tensor, target: Tensor, init: str | None = None
) -> Start:
    """T^0 as a match by default has it, in windows that follow the object.

    The windows are round where W_G has learned in such, and with no motion.
    """
    init = init or start_of(model)
    follows = model.config.guided and init == 'global'
    with torch.no_grad():
        return model.begin(
            source,
            target,
            Recurrence(
                init=init, alikeness=Recurrence.alikeness if follows else 0.0
            ),
        )


def renew_learned_part(model: SAMNet, *, anew: bool = False) -> None:
    """Let the residual of W_G begin anew, on the fit that matches take.

    One that was learned in round windows says nothing there. Networks whose
    W_G is not of that kind stay as they are.

    ``anew``: also where it was learned on that fit.
    """
    if isinstance(model.matcher, ResidualMatching) and (
        anew or not model.config.guided
    ):
        model.matcher.forget()
        model.config = replace(model.config, guided=True)


def learning_iterations(
    model: SAMNet,
    source: Tensor,
    target: Tensor,
    *,
    iterations: int,
    init: str | None = None,
    attributes: bool = True,
) -> Iterator[IterationState]:
    """Recurrence with the learned residual, to learn from.

    The field is detached between iterations: each one learns to do its best
    from where it starts, and the gradients stay short.

    ``source``, ``target``: matching features ``(B, C, H, W)``. ``init``: T^0;
    that of :func:`start_of` by default. Yields: after each iteration.
    """
    options = as_it_learns(model, init=init, attributes=attributes)
    start = begin(model, source, target, options.init)
    field, transferred = start.field, source
    limit = options.lambda_max if attributes else 0.0
    for index in range(iterations):
        field = field.detach()
        with torch.no_grad():
            volume = model.correlate(
                source,
                transferred,
                target,
                field,
                weight=schedule(index, limit),
                options=options,
            )
        field = field + model.matcher(
            volume, field, start.field, index, start.guide
        )
        alpha = confidence(volume, options.beta)
        if attributes:
            with torch.no_grad():
                mixed = model.mix(
                    source,
                    target,
                    field,
                    alpha,
                    weight=schedule(index + 1),
                    options=options,
                )
                transferred = normalize(mixed)
        yield IterationState(field, transferred, alpha)


def train_matcher(
    model: SAMNet,
    pairs: CachedPairs,
    run: Run,
    *,
    iterations: int,
    batch: int,
    moving: CachedPairs | None = None,
) -> Generator[Progress, None, None]:
    """Train W_G on cached features.

    ``pairs``: of smooth, one-to-one fields.
    ``batch``: pairs that a step learns from.
    ``moving``: pairs with things that move on their own, a third of a step.
    Yields: the progress after every step.
    """
    count = 0 if moving is None else max(1, batch // 3)

    def losses() -> dict[str, Tensor]:
        drawn = pairs.draw(max(1, batch - count), run.generator)
        # Seldom from no motion: that start must not be unlearnt where the
        # residual is added to it.
        chance = torch.rand((), generator=run.generator)
        still = chance < 0.2 and not model.config.guided
        init = 'identity' if still else start_of(model)
        # Backwards as well: the inverse of a smooth field is known too.
        if torch.rand((), generator=run.generator) < 0.5:
            drawn = drawn.swapped()
        if moving is not None:
            # These not: what an object covers has no way back.
            drawn = CachedPairs.joined(
                [drawn, moving.draw(count, run.generator)]
            )
        attributes = bool(torch.rand((), generator=run.generator) < 0.5)
        losses_by_iteration = {}
        for index, state in enumerate(
            learning_iterations(
                model,
                drawn.source,
                drawn.target,
                iterations=iterations,
                init=init,
                attributes=attributes,
            )
        ):
            weight = SEQUENCE ** (iterations - 1 - index)
            error = endpoint_loss(
                flow_of(state.field), drawn.flow, drawn.valid
            )
            losses_by_iteration[f'epe{index + 1}'] = weight * error
        return losses_by_iteration

    model.matcher.train()
    yield from run.steps(losses)
    model.matcher.eval()


@torch.no_grad()
def endpoint_errors(
    model: SAMNet, pairs: CachedPairs, *, iterations: int
) -> list[float]:
    """Mean end-point error in cells, of the start and of each iteration."""
    totals = torch.zeros(iterations + 1)
    for first in range(0, len(pairs), BATCH):
        part = pairs.part(slice(first, first + BATCH))
        flows = [flow_of(begin(model, part.source, part.target).field)]
        flows += [
            flow_of(state.field)
            for state in learning_iterations(
                model, part.source, part.target, iterations=iterations
            )
        ]
        for index, flow in enumerate(flows):
            error = endpoint_loss(flow, part.flow, part.valid)
            totals[index] += float(error) * len(part)
    return [round(value / len(pairs), 4) for value in totals.tolist()]
