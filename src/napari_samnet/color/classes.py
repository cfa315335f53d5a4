"""Classes of alike colors, found by k-means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Rounds of k-means, and one in how many pixels of a side it looks at.
ROUNDS = 8
STEP = 2

#: Pull of the map of a class towards the map of all colors, in shares of the
#: mean mass of a class, and of this towards no change, as a variance: less
#: does not tell a map from a shift.
CLASS_PULL = 0.02
PLAIN = 1e-3


@dataclass(frozen=True, eq=False)
class ColorClasses:
    """Soft classes of colors."""

    #: (K, 3): mean color of each class.
    centers: Array
    #: Mean squared distance of a color to the nearest center; the larger, the
    #: more the classes overlap.
    width: float

    @classmethod
    def of(cls, image: Array, *, count: int) -> ColorClasses:
        """Find the classes of an image.

        ``image`` (h, w, 3): colors in [0, 1].
        """
        colors = image[::STEP, ::STEP].reshape(-1, 3)
        centers = colors.mean(axis=0)[None]
        for _ in range(count - 1):
            # Nearly the furthest color: the very furthest is an outlier.
            near = _distances(colors, centers).min(axis=-1)
            order = np.argsort(near, kind='stable')
            index = order[int(0.98 * (len(near) - 1))]
            centers = np.concatenate([centers, colors[index][None]])
        centers = _means(colors, np.unique(centers, axis=0))
        nearest = _distances(colors, centers).min(axis=-1)
        return cls(centers, float(nearest.mean()) + 1e-5)

    def shares(self, colors: npt.NDArray[np.floating]) -> Array:
        """How much each color belongs to each class.

        ``colors`` (..., 3): colors in [0, 1]. Returns: (..., K): sums to 1
        over the classes.
        """
        apart = _distances(np.asarray(colors, np.float64), self.centers)
        apart = apart.min(axis=-1, keepdims=True) - apart
        share = np.exp(apart / (2 * self.width))
        return np.asarray(share / share.sum(axis=-1, keepdims=True))


def plain_moments() -> Array:
    """What pulls maps (4, 3) towards no change, added to moments (4, 4)."""
    return PLAIN * np.diag([1, 1, 1, 1e-3])


def class_maps(moments: Array) -> Array:
    """Affine map of color of each class, drawn to the one of all colors.

    ``moments`` (K, 4, 7): sums over the pixels of each class of the products
    of ``r, g, b, 1`` before with these and with ``r, g, b`` after.
    Returns: (K, 4, 3): ``[r, g, b, 1] @ map`` is the color after.
    """
    every = moments.sum(axis=0)
    plain = plain_moments()
    overall = np.linalg.solve(
        every[:, :4] + plain, every[:, 4:] + plain @ np.eye(4, 3)
    )
    pull = (CLASS_PULL * every[:, :4] + plain) / len(moments)
    return np.asarray(
        np.linalg.solve(
            moments[..., :4] + pull, moments[..., 4:] + pull @ overall
        )
    )


def _means(colors: Array, centers: Array) -> Array:
    """Centers after k-means.

    Here and not from scipy, whose import takes longer than all of a look.
    """
    count = len(centers)
    for _ in range(ROUNDS):
        nearest = _distances(colors, centers).argmin(axis=-1)
        number = np.bincount(nearest, minlength=count)
        sums = [
            np.bincount(nearest, weights=channel, minlength=count)
            for channel in colors.T
        ]
        # A class that no color is nearest to keeps its center.
        means = np.stack(sums, axis=-1) / np.maximum(number, 1)[:, None]
        centers = np.where(number[:, None] > 0, means, centers)
    return centers


def _distances(colors: Array, centers: Array) -> Array:
    """Squared distances (..., K) of colors from K centers."""
    apart = [
        np.square(colors[..., channel, None] - centers[:, channel])
        for channel in range(3)
    ]
    return np.asarray(apart[0] + apart[1] + apart[2])
