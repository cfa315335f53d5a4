"""Which pixels an outline of labelme covers, and an outline of given pixels.

labelme draws with Pillow: a corner belongs to the pixel that it lies in, and
the line around a polygon to the polygon (``labelme.utils.shape_to_mask``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_samnet.io.formats.objects import LabelObject, Ring, pixels_of

#: From a corner, in x and y, to the pixel on the right of the line that
#: arrives there from the left, from above, from the right and from below.
_RIGHT_OF = {
    (1, 0): (-1, 0),
    (0, 1): (-1, -1),
    (-1, 0): (0, -1),
    (0, -1): (0, 0),
}


def drawn(
    points: Ring, kind: str, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Pixels of a shape.

    ``points`` (N, 2): x and y of its corners. ``kind``: 'polygon', 'rectangle'
    or 'circle', whose points are its center and one of its line.
    Returns: (H, W): as labelme's own masks.
    """
    image = Image.new('1', shape[::-1])
    pen = ImageDraw.Draw(image)
    if kind == 'circle':
        radius = float(np.hypot(*(points[1] - points[0])))
        box = [*(points[0] - radius), *(points[0] + radius)]
        pen.ellipse(box, outline=1, fill=1)
    elif kind == 'rectangle':
        box = [*points.min(axis=0), *points.max(axis=0)]
        pen.rectangle(box, outline=1, fill=1)
    else:
        if len(points) < 3:
            raise ValueError(f'a polygon has {len(points)} corners')
        pen.polygon([tuple(point) for point in points], outline=1, fill=1)
    return np.asarray(image, bool)


def polygons_of(
    each: LabelObject, shape: tuple[int, int]
) -> list[Ring] | None:
    """Polygons that labelme draws as the pixels of an object.

    ``each``: an object with outlines along the edges of pixels.
    Returns: one for each part, through the centers of its outermost pixels;
    None if there are no polygons that cover just these pixels.
    """
    mask, (left, top, width, height) = pixels_of(each, shape)
    if not width or any(len(part) > 1 for part in each.parts):
        return None
    origin = np.array([left, top])
    rings = [_centers(part[0] - origin) for part in each.parts]
    covered = np.zeros((height, width), bool)
    for ring in rings:
        covered |= drawn(ring, 'polygon', covered.shape)
    if (covered != mask[top : top + height, left : left + width]).any():
        return None
    return [ring + origin for ring in rings]


def _centers(outline: Ring) -> Ring:
    """Centers of the pixels along the inside of an outline.

    ``outline`` (N, 2): corners on the edges of pixels, in either sense.
    Returns: (K, 2), at least three, without those on straight lines.
    """
    after = np.roll(outline, -1, axis=0)
    area = (outline[:, 0] * after[:, 1] - outline[:, 1] * after[:, 0]).sum()
    # Clockwise on the screen the inside is on the right.
    corners = outline if area > 0 else outline[::-1]
    pixels: list[tuple[float, float]] = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        step = np.sign(end - start).astype(int)
        right = np.array(_RIGHT_OF[int(step[0]), int(step[1])])
        first, last = start + step + right, end + right
        pixels += [(first[0], first[1]), (last[0], last[1])]
    kept = [p for k, p in enumerate(pixels) if p != pixels[k - 1]]
    kept = kept or pixels[:1]
    kept += kept[:1] * (3 - len(kept))
    return np.array(kept, float) + 0.5
