"""Known changes of an image's look, so that a transfer has a right answer.

Every change is a map of the whole image that a person would call an
attribute: other colors in every region, another hue, a texture, a blur, or,
for sections, other stains.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter
from skimage.color import hed_from_rgb, hsv2rgb, rgb2hsv, rgb2lab

Image = NDArray[np.float32]
Weights = NDArray[np.floating]

#: Regions that curves and textures tell apart.
REGIONS = 3


def regions(image: Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Regions of alike color, of about object size, labeled 1, 2, 3."""
    scale = max(image.shape[:2])
    lab = gaussian_filter(rgb2lab(image), (scale / 60, scale / 60, 0))
    points = lab.reshape(-1, 3)
    spread = points.std(axis=0)
    # k-means of a constant image has no second center to find.
    points = points + rng.normal(0, 1e-3, points.shape) * (spread + 1)
    _, labels = kmeans2(points, REGIONS, minit='++', rng=rng, missing='warn')
    return (labels.reshape(lab.shape[:2]) + 1).astype(np.uint8)


def _weights(labels: NDArray[np.uint8]) -> Weights:
    """Soft membership of every region, which leaves no hard edge."""
    scale = max(labels.shape) / 200
    soft = np.stack(
        [
            gaussian_filter((labels == label).astype(float), scale)
            for label in range(1, REGIONS + 1)
        ]
    )
    return np.asarray(soft / soft.sum(axis=0))


def _curves(
    image: Image, labels: NDArray[np.uint8], rng: np.random.Generator
) -> Image:
    """Own gamma and gain of every channel in every region."""
    result = np.zeros_like(image, dtype=np.float64)
    for weight in _weights(labels):
        gamma = np.exp(rng.uniform(-0.6, 0.6, 3))
        gain = rng.uniform(0.6, 1.1, 3)
        lift = rng.uniform(0, 0.15, 3)
        curve = lift + (1 - lift) * gain * np.clip(image, 0, 1) ** gamma
        result += weight[..., None] * curve
    return np.asarray(result, np.float32)


def _hue(
    image: Image, labels: NDArray[np.uint8], rng: np.random.Generator
) -> Image:
    """Turn of the hue of the whole image, and a tint of every region."""
    hue, saturation, value = np.moveaxis(rgb2hsv(image), -1, 0)
    hue = (hue + rng.uniform(0.15, 0.85)) % 1
    turned = hsv2rgb(np.stack([hue, saturation, value], axis=-1))
    tints = rng.uniform(0.75, 1.0, (REGIONS, 3))
    tint = np.tensordot(_weights(labels), tints, axes=(0, 0))
    return np.asarray(turned * tint, np.float32)


def _texture(
    image: Image, labels: NDArray[np.uint8], rng: np.random.Generator
) -> Image:
    """Grain of another coarseness in every region, over other colors."""
    result = _curves(image, labels, rng).astype(np.float64)
    for weight in _weights(labels):
        coarse = rng.uniform(0.6, 2.5)
        grain = gaussian_filter(rng.normal(size=labels.shape), coarse)
        grain *= rng.uniform(0.05, 0.15) / max(float(grain.std()), 1e-9)
        result *= 1 + (weight * grain)[..., None]
    return np.asarray(result, np.float32)


def _blur(
    image: Image, labels: NDArray[np.uint8], rng: np.random.Generator
) -> Image:
    """A soft picture in other colors."""
    width = rng.uniform(0.8, 2.0) * max(image.shape[:2]) / 256
    soft = gaussian_filter(image, (width, width, 0))
    return _curves(soft, labels, rng)


def _stain(
    image: Image, _: NDArray[np.uint8], rng: np.random.Generator
) -> Image:
    """A section in other stains: other colors, other strengths.

    Light is absorbed as Beer and Lambert have it. The image is separated
    into hematoxylin, eosin and what is left (Ruifrok and Johnston 2001), and
    put together with other absorptions.
    """
    density = -np.log(np.clip(image, 1 / 255, 1))
    amount = density.reshape(-1, 3) @ hed_from_rgb
    stains = np.linalg.inv(hed_from_rgb) + rng.uniform(-0.25, 0.25, (3, 3))
    stains = np.clip(stains, 0.02, None)
    stains *= rng.uniform(0.4, 1.5, (3, 1))
    restained = np.exp(-np.clip(amount, 0, None) @ stains)
    return np.asarray(restained.reshape(image.shape), np.float32)


_Change = Callable[
    [Image, NDArray[np.uint8], np.random.Generator], NDArray[np.float32]
]

CHANGES: dict[str, _Change] = {
    'curves': _curves,
    'hue': _hue,
    'texture': _texture,
    'blur': _blur,
    'stain': _stain,
}


def change(
    image: Image,
    kind: str,
    labels: NDArray[np.uint8],
    rng: np.random.Generator,
) -> Image:
    """Image with other attributes.

    ``image``: RGB from 0 to 1.
    ``labels``: regions that change each in their own way, of :func:`regions`.
    ``rng``: source of randomness; the same state gives the same change.
    Returns: the changed image, RGB from 0 to 1.
    """
    return np.clip(CHANGES[kind](image, labels, rng), 0, 1)
