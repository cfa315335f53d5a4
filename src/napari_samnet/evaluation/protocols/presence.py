"""Whether what was annotated is in the other image at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from skimage.transform import resize

from napari_samnet.datasets.calibration import (
    area_under_curve,
    detection_rate,
)
from napari_samnet.datasets.pair_lists import MaskPair
from napari_samnet.datasets.synthetic import BUNDLED, bundled_photograph
from napari_samnet.evaluation.interfaces import Answer, Pair, Scores
from napari_samnet.evaluation.protocols.masks import Masks

#: Share of the pairs with the object that may be called empty.
FALSE_ALARMS = 0.05


class Presence(Masks):
    """Pairs without the object told from pairs with it.

    Every pair of a list comes twice: as it is, and with a photograph that
    comes with scikit-image as its target. What ranks them is the method's
    own estimate of the labels' quality, or, for want of one, the mean
    confidence inside of the annotation. `auroc` is the chance that a pair
    without the object ranks below one with it, `absent_detected` the share
    of the pairs without it that are told at 5 % false alarms.
    """

    name = 'presence'
    ranking = 'evidence'

    def __init__(self, pairs: Sequence[MaskPair]) -> None:
        super().__init__(pairs)

    def __len__(self) -> int:
        return 2 * super().__len__()

    def settings(self) -> dict[str, Any]:
        return {
            'absent': 'the target is a photograph that comes with '
            'scikit-image',
            'false_alarms': FALSE_ALARMS,
        }

    def load(self, index: int) -> Pair:
        # Neighbors in the list share their images, absent ones included.
        pair = super().load(index // 2)
        if index % 2 == 0:
            return replace(pair, group='present')
        name = BUNDLED[index // 2 % len(BUNDLED)]
        return replace(
            pair,
            name=f'{pair.name}-{name}',
            group='absent',
            target=bundled_photograph(name),
        )

    def score(self, pair: Pair, answer: Answer) -> Scores:
        quality = answer.quality
        if quality is None:
            cells = answer.correspondence.forward_cell_confidence
            labels = (pair.truth[0] > 0).astype(float)
            weight = resize(labels, cells.shape, anti_aliasing=True) + 1e-9
            quality = float((cells * weight).sum() / weight.sum())
        return {'evidence': quality}

    def summary(
        self, scores: Sequence[Scores], groups: Sequence[str]
    ) -> dict[str, Any]:
        result = super().summary(scores, groups)
        absent = np.array([group == 'absent' for group in groups])
        values = -np.array([score['evidence'] for score in scores])
        for name, value in (
            ('auroc', area_under_curve(values, absent)),
            (
                'absent_detected',
                detection_rate(values, absent, FALSE_ALARMS),
            ),
        ):
            result[name] = None if np.isnan(value) else round(value, 5)
        return result
