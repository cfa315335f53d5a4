"""What a few landmarks do for a match that has failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.datasets.pair_lists import KeypointPair
from napari_samnet.errors import InputError
from napari_samnet.evaluation.interfaces import Answer, Pair, Scores
from napari_samnet.evaluation.protocols.keypoints import Keypoints

#: Keypoints that are given as landmarks, and how many must remain.
GIVEN, FEWEST_REMAINING = 5, 3

#: The summary is of so many pairs at most, the worst of those that failed:
#: with a PCK at .10 below this.
WORST, FAILED = 30, 0.3


class Corrections(Keypoints):
    """Matches corrected by five of the keypoints, scored on the others.

    The five are spread over the source: the one furthest from the middle,
    then each time the one furthest from those that are chosen. The summary
    is of the pairs whose match failed without them, of the 30 worst if there
    are more; of all pairs if none did. `failed` counts them, `pck@0.10` is the
    share of the remaining keypoints that are right without landmarks,
    `corrected` that with them, `gain` the difference; `exact` is the largest
    distance, in pixels of the target, of a landmark that is met from where
    it belongs, and `met` the share of those.

    Pairs with fewer than eight keypoints are left out; raises InputError if
    all are. ``threshold_by``: see :class:`Keypoints`.
    """

    name = 'corrections'
    ranking = 'corrected'

    def __init__(
        self, pairs: Sequence[KeypointPair], *, threshold_by: str = 'kp-box'
    ) -> None:
        least = GIVEN + FEWEST_REMAINING
        kept = [pair for pair in pairs if len(pair.source_points) >= least]
        if not kept:
            raise InputError(
                f'corrections need pairs with at least {least} keypoints in '
                f'common'
            )
        super().__init__(kept, threshold_by=threshold_by)

    def settings(self) -> dict[str, Any]:
        return {
            **super().settings(),
            'landmarks': f'{GIVEN} of the keypoints; the others are scored',
            'means': f'of the pairs with a PCK below {FAILED} without, the '
            f'{WORST} worst at most',
        }

    def load(self, index: int) -> Pair:
        pair = super().load(index)
        source, target, box = pair.truth
        given = _spread(source)
        rest = np.setdiff1d(np.arange(len(source)), given)
        return replace(
            pair,
            truth=(source[rest], target[rest], box),
            landmarks=(source[given], target[given]),
        )

    def score(self, pair: Pair, answer: Answer) -> Scores:
        assert pair.landmarks is not None
        source, target = pair.landmarks
        corrected = answer.corrected
        if corrected is None:
            corrected = answer.correspondence.with_landmarks(source, target)
        met = np.array(corrected.metadata['landmarks']['met'])
        led = corrected.warp_points(source)
        off = np.linalg.norm(led - target, axis=1)
        before = super().score(pair, answer)['pck@0.10']
        after = super().score(pair, replace(answer, correspondence=corrected))
        return {
            'pck@0.10': before,
            'corrected': after['pck@0.10'],
            'gain': after['pck@0.10'] - before,
            'exact': float(off[met].max()) if met.any() else float('nan'),
            'met': float(met.mean()),
            'restarted': float(corrected.metadata['landmarks']['restarted']),
        }

    def summary(
        self, scores: Sequence[Scores], groups: Sequence[str]
    ) -> dict[str, Any]:
        before = np.array([score['pck@0.10'] for score in scores])
        order = np.argsort(before, kind='stable')
        failed = int((before < FAILED).sum())
        order = order[: min(failed, WORST) or None]
        worst = [scores[index] for index in order]
        result = super().summary(worst, [groups[index] for index in order])
        result['failed'] = failed
        exact = [score['exact'] for score in worst]
        if np.isfinite(exact).any():
            result['exact'] = round(float(np.nanmax(exact)), 5)
        return result


def _spread(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places of points that lie far from one another."""
    middle = points.mean(0)
    chosen = [int(np.linalg.norm(points - middle, axis=1).argmax())]
    while len(chosen) < GIVEN:
        apart = np.linalg.norm(points[:, None] - points[chosen], axis=-1)
        chosen.append(int(apart.min(1).argmax()))
    return np.array(chosen)
