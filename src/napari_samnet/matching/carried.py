"""Labels that several annotated images gave, and how well they may fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from napari_samnet.arrays.brief import brief
from napari_samnet.labels.quality import (
    LabelQuality,
    image_quality,
    is_likely_absent,
)


@dataclass(frozen=True, eq=False)
class CarriedLabels:
    """Labels on a target, and how well they are likely to fit.

    Parameters
    ----------
    labels : ndarray of int or bool, shape (H, W)
        On the target's grid, in a type that holds the ids of all references.
    quality : list of LabelQuality
        Estimate for each id of the references that were asked.
    references : tuple of int
        Which references were asked, the most suitable first.
    metadata : dict
        How they came about; anything that JSON can hold.
    """

    __repr__ = brief

    labels: npt.NDArray[Any]
    quality: list[LabelQuality]
    references: tuple[int, ...]
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def predicted_iou(self) -> float:
        """Estimate of the mean IoU of the labels, from 0 to 1."""
        return image_quality(self.quality)

    @property
    def likely_absent(self) -> bool:
        """Whether what was annotated is probably not in the target."""
        return is_likely_absent(self.predicted_iou)

    @property
    def vanished(self) -> tuple[int, ...]:
        """Ids of the references that no pixel of the target has."""
        return tuple(item.label for item in self.quality if item.vanished)
