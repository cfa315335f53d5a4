"""Teach the projection of the matching features by examples.

The networks under it stay frozen, so that features cost what they cost, in
int8 too: only the matrix that joins their layers is learnt, from its start in
the directions in which cells differ (:mod:`.projection`).

The loss is that of contrastive learning (InfoNCE): the feature at a place of
one image is compared with all cells of another, and the softmax of the cosines
is to be a narrow Gaussian around where the place is there. The temperature is
learnt, and the matrix is pulled back to its start, so that directions nobody
taught stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.training.feature_store import FeatureStore
from napari_samnet.training.loop import Run
from napari_samnet.training.runs import Progress
from napari_samnet.training.taught_examples import Example, Examples

#: Inverse temperature at the start, and how much faster than the matrix its
#: logarithm is learnt.
START_BETA, BETA_SPEED = 20.0, 10.0

#: Half the side in cells of the squares around the right cells, and how many
#: others are looked at.
NEAR, FAR = 2, 160

#: Weight of the squared distance from the start, relative to its length.
PULL = 1.0


class TaughtProjection(nn.Module):
    """A projection that is learnt, and the temperature of its cosines."""

    #: ``(directions, C)`` in the basis of the store: what it begins as and is
    #: pulled back to.
    start: Tensor

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.projection = nn.Parameter(start.detach().clone())
        self.log_beta = nn.Parameter(
            torch.tensor(math.log(START_BETA) / BETA_SPEED)
        )
        self.register_buffer('start', start.detach().clone())

    @property
    def beta(self) -> Tensor:
        """Inverse temperature of the softmax."""
        return (BETA_SPEED * self.log_beta).exp()

    def pull(self) -> Tensor:
        """Squared distance from the start, relative to its length."""
        distance = (self.projection - self.start).square().sum()
        return PULL * distance / self.start.square().sum()

    def forward(self, cells: Tensor) -> Tensor:
        """Project ``(N, directions)`` to ``(N, C)`` of unit length."""
        return F.normalize(cells @ self.projection, dim=-1)


class _Question(NamedTuple):
    """Places of one image that are looked for in another."""

    #: ``(K, directions)``, features at the places.
    asked: Tensor
    #: ``(N, directions)``, features of cells of the other image.
    cells: Tensor
    #: ``(N,)``, logarithm of how many cells each of them stands for.
    bias: Tensor
    #: ``(K, N)``, how likely each of them is the right one; sums to 1.
    label: Tensor


def questions(
    store: FeatureStore, example: Example, rng: np.random.Generator
) -> tuple[_Question, _Question]:
    """What is asked of an example, from source to target and back.

    Of the other image, the cells around the right ones and some others at
    random are looked at, which stand for all others.

    ``example``: where the places of the source are in the target.
    """
    sides = (example.source, example.target)
    places = (example.places, example.goals)
    there, back = (
        _question(
            store,
            (sides[one], sides[1 - one]),
            (places[one], places[1 - one]),
            example.spread,
            rng,
        )
        for one in (0, 1)
    )
    return there, back


def _question(
    store: FeatureStore,
    images: tuple[int, int],
    places: tuple[Tensor, Tensor],
    spread: float,
    rng: np.random.Generator,
) -> _Question:
    side, goals = store.side, places[1]
    count = side * side
    steps = torch.arange(-NEAR, NEAR + 1)
    x, y = goals.round().long().unbind(1)
    rows = (y[:, None] + steps).clamp(0, side - 1)
    columns = (x[:, None] + steps).clamp(0, side - 1)
    near = (side * rows[:, :, None] + columns[:, None]).flatten().unique()
    drawn = torch.from_numpy(rng.permutation(count)[:FAR])
    far = drawn[~torch.isin(drawn, near)]
    bias = torch.zeros(len(near) + len(far))
    if len(far):
        bias[len(near) :] = math.log((count - len(near)) / len(far))
    chosen = torch.cat((near, far))
    centers = torch.stack((chosen % side, chosen // side), 1).float()
    distance = (goals[:, None] - centers).square().sum(-1)
    label = (-distance / (2 * spread**2)).softmax(1)
    return _Question(
        _between_cells(store, images[0], places[0]),
        store.cells(images[1], chosen),
        bias,
        label,
    )


def _between_cells(store: FeatureStore, index: int, places: Tensor) -> Tensor:
    """Bilinear mean of the four cells around each place."""
    places = places.clamp(0, store.side - 1)
    low = places.floor().clamp(max=store.side - 2).long()
    share = places - low
    mean = torch.zeros(len(places), store.basis.shape[1])
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = (share[:, 0] if dx else 1 - share[:, 0]) * (
            share[:, 1] if dy else 1 - share[:, 1]
        )
        cells = (low[:, 1] + dy) * store.side + low[:, 0] + dx
        mean += weight[:, None] * store.cells(index, cells)
    return mean


def teach(
    taught: TaughtProjection,
    store: FeatureStore,
    sources: Mapping[str, tuple[Examples, int, float]],
    run: Run,
) -> Generator[Progress, None, None]:
    """Optimize a projection on examples, yielding after every step.

    ``sources``: by the name of their term: what to draw from, how many
    examples per step, and the weight of the term. Yields: after every step.
    """

    def losses() -> dict[str, Tensor]:
        # From the generator of the run, so that one that goes on draws the
        # same examples.
        seed = int(torch.randint(2**31 - 1, (), generator=run.generator))
        rng = np.random.default_rng(seed)
        terms = {'pull': taught.pull()}
        for name, (examples, count, weight) in sources.items():
            asked = [
                question
                for _ in range(count)
                for question in questions(store, examples.draw(rng), rng)
            ]
            terms[name] = weight * contrastive_loss(taught, asked)
        return terms

    yield from run.steps(losses)


def contrastive_loss(
    taught: TaughtProjection, asked: Sequence[_Question]
) -> Tensor:
    """Cross entropy of the labels with the softmax of the cosines.

    Returns: mean over the places of a question, then over the questions.
    """
    places = taught(torch.cat([one.asked for one in asked]))
    cells = taught(torch.cat([one.cells for one in asked]))
    values = [
        -(one.label * (taught.beta * (a @ b.T) + one.bias).log_softmax(1))
        .sum(1)
        .mean()
        for one, a, b in zip(
            asked,
            places.split([len(one.asked) for one in asked]),
            cells.split([len(one.cells) for one in asked]),
            strict=True,
        )
    ]
    return torch.stack(values).mean()
