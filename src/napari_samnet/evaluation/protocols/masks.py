"""Label transfer: the source's mask or labels on the target's grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.datasets.metrics import iou, label_accuracy, mean_iou
from napari_samnet.datasets.pair_lists import MaskPair
from napari_samnet.datasets.reading import read_image, read_labels
from napari_samnet.errors import InputError
from napari_samnet.evaluation import draw
from napari_samnet.evaluation.benchmark import (
    Answer,
    Pair,
    Panel,
    Protocol,
    Scores,
)

__all__ = ['Masks']


class Masks(Protocol):
    """IoU and label transfer accuracy of warped masks.

    With two masks, `iou` is that of the foreground; with label maps it is
    the mean over the target's labels. `lt_acc` is the share of all pixels
    that agree.

    Parameters
    ----------
    pairs : sequence of MaskPair
        Pairs with a mask or a label map of each image.
    """

    name = 'masks'
    ranking = 'iou'

    def __init__(self, pairs: Sequence[MaskPair]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def settings(self) -> dict[str, Any]:
        return {
            'direction': 'labels of the source warped to the grid of the '
            'target'
        }

    def load(self, index: int) -> Pair:
        pair = self._pairs[index]
        images = [read_image(pair.source), read_image(pair.target)]
        files = (pair.source_mask, pair.target_mask)
        labels = [read_labels(file) for file in files]
        for image, label, file in zip(images, labels, files, strict=True):
            if label.shape != image.shape[:2]:
                raise InputError(
                    f'{pair.where}: {file.name} must be as large as its '
                    f'image, {image.shape[1]}x{image.shape[0]}, got '
                    f'{label.shape[1]}x{label.shape[0]}'
                )
        if labels[0].dtype != labels[1].dtype:
            # One a mask and the other a label map: both are foreground.
            labels = [label > 0 for label in labels]
        return Pair(pair.name, pair.tag, images[0], images[1], tuple(labels))

    def _warped(self, pair: Pair, answer: Answer) -> NDArray[Any]:
        labels = answer.correspondence.warp_labels(pair.truth[0])
        return np.asarray(labels)

    def score(self, pair: Pair, answer: Answer) -> Scores:
        warped, truth = self._warped(pair, answer), pair.truth[1]
        overlap = iou if truth.dtype == bool else mean_iou
        return {
            'iou': overlap(warped, truth),
            'lt_acc': label_accuracy(warped, truth),
        }

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        source_labels, target_labels = pair.truth
        _, _, warped, _ = super().panels(pair, answer)
        return [
            ('source', draw.mask(pair.source, source_labels)),
            ('truth', draw.mask(pair.target, target_labels)),
            ('found', draw.mask(pair.target, self._warped(pair, answer))),
            warped,
        ]
