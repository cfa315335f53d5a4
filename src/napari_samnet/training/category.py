"""Second step for W_G: pairs of one category, whose field nobody knows.

From an image I, its warp I' by a known field W, and another image J of a
similar view, three terms are learnt from (no labels are needed):

- warp consistency: I' to J to I must come to the same as W;
- semantic attribute matching (12)-(13), or (11), of I' with J and J with I;
- the synthetic pair I' and I, so that nothing is unlearnt.

Against the degenerate solution of (12), the transferred feature is held
fixed for the field, the source's own feature keeps a term, and points that
do not match anyway are cut off. Cells count by how well the network that the
step starts from agrees with itself there and back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_samnet.samnet.features import CONTENT_LAYER
from napari_samnet.samnet.field import flow_of, warp
from napari_samnet.samnet.losses import (
    content_loss,
    endpoint_loss,
    matching_loss,
    semantic_attribute_matching_loss,
    total_variation,
)
from napari_samnet.samnet.network import SAMNet
from napari_samnet.samnet.recurrence import Recurrence, schedule
from napari_samnet.training.loop import Run
from napari_samnet.training.matcher import (
    SEQUENCE,
    IterationState,
    learning_iterations,
)
from napari_samnet.training.runs import Progress
from napari_samnet.training.synthetic import CachedPairs
from napari_samnet.training.viewpairs import choose_pairs

#: Cells at which the trust in a match there and back has fallen to 61 %.
_CONSISTENT = 1.5
#: Pairs that agree with themselves less than this are left out.
_LEAST_TRUST = 0.3
#: From this many cells on, a composed flow's error hardly counts any more.
_ROBUST = 2.0
#: Pairs that are matched at once, and checked by way of another image.
_MATCHED_AT_ONCE, _CHECKED_AT_ONCE = 8, 4

#: What pairs are compared by, by the names that the option `loss` has.
PAIR_LOSSES: dict[str, Callable[..., Tensor]] = {
    'attribute': semantic_attribute_matching_loss,
    'matching': matching_loss,
}

#: Weights of the terms.
_BIPATH, _OWN, _TRANSFERRED = 0.5, 0.1, 0.1
_CONTENT, _VARIATION = 1.0, 1e-4


@dataclass(frozen=True)
class CategoryPairs:
    """Images with a warp of each, and which of them make pairs."""

    #: Per image its warp as source and itself as target.
    images: CachedPairs
    #: ``(P, 2)`` indices of images.
    pairs: Tensor
    #: ``(P, 2, H, W)`` in [0, 1]: of the cells of the first image towards the
    #: second, and of the second towards the first.
    confidence: Tensor
    #: ``(N, 2, 3, size, size)`` 8-bit, the warps and the images. With them,
    #: the transferred feature is that of the decoded image.
    pixels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[CachedPairs, CachedPairs, Tensor, Tensor | None]:
        """Random pairs, either way round.

        Returns: ``one, other``: I and J with their warps; ``confidence``:
        ``(count, 2, H, W)`` of I to J and J to I; ``pixels``:
        ``(count, 3, 3, size, size)`` in [0, 1]: I', J and I.
        """
        chosen = torch.randint(len(self), (count,), generator=generator)
        turned = torch.randint(2, (count,), generator=generator)
        pairs, confidence = self.pairs[chosen], self.confidence[chosen]
        rows = torch.arange(count)
        order = torch.stack((turned, 1 - turned), 1)
        first, second = pairs.gather(1, order).unbind(1)
        confidence = torch.stack(
            (confidence[rows, turned], confidence[rows, 1 - turned]), 1
        )
        pixels = None
        if self.pixels is not None:
            drawn = (
                self.pixels[first, 0],
                self.pixels[second, 1],
                self.pixels[first, 1],
            )
            pixels = torch.stack(drawn, 1).float() / 255
        return (
            self.images.part(first),
            self.images.part(second),
            confidence,
            pixels,
        )

    def split(self, *, every: int = 10) -> tuple[CategoryPairs, CategoryPairs]:
        """Pairs to learn from, and one of `every` to check with."""
        held = torch.arange(len(self)) % every == every - 1
        return self._some(~held), self._some(held)

    def _some(self, chosen: Tensor) -> CategoryPairs:
        return replace(
            self, pairs=self.pairs[chosen], confidence=self.confidence[chosen]
        )


def _flows(
    model: SAMNet, source: Tensor, target: Tensor, iterations: int
) -> Tensor:
    """Flow after the last iteration."""
    flow = source
    for state in learning_iterations(
        model, source, target, iterations=iterations
    ):
        flow = flow_of(state.field)
    return flow


@torch.no_grad()
def find_pairs(
    model: SAMNet,
    images: CachedPairs,
    categories: Sequence[str],
    *,
    iterations: int,
) -> CategoryPairs:
    """Pairs of similar views on which the network agrees with itself."""
    pairs = choose_pairs(images.target, categories)
    height, width = images.flow.shape[-2:]
    confidences = [torch.zeros(0, 2, height, width)]
    for part in pairs.split(_MATCHED_AT_ONCE):
        first = images.target[part[:, 0]].float()
        second = images.target[part[:, 1]].float()
        flow = _flows(
            model,
            torch.cat((first, second)),
            torch.cat((second, first)),
            iterations,
        )
        there, back = flow.chunk(2)
        errors = torch.stack(
            (
                (there + warp(back, there)).square().sum(1),
                (back + warp(there, back)).square().sum(1),
            ),
            1,
        )
        confidences.append(torch.exp(-errors / (2 * _CONSISTENT**2)).cpu())
    confidence = torch.cat(confidences)
    kept = confidence.mean((1, 2, 3)) > _LEAST_TRUST
    return CategoryPairs(images, pairs[kept], confidence[kept])


def category_losses(
    model: SAMNet,
    one: CachedPairs,
    other: CachedPairs,
    confidence: Tensor,
    pixels: Tensor | None = None,
    *,
    iterations: int,
    loss: str = 'attribute',
    bf16: bool = False,
) -> dict[str, Tensor]:
    """Terms of one step.

    ``one``, ``other``: I and J with their warps.
    ``confidence``: ``(B, 2, H, W)`` of I to J and J to I.
    ``pixels``: ``(B, 3, 3, size, size)``: I', J and I. With them, the
    transferred feature is that of the decoded image, and the decoder learns
    too.
    ``loss``: what pairs are compared by, a key of :data:`PAIR_LOSSES`.
    ``bf16``: compute the convolutions in bf16.
    """
    count = len(one)
    # I' to J, J to I, I' to I in one batch.
    source = torch.cat((one.source, other.target, one.source))
    target = torch.cat((other.target, one.target, one.target))
    # The warp of I is trusted where it shows a trusted place of I.
    seen = warp(confidence[:, :1], one.flow) * one.valid
    weight = torch.cat((seen, confidence[:, 1:]))
    losses: dict[str, Tensor] = {}
    bipath, synthetic = [], []
    state = None
    for index, state in enumerate(
        learning_iterations(model, source, target, iterations=iterations)
    ):
        share = SEQUENCE ** (iterations - 1 - index)
        there, back, direct = flow_of(state.field).split(count)
        composed = there + warp(back, there)
        error = (composed - one.flow).square().sum(1, keepdim=True)
        # Geman-McClure: what is hidden in J must not pull.
        robust = (error + 1e-6).sqrt() / (1 + error / _ROBUST**2)
        mean = (robust * seen).sum() / seen.sum().clamp_min(1e-6)
        bipath.append(share * mean)
        synthetic.append(share * endpoint_loss(direct, one.flow, one.valid))
    if state is None:
        raise ValueError('there must be at least one iteration')
    losses['synthetic'] = torch.stack(synthetic).sum()
    losses['bipath'] = _BIPATH * torch.stack(bipath).sum()
    both = slice(2 * count)
    warped = warp(target[both], state.field[both])
    measure = PAIR_LOSSES[loss]
    losses['own'] = _OWN * measure(source[both], warped, weight=weight)
    transferred = state.transferred[both]
    if pixels is not None:
        shown = IterationState(*(part[both].detach() for part in state))
        transferred, terms = _through_image(
            model, pixels, shown, weight=schedule(iterations), bf16=bf16
        )
        # Detached: the field is not trained to make the decoder's task easy.
        losses['decoder'] = _TRANSFERRED * measure(
            transferred, warped.detach(), weight=weight
        )
        losses |= terms
    losses['transferred'] = _TRANSFERRED * measure(
        transferred.detach(), warped, weight=weight
    )
    return losses


def _through_image(
    model: SAMNet,
    pixels: Tensor,
    state: IterationState,
    *,
    weight: float,
    bf16: bool,
) -> tuple[Tensor, dict[str, Tensor]]:
    """F^{s<-t} of decoded images, and what the decoder is held to by (2)."""
    device = state.field.device
    warped, other, original = pixels.to(device).unbind(1)
    options = Recurrence(window=model.config.window, feedback='image')
    features = model.features
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        with torch.no_grad():
            source = model.encode(torch.cat((warped, other)))
            target = model.encode(torch.cat((other, original)), skips=False)
        image = model.synthesize(
            source,
            target,
            state.field,
            state.alpha,
            weight=weight,
            options=options,
        )
        again = features.layers(image.clamp(0, 1))
        transferred = features.matching_feature(again)
    terms = {
        'content': _CONTENT
        * content_loss(again[CONTENT_LAYER].float(), source.content.float()),
        'variation': _VARIATION * total_variation(image),
    }
    return transferred.float(), terms


def train_category(
    model: SAMNet,
    pairs: CategoryPairs,
    run: Run,
    *,
    iterations: int,
    batch: int,
    loss: str = 'attribute',
    bf16: bool = False,
) -> Generator[Progress, None, None]:
    """Train W_G on pairs of a category, and W_D if pixels are there.

    ``loss``: what pairs are compared by, a key of :data:`PAIR_LOSSES`.
    ``bf16``: compute the convolutions in bf16.
    Yields: the progress after every step.
    """

    def losses() -> dict[str, Tensor]:
        return category_losses(
            model,
            *pairs.draw(batch, run.generator),
            iterations=iterations,
            loss=loss,
            bf16=bf16,
        )

    run.trained.train()
    yield from run.steps(losses)
    run.trained.eval()


@torch.no_grad()
def consistency_errors(
    model: SAMNet, pairs: CategoryPairs, *, iterations: int
) -> dict[str, float]:
    """Error in cells of W by way of another image, where it is trusted.

    Returns: ``bipath``, robust mean, and ``synthetic``, mean end-point error.
    """
    sums = {'bipath': 0.0, 'synthetic': 0.0}
    for first in range(0, len(pairs), _CHECKED_AT_ONCE):
        rows = slice(first, first + _CHECKED_AT_ONCE)
        one = pairs.images.part(pairs.pairs[rows, 0])
        other = pairs.images.part(pairs.pairs[rows, 1])
        there = _flows(model, one.source, other.target, iterations)
        back = _flows(model, other.target, one.target, iterations)
        direct = _flows(model, one.source, one.target, iterations)
        seen = warp(pairs.confidence[rows, :1], one.flow) * one.valid
        composed = there + warp(back, there)
        error = (composed - one.flow).square().sum(1, keepdim=True)
        robust = error.sqrt() / (1 + error / _ROBUST**2)
        mean = (robust * seen).sum() / seen.sum().clamp_min(1e-6)
        sums['bipath'] += float(mean) * len(one)
        sums['synthetic'] += len(one) * float(
            endpoint_loss(direct, one.flow, one.valid)
        )
    count = max(len(pairs), 1)
    return {name: round(value / count, 4) for name, value in sums.items()}
