"""Turned and mirrored targets, scored as if they stood upright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from napari_samnet.arrays.resize import center_grid
from napari_samnet.errors import InputError
from napari_samnet.evaluation.interfaces import (
    Answer,
    Pair,
    Panel,
    Protocol,
    Scores,
)
from napari_samnet.evaluation.protocols.image_turn import (
    TURN_SETS,
    ImageTurn,
    residual_turn,
)
from napari_samnet.evaluation.protocols.keypoints import Keypoints

#: A field is right if what is left of the turn is below this, in degrees.
RIGHT_DEGREES = 30.0


class _Turned(NamedTuple):
    upright: Pair
    turn: ImageTurn


class Orientation(Protocol):
    """Pairs of another protocol with the target turned or mirrored.

    Every pair comes upright, in the seven other flips and quarter turns,
    and at the multiples of 15 degrees between. The answer is turned back
    and scored as that protocol does; `right` is the share of pairs without
    a mirror and with less than 30 degrees left between the moved and the
    true points (for masks: between the field and no turn at all).
    `turned_upright` is the share of upright pairs that were turned, and
    `relative` the main measure of all others over that of the upright ones.

    ``inner``: pairs with keypoints, landmarks or masks.
    ``turns``: every orientation, the eight flips and quarter turns, or the
    upright pairs alone, to see how many of them are turned.
    Raises InputError if there are no such turns.
    """

    name = 'orientation'

    def __init__(self, inner: Protocol, *, turns: str = 'all') -> None:
        if turns not in TURN_SETS:
            raise InputError(
                f'turns must be one of {", ".join(TURN_SETS)}, got {turns!r}'
            )
        self._inner = inner
        self._orientations = TURN_SETS[turns]
        # A limit takes evenly spread ones of this list.
        self._order = np.random.default_rng(0).permutation(
            len(inner) * len(self._orientations)
        )

    @property
    def ranking(self) -> str:  # type: ignore[override]
        """Main score of the protocol of the pairs."""
        return self._inner.ranking

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """As in the protocol of the pairs."""
        return self._inner.higher_is_better

    def __len__(self) -> int:
        return len(self._order)

    def settings(self) -> dict[str, Any]:
        return {
            **self._inner.settings(),
            'scored_as': self._inner.name,
            'orientations': ', '.join(
                turn.name for turn in self._orientations
            ),
            'right': f'less than {RIGHT_DEGREES:g} degrees left, no mirror',
        }

    def load(self, index: int) -> Pair:
        number, which = divmod(
            int(self._order[index]), len(self._orientations)
        )
        upright, orientation = (
            self._inner.load(number),
            self._orientations[which],
        )
        return replace(
            upright,
            name=f'{upright.name}-{orientation.name}',
            group=orientation.group,
            target=orientation.image(upright.target),
            truth=_Turned(upright, orientation),
        )

    def _upright(self, pair: Pair, answer: Answer) -> Answer:
        upright, orientation = pair.truth
        shape = upright.target.shape[:2]
        if not pair.references:
            return orientation.upright(answer, shape, labels=False)
        carried = answer.carried_labels(pair.references[0].labels)
        return orientation.upright(
            replace(answer, labels=carried), shape, labels=True
        )

    def score(self, pair: Pair, answer: Answer) -> Scores:
        upright = pair.truth.upright
        back = self._upright(pair, answer)
        degrees, mirrored = self._residual(upright, back)
        return {
            **self._inner.score(upright, back),
            'right': float(not mirrored and degrees < RIGHT_DEGREES),
        }

    def _residual(self, upright: Pair, answer: Answer) -> tuple[float, bool]:
        if isinstance(self._inner, Keypoints):
            moved, truth = self._inner.moved_points(upright, answer)
            return residual_turn(truth, moved)
        match = answer.correspondence
        start = center_grid(match.forward.shape).reshape(-1, 2)
        size = np.array(match.target_shape)
        return residual_turn(
            start * size,
            (start + match.forward.reshape(-1, 2)) * size,
            match.forward_cell_confidence.ravel(),
        )

    def summary(
        self, scores: Sequence[Scores], groups: Sequence[str]
    ) -> dict[str, Any]:
        result = super().summary(scores, groups)
        upright = [group == 'upright' for group in groups]
        values = np.array([score[self.ranking] for score in scores])
        right = np.array([score['right'] for score in scores])
        straight = np.array(upright)
        if straight.any():
            turned = 1 - right[straight].mean()
            result['turned_upright'] = round(float(turned), 5)
        if straight.any() and not straight.all():
            base = float(values[straight].mean())
            others = float(values[~straight].mean())
            result['relative'] = round(others / base, 5) if base else None
        return result

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        back = self._upright(pair, answer)
        return [
            ('turned target', pair.target),
            *self._inner.panels(pair.truth.upright, back),
        ]
