"""Labels of a plane from the most similar cells of all references.

Every cell of the plane asks the `k` cells that look most like it, wherever
they lie in the references, and takes the mean of their labels by likeness.
References that were found by propagation themselves are asked only near the
same place, since between neighboring planes things move a little (Jabri,
Owens and Efros, *Space-time correspondence as a contrastive random walk*,
NeurIPS 2020, arXiv:2006.14613).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import antialias_matrix
from napari_samnet.arrays.types import FloatArray
from napari_samnet.series.encode import EncodedPlane

if TYPE_CHECKING:
    from torch import Tensor


#: Cells that are asked.
NEIGHBORS = 10

#: Cosine by which likeness falls to 1/e.
TEMPERATURE = 0.03

#: How far to each side of the same place a result is asked, as a share of the
#: shorter side of the plane.
WINDOW = 0.42

#: Weight of the histogram beside the features in how alike two planes are.
HISTOGRAM_WEIGHT = 0.3

#: Rows of cells that are compared at a time.
ROWS_AT_ONCE = 4

#: Values that are held at a time while evidence is summed up.
MOST_VALUES = 1 << 22


@dataclass(frozen=True, eq=False)
class Reference:
    """A plane whose labels are known, or were found."""

    #: Its place in the series.
    index: int
    #: Its features and pixels.
    plane: EncodedPlane
    #: (H, W): its labels, as places in the list of all ids of the run; 0 is
    #: the background.
    labels: npt.NDArray[np.int32]
    #: (N, L): share of each cell that each id covers, without the background.
    shares: Tensor
    #: (L,): ids that this plane tells of: where it shows none of them, it is
    #: known that they are not there.
    known: npt.NDArray[np.bool_]
    #: Whether it was drawn, and not found.
    annotated: bool


def label_shares(
    labels: npt.NDArray[np.int32], count: int, cells: tuple[int, int]
) -> FloatArray:
    """Share of each cell that each label covers.

    ``labels`` (H, W): from 0, the background, to `count`.
    ``count``: number of labels without the background.
    ``cells``: rows and columns of the cells.
    Returns: (rows * columns, count): without the background.
    """
    down = antialias_matrix(labels.shape[0], cells[0])
    across = antialias_matrix(labels.shape[1], cells[1]).T
    shares = np.zeros((cells[0] * cells[1], count), np.float32)
    for label in np.unique(labels):
        if label:
            mask = (labels == label).astype(np.float32)
            shares[:, label - 1] = np.asarray((down @ mask) @ across).ravel()
    return shares


def compare(plane: EncodedPlane, other: EncodedPlane) -> Tensor:
    """Compare all cells of two planes.

    Returns: (N, N): cosine of each cell of `plane` (row) with each of `other`
    (column).
    """
    import torch

    with torch.inference_mode():
        return plane.features @ other.features.T


def likeness(plane: EncodedPlane, other: EncodedPlane) -> float:
    """How much of a plane is seen in another one.

    Returns: mean cosine of each coarse cell's feature with the most similar
    one of the other plane, plus .3 times the part that the histograms share:
    at most 1.3.
    """
    shared = float(np.minimum(plane.histogram, other.histogram).sum())
    alike = (plane.coarse @ other.coarse.T).max(1).mean()
    return float(alike) + HISTOGRAM_WEIGHT * shared


def gather_evidence(
    plane: EncodedPlane,
    references: Sequence[Reference],
    cosines: Sequence[Tensor | None],
    *,
    biases: Sequence[float] | None = None,
    neighbors: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
    window: float = WINDOW,
) -> FloatArray:
    """Evidence for each label in each cell of a plane.

    ``references``: planes of the same working size whose labels are known.
    ``cosines``: what :func:`compare` gives for the plane and each reference.
    They are not needed for references that were found.
    ``biases``: added to the cosines of each reference: below 0 for one that is
    to be believed less.
    ``neighbors``: how many cells are asked. More make smoother outlines and
    lose small labels.
    ``temperature``: cosine by which the weight of a cell falls to 1/e. Smaller
    values believe the most similar cell alone.
    ``window``: how far to each side references that were found are asked, as a
    share of the shorter side of the plane. Smaller windows confuse less of
    what looks alike, and lose what moves fast.
    Returns: (L, rows, columns): from 0 to 1 for each label, without the
    background.
    """
    import torch

    rows, columns = plane.cells
    reach = round(window * min(rows, columns))
    with torch.inference_mode():
        best, where, first = [], [], 0
        for place, reference in enumerate(references):
            cosine = cosines[place]
            if cosine is None:
                values, index = _nearby(plane, reference, neighbors, reach)
            else:
                values, index = cosine.topk(min(neighbors, cosine.shape[1]), 1)
            bias = 0.0 if biases is None else biases[place]
            best.append(values + bias)
            where.append(index + first)
            first += len(reference.shares)
        cosine = torch.cat(best, 1)
        joined, among = cosine.topk(min(neighbors, cosine.shape[1]), 1)
        weights = ((joined - joined[:, :1]) / temperature).exp()
        asked = torch.cat(where, 1).gather(1, among)
        shares = torch.cat([r.shares for r in references])
        known = torch.cat(
            [
                torch.from_numpy(r.known.astype(np.float32))
                .to(shares.device)
                .expand(len(r.shares), -1)
                for r in references
            ]
        )
        # In parts, so that many labels do not take much memory.
        step = max(1, MOST_VALUES // max(1, shares.shape[1] * asked.shape[1]))
        parts = []
        for start in range(0, len(asked), step):
            some = asked[start : start + step]
            weight = weights[start : start + step, :, None]
            votes = (weight * shares[some]).sum(1)
            total = (weight * known[some]).sum(1).clamp_min(1e-6)
            part = votes / total
            # Planes that tell of different ids may claim the same place; the
            # more similar ones are then right.
            claimed = part.sum(1, keepdim=True) > 1
            share = votes / votes.sum(1, keepdim=True).clamp_min(1e-6)
            parts.append(torch.where(claimed, share, part))
        evidence = torch.cat(parts).T.reshape(-1, rows, columns)
        return evidence.float().cpu().numpy()


def carried_back(
    reference: Reference,
    shares: FloatArray,
    cosines: Tensor,
    *,
    neighbors: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
) -> FloatArray:
    """How much of a reference's labels is found again from a result.

    ``shares`` (N, L): shares of the labels that were found in the cells of a
    plane.
    Returns: (L,): share of both that the true labels and those carried back
    have in common, by label; NaN for labels that the reference does not show.
    """
    import torch

    with torch.inference_mode():
        best, where = cosines.T.topk(min(neighbors, cosines.shape[0]), 1)
        weights = ((best - best[:, :1]) / temperature).exp()
        weights = weights / weights.sum(1, keepdim=True)
        there = torch.from_numpy(shares).to(cosines.device)
        true = reference.shares
        carried = torch.stack(
            [
                (weights * there[:, label][where]).sum(1)
                for label in range(true.shape[1])
            ],
            1,
        )
        common = torch.minimum(carried, true).sum(0)
        union = torch.maximum(carried, true).sum(0)
        result = (common / union.clamp_min(1e-6)).cpu().numpy()
        shown = true.sum(0).cpu().numpy() > 0
    return np.where(shown, result, np.nan).astype(np.float32)


def _nearby(
    plane: EncodedPlane, reference: Reference, neighbors: int, window: int
) -> tuple[Tensor, Tensor]:
    """Most similar cells of a reference within a window, and their cosines.

    A few rows of cells are compared at a time, with the rows around them.
    """
    import torch

    rows, columns = plane.cells
    queries = plane.features.reshape(rows, columns, -1)
    answers = reference.plane.features.reshape(rows, columns, -1)
    x = torch.arange(columns, device=queries.device)
    far_x = (x[:, None] - x[None]).abs() > window
    values, places = [], []
    for top in range(0, rows, ROWS_AT_ONCE):
        bottom = min(top + ROWS_AT_ONCE, rows)
        first, last = max(0, top - window), min(rows, bottom + window)
        cosine = (
            queries[top:bottom].flatten(0, 1)
            @ answers[first:last].flatten(0, 1).T
        ).reshape(bottom - top, columns, last - first, columns)
        y = torch.arange(first, last, device=x.device)
        own = torch.arange(top, bottom, device=x.device)
        far_y = (own[:, None] - y[None]).abs() > window
        cosine.masked_fill_(far_x[None, :, None, :], -2.0)
        cosine.masked_fill_(far_y[:, None, :, None], -2.0)
        flat = cosine.flatten(0, 1).flatten(1)
        best, index = flat.topk(min(neighbors, flat.shape[1]), 1)
        values.append(best)
        places.append(index + first * columns)
    return torch.cat(values), torch.cat(places)
