"""Labels that are left to the field, whatever the scores say.

Among many labels that look alike, the evidence for each is spread over all of
them, and outlines wash out what is smaller than the squares that they look
at. What the scores lose in this way stays where the field leads. So does what
the pixels confirm there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.labels.brought import BroughtLabels

#: A label of at most so many samples of the grid, of which the scores leave at
#: most this share, goes where the field leads, if the field's weight there is
#: at least this on average.
SMALL_LABEL, LOST_SHARE, TRUSTED_WEIGHT = 1024, 0.5, 0.05

#: So do those of which nothing is left, if they are at most this share of all:
#: where nearly all labels are seen, the last ones are not missing.
LAST_SHARE = 0.1

#: And those of which the pixels confirm at least this share. Chosen on nine
#: pairs of the benchmark `instances` beside composites of training images, on
#: which an object moves on its own.
EXACT_SHARE = 0.5


def left_to_field(
    winner: npt.NDArray[np.intp],
    brought: BroughtLabels,
    labels: npt.NDArray[np.intp],
) -> npt.NDArray[np.bool_]:
    """Choose the labels that go exactly where the field leads.

    ``winner`` (n, m): place in the table of the label that the scores choose;
    -1 for none.
    ``labels`` (K,): places of the labels that have scores.
    Returns: (L,): which places are left to the field, up to the largest of
    `labels`.
    """
    count = int(labels.max()) + 1
    places = brought.places.ravel()

    def total(values: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """Sum of values over the samples that each label is brought to."""
        sums = np.bincount(
            places,
            None if values is None else values.ravel(),
            minlength=count,
        )
        return np.asarray(sums[:count])

    areas, weights = total(), total(brought.weight)
    won = np.bincount(winner[winner >= 0], minlength=count)[:count]
    there = areas > 0
    left = won <= LOST_SHARE * areas
    left &= weights >= TRUSTED_WEIGHT * areas
    gone = (won == 0) & np.isin(np.arange(count), labels)
    if (gone & there).sum() <= LAST_SHARE * there.sum():
        left |= gone
    left &= areas <= SMALL_LABEL
    # Seen by neither grid: a few pixels at most.
    left |= gone & ~there
    if brought.exact is not None:
        exact = total(brought.exact)
        left |= there & (exact >= EXACT_SHARE * areas)
    return np.asarray(left)
