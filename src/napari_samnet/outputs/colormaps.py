"""Colors for flows, confidence and labels in pictures.

Chosen to stay calm beside photographs: no motion is white, labels are tints.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.color import hsv2rgb

_CONFIDENCE = np.array(
    [
        (45, 36, 79),
        (52, 92, 140),
        (48, 147, 145),
        (122, 196, 115),
        (246, 228, 120),
    ]
)

_LABELS = np.array(
    [
        (0, 150, 136),
        (235, 132, 30),
        (92, 116, 222),
        (222, 78, 112),
        (124, 172, 52),
        (156, 98, 196),
        (38, 166, 222),
        (196, 164, 40),
    ]
)


def flow_to_rgb(flow: ArrayLike, longest: float) -> NDArray[np.uint8]:
    """Color a flow: the hue is its direction, the depth its length.

    ``flow`` (rows, columns, 2): row and column displacement. Not finite is
    gray.
    ``longest``: length that gets the deepest color, in the flow's unit.
    Returns: (rows, columns, 3): the colors.
    """
    field = np.asarray(flow, dtype=np.float64)
    known = np.isfinite(field).all(axis=-1, keepdims=True)
    down, along = np.moveaxis(np.where(known, field, 0), -1, 0)
    depth = np.hypot(down, along) / max(longest, 1e-9)
    hsv = np.stack(
        [
            (np.arctan2(down, along) / (2 * np.pi)) % 1,
            0.6 * np.clip(depth, 0, 1),
            np.ones_like(depth),
        ],
        axis=-1,
    )
    colors = np.where(known, hsv2rgb(hsv), 0.6)
    return np.round(colors * 255).astype(np.uint8)


def confidence_to_rgb(confidence: ArrayLike) -> NDArray[np.uint8]:
    """Color a confidence from dark blue, 0, to yellow, 1.

    ``confidence``: values from 0 to 1. Returns: (..., 3): the colors.
    """
    values = np.nan_to_num(np.asarray(confidence, dtype=np.float64))
    stops = np.linspace(0, 1, len(_CONFIDENCE))
    channels = [np.interp(values, stops, stop) for stop in _CONFIDENCE.T]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def label_colors(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Color of the label of every pixel; neighbors in number differ.

    ``labels``: Labels, of which any but 0 has a color. Returns: (..., 3): the
    colors, whatever at 0.
    """
    index = (labels.astype(np.int64) - 1) % len(_LABELS)
    return _LABELS[index].astype(np.uint8)
