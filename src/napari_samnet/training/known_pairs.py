"""Pairs of training images of which it is known what matches are right.

The confidence is fitted to them, so they are of the kinds that people match:
animals of one kind and of two in any pose, as they are, cut out, or small
before a background that stays; objects that move on their own; other looks of
one scene; and images without what the first one shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize

from napari_samnet.datasets.composites import CompositeParts
from napari_samnet.datasets.image_lists import ImageList
from napari_samnet.datasets.reading import read_image
from napari_samnet.images.rgb import to_working
from napari_samnet.samnet.config import STRIDE
from napari_samnet.training.annotated import (
    FEWEST_POINTS,
    AnnotatedImage,
    part_around,
)
from napari_samnet.training.data import read_working
from napari_samnet.training.synthetic import synthetic_pair

Image = NDArray[np.float32]
Points = NDArray[np.float64]

#: Share of the object's longest side within which a match is right, and
#: pixels at working size within which one of a single scene is.
OBJECT_TOLERANCE, SCENE_TOLERANCE = 0.1, 3.0

#: Share of the pairs of each kind.
KINDS = {
    'whole': 0.22,
    'alike': 0.2,
    'cut out': 0.1,
    'whole and cut out': 0.1,
    'two kinds': 0.06,
    'small': 0.1,
    'moving object': 0.06,
    'one scene': 0.06,
    'absent': 0.1,
}

#: Places that are drawn of a known field.
PLACES = 32

#: Longest side in pixels of an animal that is set small before a background,
#: at a working size of 256, and how often the background stays the same.
SMALL, STAYS = (50, 110), 0.7

#: Longest side of an object that moves on its own, in sides of the image.
MOVING = (0.12, 0.65)

#: Change of scale along an axis below which two poses are not alike.
LEAST_SCALE = 0.2

#: Attempts to draw a pair of a kind.
ATTEMPTS = 30


class KnownPair(NamedTuple):
    """A pair, and where some of its places belong."""

    #: What kind of pair it is, one of `KINDS`.
    kind: str
    #: What the pair shows; pairs of one group are alike.
    group: str
    #: ``source``, ``target``: (size, size, 3): the two images at working size.
    source: Image
    target: Image
    #: ``places``, ``goals``: (K, 2): (x, y) in cells of source and target. A
    #: goal is infinite where the target does not show the place.
    places: Points
    goals: Points
    #: ``back``, ``scale``: (2,): errors in (x, y) cells, in the source and in
    #: the target, times these are right up to a length of 1.
    back: NDArray[np.float64]
    scale: NDArray[np.float64]


@dataclass(frozen=True)
class _View:
    """An annotated image at working size."""

    #: (size, size, 3): RGB from 0 to 1.
    image: Image
    #: (K, 2): its keypoints, (x, y) in cells.
    points: Points
    #: (K,): which of them it shows.
    visible: NDArray[np.bool_]
    #: (2,): see :class:`KnownPair`.
    scale: NDArray[np.float64]
    #: What it shows.
    group: str


class _Maker:
    """Makes pairs of all kinds."""

    def __init__(
        self,
        annotated: Sequence[AnnotatedImage],
        photographs: ImageList,
        parts: CompositeParts | None,
        size: int,
        rng: np.random.Generator,
    ) -> None:
        self._annotated = annotated
        self._photographs = photographs
        self._parts = parts
        self._size = size
        self._rng = rng
        self._groups = sorted({image.group for image in annotated})

    def make(self, kind: str) -> KnownPair | None:
        """One pair of a kind, None if it cannot be had this time."""
        if kind == 'one scene':
            return self._scene()
        if kind == 'moving object':
            return self._moving()
        if not self._annotated:
            return None
        one = self._draw(self._annotated)
        if kind == 'absent':
            return self._absent(one)
        if kind == 'small':
            return self._small(one)
        two = kind == 'two kinds'
        others = [
            image
            for image in self._annotated
            if (image.group != one.group) == two and image is not one
        ]
        if not others:
            return None
        other = self._draw(others)
        if kind == 'alike':
            other = self._most_alike(one, others)
        views = [self._whole(one), self._whole(other)]
        if kind == 'cut out':
            views = [self._cut(one), self._cut(other)]
        elif kind == 'whole and cut out':
            views[0] = self._cut(one)
        return self._of_views(kind, views[0], views[1])

    def _draw(self, items: Sequence[AnnotatedImage]) -> AnnotatedImage:
        return items[int(self._rng.integers(len(items)))]

    def _most_alike(
        self, one: AnnotatedImage, others: Sequence[AnnotatedImage]
    ) -> AnnotatedImage:
        """One of the two images in the most similar pose."""
        ranked = sorted(others, key=lambda other: _pose_distance(one, other))
        return self._draw(ranked[:2])

    def _photograph(self) -> Image:
        index = int(self._rng.integers(len(self._photographs)))
        return read_working(self._photographs[index], self._size)

    @property
    def _cells(self) -> int:
        return self._size // STRIDE

    def _whole(self, image: AnnotatedImage) -> _View:
        pixels = read_image(image.path)
        return self._view(image, pixels, (0, 0))

    def _view(
        self,
        image: AnnotatedImage,
        pixels: Image,
        at: Sequence[int] | NDArray[np.int64],
    ) -> _View:
        """Of a part of an image whose corner is at (x, y)."""
        height, width = pixels.shape[:2]
        scale = self._cells / np.array([width, height], float)
        return _View(
            to_working(pixels, size=self._size, name=image.path.name),
            (image.points - at + 0.5) * scale - 0.5,
            image.visible,
            1 / (scale * image.side * OBJECT_TOLERANCE),
            image.group,
        )

    def _cut_out(
        self, image: AnnotatedImage, margins: NDArray[np.float64]
    ) -> tuple[Image, NDArray[np.int64]]:
        """The part around the keypoints, and the (x, y) of its corner."""
        pixels = read_image(image.path)
        left, top, right, bottom = part_around(image, pixels.shape, margins)
        return pixels[top:bottom, left:right], np.array([left, top])

    def _cut(self, image: AnnotatedImage) -> _View:
        pixels, low = self._cut_out(image, self._rng.uniform(0.1, 0.4, 4))
        return self._view(image, pixels, low)

    def _of_views(
        self, kind: str, one: _View, other: _View
    ) -> KnownPair | None:
        common = one.visible & other.visible
        for view in (one, other):
            inside = (view.points > -0.5) & (view.points < self._cells - 0.5)
            common &= inside.all(1)
        if common.sum() < FEWEST_POINTS:
            return None
        groups = sorted({one.group, other.group})
        return KnownPair(
            kind,
            ' '.join(groups),
            one.image,
            other.image,
            one.points[common],
            other.points[common],
            one.scale,
            other.scale,
        )

    def _small(self, one: AnnotatedImage) -> KnownPair | None:
        """Animals small before a background, which mostly stays."""
        rng = self._rng
        alike = [
            other for other in self._annotated if other.group == one.group
        ]
        other = one if rng.random() < 0.35 else self._draw(alike)
        behind = self._photograph()
        stays = rng.random() < STAYS
        moved = np.roll(behind, tuple(rng.integers(-6, 7, 2)), (0, 1))
        return self._of_views(
            'small',
            self._set_small(one, behind),
            self._set_small(other, moved if stays else self._photograph()),
        )

    def _set_small(self, image: AnnotatedImage, behind: Image) -> _View:
        rng = self._rng
        cut, low = self._cut_out(image, np.full(4, 0.15))
        side = rng.uniform(*SMALL) * self._size / 256
        factor = side / max(cut.shape[:2])
        height, width = (max(8, round(factor * n)) for n in cut.shape[:2])
        small = resize(cut, (height, width), anti_aliasing=factor < 1)
        y = int(rng.integers(0, self._size - height + 1))
        x = int(rng.integers(0, self._size - width + 1))
        down, right = np.meshgrid(
            np.linspace(-1, 1, height),
            np.linspace(-1, 1, width),
            indexing='ij',
        )
        # A rounded rectangle with a soft rim.
        radius = 0.75 * (down**2 + right**2) + 0.25 * (down**4 + right**4)
        share = ((1.08 - np.sqrt(radius)) / 0.12).clip(0, 1)[..., None]
        canvas = behind.copy()
        place = np.s_[y : y + height, x : x + width]
        canvas[place] = share * small + (1 - share) * canvas[place]
        scale = np.array([width / cut.shape[1], height / cut.shape[0]])
        points = ((image.points - low + 0.5) * scale + (x, y)) / STRIDE - 0.5
        return _View(
            canvas,
            points,
            image.visible,
            STRIDE / (scale * image.side * OBJECT_TOLERANCE),
            image.group,
        )

    def _absent(self, one: AnnotatedImage) -> KnownPair:
        view = self._whole(one) if self._rng.random() < 0.7 else self._cut(one)
        places = view.points[view.visible]
        return KnownPair(
            'absent',
            'absent',
            view.image,
            self._photograph(),
            places,
            np.full_like(places, np.inf),
            view.scale,
            view.scale,
        )

    def _scene(self) -> KnownPair:
        rng = self._rng
        source, target, flow, valid = synthetic_pair(self._photograph(), rng)
        pixels = rng.integers(self._size, size=(PLACES, 2))
        scale = np.full(2, STRIDE / SCENE_TOLERANCE)
        return self._of_field(
            'one scene', (source, target), flow, valid, pixels, scale
        )

    def _moving(self) -> KnownPair | None:
        if self._parts is None:
            return None
        made = self._parts.pair(
            int(self._rng.integers(len(self._parts.objects))),
            int(self._rng.integers(1 << 30)),
            self._size,
            MOVING,
        )
        inside = np.argwhere(made.inside & made.valid)
        extent = np.ptp(np.argwhere(made.target_inside), axis=0).max()
        if len(inside) < PLACES:
            return None
        return self._of_field(
            'moving object',
            (made.source, made.target),
            made.flow,
            made.valid,
            inside[self._rng.permutation(len(inside))[:PLACES]],
            np.full(2, STRIDE / (OBJECT_TOLERANCE * extent)),
        )

    def _of_field(
        self,
        kind: str,
        images: tuple[Image, Image],
        flow: NDArray[np.floating],
        valid: NDArray[np.bool_],
        pixels: NDArray[np.int64],
        scale: NDArray[np.float64],
    ) -> KnownPair:
        """Some pixels, (row, column), and where a field leads them."""
        at = pixels[:, 0], pixels[:, 1]
        places = (pixels[:, ::-1] + 0.5) / STRIDE - 0.5
        goals = places + flow[at][:, ::-1] / STRIDE
        goals = np.where(valid[at][:, None], goals, np.inf)
        return KnownPair(kind, kind, *images, places, goals, scale, scale)


def _pose_distance(one: AnnotatedImage, other: AnnotatedImage) -> float:
    """What a shift and a change of scale leave, in sides of the object."""
    common = one.visible & other.visible
    if common.sum() < FEWEST_POINTS + 2:
        return float('inf')
    these, those = (
        image.points[common] - image.points[common].mean(0)
        for image in (one, other)
    )
    scale = (these * those).sum(0) / np.square(these).sum(0).clip(1e-6)
    if scale.min() < LEAST_SCALE:
        return float('inf')
    residual = np.linalg.norm(those - scale * these, axis=1).mean()
    return float(residual / other.side)


def known_pairs(
    annotated: Sequence[AnnotatedImage],
    photographs: ImageList,
    parts: CompositeParts | None,
    *,
    pairs: int,
    size: int,
    seed: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> Iterator[KnownPair]:
    """Make pairs of all kinds.

    ``annotated``: images that the features were not taught by; without any,
    only scenes and moving objects are made.
    ``photographs``: images that show something else: backgrounds, scenes, and
    targets without the object.
    ``parts``: objects that move on their own; None for none.
    ``size``: working size in pixels.
    """
    maker = _Maker(
        annotated, photographs, parts, size, np.random.default_rng(seed)
    )
    done = 0
    for kind, share in KINDS.items():
        for _ in range(round(share * pairs)):
            for _ in range(ATTEMPTS):
                pair = maker.make(kind)
                if pair is not None:
                    yield pair
                    break
            done += 1
            tell(done)
