"""Label transfer: the source's mask or labels on the target's grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from napari_samnet.datasets.metrics import (
    boundary_f,
    iou,
    label_accuracy,
    mean_iou,
)
from napari_samnet.datasets.pair_lists import MaskPair
from napari_samnet.datasets.reading import read_image, read_labels
from napari_samnet.errors import InputError
from napari_samnet.evaluation import draw
from napari_samnet.evaluation.interfaces import (
    Answer,
    Pair,
    Panel,
    Protocol,
    Reference,
    Scores,
)

#: A rank correlation of fewer pairs says nothing.
FEWEST_PAIRS = 5


class Masks(Protocol):
    """IoU, boundary F and label transfer accuracy of carried masks.

    With two masks, `iou` is that of the foreground; with label maps it is
    the mean over the target's labels. `boundary_f` compares the outlines,
    `lt_acc` is the share of all pixels that agree. Where a method says how
    good it expects its labels to be, `quality_spearman` is the rank
    correlation of that with the true IoU over the pairs.

    ``pairs``: pairs with a mask or a label map of each image.
    ``references``: annotated images that a method may use for each target: the
    source, and others of the list, drawn with a fixed seed, that are not the
    target.
    """

    name = 'masks'
    ranking = 'iou'

    def __init__(
        self, pairs: Sequence[MaskPair], *, references: int = 1
    ) -> None:
        if references < 1:
            raise InputError(
                f'references must be at least 1, got {references}'
            )
        self._pairs = pairs
        self._count = references
        known = {p.source: p.source_mask for p in pairs}
        self._annotated = list(known.items())

    def __len__(self) -> int:
        return len(self._pairs)

    def settings(self) -> dict[str, Any]:
        return {
            'direction': 'labels of the source warped to the grid of the '
            'target',
            'references': self._count,
        }

    def load(self, index: int) -> Pair:
        pair = self._pairs[index]
        source, target = (
            _annotated(image, labels, pair.where)
            for image, labels in (
                (pair.source, pair.source_mask),
                (pair.target, pair.target_mask),
            )
        )
        truth = (source.labels, target.labels)
        if truth[0].dtype != truth[1].dtype:
            # One a mask and the other a label map: both are foreground.
            truth = (truth[0] > 0, truth[1] > 0)
        return Pair(
            pair.name,
            pair.tag,
            source.image,
            target.image,
            truth,
            (
                Reference(source.image, truth[0]),
                *self._others(pair, index, truth[0].dtype),
            ),
        )

    def _others(
        self, pair: MaskPair, index: int, dtype: np.dtype[Any]
    ) -> list[Reference]:
        """Further annotated images, the same at every run."""
        choices = [
            entry
            for entry in self._annotated
            if entry[0] not in (pair.source, pair.target)
        ]
        count = min(self._count - 1, len(choices))
        rng = np.random.default_rng([0, index])
        chosen = rng.choice(len(choices), count, replace=False)
        others = [
            _annotated(choices[k][0], choices[k][1], pair.where)
            for k in chosen
        ]
        if dtype.kind == 'b':
            return [Reference(o.image, o.labels > 0) for o in others]
        return others

    def score(self, pair: Pair, answer: Answer) -> Scores:
        source, target = pair.truth
        scores = mask_scores(answer.carried_labels(source), target)
        if answer.quality is not None:
            scores['predicted_iou'] = answer.quality
        return scores

    def summary(
        self, scores: Sequence[Scores], groups: Sequence[str]
    ) -> dict[str, Any]:
        result = super().summary(scores, groups)
        both = [
            (score['predicted_iou'], score['iou'])
            for score in scores
            if 'predicted_iou' in score
        ]
        if len(both) >= FEWEST_PAIRS and all(
            np.ptp(values) > 0 for values in zip(*both, strict=True)
        ):
            rank = spearmanr(*zip(*both, strict=True)).statistic
            result['quality_spearman'] = round(float(rank), 5)
        return result

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        source_labels, target_labels = pair.truth
        carried = answer.carried_labels(source_labels)
        _, _, warped, _ = super().panels(pair, answer)
        return [
            ('source', draw.mask(pair.source, source_labels)),
            ('truth', draw.mask(pair.target, target_labels)),
            ('carried', draw.mask(pair.target, carried)),
            warped,
        ]


def mask_scores(
    estimate: NDArray[Any], truth: NDArray[Any]
) -> dict[str, float]:
    """Score a mask or a label map.

    ``estimate``, ``truth`` (H, W): what was carried, and what is right.
    Returns: ``iou``, ``boundary_f`` and ``lt_acc``, each from 0 to 1.
    """
    overlap = iou if truth.dtype == bool else mean_iou
    return {
        'iou': overlap(estimate, truth),
        'boundary_f': boundary_f(estimate, truth),
        'lt_acc': label_accuracy(estimate, truth),
    }


def _annotated(image: Any, labels: Any, where: str) -> Reference:
    """An image with its labels, which must be as large."""
    pixels, marks = read_image(image), read_labels(labels)
    if marks.shape != pixels.shape[:2]:
        raise InputError(
            f'{where}: {labels.name} must be as large as its image, '
            f'{pixels.shape[1]}x{pixels.shape[0]}, got '
            f'{marks.shape[1]}x{marks.shape[0]}'
        )
    return Reference(pixels, marks)
