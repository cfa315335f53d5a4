"""Classes of alike colors, found by k-means."""

from __future__ import annotations

from dataclasses import dataclass
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2

__all__ = ['ColorClasses']

Array = npt.NDArray[np.float64]

#: Rounds of k-means, and one in how many pixels of a side it looks at.
ROUNDS = 8
STEP = 2


@dataclass(frozen=True, eq=False)
class ColorClasses:
    """Soft classes of colors.

    Parameters
    ----------
    centers : ndarray of float64, shape (K, 3)
        Mean color of each class.
    width : float
        Mean squared distance of a color to the nearest center; the larger,
        the more the classes overlap.
    """

    centers: Array
    width: float

    @classmethod
    def of(cls, image: Array, *, count: int) -> ColorClasses:
        """Find the classes of an image.

        Parameters
        ----------
        image : ndarray of float64, shape (h, w, 3)
            Colors in [0, 1].
        count : int
            Number of classes K.

        Returns
        -------
        ColorClasses
            The same for the same image: nothing is random.
        """
        colors = image[::STEP, ::STEP].reshape(-1, 3)
        centers = colors.mean(axis=0)[None]
        for _ in range(count - 1):
            # Nearly the furthest color: the very furthest is an outlier.
            near = _distances(colors, centers).min(axis=-1)
            order = np.argsort(near, kind='stable')
            index = order[int(0.98 * (len(near) - 1))]
            centers = np.concatenate([centers, colors[index][None]])
        distinct = np.unique(centers, axis=0)
        with catch_warnings():
            # A class that no color is nearest to keeps its center.
            simplefilter('ignore', UserWarning)
            centers, _ = kmeans2(
                colors, distinct, iter=ROUNDS, minit='matrix', missing='warn'
            )
        nearest = _distances(colors, centers).min(axis=-1)
        return cls(centers, float(nearest.mean()) + 1e-5)

    def shares(self, colors: npt.NDArray[np.floating]) -> Array:
        """How much each color belongs to each class.

        Parameters
        ----------
        colors : ndarray of float, shape (..., 3)
            Colors in [0, 1].

        Returns
        -------
        ndarray of float64, shape (..., K)
            Sums to 1 over the classes.
        """
        apart = _distances(np.asarray(colors, np.float64), self.centers)
        apart = apart.min(axis=-1, keepdims=True) - apart
        share = np.exp(apart / (2 * self.width))
        return np.asarray(share / share.sum(axis=-1, keepdims=True))


def _distances(colors: Array, centers: Array) -> Array:
    """Squared distances (..., K) of colors from K centers."""
    apart = colors[..., None, :] - centers
    return np.asarray(np.einsum('...k,...k->...', apart, apart))
