"""How well labels were carried, estimated without knowing the truth.

Two things usually go wrong: scores that are not sure where the label ends,
and an object that is not there at all, so that not even the most similar
cells look alike. The estimate of the IoU is the product of one factor for
each. Where the scores are right, moved outlines change them little, and the
field of a match is sure of the place as well; both enter the first factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

#: Without a field, logistic function from the IoU that the scores expect to
#: the true one: constant and factor, fitted by least squares to 60 pairs of
#: Weizmann training images with the packaged weights.
EXPECTED_CONSTANT, EXPECTED_FACTOR = -9.29, 12.24

#: With a field, logistic function of three measures: constant, and of each the
#: factor and its mean, which stands for it where it is not known. Fitted by
#: least squares, with a ridge of 1, to the IoU of 92 pairs of training images:
#: 60 of Weizmann, 20 whose second horse stands smaller before a picture of
#: ImageNet, 12 of films composed of both. With these pairs left out of the fit
#: in turn, the rank correlation is .74; .62 by what the scores expect alone.
CONSTANT = 1.234
EXPECTED, OUTLINES, CONFIDENCE = (2.1, 0.885), (2.57, 0.805), (3.81, 0.452)

#: More confidence than this does not tell better labels.
CONFIDENT = 0.5

#: Cosine similarity at which an object is certainly not there, and from which
#: on it is. Of 40 Weizmann training images with targets that show something
#: else (Caltech-101, Stanford Cars, ImageNet) it was .40 on average, with a
#: standard deviation of .04; of 40 pairs that show horses .60. The bounds were
#: chosen while looking at Weizmann and DAVIS pairs as well.
ABSENT_SIMILARITY, PRESENT_SIMILARITY = 0.42, 0.5

#: Below this estimate the object is probably not in the image.
ABSENT_BELOW = 0.3


@dataclass(frozen=True)
class LabelMeasures:
    """What is measured of one carried label."""

    #: Samples of the target that the label won.
    area: int
    #: IoU that the scores themselves expect: their sum where the label has
    #: won, over the area of that plus their sum elsewhere.
    expected: float
    #: Mean cosine similarity, where the label has won, of the most similar
    #: cell of the annotated images.
    similarity: float
    #: Mean confidence of the field where the label has won; None where there
    #: is no field.
    confidence: float | None = None
    #: IoU with the label after outlines were moved; None if they were not.
    by_outlines: float | None = None


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


def predicted_iou(measures: LabelMeasures) -> float:
    """Estimate the IoU of a label with the truth.

    Returns: from 0 to 1; 0 for a label that has won nowhere.
    """
    if not measures.area:
        return 0.0
    if measures.confidence is None:
        total = EXPECTED_CONSTANT + EXPECTED_FACTOR * measures.expected
    else:
        total = CONSTANT + sum(
            factor * (value - mean)
            for value, (factor, mean) in (
                (measures.expected, EXPECTED),
                (measures.by_outlines, OUTLINES),
                (min(measures.confidence, CONFIDENT), CONFIDENCE),
            )
            if value is not None
        )
    there = np.interp(
        measures.similarity, [ABSENT_SIMILARITY, PRESENT_SIMILARITY], [0, 1]
    )
    return float(there / (1 + np.exp(-total)))


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


def quality_record(labels: list[LabelQuality]) -> dict[str, Any]:
    """What the metadata of a result say of its labels.

    Returns: what JSON can hold: 'labels', one entry for each; 'predicted_iou',
    None without labels; 'likely_absent'.
    """
    estimate = image_quality(labels)
    return {
        'labels': [item.as_record() for item in labels],
        'predicted_iou': None if np.isnan(estimate) else round(estimate, 4),
        'likely_absent': is_likely_absent(estimate),
    }


def is_likely_absent(quality: float) -> bool:
    """Tell whether what was annotated is probably not in the image.

    Parameters
    ----------
    quality : float
        Of :func:`image_quality`, or of one label.

    Returns
    -------
    bool
        Whether the quality lies below `ABSENT_BELOW`.
    """
    return quality < ABSENT_BELOW
