"""Both fields of a state as arrays, and how far they can be relied on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samnet.arrays.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

    from napari_samnet.matching.orientation import Frame
    from napari_samnet.samnet.recurrence import Iteration

#: Forward-backward error, in cells, at which the confidence has fallen to
#: 61 %.
CONSISTENT_CELLS = 2.0


def directions(
    state: Iteration, window: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fields in normalized (row, column) units and their confidences.

    ``state``: of a batch of both directions.
    ``window``: that it was matched with.
    Returns: ``forward, backward`` (rows, columns, 2): on a grid of several
    samples per cell, by the cells' affine maps; ``confidence`` (1, 2, rows,
    columns): of both directions, in [0, 1]: that of the paper, lowered where
    both directions disagree.
    """
    import torch

    from napari_samnet.samnet.attributes import matchable
    from napari_samnet.samnet.field import flow_of, warp
    from napari_samnet.samnet.upsample import sample_affine

    with torch.inference_mode():
        flow = flow_of(state.field)
        height, width = flow.shape[-2:]
        # Where both directions disagree, one of them is wrong.
        error = flow + warp(flow.flip(0), flow)
        squared = error.square().sum(1) / CONSISTENT_CELLS**2
        confidence = matchable(state.alpha, window)
        confidence = confidence * torch.exp(-squared / 2)[:, None]
        # From (x, y) in cells to (row, column) in shares of the sides.
        cells = sample_affine(state.field).flip(1).permute(0, 2, 3, 1)
        normalized = cells / cells.new_tensor((height, width))
        both = normalized.float().cpu().numpy()
        array = on_samples(confidence)[None]
    return both[0], both[1], array


def on_samples(
    confidence: Tensor, cells: tuple[int, int] | None = None
) -> FloatArray:
    """A confidence ``(2, 1, H, W)`` on the grid of :func:`directions`.

    ``cells``: rows and columns of the field, if they are others.
    """
    import torch.nn.functional as F

    from napari_samnet.samnet.upsample import SAMPLES

    height, width = cells or confidence.shape[-2:]
    wide = F.interpolate(
        confidence.float(),
        size=(SAMPLES * height, SAMPLES * width),
        mode='bilinear',
        align_corners=False,
    )
    array: FloatArray = wide[:, 0].clamp(0, 1).cpu().numpy()
    return array


def fields_in(
    frame: Frame, state: Iteration, window: int
) -> tuple[tuple[FloatArray, FloatArray], FloatArray]:
    """Fields between the images as they came, and the paper's confidence.

    ``frame``: how the target was seen; the confidence is of that view.
    """
    forward, backward, confidence = directions(state, window)
    if not frame.whole:
        forward, backward = frame.forward(forward), frame.backward(backward)
    return (forward, backward), confidence
