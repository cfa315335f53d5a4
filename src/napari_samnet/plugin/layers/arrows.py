"""A dense flow as a readable number of arrows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.correspondence import Correspondence
from napari_samnet.plugin.model.grids import Index

#: More arrows than this draw slowly and show nothing more.
ARROW_LIMIT = 10_000

#: Few arrows are drawn where they are long, but never fewer than these.
ARROW_LEAST = 80

#: Flows of at least this many pixels mean that the flow is not known.
UNKNOWN = 1e9

#: Colorings: feature, colormap and the range it spans (None: of the data).
COLORS: dict[str, tuple[str, tuple[float, float] | None]] = {
    'direction': ('hsv', (0.0, 360.0)),
    'confidence': ('viridis', (0.0, 1.0)),
    'magnitude': ('plasma', None),
}

Places = NDArray[np.intp]
Moves = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Arrows:
    """Arrows on a regular lattice."""

    #: (n, 2, ndim): start and displacement in pixels of the source, as napari
    #: takes them.
    vectors: NDArray[np.float32]
    #: By arrow: direction in degrees, 0 to the right and 90 down; magnitude in
    #: pixels; confidence, if known.
    features: Mapping[str, NDArray[np.floating[Any]]]
    #: Pixels from one arrow to the next.
    step: int


def stride_for(shape: tuple[int, int], count: int) -> int:
    """Smallest step between arrows that needs no more than `count`."""
    step = max(1, math.isqrt(max(1, shape[0] * shape[1] // max(count, 1))))
    while -(-shape[0] // step) * -(-shape[1] // step) > count:
        step += 1
    return step


def arrows_of(
    correspondence: Correspondence,
    index: Index,
    *,
    count: int,
    shown: Callable[[Moves], Moves] | None = None,
) -> Arrows:
    """Sample the flow of one plane.

    ``shown``: takes pixels of the target ``(n, 2)`` to where arrows end, where
    that is another place.
    """

    def move(at: Places) -> Moves:
        # Asked point by point: the dense flow of a large image is not needed.
        ends = correspondence.warp_points(at.astype(float))
        return (ends if shown is None else shown(ends)) - at

    at, step = _lattice(correspondence.source_shape, move, count)
    confidence = _in_cells(
        correspondence.forward_cell_confidence, at, correspondence.source_shape
    )
    return _arrows(at, move(at), index, step, {'confidence': confidence})


def field_arrows(flow: Moves, *, count: int) -> Arrows:
    """Sample a dense flow.

    ``flow`` (rows, columns, 2): displacement, row and column. Where it is not
    known, that is huge or not finite, there is no arrow.
    Returns: arrows that have no confidence.
    """

    def move(at: Places) -> Moves:
        moves = flow[at[:, 0], at[:, 1]]
        known = (np.abs(moves) < UNKNOWN).all(axis=1, keepdims=True)
        return np.where(known, moves, np.nan)

    at, step = _lattice((flow.shape[0], flow.shape[1]), move, count)
    moves = move(at)
    known = np.isfinite(moves).all(axis=1)
    return _arrows(at[known], moves[known], (), step, {})


def join(parts: Sequence[Arrows]) -> Arrows:
    """Join the arrows of several planes."""
    return Arrows(
        np.concatenate([part.vectors for part in parts]),
        {
            name: np.concatenate([part.features[name] for part in parts])
            for name in parts[0].features
        },
        min(part.step for part in parts),
    )


def arrow_style(arrows: Arrows, color: str) -> dict[str, Any]:
    """Keywords of a Vectors layer that make arrows readable."""
    colormap, limits = COLORS[color]
    if limits is None:
        top = float(np.max(arrows.features[color], initial=0.0))
        limits = (0.0, top or 1.0)
    return {
        'features': dict(arrows.features),
        'edge_color': color,
        'edge_colormap': colormap,
        'edge_contrast_limits': limits,
        'edge_width': max(0.3, 0.09 * arrows.step),
        'vector_style': 'arrow',
    }


def _lattice(
    shape: tuple[int, int], move: Callable[[Places], Moves], count: int
) -> tuple[Places, int]:
    """Regular places, far enough from each other for what starts there."""
    step = stride_for(shape, count)
    at = _places(shape, step)
    length = np.hypot(*move(at).T)
    typical = float(np.nanmedian(length)) if np.isfinite(length).any() else 0
    # Arrows much longer than the step lie over each other.
    fewest = stride_for(shape, min(count, ARROW_LEAST))
    roomy = min(max(step, math.ceil(typical / 2)), fewest)
    return (at, step) if roomy == step else (_places(shape, roomy), roomy)


def _places(shape: tuple[int, int], step: int) -> Places:
    """Pixels at regular steps, as far from one edge as from the other."""
    axes = [np.arange((n - 1) % step // 2, n, step) for n in shape]
    grid = np.meshgrid(*axes, indexing='ij')
    return np.stack([axis.ravel() for axis in grid], axis=-1)


def _arrows(
    at: Places,
    moves: Moves,
    index: Index,
    step: int,
    features: dict[str, NDArray[np.floating[Any]]],
) -> Arrows:
    """Vectors of napari and what colors them."""
    lead = len(index)
    vectors = np.zeros((len(at), 2, lead + 2), np.float32)
    vectors[:, 0, :lead] = index
    vectors[:, 0, lead:] = at
    vectors[:, 1, lead:] = moves
    table = {
        'direction': np.degrees(np.arctan2(moves[:, 0], moves[:, 1])) % 360,
        'magnitude': np.hypot(moves[:, 0], moves[:, 1]),
        **features,
    }
    return Arrows(vectors, table, step)


def _in_cells(
    values: NDArray[np.floating[Any]], at: Places, shape: tuple[int, int]
) -> NDArray[np.floating[Any]]:
    """Look up the cells that hold some pixels of an image."""
    cells = at * np.array(values.shape[:2]) // np.array(shape)
    return values[cells[:, 0], cells[:, 1]]
