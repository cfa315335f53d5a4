"""Objects that move on their own before a background, every motion known.

Object and background are cut from different photographs, and each goes
through a smooth warp of its own. The target shows them as they were; pixel i
of the source shows the object at ``i + flow_object[i]`` where the object's
mask holds, else the background at ``i + flow_background[i]``. So the flow
from source to target is known everywhere, with a jump at the outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    distance_transform_edt,
    gaussian_filter,
    map_coordinates,
)
from skimage.transform import resize

from napari_samnet.datasets.pair_lists import read_rows, resolve
from napari_samnet.datasets.reading import read_image, read_labels
from napari_samnet.datasets.synthetic import (
    BUNDLED,
    Image,
    WarpRanges,
    bundled_photograph,
    one_relit,
    random_field,
    squashed,
    warp_photograph,
)
from napari_samnet.errors import InputError

Mask = NDArray[np.bool_]

#: Share of the usual ranges that the background goes, as behind a moving
#: camera; the object goes the whole ranges.
BACKGROUND_STRENGTH = 0.4

#: Longest side of an object in the target, in shares of the image's side.
OBJECT_SIDE = (0.35, 0.65)

#: Draws of a warp before an object that leaves the image is accepted.
ATTEMPTS = 30

#: Share of the object that should still be in the source.
KEPT_SHARE = 0.6

#: Objects from the first on that are measured with, and never learnt from.
MEASURED = 60


class Composite(NamedTuple):
    """A pair with an object that moves on its own."""

    #: ``source``, ``target``: (side, side, 3): RGB from 0 to 1.
    source: Image
    target: Image
    #: (side, side, 2): from source to target on the source's grid, in pixels.
    flow: NDArray[np.floating]
    #: (side, side): where what the source shows is visible in the target.
    valid: Mask
    #: (side, side): the object in the source.
    inside: Mask
    #: (side, side): the object in the target.
    target_inside: Mask

    def outline_distance(self) -> NDArray[np.floating]:
        """Distance of the source's pixels from the object's outline.

        Returns: (side, side): in pixels, at least 1, on either side of the
        outline.
        """
        return np.where(
            self.inside,
            distance_transform_edt(self.inside),
            distance_transform_edt(~self.inside),
        )


def _placed(
    image: Image,
    mask: Mask,
    side: int,
    rng: np.random.Generator,
    shares: tuple[float, float],
) -> tuple[Image, Mask]:
    """An object at a random size and place on an empty square."""
    rows, columns = np.nonzero(mask)
    if not rows.size:
        raise InputError('the mask of an object must not be empty')
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    cut, shape = image[box], mask[box]
    scale = rng.uniform(*shares) * side / max(shape.shape)
    size = tuple(max(2, round(scale * length)) for length in shape.shape)
    small = resize(cut, size, order=1, anti_aliasing=scale < 1)
    solid = resize(shape.astype(float), size, order=1) > 0.5
    top, left = (int(rng.integers(0, side - length + 1)) for length in size)
    place = np.s_[top : top + size[0], left : left + size[1]]
    canvas = np.zeros((side, side, 3), np.float32)
    where = np.zeros((side, side), bool)
    canvas[place], where[place] = small, solid
    return canvas, where


def compose(
    background: Image,
    image: Image,
    mask: Mask,
    rng: np.random.Generator,
    *,
    side: int = 256,
    shares: tuple[float, float] = OBJECT_SIDE,
    elsewhere: Image | None = None,
) -> Composite:
    """Make a pair from a photograph and an object of another one.

    ``background`` (H, W, 3): photograph of the background, squashed to a
    square.
    ``image`` (h, w, 3): photograph that shows the object.
    ``mask`` (h, w): the object in `image`.
    ``rng``: source of randomness: the same state gives the same pair.
    ``side``: side of both images in pixels.
    ``shares``: smallest and largest longest side of the object in the target,
    in shares of the image's side.
    ``elsewhere`` (H, W, 3): another photograph, before which the target shows
    the object; then nothing else is in both images.
    Returns: images with their truth; one of the two images is relit.
    Raises InputError if the mask is empty.
    """
    ranges = WarpRanges()
    shape = (side, side)
    behind = squashed(background, side)
    front, target_inside = _placed(image, mask, side, rng, shares)
    target = _blend(front, behind, target_inside)
    camera = random_field(shape, rng, ranges.times(BACKGROUND_STRENGTH))
    motion, inside = _object_motion(target_inside, rng, ranges)
    source_behind, valid_behind = warp_photograph(behind, camera)
    source_front, valid_front = warp_photograph(front, motion)
    source = _blend(source_front, source_behind, inside)
    flow = np.where(inside[..., None], motion, camera)
    # The background is hidden where it ends behind the object.
    hidden = _sampled(target_inside, camera)
    valid = np.where(inside, valid_front, valid_behind & ~hidden)
    if elsewhere is not None:
        target = _blend(front, squashed(elsewhere, side), target_inside)
        valid &= inside
    source, target = one_relit(source, target, rng)
    return Composite(source, target, flow, valid, inside, target_inside)


def _object_motion(
    mask: Mask, rng: np.random.Generator, ranges: WarpRanges
) -> tuple[NDArray[np.float64], Mask]:
    """Flow of an object that mostly stays, and its mask in the source."""
    shape = (mask.shape[0], mask.shape[1])
    best: tuple[int, NDArray[np.float64], Mask] | None = None
    for _ in range(ATTEMPTS):
        flow = random_field(shape, rng, ranges)
        inside = _sampled(mask, flow)
        area = int(inside.sum())
        if best is None or area > best[0]:
            best = (area, flow, inside)
        if area >= KEPT_SHARE * mask.sum():
            return flow, inside
    assert best is not None
    return best[1], best[2]


def _sampled(mask: Mask, flow: NDArray[np.floating]) -> Mask:
    """Mask as seen through a flow, false beyond its border."""
    at = np.indices(mask.shape) + np.moveaxis(flow, -1, 0)
    return np.asarray(
        map_coordinates(mask.astype(np.float32), at, order=1) > 0.5
    )


def _blend(front: Image, behind: Image, mask: Mask) -> Image:
    """Object before a background, its outline softened by a pixel."""
    share = gaussian_filter(mask.astype(np.float32), 0.7)[..., None]
    share = np.where(mask[..., None], np.maximum(share, 0.5), share)
    # The object's own pixels end at its mask.
    share = share * (front.max(axis=-1, keepdims=True) > 0)
    return np.asarray(share * front + (1 - share) * behind, np.float32)


@dataclass(frozen=True)
class CompositeParts:
    """Photographs with an object each, and photographs of backgrounds."""

    #: Image and mask; a name of a bundled photograph has no mask, and a random
    #: blob is cut from it.
    objects: Sequence[tuple[Path | str, Path | None]]
    #: Files, or names of bundled photographs.
    backgrounds: Sequence[Path | str]
    #: What they are, for the settings of a benchmark.
    text: str

    def pair(
        self,
        index: int,
        seed: int,
        side: int = 256,
        shares: tuple[float, float] = OBJECT_SIDE,
        *,
        elsewhere: bool = False,
    ) -> Composite:
        """Make the pair of an index.

        ``index``: which pair; any number, since objects and backgrounds are
        drawn. ``side``: side of both images in pixels. ``elsewhere``: show
        the object before another background in the target.
        """
        rng = np.random.default_rng([seed, index, 2])
        file, mask_file = self.objects[index % len(self.objects)]
        others = [name for name in self.backgrounds if name != file]
        background = _pixels(others[int(rng.integers(len(others)))])
        image = _pixels(file)
        if mask_file is None:
            mask = _blob((image.shape[0], image.shape[1]), rng)
        else:
            mask = read_labels(mask_file) > 0
        other = None
        if elsewhere:
            # Of its own generator: the pair is the same but for this.
            own = np.random.default_rng([seed, index, 3])
            other = _pixels(others[int(own.integers(len(others)))])
        return compose(
            background,
            image,
            mask,
            rng,
            side=side,
            shares=shares,
            elsewhere=other,
        )

    def learnt_from(self) -> CompositeParts:
        """The same without the objects that are measured with.

        Bundled photographs stay: what is cut from them is drawn.
        """
        objects = [
            item
            for index, item in enumerate(self.objects)
            if index >= MEASURED or item[1] is None
        ]
        return replace(self, objects=objects)


def _pixels(name: Path | str) -> Image:
    """Pixels of a file or of a bundled photograph."""
    return (
        read_image(name)
        if isinstance(name, Path)
        else bundled_photograph(name)
    )


def _blob(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """A random lobed shape around the middle of an image."""
    rows, columns = (
        np.linspace(-1, 1, length) for length in (shape[0], shape[1])
    )
    y, x = np.meshgrid(rows, columns, indexing='ij')
    angle = np.arctan2(y, x)
    radius = np.full(shape, 0.55)
    for waves in (2, 3, 5):
        amplitude = rng.uniform(0.02, 0.25 / waves)
        radius += amplitude * np.cos(waves * angle + rng.uniform(0, 6.28))
    return np.asarray(np.hypot(y, x) < radius)


def bundled_parts() -> CompositeParts:
    """Blobs of the photographs that come with scikit-image."""
    return CompositeParts(
        [(name, None) for name in BUNDLED],
        BUNDLED,
        'blobs of photographs that come with scikit-image',
    )


def horse_parts(root: Path) -> CompositeParts:
    """Horses of the training images before other training images.

    ``root``: folder that holds ``train/weizmann-horse`` with ``images`` and
    ``masks``, and ``manifests/train_images.csv`` with the columns ``file`` and
    ``dataset``.
    Returns: each horse once; backgrounds are the photographs of
    ``imagenet-sample``.
    Raises InputError if one of these is missing.
    """
    images = root / 'train' / 'weizmann-horse' / 'images'
    objects = [
        (image, mask)
        for image in sorted(images.glob('*.jpg'))
        if (
            mask := image.parent.parent / 'masks' / f'{image.stem}.png'
        ).is_file()
    ]
    rows = read_rows(root / 'manifests/train_images.csv', ('file', 'dataset'))
    backgrounds = [
        resolve(root, row.need('file'), row.where)
        for row in rows
        if row.get('dataset') == 'imagenet-sample'
    ]
    if not objects or not backgrounds:
        raise InputError(
            f'{root} does not hold objects to compose: expected '
            f'train/weizmann-horse/images and masks, and photographs of the '
            f'dataset imagenet-sample in manifests/train_images.csv'
        )
    return CompositeParts(
        objects, backgrounds, 'training horses before photographs'
    )
