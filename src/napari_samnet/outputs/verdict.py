"""One line on whether a result can be used, and what to do if not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_samnet.correspondence import Correspondence
from napari_samnet.labels.quality import is_likely_absent
from napari_samnet.outputs.verdict_figures import (
    BAD_ERROR,
    LOOK_ERROR,
    DoubtfulPlace,
    figures_of,
)

Level = Literal['good', 'look', 'bad']


#: Share of the points that miss their start by more, above which a match is
#: to be looked at.
LOOK_ASTRAY = 0.1

#: Predicted IoU of labels below which they are to be looked at, and below
#: which they are not to be used. Of 108 pairs of training images, 16 of them
#: without the object, 67 have an IoU above .75: 66 are predicted above the
#: first, none below the second. 27 are below .4: 25 are predicted below the
#: first, 19 below the second. Of several labels it is the mean by their area.
LOOK_QUALITY, BAD_QUALITY = 0.7, 0.5

#: Mean confidence below which a match is to be looked at, and below which it
#: is not to be used: where the labels are, at the points, and over the whole
#: image. Of 60 pairs of training animals, half of them spoilt, those with
#: more than .75 of their keypoints right have .48 and more at these, and 37
#: of the 43 with less than .3 right have less than .42.
LIMITS: Mapping[str, tuple[float, float]] = {
    'labels': (0.45, 0.3),
    'points': (0.6, 0.42),
    'image': (0.3, 0.22),
}

#: Where the matches of points look like places farther from the points than
#: this share of their extent, more confidence is asked for: so much more for
#: each further extent, up to a largest value. Of 198 pairs of training
#: images, many of animals small before a background that stays, 96 % of the
#: 112 with less than .3 of their points right are then told from all but one
#: of the 38 with more than .75, instead of 78 %.
ELSEWHERE, ASKED_MORE, MOST_ASKED = 0.1, 4.0, 0.8

#: Share of the labeled cells that evidence and field have in common below
#: which they contradict each other.
LEAST_AGREEMENT = 0.25

#: Cosine by which labeled cells of the target must be more alike to the source
#: than others are, for the object to be there.
LEAST_LEAD = 0.0

#: How a level begins, and the color of its sign: red, green, blue. The best
#: level first.
LEVELS: Mapping[Level, tuple[str, tuple[int, int, int]]] = {
    'good': ('Good', (46, 158, 91)),
    'look': ('Look at these places', (217, 140, 0)),
    'bad': ('Do not use', (211, 73, 78)),
}

#: What is said of an object that is not found, in the whole target and in the
#: part of it that is matched.
ABSENT = 'the object is probably not in this image'
ABSENT_THERE = 'the object is probably not in the matched part of the target'

#: Mean confidence of places in no part that is matched: it is 0 there, but for
#: what the borders of that part lend to them.
LEFT_OUT = 0.02

#: How a verdict begins that asks to look, but knows no places.
NO_PLACES = 'Look before use'


@dataclass(frozen=True)
class Verdict:
    """Whether a result can be used."""

    #: Whether it can be used as it is, should be looked at, or should not be
    #: used.
    level: Level
    #: Why, in a few words.
    reason: str
    #: What to do about it; empty if it is good.
    advice: str = ''
    #: Where to look, the worst first.
    places: tuple[DoubtfulPlace, ...] = ()
    #: What it was read from.
    figures: Mapping[str, float] | None = None

    @property
    def text(self) -> str:
        """One line: level, reason and advice."""
        begin = LEVELS[self.level][0]
        if self.level == 'look' and not self.places:
            begin = NO_PLACES
        line = f'{begin}: {self.reason}'
        return f'{line}. {self.advice}' if self.advice else line

    @property
    def color(self) -> tuple[int, int, int]:
        """Red, green and blue, from 0 to 255, of its sign."""
        return LEVELS[self.level][1]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON can hold them."""
        return {
            'level': self.level,
            'reason': self.reason,
            'advice': self.advice,
            'places': [
                {
                    'source': [round(float(v), 1) for v in place.source],
                    'target': [round(float(v), 1) for v in place.target],
                    'error': round(float(place.error), 4),
                }
                for place in self.places
            ],
            'figures': {
                name: round(float(value), 4)
                for name, value in (self.figures or {}).items()
            },
        }


def judge(
    correspondence: Correspondence,
    labels: Any = None,
    *,
    points: npt.ArrayLike | None = None,
    qualities: Mapping[Any, float] | None = None,
) -> Verdict:
    """Judge a match.

    ``labels`` (Hs, Ws): Labels of the source: it is judged where they are.
    Without them, the places that the match is sure of count most.
    ``points`` (K, 2): rows and columns in pixels of points of the source.
    Without labels, it is judged where they are.
    ``qualities``: predicted IoU of each label, from 0 to 1. By default, what
    the match predicts, see :meth:`Correspondence.label_quality`.
    """
    if correspondence.metadata.get('blank'):
        return _nothing_shown(correspondence.metadata)
    shown, where = None, 'image'
    if labels is not None and np.asarray(labels).any():
        shown, where = (np.asarray(labels) != 0).astype(np.float32), 'labels'
    elif points is not None and len(np.asarray(points)):
        where = 'points'
    figures, places = figures_of(correspondence, shown, points)
    cut = [_is_cut(correspondence.metadata, number) for number in (0, 1)]
    if where != 'image' and cut[0] and figures['confidence'] < LEFT_OUT:
        return Verdict(
            'bad',
            f'the {where} lie outside the part of the source that is matched',
            'Choose a region that holds them, or none',
            figures=figures,
        )
    turned = correspondence.metadata.get('orientation') or {}
    margin = turned.get('margin')
    if margin is not None:
        figures['orientation_margin'] = float(margin)
    if qualities is None and shown is not None:
        # What the field alone predicts is its confidence, which is there.
        qualities = {
            quality.label: quality.predicted_iou
            for quality in correspondence.label_quality(labels)
            if quality.measures is not None
            and quality.predicted_iou == quality.predicted_iou
        }
    worst: list[Any] = []
    if qualities:
        figures['quality'] = _mean_quality(qualities, labels)
        worst = [k for k, v in qualities.items() if v < LOOK_QUALITY]
    level, reason, advice = _verdict(figures, worst, where)
    if reason == ABSENT and cut[1]:
        reason = ABSENT_THERE
    kept = places if level != 'good' else ()
    return Verdict(level, reason, advice, tuple(kept), figures)


def _is_cut(metadata: Mapping[str, Any], number: int) -> bool:
    """Whether a part of the source (0) or target (1) was not matched."""
    shares = list(metadata.get('matched_share', (1.0, 1.0)))
    if metadata.get('inverse'):
        shares.reverse()
    return bool(shares[number] < 1)


def _nothing_shown(metadata: Mapping[str, Any]) -> Verdict:
    """Of a match of images of which one shows nothing."""
    names = {'source': 'source', 'target': 'target'}
    if metadata.get('inverse'):
        names = {'source': 'target', 'target': 'source'}
    told = ' and '.join(
        f'the {names[name]} shows nothing ({why})'
        for name, why in metadata['blank'].items()
    )
    return Verdict(
        'bad', told, 'Is it the right file, plane and channel?', (), {}
    )


def _mean_quality(qualities: Mapping[Any, float], labels: Any) -> float:
    """Mean quality of labels by their area in the source."""
    values = list(qualities.values())
    if labels is None:
        return float(np.mean(values))
    ids, counts = np.unique(np.asarray(labels), return_counts=True)
    area = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    return float(
        np.average(values, weights=[area.get(k, 1) for k in qualities])
    )


def _verdict(
    figures: Mapping[str, float], worst: Sequence[Any], where: str
) -> tuple[Level, str, str]:
    """Level, reason and advice from the figures."""
    told = _why_not(figures, where)
    if told is not None:
        return 'bad', *told
    told = _why_look(figures, worst, where)
    if told is not None:
        return 'look', *told
    share = _share(figures['error'])
    return 'good', f'both ways agree within {share}', ''


def _share(error: float) -> str:
    share = 100 * error
    # Not 3.6e+02.
    told = f'{share:.0f}' if share >= 100 else f'{share:.2g}'
    return f'{told} % of the side'


def _why_not(
    figures: Mapping[str, float], where: str
) -> tuple[str, str] | None:
    """Why a result is not to be used, and what to do; None if it may be."""
    look, bad = LIMITS[where]
    unsure = figures['confidence'] < bad
    failed = not figures['error'] <= BAD_ERROR
    quality = figures.get('quality')
    absent = (
        figures.get('lead', 1.0) < LEAST_LEAD and unsure
        if quality is None
        else is_likely_absent(quality) and figures['confidence'] < look
    )
    if absent:
        return (
            ABSENT,
            'Choose another target, or place landmarks if it is there',
        )
    if quality is not None:
        # Labels follow what they look like, where the field may be lost.
        if quality >= BAD_QUALITY:
            return None
        return (
            'the labels are probably wrong',
            'Place landmarks, or choose a target that is more alike',
        )
    if where == 'image' and (
        unsure or (failed and figures['confidence'] < look)
    ):
        return (
            'there and back, points miss their start by '
            + _share(figures['error']),
            'Mirrored, turned, or nothing alike? Try Orientation, or place '
            'landmarks',
        )
    elsewhere = figures.get('elsewhere', 0.0) - ELSEWHERE
    asked = min(bad + ASKED_MORE * elsewhere, MOST_ASKED)
    if not unsure and figures['confidence'] < asked:
        return (
            'the points probably land on other parts than those they mark',
            'Place landmarks, or choose a target in a pose that is more alike',
        )
    if unsure:
        return (
            f'the field is not sure of the {where}',
            'Nothing alike, or seen from another side? Try Orientation, '
            'place landmarks, or choose a target that is more alike',
        )
    return None


def _why_look(
    figures: Mapping[str, float], worst: Sequence[Any], where: str
) -> tuple[str, str] | None:
    """Why a result is to be looked at, and where; None if it is good."""
    look, bad = LIMITS[where]
    error, show = figures['error'], 'Compare with the target'
    if figures.get('quality', 1.0) < LOOK_QUALITY or worst:
        names = ', '.join(map(str, list(worst)[:5]))
        return (
            'some labels are uncertain' + (f', id {names}' if names else ''),
            'Look at their outlines',
        )
    if figures.get('agreement', 1) < LEAST_AGREEMENT:
        return (
            'what looks like the labels lies elsewhere than the field leads',
            'A small object over a still background? Labels follow what they '
            'look like, points do not',
        )
    if 'quality' in figures and figures['confidence'] < bad:
        return (
            'the labels are found by what they look like, the field is lost',
            'Points and the repainted image are not to be used. Turned or '
            'mirrored? Try Orientation',
        )
    if figures['astray'] > LOOK_ASTRAY:
        return (
            f'{100 * figures["astray"]:.0f} % of the points do not come back',
            show,
        )
    if not error <= LOOK_ERROR:
        return (
            f'there and back, points miss their start by {_share(error)}',
            show,
        )
    if figures['confidence'] < look:
        return f'the match is not sure of the {where}', show
    return None


def judge_planes(reports: Sequence[Any]) -> Verdict:
    """Judge a propagation by what is said of its planes.

    Returns: bad if most planes have no labels or doubtful ones, 'look' if some
    have, with the first reason.
    """
    visited = [r for r in reports if r.state != 'annotated']
    doubtful = [r for r in visited if r.state != 'good']
    figures = {
        'planes': float(len(visited)),
        'doubtful': float(len(doubtful)),
    }
    if not doubtful:
        return Verdict('good', 'all planes', figures=figures)
    first = min(doubtful, key=lambda r: r.index)
    reason = (
        f'{len(doubtful)} of {len(visited)} planes; plane {first.index}: '
        f'{first.reason}'
    )
    advice = 'Correct them and go on from there'
    if first.state == 'ended':
        advice = 'Annotate a plane behind it to go on'
    if 2 * len(doubtful) > len(visited):
        return Verdict('bad', reason, advice, (), figures)
    return Verdict('look', reason, advice, (), figures)
