"""How well each label fits each place of the target.

The evidence of all cells and the label that the field brings are weighed
against each other on a grid over the target. Labels that the cells do not
resolve, because they fill hardly any cell or because others look the same,
take no part: they go exactly where the field leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.tiles import Tile
from napari_samnet.arrays.types import FloatArray, Labels, Shape
from napari_samnet.labels.brought import BroughtLabels, field_labels
from napari_samnet.labels.fitted import ROOM, fit_scores, trim_scores
from napari_samnet.labels.grids import (
    grid_shape,
    on_grid,
    padded,
    part_on_grid,
    support,
    union,
)
from napari_samnet.labels.left import left_to_field
from napari_samnet.labels.outlines import OutlineGuide
from napari_samnet.labels.pieces import far_pieces
from napari_samnet.labels.quality import LabelMeasures
from napari_samnet.labels.tables import (
    LabelField,
    LabelTable,
    table_of_source,
)

#: Share of evidence at which a label wins against the background. Below one
#: half, since thin parts and small objects fill few cells.
FOREGROUND_SHARE = 0.43

#: Shares are raised to this power, so that what is hardly likely does not
#: add up.
SHARPNESS = 3.0

#: A place whose best score is below this is decided pixel by pixel, if there
#: is an image to decide by.
DECIDED_SCORE = 0.95

#: Pieces below this share of the area of a label's largest piece are specks,
#: and fade out within so many samples of the grid.
SPECK = 0.1
SPECK_MARGIN = 6


@dataclass(frozen=True, eq=False)
class LabelScores:
    """Scores of labels on a grid over the target.

    The background has what the scores of all labels leave of 1.
    """

    #: (L,): the labels that take part, without 0.
    values: Labels
    #: Part of the grid that each label has scores in; they are 0 elsewhere.
    boxes: list[Tile]
    #: In each box: (rows, columns), or with factors of the image's colors,
    #: (rows, columns, 4), see :class:`.OutlineGuide`.
    scores: list[FloatArray]
    #: (n, m): where the field alone does not decide between these labels and
    #: 0. All other labels go exactly where it leads.
    contested: npt.NDArray[np.bool_]
    #: Of each label that takes part.
    measures: list[LabelMeasures]

    def measures_by_label(self) -> dict[int, LabelMeasures]:
        """The measures of each label that takes part, by its id."""
        return dict(zip(self.values.tolist(), self.measures, strict=True))

    @property
    def needs_colors(self) -> bool:
        """Whether the scores depend on the colors of the image."""
        return any(score.ndim == 3 for score in self.scores)


def score_labels(
    samples: Labels, field: LabelField, guide: OutlineGuide | None
) -> LabelScores | None:
    """Weigh evidence and field, and move outlines to the image's edges.

    ``samples`` (n, m): regular samples of the source's labels, several per
    cell.
    ``guide``: the target on the grid of :func:`grid_shape`; None leaves
    outlines as evidence and field have them.
    Returns: None if no label takes part.
    """
    values, places = np.unique(samples, return_inverse=True)
    places = places.reshape(samples.shape)
    return score_table(
        table_of_source(values, places, field),
        field_labels(values, places, field),
        grid_shape(field.target_shape),
        guide,
    )


def score_table(
    table: LabelTable,
    brought: BroughtLabels | None,
    grid: Shape,
    guide: OutlineGuide | None,
) -> LabelScores | None:
    """Weigh the evidence for labels against what a field brings.

    ``brought``: Labels of the field; None where there is no field.
    ``guide``: the target on that grid; None leaves outlines as they are.
    Returns: None if no label takes part.
    """
    taking_part = np.flatnonzero(table.resolved & ~table.background)
    if not taking_part.size:
        return None
    room = 0 if guide is None else ROOM
    boxes, raw = _raw_scores(taking_part, table, brought, grid, room)
    odds = FOREGROUND_SHARE / (1 - FOREGROUND_SHARE)
    total = odds * _background(table, brought, grid)
    total **= SHARPNESS
    for box, score in zip(boxes, raw, strict=True):
        score **= SHARPNESS
        total[box] += score
    for box, score in zip(boxes, raw, strict=True):
        score /= np.maximum(total[box], np.float32(1e-6))
    winner, best = _winners(taking_part, boxes, raw, table.background, grid)
    if _drop_specks(taking_part, boxes, raw, winner, table, brought):
        winner, best = _winners(
            taking_part, boxes, raw, table.background, grid
        )
    if brought is None:
        contested = winner != _zero(table.background)
        known = np.ones(grid, bool)
    else:
        outside = len(table.values)
        known = np.append(table.resolved | table.background, True)[
            brought.places
        ]
        label = np.where(
            brought.places == outside,
            _zero(table.background),
            brought.places,
        )
        contested = known & (winner != label)
    scores, drawn = list(raw), winner
    if guide is not None:
        contested |= known & (best < DECIDED_SCORE)
        scores, shown = fit_scores(guide, boxes, raw)
        drawn, _ = _winners(taking_part, boxes, shown, table.background, grid)
    measures = _measured(
        taking_part,
        table,
        boxes,
        raw,
        winner,
        confidence=None if brought is None else brought.confidence,
        drawn=None if guide is None else drawn,
    )
    if guide is not None:
        boxes, scores = trim_scores(boxes, scores)
    if brought is not None:
        left = left_to_field(drawn, brought, taking_part)
        kept = ~left[taking_part]
        taking_part = taking_part[kept]
        boxes = list(compress(boxes, kept))
        scores = list(compress(scores, kept))
        measures = list(compress(measures, kept))
    from scipy.ndimage import binary_dilation

    contested = binary_dilation(contested, np.ones((3, 3)), 2 if guide else 1)
    if brought is not None and brought.exact is not None:
        contested &= ~brought.exact
    return LabelScores(
        table.values[taking_part],
        boxes,
        scores,
        contested,
        measures,
    )


def _drop_specks(
    labels: npt.NDArray[np.intp],
    boxes: list[Tile],
    scores: list[FloatArray],
    winner: npt.NDArray[np.intp],
    table: LabelTable,
    brought: BroughtLabels | None,
) -> bool:
    """Take specks far from their label off its scores; whether there are any.

    Other labels get what is taken, in proportion.
    """
    from scipy.ndimage import binary_dilation

    if table.gaps is None:
        return False
    taken = np.zeros(winner.shape, np.float32)
    for label, box, score in zip(labels, boxes, scores, strict=True):
        won = winner[box] == label
        dropped = far_pieces(
            won,
            small=SPECK,
            gap=float(table.gaps[label]),
            known=None if brought is None else brought.places[box] == label,
        )
        if dropped is None:
            continue
        around = binary_dilation(dropped, iterations=SPECK_MARGIN)
        around &= dropped | ~won
        taken[box] += score * around
        score[around] = 0
    if not taken.any():
        return False
    left = np.maximum(1 - taken, np.float32(1e-6))
    for box, score in zip(boxes, scores, strict=True):
        score /= left[box]
    return True


def _measured(
    labels: npt.NDArray[np.intp],
    table: LabelTable,
    boxes: list[Tile],
    scores: list[FloatArray],
    winner: npt.NDArray[np.intp],
    *,
    confidence: FloatArray | None,
    drawn: npt.NDArray[np.intp] | None,
) -> list[LabelMeasures]:
    """What the quality of each label is estimated from.

    ``winner``, ``drawn`` (n, m): label of the best score, and of that after
    outlines were moved. ``confidence`` (n, m): of the field.
    """
    similarity = None
    if table.similarity is not None:
        similarity = on_grid(table.similarity, winner.shape)
    measures = []
    for label, box, score in zip(labels, boxes, scores, strict=True):
        won = winner[box] == label
        area = int(won.sum())
        inside_score, elsewhere = (
            float(score[won].sum()),
            float(score[~won].sum()),
        )
        alike, sure = (
            None
            if values is None
            else float(values[box][won].mean())
            if area
            else 0.0
            for values in (similarity, confidence)
        )
        same = None if drawn is None else _overlap(won, drawn[box] == label)
        measures.append(
            LabelMeasures(
                area,
                inside_score / max(1e-6, area + elsewhere),
                alike or 0.0,
                sure,
                same,
            )
        )
    return measures


def _overlap(
    one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]
) -> float:
    """IoU of two masks, 1 of two empty ones."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


def _zero(background: npt.NDArray[np.bool_]) -> int:
    """Place of the background, -1 where nothing shows it."""
    return int(background.argmax()) if background.any() else -1


def _raw_scores(
    labels: npt.NDArray[np.intp],
    table: LabelTable,
    brought: BroughtLabels | None,
    grid: Shape,
    room: int,
) -> tuple[list[Tile], list[FloatArray]]:
    """Evidence plus weight of the field for each label, and where.

    ``room``: samples around it that the boxes hold as well.
    """
    from scipy.ndimage import find_objects

    there: list[Tile | None] = [None] * (int(labels.max()) + 1)
    if brought is not None:
        there = find_objects(brought.places + 1, max_label=len(there))
    columns = None if table.shares is None else table.shares.tocsc()
    boxes, scores = [], []
    for label in labels:
        box = there[label]
        cells = None
        if columns is not None:
            cells = columns[:, [label]].toarray().reshape(table.cells)
            box = union(box, support(cells, grid))
        box = padded(box or (slice(0, 1), slice(0, 1)), grid, room)
        shape = box[0].stop - box[0].start, box[1].stop - box[1].start
        score = np.zeros(shape, np.float32)
        if cells is not None:
            score += part_on_grid(cells, grid, box)
        if brought is not None:
            here = brought.places[box] == label
            score += here if cells is None else brought.weight[box] * here
        boxes.append(box)
        scores.append(score)
    return boxes, scores


def _background(
    table: LabelTable, brought: BroughtLabels | None, grid: Shape
) -> FloatArray:
    """The same of the background, on the whole grid."""
    score = np.zeros(grid, np.float32)
    if table.shares is not None and table.background.any():
        cells = table.shares[:, table.background].toarray()
        score += on_grid(cells.reshape(table.cells), grid)
    if brought is not None:
        here = brought.places == len(table.values)
        here |= brought.places == _zero(table.background)
        score += here if table.shares is None else brought.weight * here
    return score


def _winners(
    labels: npt.NDArray[np.intp],
    boxes: list[Tile],
    scores: list[FloatArray],
    background: npt.NDArray[np.bool_],
    grid: Shape,
) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Label of the best score at each place of a grid, and that score."""
    best = np.ones(grid, np.float32)
    for box, score in zip(boxes, scores, strict=True):
        best[box] -= score
    winner = np.full(grid, _zero(background), np.intp)
    for label, box, score in zip(labels, boxes, scores, strict=True):
        better = score > best[box]
        np.copyto(best[box], score, where=better)
        np.copyto(winner[box], label, where=better)
    return winner, best
