"""Labels as objects with outlines, as annotation programs keep them.

Coordinates are x, y in pixels, 0 at the outer edge of the first pixel, as in
ImageJ, QuPath, COCO and labelme: pixel `k` reaches from `k` to `k + 1`. A
pixel belongs to an outline if its center does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.errors import InputError
from napari_samnet.io.extras import require
from napari_samnet.io.picture import LabelPicture, plural

Ring = NDArray[np.float64]
Part = tuple[Ring, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelObject:
    """One object with its id."""

    #: Its id, which is the value of its pixels.
    number: int
    #: (N, 2): outlines, x and y of each corner. The object is the union of its
    #: parts; within a part, an outline inside of another one is a hole.
    parts: tuple[Part, ...] = ()
    #: (H, W): its pixels instead of outlines.
    mask: NDArray[np.bool_] | None = None
    #: What it is called; '' for nothing.
    name: str = ''
    #: Plane of a stack that it was drawn on, from 0; None for any.
    plane: int | None = None
    #: 8-bit red, green and blue.
    color: tuple[int, int, int] | None = None


def number_objects(
    given: Sequence[Any], name: str, planes: Sequence[Any] = ()
) -> tuple[list[int], tuple[str, ...]]:
    """Give every object of a file an id that no other one has.

    ``given``: the id that each has in the file; anything but a whole number
    from 1 for none.
    ``planes``: plane of each, as one object can be on several.
    Returns: ``numbers``: the ids of the file; those without one, or with one
    that an earlier object has, get the next free numbers in their order.
    ``notices``: which those are, where others have ids.
    """
    kept: dict[tuple[int, Any], int] = {}
    for place, number in enumerate(given):
        if _is_id(number):
            plane = planes[place] if planes else None
            kept.setdefault((int(number), plane), place)
    at = {place: number for (number, _), place in kept.items()}
    taken = {*at.values()}
    free = (number for number in count(1) if number not in taken)
    numbers = [
        at[place] if place in at else next(free) for place in range(len(given))
    ]
    new = [str(n) for place, n in enumerate(numbers) if place not in at]
    if not at or not new:
        return numbers, ()
    return numbers, (
        f'{name}: {plural(len(new), "object")} without an id that is theirs '
        f'alone got the next free ones: {", ".join(new[:8])}',
    )


def _is_id(number: Any) -> bool:
    """Whether a value of a file can be an id."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    return math.isfinite(number) and number >= 1 and int(number) == number


def paint(
    objects: Sequence[LabelObject], shape: tuple[int, int], name: str
) -> LabelPicture:
    """Paint objects as labels; where two overlap, the later one stays."""
    from napari_samnet.io.label_numbers import smallest_dtype

    for each in objects:
        for part in each.parts:
            if not all(np.isfinite(ring).all() for ring in part):
                raise InputError(
                    f'labels: an outline of {name} has a corner that is no '
                    f'finite number'
                )
    numbers = [each.number for each in objects]
    dtype = smallest_dtype(
        min(numbers, default=0), max(0, max(numbers, default=0))
    )
    labels = np.zeros(shape, dtype)
    covered = 0
    for each in objects:
        for where, inside in _regions(each, shape):
            block = labels[where]
            covered += int(np.count_nonzero((block != 0) & inside))
            block[inside] = each.number
    lost = sorted({*numbers} - {*np.unique(labels).tolist()} - {0})
    notices = []
    if covered:
        notices.append(
            f'{name}: objects overlap in {plural(covered, "pixel")}, where '
            f'the later one is kept'
        )
    if lost:
        told = ', '.join(map(str, lost[:8]))
        notices.append(
            f'{name}: {plural(len(lost), "object")} hidden, outside the '
            f'image or smaller than a pixel: {told}'
        )
    return LabelPicture(
        labels=labels,
        notices=tuple(notices),
        names={each.number: each.name for each in objects if each.name},
        colors={each.number: each.color for each in objects if each.color},
    )


def _regions(
    each: LabelObject, shape: tuple[int, int]
) -> Iterable[tuple[tuple[slice, slice], NDArray[np.bool_]]]:
    """Parts of an image with the pixels of an object in them."""
    if each.mask is not None:
        if each.mask.shape != shape:
            raise InputError(
                f'labels must have the shape of their image, {shape}, got a '
                f'mask of {each.mask.shape}'
            )
        yield (slice(None), slice(None)), each.mask
    for part in each.parts:
        region = _inside(part, shape)
        if region is not None:
            yield region


def _inside(
    part: Part, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], NDArray[np.bool_]] | None:
    """Pixels whose centers lie in the first outline, but in no hole."""
    from skimage.draw import polygon

    corners = np.concatenate(part)
    low = np.clip(np.floor(corners.min(axis=0)), 0, shape[::-1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, shape[::-1]).astype(int)
    size = (int(high[1] - low[1]), int(high[0] - low[0]))
    if min(size) <= 0:
        return None
    inside = np.zeros(size, bool)
    for ring in part:
        if len(ring) < 3:
            continue
        filled = np.zeros(size, bool)
        rows, columns = polygon(
            ring[:, 1] - low[1] - 0.5, ring[:, 0] - low[0] - 0.5, size
        )
        filled[rows, columns] = True
        # Even-odd: an outline within another one is a hole.
        inside ^= filled
    where = (
        slice(int(low[1]), int(high[1])),
        slice(int(low[0]), int(high[0])),
    )
    return where, inside


def objects_of(
    labels: NDArray[Any],
    *,
    names: dict[int, str] | None = None,
    colors: dict[int, tuple[int, int, int]] | None = None,
) -> list[LabelObject]:
    """Outlines of labels, along the edges of their pixels.

    Painting them gives the same labels again.

    ``labels`` (H, W): the labels; 0 is background. ``colors``: 8-bit color of
    each id.
    """
    from scipy import ndimage

    shapely = require('shapely', 'outlines of labels')
    numbers, index = np.unique(labels, return_inverse=True)
    index = index.reshape(labels.shape).astype(np.int32)
    boxes = ndimage.find_objects(index + 1)
    made = []
    for k, (number, box) in enumerate(zip(numbers, boxes, strict=True)):
        if not number or box is None:
            continue
        parts = _outlines(shapely, index[box] == k, box)
        made.append(
            LabelObject(
                number=int(number),
                parts=parts,
                name=(names or {}).get(int(number), ''),
                color=(colors or {}).get(int(number)),
            )
        )
    return made


def _outlines(
    shapely: Any, mask: NDArray[np.bool_], box: tuple[slice, slice]
) -> tuple[Part, ...]:
    """Outlines of the pixels of one object, joined from its runs."""
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    step = np.diff(padded, axis=1)
    rows, starts = np.nonzero(step == 1)
    _, stops = np.nonzero(step == -1)
    top, left = box[0].start, box[1].start
    runs = shapely.box(starts + left, rows + top, stops + left, rows + top + 1)
    joined = shapely.simplify(shapely.union_all(runs), 0)
    polygons = getattr(joined, 'geoms', [joined])
    return tuple(
        tuple(
            np.asarray(ring.coords, float)[:-1]
            for ring in (polygon.exterior, *polygon.interiors)
        )
        for polygon in polygons
    )


def has_holes(each: LabelObject) -> bool:
    """Whether an object surrounds something that is not part of it.

    ``each``: objects with outlines, not masks. Returns: True if any of its
    parts has more than an outer outline.
    """
    return any(len(part) > 1 for part in each.parts)


def parse_color(value: Any) -> tuple[int, int, int] | None:
    """A color as annotation programs write it.

    ``value`` (sequence of int, int or str): red, green and blue from 0 to 255;
    one number that holds them, as in QuPath; or hexadecimal digits after
    ``#``.
    Returns: None for anything else.
    """
    if isinstance(value, str) and len(value) in (7, 9) and value[0] == '#':
        digits = value[-6:]
        try:
            value = int(digits, 16)
        except ValueError:
            return None
    if isinstance(value, int) and not isinstance(value, bool):
        return (value >> 16) & 255, (value >> 8) & 255, value & 255
    if isinstance(value, list | tuple) and len(value) >= 3:
        if not all(isinstance(part, int | float) for part in value[:3]):
            return None
        red, green, blue = (min(255, max(0, int(p))) for p in value[:3])
        return red, green, blue
    return None


def pixels_of(
    each: LabelObject, shape: tuple[int, int]
) -> tuple[NDArray[np.bool_], tuple[int, int, int, int]]:
    """Pixels of an object, and the box around them.

    ``each``: an object with outlines or a mask.
    Returns: ``mask``: (H, W): where the object is; ``box``: left, top, width
    and height; zeros if it covers no pixel.
    """
    mask = paint([each], shape, each.name).labels == each.number
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return mask, (0, 0, 0, 0)
    left, top = int(columns[0]), int(rows[0])
    right, bottom = int(columns[-1]) + 1, int(rows[-1]) + 1
    return mask, (left, top, right - left, bottom - top)
