"""Sample pairs that need no network, each with labels.

Three are of different things: two elephants, two jugs, two sections of a
kidney, see :mod:`.real_pairs`. The pictures of the others come with
scikit-image: one is a stereo pair with measured ground truth; in the drawn
pairs the second picture is made from the first (bent, turned, recolored and
lit anew), which says where every pixel went.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color, data, draw, filters, measure, morphology

from napari_samnet.datasets import DEMO_PAIR
from napari_samnet.datasets.known_motion import (
    PhotometricChange,
    SyntheticWarp,
)
from napari_samnet.datasets.real_pairs import REAL_PAIRS
from napari_samnet.datasets.sample_pair import Labels, SamplePair, painted
from napari_samnet.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def _recolor(
    image: NDArray[np.float64], where: NDArray[np.bool_], hue_shift: float
) -> NDArray[np.float64]:
    """Turn the hue of what is painted in a part, white staying white."""
    hsv = color.rgb2hsv(image)
    painted = np.clip((hsv[..., 1] - 0.5) / 0.2, 0, 1)
    hsv[..., 0] = (hsv[..., 0] + hue_shift) % 1
    share = filters.gaussian(where * painted, 1.2)[..., None]
    return share * color.hsv2rgb(hsv) + (1 - share) * image


def _coffee() -> SamplePair:
    source = data.coffee()
    labels = painted('coffee', source.shape)
    motion = SyntheticWarp(
        source_shape=source.shape[:2],
        target_shape=(368, 470),
        rotation=-12,
        zoom=0.93,
        shift=(-2, 8),
        bend=6,
    )
    # The cup is another one, the coffee is not.
    drink = ndimage.distance_transform_edt(labels != 3) <= 20
    blue = _recolor(source / 255.0, (labels > 0) & ~drink, 0.58)
    light = PhotometricChange(
        gains=(0.92, 1.02, 1.12),
        gamma=0.85,
        saturation=0.75,
        shade=0.5,
        direction=150,
    )
    return SamplePair(
        name='coffee',
        title='Coffee: a picture, bent and recolored (drawn)',
        source=source,
        target=light.on(motion.move_image(blue)),
        labels=labels,
        label_names=('saucer', 'cup', 'coffee', 'spoon'),
        target_labels=motion.move_labels(labels),
        flow=motion.flow(),
        credit='Rachel Michetti, CC0; second picture made from it',
    )


def _cat() -> SamplePair:
    source = data.chelsea()
    labels = painted('cat', source.shape)
    labels[draw.ellipse(114, 170, 30, 34, labels.shape)] = 1
    labels[draw.ellipse(136, 318, 27, 23, labels.shape, rotation=0.2)] = 1
    motion = SyntheticWarp(
        source_shape=source.shape[:2],
        target_shape=(360, 400),
        rotation=11,
        zoom=1.08,
        shift=(8, 6),
        bend=6,
        waves=(1.1, 0.8),
    )
    moonlight = PhotometricChange(
        gains=(0.62, 0.74, 1.0),
        gamma=1.25,
        saturation=0.6,
        shade=0.7,
        direction=35,
        noise=0.02,
    )
    return SamplePair(
        name='cat',
        title='Cat: by day and by moonlight (drawn)',
        source=source,
        target=moonlight.on(motion.move_image(source / 255.0)),
        labels=labels,
        label_names=('eyes', 'nose'),
        target_labels=motion.move_labels(labels),
        flow=motion.flow(),
        credit='Stéfan van der Walt, CC0; second picture made from it',
    )


def _tissue() -> SamplePair:
    source = data.immunohistochemistry()
    stains = color.rgb2hed(source)
    brown = filters.gaussian(stains[..., 2], 5)
    glands = brown > filters.threshold_otsu(brown)
    glands = morphology.opening(glands, morphology.disk(6))
    glands = ndimage.binary_fill_holes(glands)
    labels = measure.label(glands).astype(np.uint8)
    # The antibody's brown becomes weak, the counterstain strong: as a next
    # section in another stain.
    restained = color.hed2rgb(
        np.stack(
            [
                stains[..., 0] * 0.9 + stains[..., 2] * 0.35,
                stains[..., 2] * 0.75 + stains[..., 0] * 0.1,
                stains[..., 2] * 0.05,
            ],
            axis=-1,
        )
    )
    motion = SyntheticWarp(
        source_shape=source.shape[:2],
        target_shape=(480, 480),
        rotation=-17,
        zoom=1.12,
        shift=(-6, 20),
        bend=9,
        waves=(0.8, 1.1),
    )
    light = PhotometricChange(shade=0.1, direction=90, noise=0.015)
    return SamplePair(
        name='tissue',
        title='Tissue: a section, bent and restained (drawn)',
        source=source,
        target=light.on(motion.move_image(restained)),
        labels=labels,
        label_names=tuple(
            f'gland {index}' for index in range(1, int(labels.max()) + 1)
        ),
        target_labels=motion.move_labels(labels),
        flow=motion.flow(),
        credit=(
            'Center for Microscopy and Molecular Imaging, no known '
            'restrictions; second picture made from it'
        ),
    )


def _motorcycle() -> SamplePair:
    left, right, disparity = data.stereo_motorcycle()
    # The right camera sees everything further to the left.
    move = np.where(np.isfinite(disparity), -disparity, np.nan)
    move[np.arange(disparity.shape[1]) + move < 0] = np.nan
    flow = np.stack([np.where(np.isnan(move), np.nan, 0), move], axis=-1)
    flow = flow.astype(np.float32)
    labels = _motorcycle_labels(disparity)
    return SamplePair(
        name='motorcycle',
        title='Motorcycle: two cameras, measured truth',
        source=left,
        target=right,
        labels=labels,
        label_names=('frame', 'rear wheel', 'front wheel'),
        target_labels=_splat(labels, flow),
        flow=flow,
        credit='Middlebury 2014 stereo benchmark, D. Scharstein et al.',
    )


def _motorcycle_labels(disparity: NDArray[np.float32]) -> Labels:
    """Annotate what stands before wall and floor inside rough outlines."""
    labels = painted('motorcycle', disparity.shape)
    labels[draw.ellipse(318, 200, 84, 82, labels.shape)] = 2
    near = np.nan_to_num(disparity, nan=0, posinf=0) > _backdrop(
        disparity.shape
    )
    return np.where(morphology.closing(near, morphology.disk(2)), labels, 0)


def _backdrop(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Disparity just before the wall above and the floor below, by row."""
    rows = np.arange(shape[0], dtype=float)[:, None]
    return np.interp(rows, [0, 370, 499], [38, 38, 62])


def _splat(labels: Labels, flow: NDArray[np.float32]) -> Labels:
    """Carry labels along a flow, what is nearer covering what is behind."""
    known = np.argwhere(np.isfinite(flow).all(axis=-1))
    moves = flow[tuple(known.T)]
    # The nearer a point, the further it moves: drawn last, it stays.
    order = np.argsort(np.abs(moves).sum(axis=-1), kind='stable')
    known, moves = known[order], moves[order]
    places = np.round(known + moves).astype(int)
    kept = np.all((places >= 0) & (places < labels.shape), axis=-1)
    moved = np.zeros_like(labels)
    unseen = np.ones(labels.shape, bool)
    moved[tuple(places[kept].T)] = labels[tuple(known[kept].T)]
    unseen[tuple(places[kept].T)] = False
    # Cracks close from beside; what only the second camera sees stays empty.
    cracks = unseen & morphology.closing(~unseen, morphology.disk(2))
    nearest = ndimage.distance_transform_edt(
        unseen, return_distances=False, return_indices=True
    )
    moved[cracks] = moved[tuple(nearest)][cracks]
    return moved


#: The pairs by name, those of two different things first.
SAMPLES: dict[str, Callable[[], SamplePair]] = {
    **REAL_PAIRS,
    'coffee': _coffee,
    'cat': _cat,
    'tissue': _tissue,
    'motorcycle': _motorcycle,
}


def load_sample(name: str = DEMO_PAIR) -> SamplePair:
    """Load or make a sample pair.

    Parameters
    ----------
    name : str
        One of the keys of `SAMPLES`.

    Returns
    -------
    SamplePair
        Images, labels and truth.

    Raises
    ------
    InputError
        If there is no such pair.
    """
    if name not in SAMPLES:
        raise InputError(
            f'there is no sample pair {name!r}, choose from '
            f'{", ".join(SAMPLES)}'
        )
    return SAMPLES[name]()
