"""What the projection of the matching features is taught by.

Three kinds of examples, all of one form, a place in one image and where it is
in another:

- *keypoints* that people marked on images of one kind;
- *matches* of category pairs on which the network agrees with itself in both
  directions, so that kinds of things that nobody annotated are learnt too;
- *warps* by a known field, which keep exact what needs no semantics.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_samnet.errors import InputError

#: Keypoints that both images of a pair must show.
FEWEST_POINTS = 3

#: Share of keypoint pairs whose images are of two groups, such as a cat and a
#: horse: the names of the keypoints are the same for all.
ACROSS_GROUPS = 0.3

#: Places that are learnt from per warped image and per category pair.
WARPED_PLACES, MATCHED_PLACES = 96, 64


class Example(NamedTuple):
    """Places in one image, and where they are in another."""

    #: ``source``, ``target``: which images of the store.
    source: int
    target: int
    #: ``places``, ``goals``: ``(K, 2)`` in (x, y) cells of source and target.
    places: Tensor
    goals: Tensor
    #: Standard deviation in cells of the Gaussian that the label is.
    spread: float


class Examples(Protocol):
    """A source of examples."""

    def draw(self, rng: np.random.Generator) -> Example:
        """Draw one example."""
        ...


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with keypoints."""

    #: The file that holds the image.
    path: Path
    #: Images of one group show the same kind of thing.
    group: str
    #: (x, y) in pixels of the file.
    points: NDArray[np.float64]
    #: Which of them the image shows.
    visible: NDArray[np.bool_]
    #: Longest side in pixels of the object's box.
    side: float

    def cells(self, shape: Sequence[int], side: int) -> NDArray[np.float64]:
        """Keypoints in (x, y) cells of the resized square.

        ``shape``: height and width of the file in pixels. ``side``: cells
        along one side. Returns: cell centers are whole numbers.
        """
        scale = side / np.array([shape[1], shape[0]])
        scaled: NDArray[np.float64] = (self.points + 0.5) * scale - 0.5
        return scaled


def read_annotated_images(path: Path, root: Path) -> list[AnnotatedImage]:
    """Read images with keypoints from a JSON file.

    ``path``: its entry "images" holds, per file, "kp": x, y and whether the
    keypoint is visible, in one order for all images; and "bbox", the object's
    x0, y0, x1, y1, without which it is the extent of the keypoints. The folder
    of a file is its group.
    Raises InputError if the file cannot be read, or holds no two images with
    the same number of keypoints.
    """
    try:
        images: dict[str, Any] = json.loads(path.read_text('utf-8'))['images']
        annotated = []
        for file, entry in images.items():
            table = np.array(entry['kp'], np.float64).reshape(-1, 3)
            x0, y0, x1, y1 = entry.get('bbox') or _extent(table)
            annotated.append(
                AnnotatedImage(
                    root / file,
                    Path(file).parent.name,
                    table[:, :2],
                    table[:, 2] > 0,
                    float(max(x1 - x0, y1 - y0)),
                )
            )
    except OSError as error:
        raise InputError(f'{path} cannot be read: {error.strerror}') from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f'{path} must hold "images", each with "kp" (x, y, visible): '
            f'{error!r}'
        ) from None
    counts = {len(image.points) for image in annotated}
    if len(annotated) < 2 or len(counts) != 1:
        raise InputError(
            f'{path} must hold at least two images with the same number of '
            f'keypoints, got {len(annotated)} images with '
            f'{sorted(counts)} keypoints'
        )
    return annotated


def _extent(table: NDArray[np.float64]) -> tuple[float, ...]:
    """Box of the visible keypoints."""
    shown = table[table[:, 2] > 0, :2]
    return (*shown.min(0), *shown.max(0))


@dataclass
class KeypointExamples:
    """Pairs of annotated images."""

    #: Kind of thing that each image shows.
    groups: Sequence[str]
    #: Per image ``(K, 2)`` in (x, y) cells.
    places: Sequence[NDArray[np.float64]]
    #: Per image ``(K,)``, which keypoints it shows.
    visible: Sequence[NDArray[np.bool_]]
    #: Index in the store of the first image.
    first: int = 0
    _members: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self._members = {}
        for index, group in enumerate(self.groups):
            self._members.setdefault(group, []).append(index)

    def draw(self, rng: np.random.Generator) -> Example:
        """Draw two images that show keypoints in common."""
        names = sorted(self._members)
        for _ in range(1000):
            one = other = names[rng.integers(len(names))]
            if rng.random() < ACROSS_GROUPS:
                other = names[rng.integers(len(names))]
            a, b = (
                self._members[name][rng.integers(len(self._members[name]))]
                for name in (one, other)
            )
            common = self.visible[a] & self.visible[b]
            if a != b and common.sum() >= FEWEST_POINTS:
                return Example(
                    self.first + a,
                    self.first + b,
                    torch.from_numpy(self.places[a][common]).float(),
                    torch.from_numpy(self.places[b][common]).float(),
                    0.8,
                )
        raise InputError(
            f'no two of the annotated images show {FEWEST_POINTS} keypoints '
            f'in common'
        )


@dataclass(frozen=True)
class WarpExamples:
    """Photographs and their warps by known fields."""

    #: ``(N, 2, H, W)`` from the warp to the photograph, in (x, y) cells.
    flow: Tensor
    #: ``(N, 1, H, W)``, 1 where the flow ends inside the photograph.
    valid: Tensor
    #: Index in the store of the first warp; the first photograph follows the
    #: last warp.
    first: int

    def draw(self, rng: np.random.Generator) -> Example:
        """Draw places of one warped photograph."""
        index = int(rng.integers(len(self.flow)))
        width = self.flow.shape[-1]
        inside = np.flatnonzero(self.valid[index].flatten() > 0)
        cells = torch.from_numpy(rng.permutation(inside)[:WARPED_PLACES])
        places = torch.stack((cells % width, cells // width), 1).float()
        goals = places + self.flow[index].flatten(1).T[cells]
        return Example(
            self.first + index,
            self.first + len(self.flow) + index,
            places,
            goals,
            0.6,
        )


@dataclass(frozen=True)
class MatchExamples:
    """Category pairs and where the network agrees with itself on them."""

    #: ``(P, 2)`` indices in the store.
    pairs: Tensor
    #: ``(P, cells, 2)`` in (x, y) cells of the second image.
    goals: Tensor
    #: ``(P, cells)``, how likely a cell is drawn.
    weight: Tensor
    #: Cells along one side.
    side: int

    def draw(self, rng: np.random.Generator) -> Example:
        """Draw places of one pair, the surest ones most often."""
        index = int(rng.integers(len(self.pairs)))
        weight = self.weight[index].double().numpy()
        count = min(MATCHED_PLACES, int((weight > 0).sum()))
        chosen = rng.choice(
            len(weight), count, replace=False, p=weight / weight.sum()
        )
        cells = torch.from_numpy(chosen)
        places = torch.stack((cells % self.side, cells // self.side), 1)
        source, target = map(int, self.pairs[index])
        goals = self.goals[index][cells]
        return Example(source, target, places.float(), goals, 0.8)
