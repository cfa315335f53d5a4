"""Drawing on images for the report, without a plotting library."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
from numpy.typing import NDArray

Image = NDArray[np.float32]

#: Height of a caption line and gap between panels, in pixels.
CAPTION = 14
GAP = 6


def _open(image: NDArray[np.floating]) -> PIL.Image.Image:
    return PIL.Image.fromarray(
        np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    )


def _close(image: PIL.Image.Image) -> Image:
    return np.asarray(image, np.float32) / np.float32(255)


def _color(index: int, count: int) -> tuple[int, ...]:
    red, green, blue = colorsys.hsv_to_rgb(index / max(count, 1), 0.9, 1)
    return tuple(round(255 * value) for value in (red, green, blue))


def points(
    image: Image,
    places: NDArray[np.floating],
    truth: NDArray[np.floating] | None = None,
) -> Image:
    """Image with numbered colors at points, tied to their true places.

    ``image``: float RGB, which is not changed.
    ``places``: rows and columns of the points, in pixels.
    ``truth``: a line leads from every point to where it should be.
    Returns: the picture, RGB from 0 to 1.
    """
    canvas = _open(image)
    pen = PIL.ImageDraw.Draw(canvas)
    radius = max(2.0, max(image.shape) / 80)
    for index, (row, column) in enumerate(places):
        if not np.isfinite((row, column)).all():
            continue
        color = _color(index, len(places))
        if truth is not None:
            y, x = truth[index]
            pen.line([(column, row), (x, y)], fill=color, width=2)
        pen.ellipse(
            [
                (column - radius, row - radius),
                (column + radius, row + radius),
            ],
            fill=color,
            outline=(0, 0, 0),
        )
    return _close(canvas)


def mask(
    image: Image,
    labels: NDArray[np.generic],
    colors: Mapping[int, tuple[float, float, float]] | None = None,
) -> Image:
    """Image with every label but zero laid over in its own color.

    ``image``: float RGB, which is not changed. ``labels``: whole numbers, or a
    mask. ``colors``: red, green and blue of a label, from 0 to 1.
    """
    result = np.array(image)
    ids = [label for label in np.unique(labels) if label]
    for index, label in enumerate(ids):
        color = np.array(_color(index, len(ids))) / 255
        if colors is not None:
            color = np.array(colors[int(label)])
        inside = labels == label
        result[inside] = 0.5 * result[inside] + 0.5 * color
    return result


def error(
    values: NDArray[np.floating], side: int
) -> tuple[str, NDArray[np.float32]]:
    """End-point errors as a gray picture, with what its white means.

    ``values`` (H, W): errors in pixels; white is a tenth of `side`.
    """
    white = 0.1 * side
    shade = np.clip(values / white, 0, 1).astype(np.float32)
    return f'error, white {white:.0f} px', np.repeat(shade[..., None], 3, 2)


def sheet(
    rows: Sequence[tuple[str, Sequence[tuple[str, Image]]]], height: int = 160
) -> Image:
    """Panels of several pairs in one picture, a caption over each.

    ``height``: height of a panel, in pixels.
    """
    lines = []
    for caption, panels in rows:
        pictures = []
        for title, image in panels:
            width = max(1, round(image.shape[1] * height / image.shape[0]))
            picture = _open(image).resize((width, height))
            pictures.append((title, picture))
        lines.append((caption, pictures))
    step = height + 2 * CAPTION + GAP
    width = max(
        sum(picture.width + GAP for _, picture in pictures)
        for _, pictures in lines
    )
    canvas = PIL.Image.new('RGB', (width, step * len(lines)), 'white')
    pen = PIL.ImageDraw.Draw(canvas)
    for number, (caption, pictures) in enumerate(lines):
        top, left = number * step, 0
        pen.text((2, top + 1), caption, fill=(0, 0, 0))
        for title, picture in pictures:
            pen.text((left + 2, top + CAPTION), title, fill=(90, 90, 90))
            canvas.paste(picture, (left, top + 2 * CAPTION))
            left += picture.width + GAP
    return _close(canvas)
