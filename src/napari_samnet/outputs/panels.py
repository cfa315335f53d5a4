"""Pictures of the parts of a match: labels, points, flow, confidence.

All are drawn at `FINE` times the size at which they are shown, so that lines
are smooth when they are reduced.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation, distance_transform_edt
from skimage.filters import gaussian
from skimage.segmentation import find_boundaries

from napari_samnet.images.rgb import to_working
from napari_samnet.outputs.colormaps import (
    confidence_to_rgb,
    flow_to_rgb,
    label_colors,
)

if TYPE_CHECKING:
    from napari_samnet.correspondence import Correspondence

#: Width of a picture as it is shown, in pixels.
WIDTH = 440

#: Lines are drawn this much larger and then reduced.
FINE = 2

INK, FAINT, PAPER = (32, 36, 44), (196, 200, 208), (255, 255, 255)

#: Arrows along the longer side of a flow.
ARROWS = 15

#: So many points are shown, at most one in each of the fields.
POINTS = 16
FIELDS = (5, 6)

#: How much is left of what is not trusted at all, and from where it counts.
LEFT, SURE = 0.2, 0.3

#: Size of text in a picture.
NOTE = 14


def _fit(shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of an image in a panel."""
    rows, columns = shape
    scale = min(WIDTH / columns, 1.2 * WIDTH / rows)
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def _places(length: int, count: int) -> NDArray[np.intp]:
    """Nearest pixels of an axis at the pixel centers of its reduced copy."""
    return ((np.arange(count) + 0.5) / count * length).astype(np.intp)


def _sample(array: Any, shape: tuple[int, int]) -> NDArray[Any]:
    """Reduce an array's first two axes by taking the nearest pixels."""
    rows = _places(array.shape[0], shape[0])
    columns = _places(array.shape[1], shape[1])
    return np.asarray(array)[rows][:, columns]


def picture_of(
    image: Any, shape: tuple[int, int], channel_axis: int | None, name: str
) -> Image.Image:
    """Image of a panel at the fine scale, however large the original."""
    # Read in bands, so that a slide does not become a slide of floats.
    square = to_working(
        image, size=FINE * WIDTH, name=name, channel_axis=channel_axis
    )
    rows, columns = _fit(shape)
    pixels = np.round(np.clip(square, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(pixels).resize(
        (columns * FINE, rows * FINE), Image.Resampling.BICUBIC
    )


def with_labels(picture: Image.Image, labels: Any) -> Image.Image:
    """Tint labels and draw their outlines."""
    shown = _sample(labels, (picture.height, picture.width))
    inside = (shown != 0).astype(np.float32)
    edge = find_boundaries(shown, mode='thick')
    edge = binary_dilation(edge, iterations=FINE)
    # Blurred, so that the outline does not show the label's pixels.
    line = np.clip(1.8 * gaussian(edge.astype(np.float32), FINE), 0, 1)
    # The color of a label goes on to the outer side of its outline.
    nearest = distance_transform_edt(
        shown == 0, return_distances=False, return_indices=True
    )
    colors = label_colors(shown[tuple(nearest)])
    share = np.maximum(line, 0.32 * inside)[..., None]
    pixels = np.asarray(picture).astype(np.float32)
    mixed = pixels + share * (colors - pixels)
    return Image.fromarray(np.round(mixed).astype(np.uint8))


def with_points(
    picture: Image.Image, points: NDArray[Any], shape: tuple[int, int]
) -> Image.Image:
    """Mark corresponding points, each in a color of its own."""
    picture = picture.copy()
    pen = ImageDraw.Draw(picture)
    scale = np.array([picture.height, picture.width]) / np.array(shape)
    fine = (np.asarray(points) + 0.5) * scale
    radius = 5.5 * FINE
    for number, (row, column) in enumerate(fine, start=1):
        box = (column - radius, row - radius, column + radius, row + radius)
        color = tuple(label_colors(np.array(number)).tolist())
        pen.ellipse(box, fill=color, outline=PAPER, width=FINE + 1)
    return picture


def sure_points(result: Correspondence) -> NDArray[np.float64]:
    """The surest points of a few fields of the source, in its pixels."""
    confidence = on_grid(result, (FIELDS[0] * 8, FIELDS[1] * 8)).confidence
    blocks = confidence.reshape(FIELDS[0], 8, FIELDS[1], 8)
    fields = blocks.swapaxes(1, 2).reshape(-1, 64)
    best = fields.argmax(axis=1)
    highest = fields.max(axis=1)
    count = max(4, min(POINTS, int((highest > SURE).sum())))
    kept = np.sort(np.argsort(-highest, kind='stable')[:count])
    rows, columns = np.divmod(kept, FIELDS[1])
    inner_rows, inner_columns = np.divmod(best[kept], 8)
    cells = np.stack(
        [rows * 8 + inner_rows, columns * 8 + inner_columns], axis=-1
    )
    scale = np.array(result.source_shape) / np.array(confidence.shape)
    return (cells + 0.5) * scale - 0.5


def _arrow(
    pen: ImageDraw.ImageDraw,
    start: NDArray[Any],
    step: NDArray[Any],
    ink: tuple[int, int, int],
) -> None:
    """Draw an arrow from a point, both as row and column."""
    length = float(np.hypot(*step))
    if length < 2 * FINE:
        row, column = start
        pen.ellipse((column - 2, row - 2, column + 2, row + 2), fill=ink)
        return
    along = step / length
    across = np.array([-along[1], along[0]])
    head = min(4.5 * FINE, 0.5 * length)
    tip = start + step
    neck = tip - head * along
    wings = (tip, neck + 0.55 * head * across, neck - 0.55 * head * across)
    pen.line([*start[::-1], *neck[::-1]], fill=ink, width=FINE)
    pen.polygon([tuple(point[::-1]) for point in wings], fill=ink)


def on_grid(result: Correspondence, shape: tuple[int, int]) -> Correspondence:
    """The same correspondence with a source of another size."""
    return replace(
        result, source_shape=shape, transferred=None, warped_labels=None
    )


def _flow_at(
    result: Correspondence, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Flow in pixels of the images, on a reduced grid of the source."""
    rows, columns = np.indices(shape, np.float32)
    index = np.stack([rows, columns], axis=-1)
    ends = index + on_grid(result, shape).flow
    scale = np.array(result.source_shape) / np.array(shape)
    starts = (index + 0.5) * scale - 0.5
    return (ends - starts).astype(np.float32)


def faded(
    pixels: NDArray[np.uint8], confidence: NDArray[np.float32]
) -> Image.Image:
    """Colors that fade to white where the match is not trusted."""
    share = np.maximum(confidence, LEFT)[..., None]
    colors = 255 + share * (pixels.astype(np.float32) - 255)
    return Image.fromarray(np.round(colors).astype(np.uint8))


def flow_picture(result: Correspondence) -> tuple[Image.Image, float]:
    """Colors and arrows of the flow, and the length of the deepest color."""
    rows, columns = (FINE * side for side in _fit(result.source_shape))
    flow = _flow_at(result, (rows, columns))
    confidence = on_grid(result, (rows, columns)).confidence
    lengths = np.hypot(flow[..., 0], flow[..., 1])
    # A few wild points must not make all others look still.
    counted = (
        lengths[confidence > SURE] if (confidence > SURE).any() else lengths
    )
    longest = float(np.percentile(counted, 95))
    picture = faded(flow_to_rgb(flow, longest), confidence)
    pen = ImageDraw.Draw(picture)
    spacing = max(rows, columns) / ARROWS
    # Arrows stay apart, and never exceed the displacement in the panel.
    scale = min(
        1.15 * spacing / max(longest, 1e-9), columns / result.source_shape[1]
    )
    for row in np.arange(spacing / 2, rows, spacing):
        for column in np.arange(spacing / 2, columns, spacing):
            place = int(row), int(column)
            step = flow[place] * scale
            # The few beyond are cut, as their color is.
            step *= min(1.0, longest / max(float(lengths[place]), 1e-9))
            ink = INK if confidence[place] > SURE else FAINT
            _arrow(pen, np.array([row, column]), step, ink)
    _wheel(picture)
    return picture, longest


def _wheel(picture: Image.Image) -> None:
    """Put the key of the flow's colors into the lower right corner."""
    radius = min(30 * FINE, picture.height // 6, picture.width // 6)
    axis = np.arange(-radius, radius + 1)
    disc = np.stack(np.meshgrid(axis, axis, indexing='ij'), axis=-1)
    inside = np.hypot(disc[..., 0], disc[..., 1]) <= radius
    key = Image.fromarray(flow_to_rgb(disc, radius))
    corner = (
        picture.width - 2 * radius - 8 * FINE,
        picture.height - 2 * radius - 8 * FINE,
    )
    picture.paste(key, corner, Image.fromarray(inside))
    box = (*corner, corner[0] + 2 * radius, corner[1] + 2 * radius)
    ImageDraw.Draw(picture).ellipse(box, outline=INK, width=FINE)


def confidence_picture(result: Correspondence) -> Image.Image:
    """Colors of the confidence, with their key in the corner."""
    rows, columns = (FINE * side for side in _fit(result.source_shape))
    confidence = on_grid(result, (rows, columns)).confidence
    picture = Image.fromarray(confidence_to_rgb(confidence))
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(NOTE * FINE)
    unit = 8 * FINE
    width, height = min(columns // 3, 14 * unit), unit
    left, top = columns - width - 4 * unit, rows - 3 * unit
    middle = top + height / 2
    pen.rounded_rectangle(
        (
            left - 2 * unit,
            top - unit,
            left + width + 2 * unit,
            top + 2 * unit,
        ),
        radius=unit,
        fill=PAPER,
    )
    ramp = np.broadcast_to(np.linspace(0, 1, width), (height, width))
    picture.paste(Image.fromarray(confidence_to_rgb(ramp)), (left, top))
    pen.text((left - unit, middle), '0', INK, font, anchor='mm')
    pen.text((left + width + unit, middle), '1', INK, font, anchor='mm')
    return picture
