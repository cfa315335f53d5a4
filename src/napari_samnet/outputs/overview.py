"""One picture that shows what a match found, for people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_samnet.outputs.panels import (
    FINE,
    WIDTH,
    confidence_picture,
    faded,
    flow_picture,
    on_grid,
    picture_of,
    sure_points,
    with_labels,
    with_points,
)
from napari_samnet.outputs.verdict import Verdict, judge

if TYPE_CHECKING:
    from napari_samnet.correspondence import Correspondence

#: Spaces and text sizes, in pixels of the picture.
GAP = 26
MARGIN = 32
TITLE, BODY, NOTE = 26, 17, 14
HEAD = 108
CAPTION = 50

#: Panels in a line.
COLUMNS = 3

INK, SOFT, PAPER = (32, 36, 44), (110, 116, 128), (255, 255, 255)


@dataclass(frozen=True)
class _Panel:
    title: str
    note: str
    image: Image.Image


def _annotated(
    first: Image.Image,
    second: Image.Image,
    result: Correspondence,
    labels: Any,
) -> list[_Panel]:
    """Source and target with labels, or with points if there are none."""
    if labels is None:
        points = sure_points(result)
        ends = result.warp_points(points)
        return [
            _Panel(
                'Source',
                'with the surest points',
                with_points(first, points, result.source_shape),
            ),
            _Panel(
                'Target',
                'with the same points',
                with_points(second, ends, result.target_shape),
            ),
        ]
    carried = result.warped_labels
    if carried is None:
        carried = result.warp_labels(labels)
    return [
        _Panel('Source', 'with its labels', with_labels(first, labels)),
        _Panel(
            'Target',
            'with the labels carried over',
            with_labels(second, carried),
        ),
    ]


def _measured(
    first: Image.Image, second: Image.Image, result: Correspondence
) -> list[_Panel]:
    """Flow, confidence, and the target brought onto the source."""
    flow, longest = flow_picture(result)
    reduced = on_grid(result, (first.height, first.width))
    pulled = replace(
        reduced, target_shape=(second.height, second.width)
    ).warp_image(np.asarray(second), fill=255)
    return [
        _Panel(
            'Flow',
            f'where source points go, pale if unsure, up to {longest:.0f} px',
            flow,
        ),
        _Panel(
            'Confidence',
            'how well each source point matches',
            confidence_picture(result),
        ),
        _Panel(
            'Target on the source',
            'each target point where it belongs, pale if unsure',
            faded(pulled, reduced.confidence),
        ),
    ]


def summary(result: Correspondence) -> str:
    """What a run did, on one line.

    ``result``: a finished or stopped match. Returns: iterations, time, device,
    forward-backward error, and how the target was turned, if it was.
    """
    facts = result.metadata
    count = facts['iterations_used']
    error = result.mean_consistency()
    turned = facts.get('orientation', {}).get('text')
    return ' · '.join(
        [
            f'{count} iteration{"" if count == 1 else "s"}',
            f'{facts["seconds"]:.1f} s on {facts["device"]} '
            f'({facts["precision"]})',
            f'mean forward-backward error {error:.1f} px',
            *([f'target {turned}'] if turned else []),
        ]
    )


def draw_overview(
    source: Any,
    target: Any,
    result: Correspondence,
    *,
    labels: Any = None,
    source_channel_axis: int | None = None,
    target_channel_axis: int | None = None,
    heading: str = 'Semantic transfer',
) -> NDArray[np.uint8]:
    """Draw source, target and everything found between them.

    Parameters
    ----------
    source, target : array_like
        The two images, as given to :func:`napari_samnet.match`.
    result : Correspondence
        Correspondence of the two images.
    labels : array_like of int or bool, shape (rows, columns), optional
        Labels of the source. Without them, a few points are shown.
    source_channel_axis, target_channel_axis : int, optional
        Axes of the channels, found out by default.
    heading : str
        Title of the picture.

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
        All panels with their captions, in RGB.
    """
    axes = (source_channel_axis, target_channel_axis)
    first = picture_of(source, result.source_shape, axes[0], 'source')
    second = picture_of(target, result.target_shape, axes[1], 'target')
    panels = _annotated(first, second, result, labels)
    if result.transferred is not None:
        image = picture_of(
            result.transferred, result.source_shape, axes[0], 'transferred'
        )
        note = 'the source with the look of the target'
        panels.append(_Panel('Transferred', note, image))
    return _arrange(
        [*panels, *_measured(first, second, result)],
        heading,
        summary(result),
        judge(result, labels),
    )


def _arrange(
    panels: list[_Panel], heading: str, facts: str, verdict: Verdict
) -> NDArray[np.uint8]:
    """Lay out panels in lines under a heading."""
    lines = [panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)]
    heights = [
        max(panel.image.height for panel in line) // FINE for line in lines
    ]
    width = 2 * MARGIN + COLUMNS * WIDTH + (COLUMNS - 1) * GAP
    height = HEAD + sum(heights) + len(lines) * (CAPTION + GAP) + MARGIN - GAP
    sheet = Image.new('RGB', (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    title, body, note = (
        ImageFont.load_default(size) for size in (TITLE, BODY, NOTE)
    )
    pen.text((MARGIN, 24), heading, INK, title)
    pen.text((MARGIN, 56), facts, SOFT, note)
    pen.ellipse((MARGIN, 79, MARGIN + 10, 89), verdict.color)
    pen.text((MARGIN + 16, 76), verdict.text, INK, note)
    top = HEAD
    for line, tallest in zip(lines, heights, strict=True):
        for number, panel in enumerate(line):
            left = MARGIN + number * (WIDTH + GAP)
            pen.text((left, top), panel.title, INK, body)
            pen.text((left, top + 22), panel.note, SOFT, note)
            sheet.paste(panel.image.reduce(FINE), (left, top + CAPTION))
        top += CAPTION + tallest + GAP
    return np.asarray(sheet)
