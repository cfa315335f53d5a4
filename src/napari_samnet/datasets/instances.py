"""Images with 20 to 200 labels: coins, nuclei, and segments of photographs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, label
from skimage import data
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import threshold_local, threshold_otsu
from skimage.segmentation import slic, watershed

from napari_samnet.datasets.synthetic import Image, bundled_photograph

Labels = NDArray[np.int32]

#: Pixels below which a label of an image is left out.
SMALLEST = 40

#: Side of drawn images.
SIDE = 384


def _largest(labels: NDArray[np.integer], count: int) -> Labels:
    """The largest labels, numbered from 1."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.argsort(sizes)[::-1][:count]
    kept = kept[sizes[kept] >= SMALLEST]
    numbers = np.zeros(sizes.size, np.int32)
    numbers[kept] = np.arange(1, kept.size + 1)
    return numbers[labels]


def _split(mask: NDArray[np.bool_], distance: int) -> NDArray[np.integer]:
    """Touching roundish objects apart, by the watershed of the distance."""
    depth = gaussian_filter(distance_transform_edt(mask), 1.0)
    peaks = peak_local_max(depth, min_distance=distance, labels=mask)
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-depth, markers, mask=mask))


def _coins() -> tuple[Image, Labels]:
    image = bundled_photograph('coins')
    gray = gaussian_filter(image[..., 0], 1)
    mask = gray > threshold_local(gray, 151, offset=0.02)
    # Corners of a coin's relief are as dark as the cloth around it.
    mask = distance_transform_edt(~mask) < 3
    mask = distance_transform_edt(mask) > 5
    mask = distance_transform_edt(~mask) < 4
    return image, _largest(label(mask)[0], 24)


def _stained_nuclei() -> tuple[Image, Labels]:
    image = bundled_photograph('immunohistochemistry')
    stain = gaussian_filter(rgb2hed(data.immunohistochemistry())[..., 0], 1.5)
    mask = stain > threshold_otsu(stain)
    return image, _largest(_split(mask, 7), 150)


def _drawn_nuclei(count: int) -> Callable[[], tuple[Image, Labels]]:
    """Bright textured ellipses on a dark ground, as under a microscope."""

    def draw() -> tuple[Image, Labels]:
        rng = np.random.default_rng([7, count])
        labels = np.zeros((SIDE, SIDE), np.int32)
        rows, columns = np.indices(labels.shape)
        radius = 0.36 * SIDE / np.sqrt(count)
        number = 0
        for _ in range(40 * count):
            row, column = rng.uniform(radius, SIDE - radius, 2)
            angle = rng.uniform(0, np.pi)
            long, short = radius * rng.uniform(0.7, 1.1, 2)
            y, x = rows - row, columns - column
            along = y * np.sin(angle) + x * np.cos(angle)
            across = y * np.cos(angle) - x * np.sin(angle)
            inside = (along / long) ** 2 + (across / short) ** 2 < 1
            if labels[inside].any():
                continue
            number += 1
            labels[inside] = number
            if number == count:
                break
        texture = gaussian_filter(rng.normal(size=labels.shape), 2)
        texture *= 0.12 / texture.std()
        tone = rng.uniform(0.4, 0.9, number + 1)
        tone[0] = 0.08
        gray = gaussian_filter(tone[labels] * (1 + texture), 0.8)
        gray = gray + rng.normal(0, 0.015, gray.shape)
        tint = np.array([0.55, 0.75, 1.0])
        image = np.clip(gray[..., None] * tint, 0, 1).astype(np.float32)
        return image, labels

    return draw


def _segments(name: str, count: int) -> Callable[[], tuple[Image, Labels]]:
    """Superpixels of a photograph: labels that touch everywhere."""

    def cut() -> tuple[Image, Labels]:
        image = bundled_photograph(name)
        segments = slic(image, n_segments=count, compactness=12, start_label=1)
        return image, _largest(segments, count)

    return cut


LABELED_IMAGES: dict[str, Callable[[], tuple[Image, Labels]]] = {
    'coins': _coins,
    'stained-nuclei': _stained_nuclei,
    'nuclei-20': _drawn_nuclei(20),
    'nuclei-60': _drawn_nuclei(60),
    'nuclei-120': _drawn_nuclei(120),
    'nuclei-200': _drawn_nuclei(200),
    'segments-40': _segments('astronaut', 40),
    'segments-100': _segments('coffee', 100),
    'segments-200': _segments('chelsea', 200),
}


def labeled_image(name: str) -> tuple[Image, Labels]:
    """Make an image with its labels.

    ``name``: key of `LABELED_IMAGES`; the number in a name is how many labels
    are aimed at.
    Returns: ``image``: (H, W, 3): RGB from 0 to 1; ``labels``: (H, W):
    numbered from 1; 0 is what belongs to none.
    """
    return LABELED_IMAGES[name]()
