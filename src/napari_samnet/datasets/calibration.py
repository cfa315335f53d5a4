"""Whether a confidence is true: at .8, four of five points are right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from napari_samnet.errors import InputError

#: Intervals of equal width that the confidence is sorted into.
BINS = 10

#: Confidence above which a user takes a point for certain.
HIGH = 0.8


def area_under_curve(
    values: NDArray[np.floating], positive: NDArray[np.bool_]
) -> float:
    """Area under the receiver operating characteristic (AUROC).

    ``values`` (N,): larger means more likely positive.
    ``positive`` (N,): what each one is.
    Returns: probability that a positive has a larger value than a negative,
    ties counting half: 1 tells them apart, 0.5 is chance. NaN where one of the
    two kinds is missing.
    """
    count = int(positive.sum())
    others = positive.size - count
    if not count or not others:
        return float('nan')
    ranks = rankdata(values)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * others))


def detection_rate(
    values: NDArray[np.floating],
    positive: NDArray[np.bool_],
    false_alarms: float = 0.05,
) -> float:
    """Share of positives that are detected at a rate of false alarms.

    ``values`` (N,): larger means more likely positive.
    ``positive`` (N,): what each one is.
    ``false_alarms``: share of the negatives that may lie above the threshold;
    a larger share lowers the threshold and detects more.
    Returns: from 0 to 1; NaN where one of the two kinds is missing.
    """
    if not positive.any() or positive.all():
        return float('nan')
    negatives = np.sort(values[~positive])[::-1]
    threshold = negatives[int(false_alarms * negatives.size)]
    return float(np.mean(values[positive] > threshold))


def calibration(
    confidence: NDArray[np.floating], right: NDArray[np.bool_]
) -> dict[str, Any]:
    """Compare confidences with how often they were right.

    ``confidence`` (N,): from 0 to 1.
    ``right`` (N,): whether each point was right.
    Returns: ``ece``, the expected calibration error: the mean gap between
    confidence and share of right ones over ten intervals, weighted by their
    number of points [1]_; ``auroc``, how well confidence tells right from
    wrong; ``share_above_0.8``, the share of points with a confidence above .8,
    and ``right_above_0.8``, the share of these that were right;
    ``reliability``, a list with ``points``, ``confidence`` and ``right`` of
    every interval that holds points. Undefined values are None.
    Raises InputError if the two differ in shape or there are no points.

    References
    ----------
    .. [1] Guo, Pleiss, Sun, Weinberger. On Calibration of Modern Neural
       Networks. ICML 2017. arXiv:1706.04599
    """
    if confidence.shape != right.shape or not right.size:
        raise InputError(
            f'calibration needs a truth for each confidence, at least one, '
            f'got {confidence.shape} and {right.shape}'
        )
    place = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    reliability = [
        {
            'points': int(inside.sum()),
            'confidence': round(float(confidence[inside].mean()), 4),
            'right': round(float(right[inside].mean()), 4),
        }
        for inside in (place == index for index in range(BINS))
        if inside.any()
    ]
    gap = sum(
        row['points'] * abs(row['confidence'] - row['right'])
        for row in reliability
    )
    high = confidence > HIGH
    auroc = area_under_curve(confidence, right)
    return {
        'ece': round(gap / right.size, 5),
        'auroc': None if np.isnan(auroc) else round(auroc, 5),
        f'share_above_{HIGH}': round(float(high.mean()), 5),
        f'right_above_{HIGH}': (
            round(float(right[high].mean()), 5) if high.any() else None
        ),
        'reliability': reliability,
    }
