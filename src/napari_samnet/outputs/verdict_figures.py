"""What a match is judged by, and the places where it is doubtful."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.checks import checked_points
from napari_samnet.arrays.resize import Upsampler, center_grid, resized
from napari_samnet.correspondence import Correspondence
from napari_samnet.warping.boundaries import sample_displacement
from napari_samnet.warping.fields import round_trip, sample_field

FloatArray = npt.NDArray[np.float32]

#: Mean forward-backward error where the labels are, as a share of the side,
#: above which a match is to be looked at, and above which it is not to be
#: used if it is not sure either.
LOOK_ERROR, BAD_ERROR = 0.08, 0.12

#: Evidence from which a cell counts as labeled.
LABELED = 0.43

#: Weight of places without any confidence.
LEAST_WEIGHT = 0.02

#: Places that are shown, and how far apart they are, as a share of the side.
MOST_PLACES, APART = 6, 0.15

#: Fewest points that have an extent to measure distances in, and the smallest
#: one, as a share of the side.
FEWEST_POINTS, LEAST_EXTENT = 3, 0.1

#: Side of the grid that errors are looked at on.
GRID = 48


@dataclass(frozen=True)
class DoubtfulPlace:
    """A place to look at."""

    #: ``source``, ``target``: row and column in pixels of each image.
    source: tuple[float, float]
    target: tuple[float, float]
    #: Forward-backward error there, as a share of the side of the source.
    error: float


def _by_evidence(
    result: Correspondence, shown: FloatArray
) -> dict[str, float]:
    """What the evidence says of labels, and whether the field says the same.

    `lead` is how much more alike to the source than the rest the labeled
    cells are, as cosine; `agreement` the share of the labeled cells that both
    label.
    """
    evidence = result.evidence
    if evidence is None or len(evidence.reference_cells) != 1:
        return {}
    rows, columns = (int(side) for side in evidence.reference_cells[0])
    cells = resized(shown[..., None], rows, columns)
    share = (evidence.matrix() @ cells.reshape(-1)).reshape(evidence.shape)
    labeled = share > LABELED
    at = np.moveaxis(center_grid(evidence.shape), -1, 0)
    there = at + sample_displacement(result.backward, at)
    inside = ((there >= 0) & (there <= 1)).all(0)
    led = sample_field(cells, there.clip(0, 1))[0] * inside > LABELED
    either = labeled | led
    agreement = float((labeled & led).sum() / max(1, either.sum()))
    lead = -1.0
    if labeled.all():
        lead = 0.0
    elif labeled.any():
        similarity = np.asarray(evidence.similarity, np.float64)
        lead = float(similarity[labeled].mean() - similarity[~labeled].mean())
    return {'lead': lead, 'agreement': agreement}


def _lands_elsewhere(
    result: Correspondence, points: npt.NDArray[np.floating]
) -> dict[str, float]:
    """How far from the points the places are that their matches look like.

    Pixels confirm a background that stays, and neighbors of the points with
    it; only what a match looks like tells that it is another part of the
    object.

    Returns: `elsewhere`: the median over the points, in shares of their
    extent; nothing where no evidence was kept, or of one or two points.
    """
    evidence = result.evidence
    if evidence is None or len(evidence.reference_cells) != 1:
        return {}
    if len(points) < FEWEST_POINTS:
        return {}
    ends = (result.warp_points(points) + 0.5) / result.target_shape
    inside = ((ends >= 0) & (ends < 1)).all(1)
    if not inside.any():
        return {}
    cells = (ends[inside] * evidence.shape).astype(int)
    at = cells[:, 0], cells[:, 1]
    rows, columns = (int(side) for side in evidence.reference_cells[0])
    alike = np.stack(np.divmod(evidence.index[at].astype(int), columns), -1)
    alike = (alike + 0.5) / (rows, columns) * result.source_shape - 0.5
    apart = np.linalg.norm(alike - points[inside, None], axis=2)
    distance = np.average(apart, axis=1, weights=evidence.weight[at])
    side = float(np.sqrt(np.prod(result.source_shape)))
    extent = max(float(np.ptp(points, 0).max()), LEAST_EXTENT * side)
    return {'elsewhere': float(np.median(distance)) / extent}


def figures_of(
    result: Correspondence,
    shown: FloatArray | None,
    points: npt.ArrayLike | None = None,
) -> tuple[dict[str, float], list[DoubtfulPlace]]:
    """What a match is judged by, and its worst places."""
    error, inside = round_trip(
        result.forward, result.backward, (GRID, GRID), slice(0, GRID)
    )
    sides = np.array(result.source_shape, float)
    size = float(np.sqrt(sides.prod()))
    length = np.hypot(*(error * sides[:, None, None])) / size
    confidence = Upsampler(result.forward_cell_confidence, (GRID, GRID)).rows(
        slice(0, GRID)
    )[0]
    weight = np.asarray(confidence, np.float64) + LEAST_WEIGHT
    if shown is not None:
        weight = resized(shown[..., None], GRID, GRID)[..., 0]
        weight = np.where(weight > weight.max() / 2, weight, 0.0)
    elif points is not None and len(np.asarray(points)):
        at = (checked_points(points) + 0.5) / sides * GRID
        cells = np.clip(at.astype(int), 0, GRID - 1)
        weight = np.zeros((GRID, GRID))
        np.add.at(weight, (cells[:, 0], cells[:, 1]), 1.0)
    inside_weight = weight * inside
    figures = {
        'error': float((length * inside_weight).sum() / inside_weight.sum())
        if inside_weight.sum() > 0
        else float('inf'),
        'confidence': float((confidence * weight).sum() / weight.sum()),
        'overall': float(confidence.mean()),
        'astray': float(
            (weight * (~inside | (length > BAD_ERROR))).sum() / weight.sum()
        ),
    }
    if shown is not None:
        figures |= _by_evidence(result, shown)
    elif points is not None and len(np.asarray(points)):
        figures |= _lands_elsewhere(result, checked_points(points))
    residual = np.where(inside & (weight > 0), length, 0.0)
    grid = np.moveaxis(center_grid((GRID, GRID)), -1, 0)
    places: list[DoubtfulPlace] = []
    while len(places) < MOST_PLACES:
        row, column = np.unravel_index(int(residual.argmax()), residual.shape)
        worst = float(residual[row, column])
        if worst <= LOOK_ERROR / 2:
            break
        at = grid[:, row, column] * sides - 0.5
        there = result.warp_points(at[None])[0]
        places.append(
            DoubtfulPlace(
                (float(at[0]), float(at[1])),
                (float(there[0]), float(there[1])),
                worst,
            )
        )
        near = np.linalg.norm(
            grid - grid[:, row, column][:, None, None], axis=0
        )
        residual[near < APART] = 0
    return figures, places
