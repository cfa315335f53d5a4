"""How well each label fits each place of the target.

The evidence of all cells and the label that the field brings are weighed
against each other on a grid over the target. Labels that the cells do not
resolve, because they fill hardly any cell or because others look the same,
take no part: they go exactly where the field leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import centers, linear_taps
from napari_samnet.arrays.tiles import Tile
from napari_samnet.labels.evidence import Evidence, label_shares
from napari_samnet.labels.outlines import OutlineGuide
from napari_samnet.warping.fields import Mapping

__all__ = ['LabelField', 'LabelScores', 'grid_shape', 'score_labels']

FloatArray = npt.NDArray[np.float32]
Labels = npt.NDArray[Any]
Shape = tuple[int, int]

#: Longest side of the grid that scores are given on, in samples.
GRID_SIDE = 256

#: Weight of the label that the field brings, where its confidence is 1,
#: beside evidence that sums to 1.
FIELD_WEIGHT = 0.25

#: Share of evidence at which a label wins against the background. Below one
#: half, since thin parts and small objects fill few cells.
FOREGROUND_SHARE = 0.43

#: Shares are raised to this power, so that what is hardly likely does not
#: add up.
SHARPNESS = 3.0

#: Shares of evidence below this are neglected.
LEAST_SHARE = 0.02

#: A label takes part if this share of its area is in cells that it fills by
#: more than half.
RESOLVED_SHARE = 0.5

#: Scores that are held at most, over all labels. Beyond, the smallest labels
#: follow the field.
MOST_SCORES = 1 << 25

#: A place whose best score is below this is decided pixel by pixel, if there
#: is an image to decide by.
DECIDED_SCORE = 0.95


@dataclass(frozen=True, eq=False)
class LabelField:
    """What carries labels of a source to the grid of its target.

    Parameters
    ----------
    source_shape, target_shape : tuple of int
        Rows and columns of the two images.
    backward : ndarray of float32, shape (h2, w2, 2)
        Normalized displacement (row, column) from target to source.
    confidence : ndarray of float32, shape (h2, w2)
        Of `backward`, in [0, 1].
    evidence : Evidence or None
        Cells of the source that the target's cells look like; None where
        they were not looked for.
    """

    source_shape: Shape
    target_shape: Shape
    backward: FloatArray
    confidence: FloatArray
    evidence: Evidence | None


@dataclass(frozen=True, eq=False)
class LabelScores:
    """Scores of labels on a grid over the target.

    The background has what the scores of all labels leave of 1.

    Parameters
    ----------
    values : ndarray, shape (L,)
        The labels that take part, without 0.
    boxes : list of tuple of slice
        Part of the grid that each label has scores in; they are 0 elsewhere.
    scores : list of ndarray of float32
        In each box: (rows, columns), or with factors of the image's colors,
        (rows, columns, 4), see :class:`.OutlineGuide`.
    contested : ndarray of bool, shape (n, m)
        Where the field alone does not decide.
    unresolved : ndarray, shape (M,)
        Labels that go exactly where the field leads.
    """

    values: Labels
    boxes: list[Tile]
    scores: list[FloatArray]
    contested: npt.NDArray[np.bool_]
    unresolved: Labels

    @property
    def needs_colors(self) -> bool:
        """Whether the scores depend on the colors of the image."""
        return any(score.ndim == 3 for score in self.scores)


def grid_shape(shape: Shape) -> Shape:
    """Grid of the scores over an image.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.

    Returns
    -------
    tuple of int
        Rows and columns of the grid, in the same proportion, at most
        `GRID_SIDE` and at most those of the image.
    """
    scale = min(1.0, GRID_SIDE / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def score_labels(
    samples: Labels, field: LabelField, guide: OutlineGuide | None
) -> LabelScores | None:
    """Weigh evidence and field, and move outlines to the image's edges.

    Parameters
    ----------
    samples : ndarray of int or bool, shape (n, m)
        Regular samples of the source's labels, several per cell.
    field : LabelField
        Of the two images.
    guide : OutlineGuide or None
        The target on the grid of :func:`grid_shape`; None leaves outlines as
        evidence and field have them.

    Returns
    -------
    LabelScores or None
        None if the field decides everywhere.
    """
    values, places = np.unique(samples, return_inverse=True)
    places = places.reshape(samples.shape)
    grid = grid_shape(field.target_shape)
    brought = _brought(places, field.backward, grid, outside=len(values))
    background = values == 0
    resolved, shares = _evidence(places, len(values), field, background)
    taking_part = np.flatnonzero(resolved & ~background)
    if not taking_part.size:
        return None
    boxes, raw = _raw_scores(taking_part, shares, brought, field, grid)
    # The background: places of 0, of nothing, and of the field's zeros.
    zero = np.flatnonzero(background)
    odds = FOREGROUND_SHARE / (1 - FOREGROUND_SHARE)
    total = odds * _background(zero, shares, brought, field, grid)
    total **= SHARPNESS
    for box, score in zip(boxes, raw, strict=True):
        score **= SHARPNESS
        total[box] += score
    for box, score in zip(boxes, raw, strict=True):
        score /= np.maximum(total[box], np.float32(1e-6))
    winner, best = _winners(taking_part, boxes, raw, zero, grid)
    known = np.append(resolved | background, True)[brought]
    brought = np.where(brought == len(values), _first(zero), brought)
    contested = known & (winner != brought)
    scores = raw
    if guide is not None:
        contested |= known & (best < DECIDED_SCORE)
        for k, (box, score) in enumerate(zip(boxes, raw, strict=True)):
            radius = guide.radius(float((score > 0.5).sum()))
            corner = box[0].start, box[1].start
            scores[k] = guide.fit(score, corner, radius)
    if not contested.any():
        return None
    from scipy.ndimage import binary_dilation

    return LabelScores(
        values[taking_part],
        boxes,
        scores,
        binary_dilation(contested, np.ones((3, 3)), 2 if guide else 1),
        values[~resolved & ~background],
    )


def _first(zero: npt.NDArray[np.intp]) -> int:
    """Place of the background, -1 where no sample shows it."""
    return int(zero[0]) if zero.size else -1


def _brought(
    places: npt.NDArray[np.intp],
    backward: FloatArray,
    grid: Shape,
    *,
    outside: int,
) -> npt.NDArray[np.intp]:
    """Labels that the field leads to, on a grid; `outside` beyond it."""
    at = Mapping(backward, grid, places.shape).positions(slice(0, grid[0]))
    framed = np.pad(places, 1, constant_values=outside)
    row, column = (
        (np.rint(where).astype(np.intp) + 1).clip(0, side + 1)
        for where, side in zip(at, places.shape, strict=True)
    )
    return framed[row, column]


def _evidence(
    places: npt.NDArray[np.intp],
    count: int,
    field: LabelField,
    background: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.bool_], Any]:
    """Labels that the cells resolve, and their evidence (cells, labels)."""
    evidence = field.evidence
    if evidence is None:
        return np.ones(count, bool), None
    rows, columns = evidence.reference_cells[0]
    table = label_shares(places, count, (int(rows), int(columns)))
    areas = np.asarray(table.sum(0)).ravel()
    filled = table.copy()
    filled.data *= filled.data > 0.5
    inside = np.asarray(filled.sum(0)).ravel()
    resolved = inside > RESOLVED_SHARE * areas
    most = MOST_SCORES // (GRID_SIDE * GRID_SIDE)
    if (resolved & ~background).sum() > most:
        order = np.argsort(-areas * (resolved & ~background))
        resolved[order[most:]] = False
    return resolved, evidence.matrix() @ table


def _raw_scores(
    labels: npt.NDArray[np.intp],
    shares: Any,
    brought: npt.NDArray[np.intp],
    field: LabelField,
    grid: Shape,
) -> tuple[list[Tile], list[FloatArray]]:
    """Evidence plus weight of the field for each label, and where."""
    from scipy.ndimage import find_objects

    weight = FIELD_WEIGHT * _on_grid(field.confidence, grid)
    found = find_objects(brought + 1, max_label=int(labels.max()) + 1)
    columns = None if shares is None else shares.tocsc()
    boxes, scores = [], []
    for label in labels:
        box = found[label]
        cells = None
        if columns is not None:
            assert field.evidence is not None
            cells = columns[:, [label]].toarray().reshape(field.evidence.shape)
            box = _union(box, _support(cells, grid))
        if box is None:
            box = slice(0, 1), slice(0, 1)
        box = _padded(box, grid)
        here = brought[box] == label
        if cells is None:
            score = here.astype(np.float32)
        else:
            score = _part_on_grid(cells, grid, box) + weight[box] * here
        boxes.append(box)
        scores.append(score)
    return boxes, scores


def _background(
    zero: npt.NDArray[np.intp],
    shares: Any,
    brought: npt.NDArray[np.intp],
    field: LabelField,
    grid: Shape,
) -> FloatArray:
    """The same of the background, on the whole grid."""
    outside = int(brought.max()) + 1
    first = _first(zero) if zero.size else outside
    here = brought == first
    if shares is None or field.evidence is None:
        return here.astype(np.float32)
    cells = np.zeros(field.evidence.shape, np.float32)
    if zero.size:
        cells += shares[:, zero].toarray().reshape(cells.shape)
    whole = slice(0, grid[0]), slice(0, grid[1])
    weight = FIELD_WEIGHT * _on_grid(field.confidence, grid)
    return _part_on_grid(cells, grid, whole) + weight * here


def _winners(
    labels: npt.NDArray[np.intp],
    boxes: list[Tile],
    scores: list[FloatArray],
    zero: npt.NDArray[np.intp],
    grid: Shape,
) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Label of the best score at each place of a grid, and that score."""
    best = np.ones(grid, np.float32)
    for box, score in zip(boxes, scores, strict=True):
        best[box] -= score
    winner = np.full(grid, _first(zero) if zero.size else -1, np.intp)
    for label, box, score in zip(labels, boxes, scores, strict=True):
        better = score > best[box]
        np.copyto(best[box], score, where=better)
        np.copyto(winner[box], label, where=better)
    return winner, best


def _on_grid(cells: FloatArray, grid: Shape) -> FloatArray:
    return _part_on_grid(cells, grid, (slice(0, grid[0]), slice(0, grid[1])))


def _part_on_grid(cells: FloatArray, grid: Shape, box: Tile) -> FloatArray:
    """Bilinear values of a map of cells in a part of a grid."""
    (above, below, down), (left, right, along) = (
        linear_taps(count, centers(side)[part])
        for count, side, part in zip(cells.shape, grid, box, strict=True)
    )
    wide = cells[:, left] + along * (cells[:, right] - cells[:, left])
    upper = wide[above]
    return np.asarray(upper + down[:, None] * (wide[below] - upper))


def _support(cells: FloatArray, grid: Shape) -> Tile | None:
    """Part of a grid where a map of cells is not neglected."""
    there = cells > LEAST_SHARE
    if not there.any():
        return None
    parts = []
    for axis, side in enumerate(grid):
        at = np.flatnonzero(there.any(1 - axis))
        count = cells.shape[axis]
        parts.append(
            slice(
                max(0, (at[0] - 1) * side // count),
                min(side, -(-(at[-1] + 2) * side // count)),
            )
        )
    return parts[0], parts[1]


def _union(one: Tile | None, other: Tile | None) -> Tile | None:
    """Smallest box that holds two."""
    if one is None or other is None:
        return one or other
    rows, columns = (
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def _padded(box: Tile, grid: Shape) -> Tile:
    """With room for the filter, which looks twice its radius away."""
    rows, columns = (
        slice(max(0, part.start - 16), min(side, part.stop + 16))
        for part, side in zip(box, grid, strict=True)
    )
    return rows, columns
