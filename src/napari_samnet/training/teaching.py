"""Teach the matching features by examples.

The networks under them stay frozen: what is learnt is the matrix that joins
their layers, from its start in the directions in which cells differ
(:mod:`.projection`), and the network beside it that looks at the surroundings
(:mod:`napari_samnet.samnet.context`).

The loss is that of contrastive learning (InfoNCE): the feature at a place of
one image is compared with all cells of another, and the softmax of the cosines
is to be a narrow Gaussian around where the place is there. The temperature is
learnt, and the matrix is pulled back to its start, so that directions nobody
taught stay as they are.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_samnet.samnet.context import ContextNetwork
from napari_samnet.samnet.taught_blocks import TaughtBlocks
from napari_samnet.training.feature_store import FeatureStore
from napari_samnet.training.loop import Run
from napari_samnet.training.runs import Progress
from napari_samnet.training.sampling import sample_points
from napari_samnet.training.taught_examples import (
    Example,
    Examples,
    Question,
)

#: Inverse temperature at the start, and how much faster than the matrix its
#: logarithm is learnt.
START_BETA, BETA_SPEED = 25.0, 10.0

#: Share of the learning rate at which blocks learn that know images already.
BLOCKS_RATE = 0.4

#: Weight of the squared distance from the start, relative to its length.
PULL = 1.0


class TaughtFeatures(nn.Module):
    """Matching features that are learnt, and the temperature of their cosines.

    ``start``: ``(directions, C)`` in the basis of the store: what the
    projection begins as and is pulled back to.
    ``context``: what is added to it, in the same basis.
    ``blocks``: what the context sees beside the feature.
    """

    start: Tensor

    def __init__(
        self,
        start: Tensor,
        context: ContextNetwork | None = None,
        blocks: TaughtBlocks | None = None,
    ) -> None:
        super().__init__()
        self.projection = nn.Parameter(start.detach().clone())
        self.context = context
        self.blocks = blocks
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

    def rates(self) -> dict[nn.Parameter, float]:
        """Shares of the learning rate, where they are not 1."""
        blocks = [] if self.blocks is None else self.blocks.parameters()
        return dict.fromkeys(blocks, BLOCKS_RATE)

    def part_of_the_way(
        self, start: TaughtFeatures, share: float, blocks_share: float = 1.0
    ) -> TaughtFeatures:
        """Features between a start and these, as in robust fine-tuning.

        What was taught is learnt best at the end of the way, and what was
        known before is best kept at its start; between the two, things that
        nobody taught are found nearly as well as before, and those that were
        taught no worse, for the last steps are those that only the examples
        profit by. M. Wortsman et al., Robust fine-tuning of zero-shot models,
        CVPR 2022, https://doi.org/10.1109/CVPR52688.2022.00780.

        ``start``: what these began as. ``share``: how much of the way the
        projection goes, and what the context says. ``blocks_share``: the same
        of the blocks.
        """
        between = copy.deepcopy(self).requires_grad_(False)
        ways: list[tuple[Tensor, Tensor, float]] = [
            (between.projection, start.projection, share)
        ]
        modules: list[tuple[nn.Module, nn.Module, float]] = []
        if between.context is not None and start.context is not None:
            context, before = between.context, start.context
            if before.says_nothing():
                # The layers under the last one lead from nowhere.
                modules.append((context.leave, before.leave, share))
            else:
                modules.append((context, before, share))
        if between.blocks is not None and start.blocks is not None:
            modules.append((between.blocks, start.blocks, blocks_share))
        for end, begin, part in modules:
            pairs = zip(end.parameters(), begin.parameters(), strict=True)
            ways += [(one, other, part) for one, other in pairs]
        for taught, known, part in ways:
            taught.copy_(known.lerp(taught, part))
        return between

    def forward(self, maps: Tensor, entries: Tensor | None = None) -> Tensor:
        """Matching features of images.

        ``maps``, ``entries``: what :meth:`~.feature_store.FeatureStore.seen`
        gives of them.
        Returns: ``(B, C, H, W)`` of unit length along C.
        """
        y = F.conv2d(maps, self.projection.T[:, :, None, None])
        if self.context is not None:
            seen = maps
            if self.blocks is not None and entries is not None:
                more = self.blocks(entries, maps.shape[-2:])
                seen = torch.cat((maps, more), 1)
            y = y + self.context(seen)
        return F.normalize(y.float(), dim=1)


def teach(
    taught: TaughtFeatures,
    store: FeatureStore,
    sources: Mapping[str, tuple[Examples, int, float]],
    run: Run,
    *,
    bf16: bool = False,
) -> Generator[Progress, None, None]:
    """Optimize features on examples, yielding after every step.

    ``sources``: by the name of their term: what to draw from, the number that
    it draws by, and the weight of the term.
    ``bf16``: compute the convolutions in bf16.
    Yields: the losses of each step, when it was made.
    """

    def losses() -> dict[str, Tensor]:
        # From the generator of the run, so that one that goes on draws the
        # same examples.
        seed = int(torch.randint(2**31 - 1, (), generator=run.generator))
        rng = np.random.default_rng(seed)
        drawn = {
            name: examples.draw(rng, count)
            for name, (examples, count, _) in sources.items()
        }
        used = sorted(
            {
                index
                for examples in drawn.values()
                for one in examples
                for index in (one.source, one.target)
            }
        )
        seen = store.seen(used)
        with torch.autocast('cpu', torch.bfloat16, enabled=bf16):
            features = taught(*seen)
        known = dict(zip(used, features, strict=True))
        terms = {'pull': taught.pull()}
        for name, (_, _, weight) in sources.items():
            terms[name] = weight * contrastive_loss(
                taught.beta, known, drawn[name]
            )
        return terms

    yield from run.steps(losses)


def contrastive_loss(
    beta: Tensor, features: Mapping[int, Tensor], examples: Sequence[Example]
) -> Tensor:
    """Cross entropy of the labels with the softmax of the cosines.

    ``beta``: inverse temperature of the softmax.
    ``features``: ``(C, H, W)`` of unit length along C, by the index of their
    image.
    Returns: mean over the places of a question, then over the questions, by
    the weights of the examples.
    """
    values: list[Tensor] = []
    weights: list[float] = []
    for example in examples:
        one, other = features[example.source], features[example.target]
        values.append(_entropy(beta, one, other, example.there))
        if example.back is not None:
            values.append(_entropy(beta, other, one, example.back))
        weights += [example.weight] * (len(values) - len(weights))
    by = values[0].new_tensor(weights)
    return (torch.stack(values) * by).sum() / by.sum()


def _entropy(
    beta: Tensor, one: Tensor, other: Tensor, question: Question
) -> Tensor:
    sampled = sample_points(one, question.places)
    cosines = F.normalize(sampled, dim=1) @ other.flatten(1)
    return -(question.label * (beta * cosines).log_softmax(1)).sum(1).mean()
