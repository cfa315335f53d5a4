"""Label maps with many ids, carried through known warps."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_samnet.datasets.instances import LABELED_IMAGES, labeled_image
from napari_samnet.datasets.metrics import label_ious
from napari_samnet.datasets.synthetic import (
    Image,
    WarpRanges,
    inverse_flow,
    one_relit,
    random_field,
    warp_photograph,
)
from napari_samnet.evaluation import draw
from napari_samnet.evaluation.interfaces import (
    Answer,
    Pair,
    Panel,
    Protocol,
    Reference,
    Scores,
)

#: Warps of every image.
REPEATS = 4

#: Share of RTNs' ranges that the warps go.
STRENGTH = 0.5

#: Labels of at most so many pixels may get lost.
TINY = 12


class _Known(NamedTuple):
    labels: NDArray[np.int32]
    target_labels: NDArray[np.int32]
    visible: list[int]


@lru_cache(maxsize=2)
def _image(name: str) -> tuple[Image, NDArray[np.int32]]:
    return labeled_image(name)


class Instances(Protocol):
    """IoU per label on warps of images with 20 to 200 labels.

    The target is an image with labels, the source its warp, with one of the
    two in another light. `iou` is the mean over all labels that the source
    shows whole, `iou_lowest_tenth` that of the tenth that came out worst;
    `lost` counts labels of more than 12 px that reached no pixel.
    """

    name = 'instances'
    ranking = 'iou'

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._names = list(LABELED_IMAGES)

    def __len__(self) -> int:
        return len(self._names) * REPEATS

    def settings(self) -> dict[str, Any]:
        return {
            'direction': 'labels of the source carried to the target',
            'images': ', '.join(self._names),
            'warp': f'{STRENGTH:g} of the ranges of RTNs',
            'seed': self._seed,
        }

    def load(self, index: int) -> Pair:
        name = self._names[index // REPEATS]
        image, target_labels = _image(name)
        rng = np.random.default_rng([self._seed, index, 3])
        shape = target_labels.shape
        flow = random_field(shape, rng, WarpRanges().times(STRENGTH))
        source, _ = warp_photograph(image, flow)
        labels = map_coordinates(
            target_labels,
            np.indices(shape) + np.moveaxis(flow, -1, 0),
            order=0,
        )
        source, target = one_relit(source, image, rng)
        known = _Known(labels, target_labels, _visible(target_labels, flow))
        return Pair(
            f'{name}-{index % REPEATS}',
            name,
            source,
            target,
            known,
            (Reference(source, labels),),
        )

    def score(self, pair: Pair, answer: Answer) -> Scores:
        truth: _Known = pair.truth
        carried = answer.carried_labels(truth.labels)
        by_label = label_ious(carried, truth.target_labels)
        ious = np.sort([by_label[number] for number in truth.visible])
        sizes = np.bincount(truth.target_labels.ravel())
        there = set(np.unique(carried).tolist())
        return {
            'iou': float(ious.mean()),
            'iou_lowest_tenth': float(ious[: -(-ious.size // 10)].mean()),
            'lost': float(
                sum(
                    number not in there and sizes[number] > TINY
                    for number in truth.visible
                )
            ),
            'labels': float(ious.size),
        }

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        truth: _Known = pair.truth
        carried = answer.carried_labels(truth.labels)
        return [
            ('source', draw.mask(pair.source, truth.labels)),
            ('truth', draw.mask(pair.target, truth.target_labels)),
            ('carried', draw.mask(pair.target, carried)),
        ]


def _visible(
    labels: NDArray[np.int32], flow: NDArray[np.float64]
) -> list[int]:
    """Labels of the target that lie whole within the source."""
    back = np.moveaxis(inverse_flow(flow), -1, 0) + np.indices(labels.shape)
    sides = np.array(labels.shape).reshape(2, 1, 1)
    outside = np.any((back < 1) | (back > sides - 2), axis=0)
    cut = set(np.unique(labels[outside]).tolist())
    return [n for n in np.unique(labels).tolist() if n and n not in cut]
