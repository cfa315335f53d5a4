from __future__ import annotations

import numpy as np
import pytest

from napari_samnet.datasets.calibration import (
    area_under_curve,
    calibration,
    detection_rate,
)
from napari_samnet.errors import InputError


def test_a_true_confidence_has_no_error():
    rng = np.random.default_rng(0)
    confidence = rng.random(20000)
    right = rng.random(20000) < confidence
    result = calibration(confidence, right)
    assert result['ece'] < 0.02
    # The best that can be had of uniform, true confidences.
    assert result['auroc'] == pytest.approx(5 / 6, abs=0.01)
    assert result['share_above_0.8'] == pytest.approx(0.2, abs=0.02)
    assert result['right_above_0.8'] == pytest.approx(0.9, abs=0.02)
    assert sum(row['points'] for row in result['reliability']) == 20000


def test_a_confidence_that_promises_too_much():
    result = calibration(np.full(10, 0.95), np.arange(10) < 4)
    assert result['ece'] == pytest.approx(0.55)
    assert result['auroc'] == 0.5
    assert result['right_above_0.8'] == 0.4
    assert result['reliability'] == [
        {'points': 10, 'confidence': 0.95, 'right': 0.4}
    ]
    none = calibration(np.full(10, 0.2), np.ones(10, bool))
    assert none['auroc'] is None
    assert none['right_above_0.8'] is None
    with pytest.raises(InputError, match='at least one'):
        calibration(np.zeros(0), np.zeros(0, bool))


def test_area_counts_ties_half():
    values = np.array([1.0, 2.0, 2.0, 3.0])
    positive = np.array([False, False, True, True])
    assert area_under_curve(values, positive) == pytest.approx(3.5 / 4)
    assert np.isnan(area_under_curve(values, np.ones(4, bool)))


def test_detection_at_a_rate_of_false_alarms():
    values = np.arange(40.0)
    positive = values >= 20
    assert detection_rate(values, positive) == 1
    values[::2] = 100 - values[::2]
    assert 0 <= detection_rate(values, positive, 0.05) < 1
    assert np.isnan(detection_rate(values, ~np.ones(40, bool)))
