"""The most similar cells of another plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_samnet.series.encode import Cells

if TYPE_CHECKING:
    from torch import Tensor


#: Cosines that are held at most while cells are compared.
MOST_HELD = 1 << 24

#: Cells that are compared at a time with all others.
AT_ONCE = 256

#: Columns of a group that are looked at together for the largest values.
GROUP = 16


def compared_cells(
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
        best, where = most_similar_cells(some, other, count, reach, known)
        values[part, : best.shape[1]] = best
        index[part, : best.shape[1]] = where
    return values, index, popular


def most_similar_cells(
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
        leave_out_far(cosine, asked.places, other, reach)
    values, index = largest(cosine, neighbors)
    there = torch.from_numpy(other.places).to(cosine.device)
    return values, there[index]


def leave_out_far(
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


def largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
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
