"""Images with keypoints that people marked, and views to learn from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.datasets.reading import read_image
from napari_samnet.errors import InputError, cannot
from napari_samnet.images.rgb import to_working

#: Keypoints that both images of a pair must show.
FEWEST_POINTS = 3

#: Margins in sides of the object between which a part is cut out around it.
MARGINS = (0.05, 0.4)

#: Least side in pixels of a part that is a view of its own.
SMALLEST_PART = 16


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with keypoints."""

    #: The file that holds the image.
    path: Path
    #: Images of one group show the same kind of thing.
    group: str
    #: (x, y) in pixels of the file.
    points: NDArray[np.float64]
    #: Which of them the image shows.
    visible: NDArray[np.bool_]
    #: Longest side in pixels of the object's box.
    side: float
    #: Which keypoint each of them is in the mirror; None if that is not known.
    mirror: tuple[int, ...] | None = None


@dataclass(frozen=True)
class AnnotatedView:
    """An annotated image as it is, mirrored, or a part of it."""

    #: What it is a view of.
    image: AnnotatedImage
    #: Height and width of its file in pixels.
    shape: tuple[int, int]
    #: Left, top, right and bottom of the part in pixels of the file; None for
    #: all of it.
    part: tuple[int, int, int, int] | None = None
    #: Whether left and right are exchanged.
    mirrored: bool = False

    def read(self, size: int) -> NDArray[np.float32]:
        """The view at a working size, float32 ``(size, size, 3)``."""
        pixels = read_image(self.image.path)
        if self.part is not None:
            left, top, right, bottom = self.part
            pixels = pixels[top:bottom, left:right]
        if self.mirrored:
            pixels = pixels[:, ::-1]
        name = self.image.path.name
        small: NDArray[np.float32] = to_working(pixels, size=size, name=name)
        return small

    def cells(
        self, side: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Keypoints in (x, y) cells of the resized square, and which it shows.

        ``side``: cells along one side. Returns: cell centers are whole
        numbers.
        """
        height, width = self.shape
        left, top, right, bottom = self.part or (0, 0, width, height)
        sides = np.array([right - left, bottom - top])
        shares = (self.image.points - (left, top) + 0.5) / sides
        visible = self.image.visible & ((shares >= 0) & (shares < 1)).all(1)
        if self.mirrored:
            assert self.image.mirror is not None
            order = list(self.image.mirror)
            shares = (shares * (-1, 1) + (1, 0))[order]
            visible = visible[order]
        return side * shares - 0.5, visible


def views_of(
    image: AnnotatedImage, shape: tuple[int, int], rng: np.random.Generator
) -> list[AnnotatedView]:
    """Views of an image that features are taught by.

    ``shape``: height and width of the file in pixels.
    Returns: the image, its mirror image if it is known which keypoints change
    sides, and the part around its keypoints.
    """
    views = [AnnotatedView(image, shape)]
    mirrored = False
    if image.mirror is not None:
        views.append(AnnotatedView(image, shape, mirrored=True))
        mirrored = bool(rng.random() < 0.5)
    margins = rng.uniform(*MARGINS, 4)
    if image.visible.any():
        left, top, right, bottom = part = part_around(image, shape, margins)
        if min(right - left, bottom - top) >= SMALLEST_PART:
            views.append(AnnotatedView(image, shape, part, mirrored))
    return views


def part_around(
    image: AnnotatedImage,
    shape: Sequence[int],
    margins: NDArray[np.float64],
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels of the part around the keypoints.

    ``shape``: height and width of the file in pixels.
    ``margins`` (4,): what is added on these sides, in sides of the object.
    """
    seen = image.points[image.visible]
    low = np.floor(seen.min(0) - margins[:2] * image.side)
    high = np.ceil(seen.max(0) + margins[2:] * image.side)
    left, top = (int(value) for value in np.maximum(low, 0))
    right, bottom = (
        int(value) for value in np.minimum(high, (shape[1], shape[0]))
    )
    return left, top, right, bottom


def read_annotated_images(path: Path, root: Path) -> list[AnnotatedImage]:
    """Read images with keypoints from a JSON file.

    ``path``: its entry "images" holds, per file, "kp": x, y and whether the
    keypoint is visible, in one order for all images; and "bbox", the object's
    x0, y0, x1, y1, without which it is the extent of the keypoints. The folder
    of a file is its group. Its entry "names", if there is one, names the
    keypoints: those that begin with left and right change sides in a mirror.
    Raises InputError if the file cannot be read, or holds no two images with
    the same number of keypoints.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text('utf-8'))
        images: dict[str, Any] = content['images']
        mirror = _mirror(content.get('names'))
        annotated = []
        for file, entry in images.items():
            table = np.array(entry['kp'], np.float64).reshape(-1, 3)
            x0, y0, x1, y1 = entry.get('bbox') or _extent(table)
            annotated.append(
                AnnotatedImage(
                    root / file,
                    Path(file).parent.name,
                    table[:, :2],
                    table[:, 2] > 0,
                    float(max(x1 - x0, y1 - y0)),
                    mirror,
                )
            )
    except OSError as error:
        raise cannot(f'read {path}', error) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f'{path} must hold "images", each with "kp" (x, y, visible): '
            f'{error!r}'
        ) from None
    counts = {len(image.points) for image in annotated}
    if len(annotated) < 2 or len(counts) != 1:
        raise InputError(
            f'{path} must hold at least two images with the same number of '
            f'keypoints, got {len(annotated)} images with '
            f'{sorted(counts)} keypoints'
        )
    if mirror is not None and len(mirror) not in counts:
        raise InputError(
            f'{path} must name as many keypoints as its images have, '
            f'{sorted(counts)[0]}, got {len(mirror)} names'
        )
    return annotated


def _mirror(names: Sequence[str] | None) -> tuple[int, ...] | None:
    """Which keypoint each one is in the mirror."""
    if not names:
        return None
    places = {name.lower(): index for index, name in enumerate(names)}

    def other(name: str) -> str:
        for one, two in (('left', 'right'), ('right', 'left')):
            if name.startswith(one):
                return two + name[len(one) :]
        return name

    return tuple(
        places.get(other(name.lower()), index)
        for index, name in enumerate(names)
    )


def _extent(table: NDArray[np.float64]) -> tuple[float, ...]:
    """Box of the visible keypoints."""
    shown = table[table[:, 2] > 0, :2]
    return (*shown.min(0), *shown.max(0))
