"""PCK: keypoints of one image moved to the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_samnet.datasets.metrics import box_side, pck
from napari_samnet.datasets.pair_lists import KeypointPair, fit_points
from napari_samnet.datasets.reading import read_image
from napari_samnet.errors import InputError
from napari_samnet.evaluation import draw
from napari_samnet.evaluation.interfaces import (
    Answer,
    JudgedPoints,
    Pair,
    Panel,
    Protocol,
    Scores,
)

#: What the tolerance is a share of.
THRESHOLDS = ('kp-box', 'box', 'image')
ALPHAS = (0.05, 0.10, 0.15, 0.20)

#: A point is right, as far as its confidence is concerned, within this share.
RIGHT_ALPHA = 0.10

#: Side of the square that both images are scaled to under `image`.
SCNET_SIDE = 224


class Keypoints(Protocol):
    """Percentage of correct keypoints.

    ``threshold_by``: what alpha is a share of: the longest side of the box of
    the other image's keypoints (PF-WILLOW), of its object box (SPair-71k), or
    224 after both images are scaled to 224 x 224 (SCNet's procedure, as in the
    paper's table of PF-PASCAL).
    ``move``: whose keypoints are moved. 'target' moves them into the source,
    as NC-Net and weakalign do.
    """

    name = 'keypoints'
    ranking = 'pck@0.10'

    def __init__(
        self,
        pairs: Sequence[KeypointPair],
        *,
        threshold_by: str = 'kp-box',
        move: str = 'source',
    ) -> None:
        if threshold_by not in THRESHOLDS:
            raise InputError(
                f'threshold-by must be one of {", ".join(THRESHOLDS)}, got '
                f'{threshold_by!r}'
            )
        if move not in ('source', 'target'):
            raise InputError(f'move must be source or target, got {move!r}')
        self._pairs = pairs
        self._threshold_by = threshold_by
        self._move = move
        if threshold_by == 'box':
            column = 'trg_bbox' if move == 'source' else 'src_bbox'
            for pair in pairs:
                if self._box(pair) is None:
                    raise InputError(
                        f'{pair.where}: {column} is empty, but the threshold '
                        f'is by box'
                    )

    def _box(
        self, pair: KeypointPair
    ) -> tuple[float, float, float, float] | None:
        return pair.target_box if self._move == 'source' else pair.source_box

    def __len__(self) -> int:
        return len(self._pairs)

    def settings(self) -> dict[str, Any]:
        other = 'target' if self._move == 'source' else 'source'
        return {
            'threshold_by': self._threshold_by,
            'direction': f'points of the {self._move} moved to the {other}',
        }

    def load(self, index: int) -> Pair:
        pair = self._pairs[index]
        source, target = read_image(pair.source), read_image(pair.target)
        truth = (
            fit_points(
                pair.source_points,
                pair.source_shape,
                source.shape,
                pair.where,
            ),
            fit_points(
                pair.target_points,
                pair.target_shape,
                target.shape,
                pair.where,
            ),
            self._box(pair),
        )
        return Pair(pair.name, pair.category, source, target, truth)

    def _moved(
        self, pair: Pair, answer: Answer
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, ...]]:
        """Estimated and true points, and the shape they live on."""
        source_points, target_points, _ = pair.truth
        match = answer.correspondence
        if self._move == 'source':
            moved = match.warp_points(source_points, to='target')
            return moved, target_points, pair.target.shape
        moved = match.warp_points(target_points, to='source')
        return moved, source_points, pair.source.shape

    def moved_points(
        self, pair: Pair, answer: Answer
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Move the keypoints of one image to the other.

        Returns: ``moved, truth``: (N, 2): where the points came out and where
        they belong, row and column in pixels of the other image.
        """
        estimate, truth, _ = self._moved(pair, answer)
        return estimate, truth

    def _scaled(
        self, pair: Pair, answer: Answer
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Estimated and true points, and the length that alpha is of."""
        estimate, truth, shape = self._moved(pair, answer)
        if self._threshold_by == 'image':
            scale = SCNET_SIDE / np.array(shape[:2])
            return estimate * scale, truth * scale, float(SCNET_SIDE)
        if self._threshold_by == 'box':
            x0, y0, x1, y1 = pair.truth[2]
            return estimate, truth, max(x1 - x0, y1 - y0)
        return estimate, truth, box_side(truth)

    def score(self, pair: Pair, answer: Answer) -> Scores:
        estimate, truth, reference = self._scaled(pair, answer)
        return {
            f'pck@{alpha:.2f}': pck(estimate, truth, reference, alpha)
            for alpha in ALPHAS
        }

    def judge(self, pair: Pair, answer: Answer) -> JudgedPoints:
        return JudgedPoints(
            self._confidence(pair, answer), self._right(pair, answer)
        )

    def _right(self, pair: Pair, answer: Answer) -> NDArray[np.bool_]:
        """Which points count as right when their confidence is judged."""
        estimate, truth, reference = self._scaled(pair, answer)
        distance = np.linalg.norm(estimate - truth, axis=1)
        return np.asarray(distance <= RIGHT_ALPHA * reference)

    def _confidence(self, pair: Pair, answer: Answer) -> NDArray[np.floating]:
        """What the method said of each point that it moved."""
        match = answer.correspondence
        cells, image = match.forward_cell_confidence, pair.source
        if self._move == 'target':
            cells, image = match.backward_cell_confidence, pair.target
        points = pair.truth[0 if self._move == 'source' else 1]
        share = (points + 0.5) / np.array(image.shape[:2])
        return np.asarray(
            map_coordinates(
                cells,
                (share * cells.shape - 0.5).T,
                order=1,
                mode='nearest',
            )
        )

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        estimate, truth, _ = self._moved(pair, answer)
        source_points, target_points, _ = pair.truth
        images = [pair.source, pair.target]
        points = [source_points, target_points]
        if self._move == 'target':
            images, points = images[::-1], points[::-1]
        _, _, warped, back = super().panels(pair, answer)
        return [
            ('keypoints', draw.points(images[0], points[0])),
            ('truth', draw.points(images[1], truth)),
            ('moved', draw.points(images[1], estimate, truth)),
            warped,
            back,
        ]
