"""End-point error on known warps of photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.datasets.pair_lists import ImageFile
from napari_samnet.datasets.reading import read_image
from napari_samnet.datasets.synthetic import (
    BUNDLED,
    bundled_photograph,
    one_relit,
    random_field,
    squashed,
    warp_photograph,
)
from napari_samnet.evaluation import draw
from napari_samnet.evaluation.interfaces import (
    Answer,
    Image,
    Pair,
    Panel,
    Protocol,
    Scores,
)

#: Side of the pairs in pixels, the unit of the end-point error.
SIDE = 256
ALPHAS = (0.05, 0.10, 0.15)

#: Warps of every bundled photograph.
REPEATS = 5


@dataclass(frozen=True)
class _KnownFlow:
    #: (side, side, 2): from source to target in pixels.
    flow: NDArray[np.float64]
    #: (side, side): where it ends inside the target.
    valid: NDArray[np.bool_]


class Photographs:
    """Photographs to make pairs from, one per index.

    ``files``: one pair is made from each. By default, several are made from
    each of the photographs that come with scikit-image.
    """

    def __init__(
        self,
        files: Sequence[ImageFile] | None = None,
        *,
        repeats: int = REPEATS,
    ) -> None:
        self._files = files
        self._count = len(BUNDLED) * repeats if files is None else len(files)

    def __len__(self) -> int:
        return self._count

    @property
    def text(self) -> str:
        """Where the photographs are from."""
        if self._files is None:
            return 'photographs that come with scikit-image'
        return 'photographs of a list'

    def load(self, index: int) -> tuple[str, str, Image]:
        """Name, group and float RGB pixels of one photograph."""
        if self._files is None:
            name = BUNDLED[index % len(BUNDLED)]
            return (
                f'{name}-{index // len(BUNDLED)}',
                '',
                bundled_photograph(name),
            )
        file = self._files[index]
        return file.name, file.category, read_image(file.file)


class PhotographPairs(Protocol):
    """Pairs that are made from photographs, one from each."""

    def __init__(self, photographs: Photographs, *, seed: int = 0) -> None:
        self._photographs = photographs
        self._seed = seed

    def __len__(self) -> int:
        return len(self._photographs)


class Synthetic(PhotographPairs):
    """Mean end-point error at 256 px on warps in the ranges of RTNs.

    The target is the photograph squashed to 256 x 256, the source its warp;
    one of the two, drawn at random, gets another light. Pixels of the source
    that show nothing of the photograph do not count.
    """

    name = 'synthetic'
    ranking = 'epe'
    higher_is_better = False
    iterations = (1, 2, 3, 5, 10)

    def settings(self) -> dict[str, Any]:
        return {
            'direction': 'source to target, on the grid of the source',
            'images': self._photographs.text,
            'side': SIDE,
            'seed': self._seed,
        }

    def load(self, index: int) -> Pair:
        name, group, photograph = self._photographs.load(index)
        rng = np.random.default_rng([self._seed, index])
        target = squashed(photograph, SIDE)
        flow = random_field((SIDE, SIDE), rng)
        source, valid = warp_photograph(target, flow)
        source, target = one_relit(source, target, rng)
        return Pair(name, group, source, target, _KnownFlow(flow, valid))

    def score(self, pair: Pair, answer: Answer) -> Scores:
        error = _errors(answer.correspondence, pair.truth)
        scores = {'epe': float(error.mean())}
        for alpha in ALPHAS:
            scores[f'pck@{alpha:.2f}'] = float(np.mean(error <= alpha * SIDE))
        for count, state in answer.partial.items():
            scores[f'epe_iteration_{count}'] = float(
                _errors(state, pair.truth).mean()
            )
        return scores

    def summary(
        self, scores: Sequence[Scores], groups: Sequence[str]
    ) -> dict[str, Any]:
        result = super().summary(scores, groups)
        for part in (result, *result.get('groups', {}).values()):
            by_iteration = {
                name.rpartition('_')[2]: part.pop(name)
                for name in list(part)
                if name.startswith('epe_iteration_')
            }
            if by_iteration:
                part['epe_by_iteration'] = by_iteration
        return result

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        error = np.zeros(pair.source.shape[:2], np.float32)
        error[pair.truth.valid] = _errors(answer.correspondence, pair.truth)
        source, target, warped, back = super().panels(pair, answer)
        wrong = draw.mask(pair.source, ~pair.truth.valid)
        return [
            (source[0], wrong),
            target,
            warped,
            back,
            draw.error(error, SIDE),
        ]


def _errors(match: Correspondence, truth: _KnownFlow) -> NDArray[np.floating]:
    """End-point errors in pixels where the truth is known."""
    difference = match.flow[truth.valid] - truth.flow[truth.valid]
    return np.asarray(np.linalg.norm(difference, axis=-1))
