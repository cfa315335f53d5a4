"""How well labels were carried, estimated without knowing the truth.

A label is measured by what usually goes wrong: scores that are not sure, a
field that says something else, cells that do not really look alike, and
parts of the annotated object that nothing in the target looks like. A
logistic function of these measures estimates the IoU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    'LabelMeasures',
    'LabelQuality',
    'image_quality',
    'is_likely_absent',
    'predicted_iou',
]

#: Factors of the measures in the logistic function, see
#: :func:`predicted_iou`. Fitted by least squares to the true IoU of 40
#: Weizmann training pairs and of the same sources with 40 images that do not
#: show the object (Caltech-101, Stanford Cars, ImageNet).
COEFFICIENTS = {
    'constant': -6.0,
    'expected': 4.0,
    'agreement': 2.0,
    'similarity': 4.0,
    'coverage': 2.0,
}

#: Below this estimate the object is probably not in the image.
ABSENT_BELOW = 0.35


@dataclass(frozen=True)
class LabelMeasures:
    """What is measured of one carried label.

    Parameters
    ----------
    area : int
        Samples of the target that the label won.
    expected : float
        IoU that the scores themselves expect: their sum where the label has
        won, over the area of that plus their sum elsewhere.
    agreement : float
        IoU with what the field alone brings; 0.5 where there is no field.
    similarity : float
        Mean cosine similarity, where the label has won, of the most similar
        cell of the annotated images.
    coverage : float
        Share of the annotated object's cells that the target looks like.
    """

    area: int
    expected: float
    agreement: float
    similarity: float
    coverage: float


@dataclass(frozen=True)
class LabelQuality:
    """The estimate for one label.

    Parameters
    ----------
    label : int
        Id of the label.
    predicted_iou : float
        Estimate of the IoU with the truth, from 0 to 1.
    vanished : bool
        Whether no pixel of the target has it.
    measures : LabelMeasures or None
        What the estimate is made from; None for labels that were carried by
        the field alone, whose estimate is the field's confidence there.
    """

    label: int
    predicted_iou: float
    vanished: bool
    measures: LabelMeasures | None = None

    def as_record(self) -> dict[str, Any]:
        """The estimate as JSON can hold it.

        Returns
        -------
        dict
            With 'label', 'predicted_iou' and 'vanished'.
        """
        return {
            'label': self.label,
            'predicted_iou': round(self.predicted_iou, 3),
            'vanished': self.vanished,
        }


def predicted_iou(
    measures: LabelMeasures, coefficients: Mapping[str, float] = COEFFICIENTS
) -> float:
    """Estimate the IoU of a label with the truth.

    Parameters
    ----------
    measures : LabelMeasures
        Measures of the label, by name.
    coefficients : mapping of str to float
        Factors of the measures, and the constant.

    Returns
    -------
    float
        From 0 to 1; 0 for a label that has won nowhere.
    """
    if not measures.area:
        return 0.0
    total = coefficients['constant'] + sum(
        factor * getattr(measures, name)
        for name, factor in coefficients.items()
        if name != 'constant'
    )
    return float(1 / (1 + np.exp(-total)))


def image_quality(labels: list[LabelQuality]) -> float:
    """Estimate for a whole image.

    Parameters
    ----------
    labels : list of LabelQuality
        Of all labels that were carried to it.

    Returns
    -------
    float
        Mean estimate of the IoU, NaN without labels.
    """
    if not labels:
        return float('nan')
    return float(np.mean([label.predicted_iou for label in labels]))


def is_likely_absent(quality: float) -> bool:
    """Tell whether what was annotated is probably not in the image.

    Parameters
    ----------
    quality : float
        Of :func:`image_quality`, or of one label.

    Returns
    -------
    bool
        True below `ABSENT_BELOW`.
    """
    return quality < ABSENT_BELOW
