"""Bend a field so that it meets pairs of points, without folding it.

The displacement that a pair lacks is added around it and falls off smoothly,
along the picture rather than across its edges where one is given. Weights are
solved for, so that each pair is met exactly by the bilinear field. Pairs that
contradict the field strongly replace it by their own motion, wherever it does
not agree with that. This is not part of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.checks import checked_points
from napari_samnet.arrays.resize import center_grid, resized
from napari_samnet.arrays.types import FloatArray
from napari_samnet.errors import InputError
from napari_samnet.warping.boundaries import sample_displacement
from napari_samnet.warping.field_pair import FieldPair
from napari_samnet.warping.fields import sample_field

Points = npt.NDArray[np.float64]

#: Median residual of the pairs, as a share of the side, from which the field
#: starts again from their motion, and how many pairs that takes.
CONTRADICTION, RESTART_PAIRS = 0.04, 3

#: Distance from where it belongs within which a pair is met, as a share of
#: the side: half a pixel of an image of 1000.
EXACT = 5e-4

#: Falloff of a correction, as a share of the side.
FALLOFF = 0.12

#: Factor and number of attempts by which the falloff is widened where a
#: correction would fold the field.
WIDER, ATTEMPTS = 1.4, 6

#: Times that a correction is solved for, where the last one missed.
REFINED = 4

#: Least area that a unit of area may become, below 1 and above 0, and the
#: area from which it counts as sound before. Where two motions meet, a field
#: is all but folded already, and a pair does not have to answer for that.
LEAST_AREA, SOUND_AREA = 0.05, 0.3

#: Difference from the motion of the pairs at which the old field is given up,
#: as a share of the side. With this, five of the keypoints of 110 pairs of
#: training animals leave .47 of the others right at .10, where .08 leaves .46.
AGREEMENT = 0.12

#: Cost of crossing an edge from black to white, in sides of the image.
EDGE_COST = 40.0

#: Smoothings of what the affine motion of the pairs lacks between them, in
#: sides, the least first that does not fold.
SMOOTHINGS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)

#: Cells by which what stays of a field that agrees with the motion of the
#: pairs is smoothed, the fewest first that do not fold.
WIDTHS = (0.0, 1.0, 2.0, 4.0)

#: Pull of an affine fit towards a similarity, for pairs near a line.
SIMILARITY_PULL = 0.02


@dataclass(frozen=True, eq=False)
class Bent:
    """A field that meets its pairs."""

    #: (h, w, 2): displacement (row, column) in normalized units.
    field: FloatArray
    #: (h, w): from 0 to 1, how near each cell is to a pair.
    near: FloatArray
    #: (K,): pairs that are met. Others would fold the field.
    met: npt.NDArray[np.bool_]
    #: Whether it starts from the motion of the pairs.
    restarted: bool


def checked_pairs(
    source_points: Any, target_points: Any
) -> tuple[Points, Points]:
    """Check pairs of points.

    ``source_points``, ``target_points`` (K, 2): row and column in pixels.
    Raises InputError if there are not as many points of both images, or none.
    """
    source, target = map(checked_points, (source_points, target_points))
    if len(source) != len(target) or not len(source):
        raise InputError(
            f'landmarks must be pairs: got {len(source)} points of the source '
            f'and {len(target)} of the target'
        )
    return source, target


def fit_affine(start: Points, end: Points) -> npt.NDArray[np.float64]:
    """Affine motion of pairs of points.

    ``start``, ``end`` (K, 2): normalized rows and columns, at least two pairs.
    Returns: (2, 3): ``end = M[:, :2] @ start + M[:, 2]`` in the least squares,
    drawn a little towards the best similarity (turn, scale, shift), so that
    pairs near a line do not decide what they cannot tell.
    """
    middle, end_middle = start.mean(0), end.mean(0)
    x, y = start - middle, end - end_middle
    power = max(float((x**2).sum()), 1e-12)
    along = float((x * y).sum()) / power
    across = float((x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0]).sum()) / power
    mirrored = float((x[:, 0] * y[:, 0] - x[:, 1] * y[:, 1]).sum()) / power
    crossed = float((x[:, 0] * y[:, 1] + x[:, 1] * y[:, 0]).sum()) / power
    similar = np.array([[along, -across], [across, along]])
    if mirrored**2 + crossed**2 > along**2 + across**2:
        similar = np.array([[mirrored, crossed], [crossed, -mirrored]])
    pull = SIMILARITY_PULL * power * np.eye(2)
    linear = np.linalg.solve(x.T @ x + pull, x.T @ y + pull @ similar.T).T
    return np.column_stack([linear, end_middle - linear @ middle])


def _sampled(field: npt.NDArray[Any], at: Points) -> Points:
    """Values of a field at points, (K, channels)."""
    return np.asarray(sample_field(field, at.T).T, np.float64)


def _distances(
    shape: tuple[int, int], at: Points, guide: FloatArray | None
) -> npt.NDArray[np.float64]:
    """Distance of every cell from every point, (K, h, w), in sides.

    With a picture, the way around its edges counts.
    """
    grid = center_grid(shape)
    straight = np.linalg.norm(grid[None] - at[:, None, None], axis=-1)
    if guide is None:
        return straight
    # Only landmarks in a picture need it, and it takes long to import.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    rows, columns = shape
    place = np.arange(rows * columns).reshape(shape)
    parts = []
    for down, along in ((0, 1), (1, 0), (1, 1), (1, -1)):
        top = slice(0, rows - down)
        bottom = slice(down, rows)
        left = slice(max(0, -along), columns - max(0, along))
        right = slice(max(0, along), columns - max(0, -along))
        one, other = place[top, left], place[bottom, right]
        difference = np.abs(guide[top, left] - guide[bottom, right]).mean(-1)
        step = np.hypot(down / rows, along / columns)
        cost = step * (1 + EDGE_COST * difference)
        parts.append((one.ravel(), other.ravel(), cost.ravel()))
    one, other, cost = (np.concatenate(x) for x in zip(*parts, strict=True))
    graph = coo_array((cost, (one, other)), shape=(place.size, place.size))
    cell = np.clip((at * shape).astype(int), 0, np.array(shape) - 1)
    around = dijkstra(
        graph.tocsr(), directed=False, indices=place[cell[:, 0], cell[:, 1]]
    )
    return np.maximum(straight, around.reshape(-1, *shape))


def _areas(field: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What a unit of area becomes, between the cells."""
    at = center_grid(field.shape) + field
    down = np.diff(at, axis=0)
    along = np.diff(at, axis=1)
    rows, columns = field.shape[:2]
    corners = []
    for row in (0, 1):
        for column in (0, 1):
            a = down[:, column : columns - 1 + column]
            b = along[row : rows - 1 + row]
            corners.append(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
    return np.min(corners, 0) * rows * columns


def _folds(
    field: npt.NDArray[np.float64], *bases: npt.NDArray[np.float64]
) -> bool:
    """Whether a field folds where none of those that it is made of does.

    The first of `bases` tells which side is up.
    """
    before = [_areas(base) for base in bases]
    sign = np.sign(np.median(before[0]))
    folded = sign * _areas(field) < LEAST_AREA
    for areas in before:
        folded &= sign * areas > SOUND_AREA
    return bool(folded.any())


def bend_field(
    field: FloatArray,
    confidence: FloatArray,
    start: Points,
    end: Points,
    *,
    guide: FloatArray | None = None,
    restart: bool | None = None,
) -> Bent:
    """Bend a field to pairs of points.

    ``field`` (h, w, 2): displacement (row, column) in normalized units.
    ``confidence`` (h, w): of the field, from 0 to 1. Where it is small, a new
    start replaces the field entirely.
    ``start``, ``end`` (K, 2): normalized rows and columns, where each point is
    and where it belongs.
    ``guide`` (h, w, channels): picture of the side that the field starts from,
    at its cells. A correction then stays within the edges around its pair.
    ``restart``: whether to start from the motion of the pairs. By default,
    where at least three contradict the field strongly.
    """
    base = np.asarray(field, np.float64)
    residual = end - start - _sampled(base, start)
    if restart is None:
        restart = len(start) >= RESTART_PAIRS and bool(
            np.median(np.linalg.norm(residual, axis=1)) > CONTRADICTION
        )
    if restart:
        base = _restarted(base, confidence, start, end)
    distances = _distances((base.shape[0], base.shape[1]), start, guide)
    met = np.ones(len(start), bool)
    while met.any():
        for attempt in range(ATTEMPTS):
            width = FALLOFF * WIDER**attempt
            aim = end[met]
            for _ in range(REFINED):
                bent, weights = _corrected(
                    base, start[met], aim, distances[met], width
                )
                # As points are moved, where two motions meet too.
                field = bent.astype(np.float32)
                moved = sample_displacement(field, start[met].T)
                led = np.asarray(start[met] + moved.T)
                off = float(np.linalg.norm(led - end[met], axis=1).max())
                if off < EXACT:
                    break
                aim = aim + end[met] - led
            if off < EXACT and not _folds(bent, base):
                near = np.exp(-(distances[met].min(0) ** 2) / (2 * width**2))
                return Bent(
                    field,
                    near.astype(np.float32),
                    met,
                    restart,
                )
        # The pair that pulls most is the one that contradicts the others.
        met[np.flatnonzero(met)[np.abs(weights).max(1).argmax()]] = False
    near = np.zeros(base.shape[:2], np.float32)
    return Bent(base.astype(np.float32), near, met, restart)


def bend_both(
    fields: FieldPair,
    source_points: npt.ArrayLike,
    target_points: npt.ArrayLike,
    *,
    guides: tuple[Any, Any] | None = None,
) -> tuple[Bent, Bent, dict[str, Any]]:
    """Bend the fields of both directions to the same pairs of points.

    ``source_points``, ``target_points`` (K, 2): row and column in pixels of
    points in the source, and where they lie in the target.
    Returns: ``forward, backward``: the new fields. Pairs that the first does
    not meet are not asked of the second; ``about``: the pairs in pixels, and
    which of them are met.
    Raises InputError if there are not as many points of both images, or none.
    """
    ends = checked_pairs(source_points, target_points)
    start, end = (
        (points + 0.5) / np.array(shape)
        for points, shape in zip(
            ends, (fields.source_shape, fields.target_shape), strict=True
        )
    )
    pictures = [
        None if guide is None else _at_cells(guide, cells.shape[:2])
        for guide, cells in zip(
            guides or (None, None),
            (fields.forward, fields.backward),
            strict=True,
        )
    ]
    forward = bend_field(
        fields.forward,
        fields.forward_cell_confidence,
        start,
        end,
        guide=pictures[0],
    )
    met = forward.met if forward.met.any() else ~forward.met
    backward = bend_field(
        fields.backward,
        fields.backward_cell_confidence,
        end[met],
        start[met],
        guide=pictures[1],
        restart=forward.restarted,
    )
    about = {
        'source': np.round(ends[0], 3).tolist(),
        'target': np.round(ends[1], 3).tolist(),
        'met': forward.met.tolist(),
        'restarted': forward.restarted,
    }
    return forward, backward, about


def _at_cells(image: Any, cells: tuple[int, ...]) -> FloatArray:
    """A picture at the cells of a field, (h, w, channels)."""
    picture = np.asarray(image, np.float32)
    if picture.ndim == 2:
        picture = picture[..., None]
    small: FloatArray = resized(picture, cells[0], cells[1])
    return small


def _restarted(
    field: npt.NDArray[np.float64],
    confidence: FloatArray,
    start: Points,
    end: Points,
) -> npt.NDArray[np.float64]:
    """The motion of the pairs, and the field where it agrees."""
    from scipy.ndimage import gaussian_filter

    led = _led_by(start, end, (field.shape[0], field.shape[1]))
    apart = np.linalg.norm(field - led, axis=-1) / AGREEMENT
    sure = np.sqrt(np.clip(confidence, 0, 1))
    kept = (np.exp(-(apart**2)) * sure)[..., None]
    for width in WIDTHS:
        change = gaussian_filter(kept * (field - led), (width, width, 0))
        if not _folds(led + change, led, field):
            return np.asarray(led + change)
    return led


def _led_by(
    start: Points, end: Points, shape: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """The affine motion of pairs, and what it lacks between them.

    Returns: (h, w, 2): through the pairs, or as near to them as it comes
    without folding.
    """
    # Only landmarks need it, and it takes long to import.
    from scipy.interpolate import RBFInterpolator

    motion = fit_affine(start, end)
    grid = center_grid(shape)
    affine = grid @ motion[:, :2].T + motion[:, 2] - grid
    lacking = end - start @ motion[:, :2].T - motion[:, 2]
    for smoothing in SMOOTHINGS:
        try:
            between = RBFInterpolator(
                start, lacking, kernel='linear', smoothing=smoothing
            )
        except np.linalg.LinAlgError:
            # Two pairs start at one point.
            continue
        bent = affine + between(grid.reshape(-1, 2)).reshape(affine.shape)
        if not _folds(bent, affine):
            return np.asarray(bent)
    return affine


def _corrected(
    base: npt.NDArray[np.float64],
    start: Points,
    end: Points,
    distances: npt.NDArray[np.float64],
    width: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A field that meets all pairs, and the weights of their corrections."""
    bumps = np.exp(-(distances**2) / (2 * width**2))
    system = _sampled(np.moveaxis(bumps, 0, -1), start)
    residual = end - start - _sampled(base, start)
    weights: Points = np.asarray(
        np.linalg.lstsq(system, residual, rcond=1e-8)[0], np.float64
    )
    return base + np.tensordot(bumps, weights, (0, 0)), weights
