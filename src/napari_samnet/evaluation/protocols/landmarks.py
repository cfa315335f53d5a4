"""rTRE: landmarks of tissue sections moved to the next section."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.datasets.metrics import relative_tre
from napari_samnet.datasets.pair_lists import KeypointPair
from napari_samnet.evaluation.interfaces import Answer, Pair, Scores
from napari_samnet.evaluation.protocols.keypoints import Keypoints

#: A landmark is right, as far as its confidence is concerned, within so many
#: pixels of images that are squashed to the working size below.
RIGHT_PIXELS = 3.0
WORKING_SIZE = 256


class Landmarks(Keypoints):
    """Relative target registration error, as in BIRL and ANHIR.

    The error after moving the source's landmarks, over the diagonal of the
    target image: the median over the landmarks of a pair, then the mean over
    the pairs.
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

    def _right(self, pair: Pair, answer: Answer) -> NDArray[np.bool_]:
        estimate, truth, shape = self._moved(pair, answer)
        scale = WORKING_SIZE / np.array(shape[:2])
        distance = np.linalg.norm((estimate - truth) * scale, axis=1)
        return np.asarray(distance <= RIGHT_PIXELS)
