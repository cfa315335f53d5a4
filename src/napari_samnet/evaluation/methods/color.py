"""Color transfer without correspondence, for the attribute benchmark."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab
from skimage.exposure import match_histograms

from napari_samnet.evaluation.interfaces import Answer, Method, Pair
from napari_samnet.evaluation.methods.base import from_fields

__all__ = ['ColorTransfer', 'histogram', 'reinhard']

Image = NDArray[np.float32]


def reinhard(source: Image, target: Image) -> Image:
    """Give an image the mean and spread of another's colors, in CIELAB.

    References
    ----------
    .. [1] Reinhard, Ashikhmin, Gooch, Shirley. Color transfer between
       images. IEEE CG&A 21(5), 2001. :DOI:`10.1109/38.946629`
    """
    ours, theirs = (
        rgb2lab(image).reshape(-1, 3) for image in (source, target)
    )
    spread = np.maximum(ours.std(axis=0), 1e-6)
    moved = (ours - ours.mean(axis=0)) * (theirs.std(axis=0) / spread)
    result = lab2rgb((moved + theirs.mean(axis=0)).reshape(source.shape))
    return np.clip(result, 0, 1).astype(np.float32)


def histogram(source: Image, target: Image) -> Image:
    """Give an image the histogram of another, channel by channel."""
    matched = match_histograms(source, target, channel_axis=-1)
    return np.clip(matched, 0, 1).astype(np.float32)


_TRANSFERS = {'reinhard': reinhard, 'histogram': histogram}


class ColorTransfer(Method):
    """A color transfer; nothing moves.

    Parameters
    ----------
    name : {'reinhard', 'histogram'}
        Which transfer, and its name in the results.
    """

    packages = ('scikit-image',)

    def __init__(self, name: str) -> None:
        self.name = name
        self._transfer = _TRANSFERS[name]

    def answer(self, pair: Pair) -> Answer:
        still = np.zeros((2, 2, 2), np.float32)
        return Answer(
            from_fields(
                pair, still, still, self._transfer(pair.source, pair.target)
            )
        )
