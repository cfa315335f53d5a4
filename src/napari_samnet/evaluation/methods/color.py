"""Color transfer without correspondence, for the attribute benchmark."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.color import lab2rgb, rgb2lab
from skimage.exposure import match_histograms

from napari_samnet.evaluation.interfaces import Answer, Method, Pair
from napari_samnet.evaluation.methods.base import from_fields
from napari_samnet.io.extras import require

Image = NDArray[np.float32]

#: Pixels of each image between which the optimal transport is found.
SAMPLES = 1000

#: Pixels that are moved at a time.
BATCH = 8192

#: Intensity of the light that stains absorb, as torchstain has it.
LIGHT = 240


def _load_torchstain() -> ModuleType:
    return require('torchstain', 'images of macenko', extra='bench')


def _load_wsi_normalizer() -> ModuleType:
    return require(
        'wsi_normalizer', 'images of vahadane', package='wsi-normalizer'
    )


def _load_pot() -> ModuleType:
    return require('ot.da', 'images of transport', extra='bench')


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


def macenko(source: Image, target: Image) -> Image:
    """Give a section the stains of another, and their strength.

    Two stains are separated in each image; what cannot be separated, such as
    a page without tissue, stays as it is.

    References
    ----------
    .. [1] Macenko et al. A method for normalizing histology slides for
       quantitative analysis. ISBI 2009. :DOI:`10.1109/ISBI.2009.5193250`
    """
    normalizer = _load_torchstain().normalizers.MacenkoNormalizer(
        backend='numpy'
    )
    ours, theirs = _bytes(source), _bytes(target)
    try:
        # Nothing absorbs light: means of nothing, eigenvectors of NaN.
        with np.errstate(all='ignore'), warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)
            normalizer.fit(theirs, Io=LIGHT)
            result, *_ = normalizer.normalize(ours, Io=LIGHT, stains=False)
    except (np.linalg.LinAlgError, IndexError):
        return source
    return (result / 255).astype(np.float32)


def vahadane(source: Image, target: Image) -> Image:
    """Give a section the stains of another, separated by sparse codes.

    What cannot be separated, such as a page without tissue, stays as it is.

    References
    ----------
    .. [1] Vahadane et al. Structure-preserving color normalization and sparse
       stain separation for histological images. IEEE TMI 35(8), 2016.
       :DOI:`10.1109/TMI.2016.2529665`
    """
    normalizer = _load_wsi_normalizer().VahadaneNormalizer()
    try:
        # Nothing absorbs light: there is no dictionary of stains.
        normalizer.fit(_bytes(target))
        result = normalizer.transform(_bytes(source))
    except (ValueError, ArithmeticError, AssertionError, IndexError):
        return source
    return (np.asarray(result) / 255).astype(np.float32)


def _bytes(image: Image) -> NDArray[np.uint8]:
    """An image in [0, 1] as uint8."""
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


def transport(source: Image, target: Image) -> Image:
    """Move colors to those of another image by optimal transport.

    The plan is found between random pixels of both images; other pixels move
    with the nearest of them.

    References
    ----------
    .. [1] Ferradans, Papadakis, Peyre, Aujol. Regularized discrete optimal
       transport. SIAM J. Imaging Sciences 7(3), 2014.
       :DOI:`10.1137/130929886`
    """
    rng = np.random.default_rng(0)
    ours, theirs = (
        image.reshape(-1, 3).astype(np.float64) for image in (source, target)
    )
    drawn = [
        pixels[rng.choice(len(pixels), min(SAMPLES, len(pixels)), False)]
        for pixels in (ours, theirs)
    ]
    plan = _load_pot().EMDTransport().fit(Xs=drawn[0], Xt=drawn[1])
    moved = plan.transform(Xs=ours, batch_size=BATCH).reshape(source.shape)
    return np.clip(moved, 0, 1).astype(np.float32)


class _Transfer(NamedTuple):
    """A color transfer, and what it needs."""

    #: Gives a source the look of a target.
    apply: Callable[[Image, Image], Image]
    #: Distribution that its figures depend on.
    package: str
    #: Imports what is not always installed.
    load: Callable[[], ModuleType] | None = None


_TRANSFERS = {
    'reinhard': _Transfer(reinhard, 'scikit-image'),
    'histogram': _Transfer(histogram, 'scikit-image'),
    'macenko': _Transfer(macenko, 'torchstain', _load_torchstain),
    'vahadane': _Transfer(vahadane, 'wsi-normalizer', _load_wsi_normalizer),
    'transport': _Transfer(transport, 'POT', _load_pot),
}


class ColorTransfer(Method):
    """A color transfer; nothing moves."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._transfer = _TRANSFERS[name]
        self.packages = (self._transfer.package,)

    def prepare(self) -> None:
        if self._transfer.load is not None:
            self._transfer.load()

    def answer(self, pair: Pair) -> Answer:
        still = np.zeros((2, 2, 2), np.float32)
        return Answer(
            from_fields(
                pair,
                still,
                still,
                self._transfer.apply(pair.source, pair.target),
            )
        )
