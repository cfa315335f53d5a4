"""Labels of a plane from the most similar cells of all references.

Every cell of the plane asks the `NEIGHBORS` cells that look most like it,
wherever they lie in the references, and takes the mean of their labels by
likeness.
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
from scipy.ndimage import binary_dilation

from napari_samnet.arrays.resize import antialias_matrix
from napari_samnet.arrays.types import FloatArray
from napari_samnet.runtime.side_by_side import on_all_cores
from napari_samnet.series.encode import EncodedPlane
from napari_samnet.series.similar_cells import (
    AT_ONCE,
    compared_cells,
    most_similar_cells,
)

if TYPE_CHECKING:
    from torch import Tensor


#: Cells that are asked. More make smoother outlines and lose small labels.
NEIGHBORS = 10

#: Cosine by which the weight of a cell falls to 1/e. Smaller values believe
#: the most similar cell alone.
TEMPERATURE = 0.03

#: How far to each side of the same place a result is asked, as a share of the
#: shorter side of the plane. Smaller windows confuse less of what looks alike,
#: and lose what moves fast.
WINDOW = 0.42

#: Weight of the histogram beside the features in how alike two planes are.
HISTOGRAM_WEIGHT = 0.3

#: Share of the weights that counts only what is mutual, and among how many of
#: the most similar cells; see :mod:`napari_samnet.labels.evidence`. On six
#: films composed of training images, J rises from .865 to .875.
MUTUAL, CANDIDATES = 0.5, 30

#: Cells around labels that are asked about when they are carried back.
NEAR = 3

#: Of these, at most so many, evenly spread: their mean is what is wanted.
MOST_ASKED = 1024

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
    #: (N, L): share of each cell of its own grid that each id covers, without
    #: the background.
    shares: Tensor
    #: The same on the grid of the glance.
    glance_shares: Tensor
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


def likeness(plane: EncodedPlane, other: EncodedPlane) -> float:
    """How much of a plane is seen in another one.

    Returns: mean cosine of each coarse cell's feature with the most similar
    one of the other plane, plus .3 times the part that the histograms share:
    at most 1.3.
    """
    shared = float(np.minimum(plane.histogram, other.histogram).sum())
    alike = (plane.coarse @ other.coarse.T).max(1).mean()
    return float(alike) + HISTOGRAM_WEIGHT * shared


def label_evidence(
    plane: EncodedPlane,
    references: Sequence[Reference],
    *,
    biases: Sequence[float] | None = None,
    wanted: npt.NDArray[np.bool_] | None = None,
    at_a_glance: bool = False,
) -> FloatArray:
    """Evidence for each label in each cell of a plane.

    ``references``: planes of the same working size whose labels are known.
    ``biases``: added to the cosines of each reference: below 0 for one that is
    to be believed less.
    ``wanted`` (rows, columns): cells that are asked about; all that the plane
    describes by default. The others get no evidence.
    ``at_a_glance``: by the features of the glance, on its grid.
    Returns: (L, rows, columns), from 0 to 1 for each label, without the
    background.
    """
    import torch

    cells = plane.glance if at_a_glance else plane.deciding
    rows, columns = cells.grid
    reach = round(WINDOW * min(rows, columns))
    chosen = np.arange(len(cells.places))
    if wanted is not None:
        chosen = np.flatnonzero(wanted.ravel()[cells.places])
    others = [
        r.plane.glance if at_a_glance else r.plane.deciding for r in references
    ]
    labels = [r.glance_shares if at_a_glance else r.shares for r in references]
    with torch.inference_mode():
        shares = torch.cat(labels)
        known = torch.cat(
            [
                torch.from_numpy(r.known.astype(np.float32))
                .to(shares.device)
                .expand(len(part), -1)
                for r, part in zip(references, labels, strict=True)
            ]
        )
        evidence = np.zeros((rows * columns, shares.shape[1]), np.float32)
        asked = cells.some(chosen)
        mutual = not at_a_glance
        count = CANDIDATES if mutual else NEIGHBORS

        def alike(number: int) -> tuple[Tensor, Tensor, Tensor]:
            with torch.inference_mode():
                values, index, popular = compared_cells(
                    asked,
                    others[number],
                    count,
                    None if references[number].annotated else reach,
                    TEMPERATURE if mutual else None,
                )
                if biases:
                    values += biases[number]
                return values, index + number * rows * columns, popular

        compared = on_all_cores(
            alike, len(others), device=cells.features.device.type
        )
        best, where, popular = zip(*compared, strict=True)
        cosine, places = torch.cat(best, 1), torch.cat(where, 1)
        # In parts, so that many labels do not take much memory.
        step = max(1, MOST_VALUES // max(1, shares.shape[1] * count))
        for start in range(0, len(chosen), min(step, AT_ONCE)):
            some = slice(start, start + min(step, AT_ONCE))
            part = _votes(
                cosine[some],
                places[some],
                shares,
                known,
                torch.cat(popular) if mutual else None,
            )
            evidence[asked.places[some]] = part.float().cpu().numpy()
    return np.ascontiguousarray(evidence.T).reshape(-1, rows, columns)


def _votes(
    cosine: Tensor,
    where: Tensor,
    shares: Tensor,
    known: Tensor,
    popular: Tensor | None,
) -> Tensor:
    """Mean of the shares of the most similar cells, (Q, L)."""
    import torch

    count = NEIGHBORS if popular is None else CANDIDATES
    joined, among = cosine.topk(min(count, cosine.shape[1]), 1)
    asked = where.gather(1, among)
    weight = ((joined - joined[:, :1]) / TEMPERATURE).exp()
    if popular is not None:
        weight[:, NEIGHBORS:] = 0
        weight /= weight.sum(1, keepdim=True)
        both = ((2 * joined - popular[asked]) / TEMPERATURE).softmax(1)
        weight = (1 - MUTUAL) * weight + MUTUAL * both
    weight = weight[..., None]
    votes = (weight * shares[asked]).sum(1)
    total = (weight * known[asked]).sum(1).clamp_min(1e-6)
    part = votes / total
    # Planes that tell of different ids may claim the same place; the more
    # similar ones are then right.
    claimed = part.sum(1, keepdim=True) > 1
    normalized = votes / votes.sum(1, keepdim=True).clamp_min(1e-6)
    return torch.where(claimed, normalized, part)


def carried_back(
    reference: Reference,
    plane: EncodedPlane,
    shares: FloatArray,
) -> FloatArray:
    """How much of a reference's labels is found again from a result.

    ``reference``: annotated plane that labels are carried back to. Its cells
    near the labels are asked about, since a plane may be described only there.
    ``shares`` (N, L): shares of the labels that were found in the cells of the
    plane.
    Returns: (L,), share of both that the true labels and those carried back
    have in common, by label; NaN for labels that the reference does not show.
    """
    import torch

    cells = reference.plane.deciding
    labeled = (reference.shares.sum(1) > 0).cpu().numpy().reshape(cells.grid)
    near = binary_dilation(labeled, np.ones((3, 3)), NEAR)
    some = np.flatnonzero(near.ravel()[cells.places])
    some = some[:: max(1, -(-len(some) // MOST_ASKED))]
    with torch.inference_mode():
        asked = cells.some(some)
        best, where = most_similar_cells(
            asked, plane.deciding, NEIGHBORS, None
        )
        weights = ((best - best[:, :1]) / TEMPERATURE).exp()
        weights = weights / weights.sum(1, keepdim=True)
        there = torch.from_numpy(shares).to(where.device)
        true = reference.shares[torch.from_numpy(asked.places)]
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
