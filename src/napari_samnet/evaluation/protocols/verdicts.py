"""Whether the verdict on a result tells wrong results from right ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import data

from napari_samnet.datasets.synthetic import bundled_photograph
from napari_samnet.errors import InputError
from napari_samnet.evaluation.interfaces import (
    Answer,
    Image,
    Pair,
    Panel,
    Protocol,
    Scores,
)
from napari_samnet.evaluation.protocols.keypoints import Keypoints
from napari_samnet.evaluation.protocols.masks import Masks
from napari_samnet.images.rgb import to_rgb
from napari_samnet.outputs.verdict import judge

#: Pairs that are taken of all lists together; each comes twice.
PAIRS = 100

#: Below this IoU, or this PCK at .10, a result is wrong; above the other
#: value it is right.
WRONG = {'iou': 0.4, 'pck@0.10': 0.3}
RIGHT = 0.75

#: How the second of each two pairs is spoilt, in turn.
SPOILT = ('mirrored', 'other object', 'absent', 'wrong plane')

#: Pairs in which the object is in both images.
THERE = ('as it is', 'mirrored')

#: Photographs of another object, and pictures of no object.
OTHERS = ('astronaut', 'coffee', 'rocket', 'coins')
EMPTY = ('brick', 'grass', 'gravel', 'moon')

#: Smallest part of a target that stands for a plane without the object, as a
#: share of its area, and its shortest side in pixels.
LEAST_PART, LEAST_SIDE = 0.12, 40


class Verdicts(Protocol):
    """The verdicts on pairs, of which half are spoilt.

    Every pair comes as it is, and with its target mirrored, replaced by a
    photograph of something else, by a picture of nothing, or by the part of
    it that lies beside the object, as a wrong plane of a stack. A result is
    wrong below an IoU of .4 or a PCK at .10 of .3, and right above .75;
    where the object is not there, it is wrong whatever it is. `bad_of_wrong`
    is the share of the wrong results of which the verdict is *do not use*,
    `bad_of_right` that of the right ones, `good_of_wrong` the share of the
    wrong results that are called good.

    ``inners``: pairs with masks or with keypoints, taken in turn. Raises
    InputError if they have neither.
    """

    name = 'verdicts'
    ranking = 'result'

    def __init__(self, inners: Sequence[Protocol]) -> None:
        for inner in inners:
            if inner.ranking not in WRONG:
                raise InputError(
                    f'verdicts need pairs with masks or keypoints, got those '
                    f'of {inner.name}'
                )
        self._inners = list(inners)
        counts = _shared_out(PAIRS, [len(inner) for inner in inners])
        cases = [
            (inner, number * len(inner) // count, kind)
            for place, (inner, count) in enumerate(
                zip(inners, counts, strict=True)
            )
            for number in range(count)
            # Lists begin with different kinds, so that all are as frequent.
            for kind in ('as it is', SPOILT[(number + place) % len(SPOILT)])
        ]
        # A limit takes evenly spread ones of this list.
        order = np.random.default_rng(0).permutation(len(cases))
        self._cases = [cases[number] for number in order]

    def __len__(self) -> int:
        return len(self._cases)

    def settings(self) -> dict[str, Any]:
        return {
            'spoilt': ', '.join(SPOILT),
            'wrong': f'IoU below {WRONG["iou"]}, PCK at .10 below '
            f'{WRONG["pck@0.10"]}, or not there',
            'right': f'above {RIGHT}',
            'scored_as': ', '.join(inner.name for inner in self._inners),
        }

    def load(self, index: int) -> Pair:
        inner, number, kind = self._cases[index]
        pair = inner.load(number)
        spoilt = replace(pair, name=f'{pair.name} {kind}', group=kind)
        if kind == 'mirrored':
            return _mirrored(spoilt, inner)
        if kind == 'other object':
            name = OTHERS[number % len(OTHERS)]
            return replace(spoilt, target=bundled_photograph(name))
        if kind == 'wrong plane':
            part = _beside(pair, inner)
            if part is not None:
                return replace(spoilt, target=part)
        if kind in ('absent', 'wrong plane'):
            picture = getattr(data, EMPTY[number % len(EMPTY)])()
            return replace(spoilt, target=to_rgb(picture))
        return spoilt

    def _inner(self, pair: Pair) -> Protocol:
        """Protocol that a pair is scored by."""
        masks = bool(pair.references)
        return next(
            inner
            for inner in self._inners
            if isinstance(inner, Masks) == masks
        )

    def score(self, pair: Pair, answer: Answer) -> Scores:
        inner = self._inner(pair)
        result = 0.0
        if pair.group in THERE:
            result = inner.score(pair, answer)[inner.ranking]
        where = (
            {'labels': pair.truth[0]}
            if pair.references
            else {'points': pair.truth[0]}
        )
        verdict = judge(answer.correspondence, **where)
        return {
            'result': result,
            'wrong': float(result < WRONG[inner.ranking]),
            'bad': float(verdict.level == 'bad'),
            'good': float(verdict.level == 'good'),
            **{
                f'figure_{name}': float(value)
                for name, value in (verdict.figures or {}).items()
            },
        }

    def summary(
        self, scores: Sequence[Scores], groups: Sequence[str]
    ) -> dict[str, Any]:
        told = [
            {
                name: value
                for name, value in score.items()
                if not name.startswith('figure_')
            }
            for score in scores
        ]
        result = super().summary(told, groups)
        wrong, bad, good = (
            np.array([score[name] for score in scores], bool)
            for name in ('wrong', 'bad', 'good')
        )
        right = np.array([score['result'] > RIGHT for score in scores])
        result |= {'wrong_pairs': int(wrong.sum())}
        result |= {'right_pairs': int(right.sum())}
        for name, said, of in (
            ('bad_of_wrong', bad, wrong),
            ('bad_of_right', bad, right),
            ('good_of_wrong', good, wrong),
        ):
            result[name] = (
                round(float(said[of].mean()), 5) if of.any() else None
            )
        return result

    def panels(self, pair: Pair, answer: Answer) -> list[Panel]:
        if pair.group in THERE:
            return self._inner(pair).panels(pair, answer)
        return super().panels(pair, answer)


def _shared_out(total: int, sizes: Sequence[int]) -> list[int]:
    """Share a number out among lists: equally, as far as they are long.

    ``sizes``: how long the lists are. Returns: how many to take of each; all
    of all if there are fewer than `total`.
    """
    counts = [0] * len(sizes)
    shortest_first = sorted(range(len(sizes)), key=sizes.__getitem__)
    for done, number in enumerate(shortest_first):
        # What the shorter lists lack falls to the longer ones.
        left = len(sizes) - done
        counts[number] = min((total - sum(counts)) // left, sizes[number])
    return counts


def _mirrored(pair: Pair, inner: Protocol) -> Pair:
    """A pair whose target is seen in a mirror, with what is known of it."""
    target = np.ascontiguousarray(pair.target[:, ::-1])
    if isinstance(inner, Masks):
        source, labels = pair.truth
        return replace(
            pair, target=target, truth=(source, labels[:, ::-1].copy())
        )
    source, points, box = pair.truth
    columns = target.shape[1]
    mirrored = points * (1, -1) + (0, columns - 1)
    return replace(pair, target=target, truth=(source, mirrored, box))


def _beside(pair: Pair, inner: Protocol) -> Image | None:
    """Largest part of the target beside the object, or None if too small."""
    shape = np.array(pair.target.shape[:2])
    at: NDArray[Any] = (
        np.argwhere(pair.truth[1])
        if isinstance(inner, Masks)
        else np.asarray(pair.truth[1])
    )
    if isinstance(inner, Keypoints) and pair.truth[2] is not None:
        x0, y0, x1, y1 = pair.truth[2]
        at = np.concatenate([at, [[y0, x0], [y1, x1]]])
    top, left = np.clip(at.min(0), 0, shape).astype(int)
    bottom, right = np.clip(np.ceil(at.max(0)) + 1, 0, shape).astype(int)
    parts = (
        pair.target[:top],
        pair.target[bottom:],
        pair.target[:, :left],
        pair.target[:, right:],
    )
    best = max(parts, key=lambda part: part.shape[0] * part.shape[1])
    rows, columns = best.shape[:2]
    if min(rows, columns) < LEAST_SIDE:
        return None
    if rows * columns < LEAST_PART * shape.prod():
        return None
    return np.ascontiguousarray(best)
