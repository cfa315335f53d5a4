"""rTRE: landmarks of tissue sections moved to the next section."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_samnet.datasets.metrics import relative_tre
from napari_samnet.datasets.pair_lists import KeypointPair
from napari_samnet.evaluation.benchmark import Answer, Pair, Scores
from napari_samnet.evaluation.protocols.keypoints import Keypoints

__all__ = ['Landmarks']


class Landmarks(Keypoints):
    """Relative target registration error, as in BIRL and ANHIR.

    The error after moving the source's landmarks, over the diagonal of the
    target image: the median over the landmarks of a pair, then the mean over
    the pairs.

    Parameters
    ----------
    pairs : sequence of KeypointPair
        Pairs with landmarks.
    """

    name = 'landmarks'
    ranking = 'rtre'
    higher_is_better = False

    def __init__(self, pairs: Sequence[KeypointPair]) -> None:
        super().__init__(pairs)

    def settings(self) -> dict[str, Any]:
        return {
            'direction': 'landmarks of the source moved to the target',
            'rtre': 'median over landmarks, mean over pairs, in diagonals '
            'of the target',
        }

    def score(self, pair: Pair, answer: Answer) -> Scores:
        estimate, truth, shape = self._moved(pair, answer)
        return {'rtre': relative_tre(estimate, truth, shape)}
