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
from scipy.ndimage import binary_dilation

from napari_samnet.arrays.resize import antialias_matrix
from napari_samnet.arrays.types import FloatArray
from napari_samnet.runtime.side_by_side import on_all_cores
from napari_samnet.series.encode import Cells, EncodedPlane

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

#: Share of the weights that counts only what is mutual, and among how many of
#: the most similar cells; see :mod:`napari_samnet.labels.evidence`. On six
#: films composed of training images, J rises from .865 to .875.
MUTUAL, CANDIDATES = 0.5, 30

#: Cosines that are held at most while cells are compared.
MOST_HELD = 1 << 24

#: Cells that are compared at a time with all others.
AT_ONCE = 256

#: Columns of a group that are looked at together for the largest values.
GROUP = 16

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


def gather_evidence(
    plane: EncodedPlane,
    references: Sequence[Reference],
    *,
    biases: Sequence[float] | None = None,
    wanted: npt.NDArray[np.bool_] | None = None,
    at_a_glance: bool = False,
    neighbors: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
    window: float = WINDOW,
) -> FloatArray:
    """Evidence for each label in each cell of a plane.

    ``references``: planes of the same working size whose labels are known.
    ``biases``: added to the cosines of each reference: below 0 for one that is
    to be believed less.
    ``wanted`` (rows, columns): cells that are asked about; all that the plane
    describes by default. The others get no evidence.
    ``at_a_glance``: by the features of the glance, on its grid.
    ``neighbors``: how many cells are asked. More make smoother outlines and
    lose small labels.
    ``temperature``: cosine by which the weight of a cell falls to 1/e. Smaller
    values believe the most similar cell alone.
    ``window``: how far to each side references that were found are asked, as a
    share of the shorter side of the plane. Smaller windows confuse less of
    what looks alike, and lose what moves fast.
    Returns: (L, rows, columns), from 0 to 1 for each label, without the
    background.
    """
    import torch

    cells = plane.glance if at_a_glance else plane.deciding
    rows, columns = cells.grid
    reach = round(window * min(rows, columns))
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
        mutual = MUTUAL > 0 and not at_a_glance
        count = max(neighbors, CANDIDATES) if mutual else neighbors

        def alike(number: int) -> tuple[Tensor, Tensor, Tensor]:
            with torch.inference_mode():
                values, index, popular = _alike(
                    asked,
                    others[number],
                    count,
                    None if references[number].annotated else reach,
                    temperature if mutual else None,
                )
                if biases:
                    values += biases[number]
                return values, index + number * rows * columns, popular

        compared = on_all_cores(
            alike, len(others), device=cells.features.device.type
        )
        best, where, popular = zip(*compared, strict=True)
        cosine, found = torch.cat(best, 1), torch.cat(where, 1)
        # In parts, so that many labels do not take much memory.
        step = max(1, MOST_VALUES // max(1, shares.shape[1] * count))
        for start in range(0, len(chosen), min(step, AT_ONCE)):
            some = slice(start, start + min(step, AT_ONCE))
            part = _votes(
                cosine[some],
                found[some],
                shares,
                known,
                torch.cat(popular) if mutual else None,
                neighbors=neighbors,
                temperature=temperature,
            )
            evidence[asked.places[some]] = part.float().cpu().numpy()
    return np.ascontiguousarray(evidence.T).reshape(-1, rows, columns)


def _votes(
    cosine: Tensor,
    where: Tensor,
    shares: Tensor,
    known: Tensor,
    popular: Tensor | None,
    *,
    neighbors: int,
    temperature: float,
) -> Tensor:
    """Mean of the shares of the most similar cells, (Q, L)."""
    import torch

    count = neighbors if popular is None else max(neighbors, CANDIDATES)
    joined, among = cosine.topk(min(count, cosine.shape[1]), 1)
    asked = where.gather(1, among)
    weight = ((joined - joined[:, :1]) / temperature).exp()
    if popular is not None:
        weight[:, neighbors:] = 0
        weight /= weight.sum(1, keepdim=True)
        both = ((2 * joined - popular[asked]) / temperature).softmax(1)
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


def _alike(
    asked: Cells,
    other: Cells,
    count: int,
    reach: int | None,
    temperature: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Most similar cells of one reference, and how much each is asked for.

    ``count``: how many to find for each cell.
    ``reach``: rows and columns within which they lie; None for everywhere.
    ``temperature``: of how much cells are asked for; None if nobody wants to
    know.
    Returns: ``values, index`` (Q, count): cosines and places; ``popular``
    (N,): how much each cell of the reference is asked for, as a cosine.
    """
    import torch

    parts = [
        slice(start, start + AT_ONCE)
        for start in range(0, len(asked.places), AT_ONCE)
    ]
    held: list[Tensor | None] = [None] * len(parts)
    popular = asked.features.new_full((other.grid[0] * other.grid[1],), 2.0)
    if temperature is not None:
        few = len(asked.places) * len(other.places) <= MOST_HELD
        total = asked.features.new_zeros(len(other.places))
        for number, part in enumerate(parts):
            cosine = asked.some(part).cosines(other)
            held[number] = cosine if few else None
            total += cosine.sub(1).div_(temperature).exp_().sum(0)
        total = total.clamp_min(torch.finfo(total.dtype).tiny)
        popular[torch.from_numpy(other.places)] = 1 + temperature * total.log()
    values = asked.features.new_full((len(asked.places), count), -2.0)
    index = values.new_zeros(values.shape, dtype=torch.long)
    for part, known in zip(parts, held, strict=True):
        some = asked.some(part)
        best, where = _most_similar(some, other, count, reach, known)
        values[part, : best.shape[1]] = best
        index[part, : best.shape[1]] = where
    return values, index, popular


def _most_similar(
    asked: Cells,
    other: Cells,
    neighbors: int,
    reach: int | None,
    cosine: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Cosines and places of the most similar cells.

    ``reach``: rows and columns within which they lie; None for everywhere.
    ``cosine``: of all cells of both, if it is known.
    """
    import torch

    columns = other.grid[1]
    if reach is not None:
        # Rows that none of those asked about can reach.
        row = other.places // columns
        asked_row = asked.places // columns
        near = slice(
            int(np.searchsorted(row, asked_row[0] - reach)),
            int(np.searchsorted(row, asked_row[-1] + reach, 'right')),
        )
        other = other.some(near)
        cosine = None if cosine is None else cosine[:, near]
    if not len(other.places):
        nothing = asked.features.new_full((len(asked.places), 1), -2.0)
        return nothing, nothing.new_zeros(nothing.shape, dtype=torch.long)
    if cosine is None:
        cosine = asked.cosines(other)
    if reach is not None:
        _leave_out_far(cosine, asked.places, other, reach)
    values, index = _largest(cosine, neighbors)
    there = torch.from_numpy(other.places).to(cosine.device)
    return values, there[index]


def _leave_out_far(
    cosine: Tensor,
    asked: npt.NDArray[np.intp],
    others: Cells,
    reach: int,
) -> None:
    """Make cells that are too far away like none.

    ``cosine`` (Q, N): changed in place. ``asked`` (Q,): their places.
    ``others``: N cells that fill whole rows and columns of a rectangle.
    ``reach``: rows and columns within which they are near.
    """
    import torch

    columns = others.grid[1]
    sides = [np.unique(part) for part in np.divmod(others.places, columns)]
    grid = cosine.unflatten(1, [len(side) for side in sides])
    far = [
        torch.from_numpy(np.abs(here[:, None] - there) > reach)
        for here, there in zip(np.divmod(asked, columns), sides, strict=True)
    ]
    grid.masked_fill_(far[0].to(cosine.device)[:, :, None], -2.0)
    grid.masked_fill_(far[1].to(cosine.device)[:, None], -2.0)


def _largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Largest values of each row, and where they are, descending.

    Of groups of columns first, since most of them hold none of the largest:
    that takes half the time on the CPU.
    """
    import torch

    columns = values.shape[1]
    count = min(count, columns)
    if values.device.type != 'cpu' or columns < 2 * count * GROUP:
        best = values.topk(count, 1)
        return best.values, best.indices
    whole = columns // GROUP * GROUP
    grouped = values[:, :whole].unflatten(1, (-1, GROUP))
    chosen = grouped.amax(2).topk(count, 1, sorted=False).indices
    inside = torch.arange(GROUP)
    where = (chosen[..., None] * GROUP + inside).flatten(1)
    rest = torch.arange(whole, columns).expand(len(values), -1)
    where = torch.cat((where, rest), 1)
    best = values.gather(1, where).topk(count, 1)
    return best.values, where.gather(1, best.indices)


def carried_back(
    reference: Reference,
    plane: EncodedPlane,
    shares: FloatArray,
    *,
    neighbors: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
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
        best, where = _most_similar(asked, plane.deciding, neighbors, None)
        weights = ((best - best[:, :1]) / temperature).exp()
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
