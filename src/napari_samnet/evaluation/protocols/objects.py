"""End-point error where an object moves against its background."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.datasets.composites import (
    MEASURED,
    Composite,
    CompositeParts,
)
from napari_samnet.evaluation import draw
from napari_samnet.evaluation.interfaces import (
    Answer,
    Pair,
    Panel,
    Protocol,
    Scores,
)

SIDE = 256

#: Pixels on either side of the outline that `epe_outline` is taken over.
OUTLINE = 8


class Objects(Protocol):
    """End-point error on objects that move on their own.

    `epe_inside` is the mean over the object's pixels in the source,
    `epe_outside` over the others, `epe_outline` over those within 8 px of
    the object's outline, all in pixels of 256 x 256 images and where what
    the source shows is visible in the target.
    """

    name = 'objects'
    ranking = 'epe_inside'
    higher_is_better = False

    def __init__(self, parts: CompositeParts, *, seed: int = 0) -> None:
        self._parts = parts
        self._seed = seed

    def __len__(self) -> int:
        return MEASURED

    def settings(self) -> dict[str, Any]:
        return {
            'direction': 'source to target, on the grid of the source',
            'images': self._parts.text,
            'side': SIDE,
            'outline': f'within {OUTLINE} px',
            'seed': self._seed,
        }

    def load(self, index: int) -> Pair:
        made = self._parts.pair(index, self._seed, SIDE)
        return Pair(
            f'{index:03}',
            '',
            made.source,
            made.target,
            made,
            regions=made.inside,
        )

    def score(self, pair: Pair, answer: Answer) -> Scores:
        truth: Composite = pair.truth
        error = _error(answer, truth)
        near = truth.outline_distance() <= OUTLINE
        return {
            name: float(error[where & truth.valid].mean())
            for name, where in (
                ('epe_inside', truth.inside),
                ('epe_outside', ~truth.inside),
                ('epe_outline', near),
            )
            if (where & truth.valid).any()
        }

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        truth: Composite = pair.truth
        error = np.where(truth.valid, _error(answer, truth), 0)
        _, target, warped, back = super().panels(pair, answer)
        return [
            ('source, object', draw.mask(pair.source, truth.inside)),
            target,
            warped,
            back,
            draw.error(error, SIDE),
        ]


def _error(answer: Answer, truth: Composite) -> NDArray[np.floating]:
    """End-point error of each pixel of the source."""
    difference = answer.correspondence.flow - truth.flow
    return np.asarray(np.linalg.norm(difference, axis=-1))
