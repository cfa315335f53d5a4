"""What the matching features are taught by.

Three kinds of examples, all of one form: places in one image, and where they
are in another:

- *keypoints* that people marked on images of one kind;
- known motions: *warps* of photographs, which keep exact what needs no
  semantics, and *objects* that move on their own;
- *likenesses* of category pairs in the features before, so that what nobody
  annotated is still found as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_samnet.errors import InputError
from napari_samnet.samnet.cell_matches import TEMPERATURE, consensus
from napari_samnet.training.annotated import FEWEST_POINTS
from napari_samnet.training.feature_store import FeatureStore

#: Weight of pairs whose images are of two groups, such as a cat and a horse:
#: the names of the keypoints are the same for all.
ACROSS_GROUPS = 0.4

#: Draws of images after which it is given up to find keypoints in common.
ATTEMPTS = 1000

#: Places that are learnt from per pair of known motion and per category pair.
WARPED_PLACES, LIKE_PLACES = 96, 128

#: Standard deviation in cells of where a keypoint and a place that has moved
#: are.
KEYPOINT_SPREAD, WARP_SPREAD = 0.8, 0.6


class Question(NamedTuple):
    """Places of one image that are looked for in another."""

    #: ``(K, 2)`` in (x, y) cells.
    places: Tensor
    #: ``(K, N)``, how likely each of the N cells of the other image is the
    #: right one; sums to 1.
    label: Tensor


class Example(NamedTuple):
    """Two images, and what is asked of them."""

    #: ``source``, ``target``: which images of the store.
    source: int
    target: int
    #: From source to target.
    there: Question
    #: From target to source; None if that is not asked.
    back: Question | None = None
    #: How much it counts.
    weight: float = 1.0


class Examples(Protocol):
    """A source of examples."""

    def draw(self, rng: np.random.Generator, count: int) -> list[Example]:
        """Draw the examples of a step."""
        ...


def asked(
    places: Tensor, goals: Tensor, *, side: int, spread: float
) -> Question:
    """Look for places that are known to lie somewhere.

    ``places``, ``goals``: ``(K, 2)`` in (x, y) cells.
    ``side``: cells along one side of the other image.
    ``spread``: standard deviation in cells of the Gaussian that the label is.
    """
    cells = torch.arange(side * side)
    centers = torch.stack((cells % side, cells // side), 1).float()
    distance = (goals[:, None] - centers).square().sum(-1)
    label = (-distance / (2 * spread**2)).softmax(1)
    return Question(places, label)


@dataclass(frozen=True)
class KeypointExamples:
    """Pairs of annotated images."""

    #: Kind of thing that each image shows.
    groups: Sequence[str]
    #: Photograph that each image is a view of; those of one are no pair.
    photographs: Sequence[str]
    #: Per image ``(K, 2)`` in (x, y) cells.
    places: Sequence[NDArray[np.float64]]
    #: Per image ``(K,)``, which keypoints it shows.
    visible: Sequence[NDArray[np.bool_]]
    #: Cells along one side.
    side: int
    #: Index in the store of the first image.
    first: int = 0
    _members: dict[str, list[int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for index, group in enumerate(self.groups):
            self._members.setdefault(group, []).append(index)

    def draw(self, rng: np.random.Generator, count: int) -> list[Example]:
        """Draw images of two groups, and compare all that show the same.

        An image is encoded once and compared with all others, which costs
        little more than with one of them.

        ``count``: images of each group; twice as many of a single one.
        """
        names = sorted(self._members)
        if len(names) == 1:
            count *= 2
        for _ in range(ATTEMPTS):
            drawn = [
                int(index)
                for name in rng.permutation(len(names))[:2]
                for index in self._some(names[name], count, rng)
            ]
            examples = [
                example
                for number, a in enumerate(drawn)
                for b in drawn[:number]
                if (example := self._example(a, b)) is not None
            ]
            if examples:
                return examples
        raise InputError(
            f'no two of the annotated images show {FEWEST_POINTS} keypoints '
            f'in common'
        )

    def _some(
        self, name: str, count: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """So many different images of a group, or all of them."""
        members = self._members[name]
        return rng.choice(members, min(count, len(members)), replace=False)

    def _example(self, a: int, b: int) -> Example | None:
        """Two images, if they show keypoints in common."""
        common = self.visible[a] & self.visible[b]
        same = self.photographs[a] == self.photographs[b]
        if same or common.sum() < FEWEST_POINTS:
            return None
        places, goals = (
            torch.from_numpy(self.places[k][common]).float() for k in (a, b)
        )
        question = partial(asked, side=self.side, spread=KEYPOINT_SPREAD)
        return Example(
            self.first + a,
            self.first + b,
            question(places, goals),
            question(goals, places),
            1.0 if self.groups[a] == self.groups[b] else ACROSS_GROUPS,
        )


@dataclass(frozen=True)
class MotionExamples:
    """Pairs of images whose motion is known."""

    #: ``(N, 2, H, W)`` from the first image to the second, in (x, y) cells.
    flow: Tensor
    #: ``(N, 1, H, W)``, how often a cell is asked for.
    weight: Tensor
    #: Index in the store of the first image of the first pair; the second
    #: images follow the first ones.
    first: int

    def draw(self, rng: np.random.Generator, count: int) -> list[Example]:
        """Draw places of so many pairs."""
        return [self._example(rng) for _ in range(count)]

    def _example(self, rng: np.random.Generator) -> Example:
        """Places of one pair."""
        shown = np.flatnonzero(self.weight.flatten(1).sum(1) > 0)
        index = int(shown[rng.integers(len(shown))])
        width = self.flow.shape[-1]
        weight = self.weight[index].flatten().double().numpy()
        places_asked = min(WARPED_PLACES, int((weight > 0).sum()))
        cells = torch.from_numpy(
            rng.choice(
                len(weight),
                places_asked,
                replace=False,
                p=weight / weight.sum(),
            )
        )
        places = torch.stack((cells % width, cells // width), 1).float()
        goals = places + self.flow[index].flatten(1).T[cells]
        return Example(
            self.first + index,
            self.first + len(self.flow) + index,
            asked(places, goals, side=width, spread=WARP_SPREAD),
        )


class LikenessExamples:
    """Category pairs, and how likely the features before match their cells.

    ``before``: those features, from what the store says of an image.
    ``indices``: of the images in the store. ``categories``: of each of them.
    """

    def __init__(
        self,
        store: FeatureStore,
        before: Callable[..., Tensor],
        indices: Sequence[int],
        categories: Sequence[str],
    ) -> None:
        self._store = store
        self._before = before
        members: dict[str, list[int]] = {}
        for index, category in zip(indices, categories, strict=True):
            members.setdefault(category, []).append(index)
        self._groups = [group for group in members.values() if len(group) > 1]

    def __len__(self) -> int:
        return len(self._groups)

    def draw(self, rng: np.random.Generator, count: int) -> list[Example]:
        """Draw places of so many pairs, the surest ones most often."""
        return [self._example(rng) for _ in range(count)]

    @torch.no_grad()
    def _example(self, rng: np.random.Generator) -> Example:
        """Places of one pair."""
        group = self._groups[rng.integers(len(self._groups))]
        source, target = (int(k) for k in rng.choice(group, 2, replace=False))
        maps = [self._before(*self._store.seen([k])) for k in (source, target)]
        cosines = consensus(*maps).flatten(3).flatten(1, 2)[0] / TEMPERATURE
        likely = cosines.softmax(1) * cosines.softmax(0)
        sure = likely.max(1).values.sqrt().double().numpy()
        count = min(LIKE_PLACES, int((sure > 0).sum()))
        cells = torch.from_numpy(
            rng.choice(len(sure), count, replace=False, p=sure / sure.sum())
        )
        side = self._store.side
        places = torch.stack((cells % side, cells // side), 1).float()
        label = likely[cells]
        label = label / label.sum(1, keepdim=True)
        return Example(source, target, Question(places, label))
