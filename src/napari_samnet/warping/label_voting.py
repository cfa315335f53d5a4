"""Labels by vote: the last correlation decides where an outline lies.

A smooth field puts a whole object into place, but not each of its limbs. The
correlation knows more than the one best displacement that the field is made
from: around it, every displacement of the search window has a likelihood, and
so has every label that it leads to. Propagating labels by such a vote is
common where masks are tracked through videos [1]_.

The vote is held on a grid of two samples per cell, whatever the size of the
images. It changes labels only where it contradicts the field; everywhere else
an outline keeps the detail that it has at full size.

References
----------
.. [1] Jabri, Owens, Efros. Space-Time Correspondence as a Contrastive Random
   Walk. NeurIPS 2020. arXiv:2006.14613
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import Upsampler, centers
from napari_samnet.arrays.tiles import tiles
from napari_samnet.warping.fields import Mapping
from napari_samnet.warping.kernels import Nearest
from napari_samnet.warping.vote_result import HEAD_START, Ballot, Voted
from napari_samnet.warping.warp import WINDOW_SIDE, Pixels

if TYPE_CHECKING:
    from napari_samnet.warping.warp import Kernel

__all__ = [
    'LabelField',
    'hold_vote',
    'label_kernel',
    'sparse_indices',
    'sparse_labels',
]

FloatArray = npt.NDArray[np.float32]
Labels = npt.NDArray[Any]
Shape = tuple[int, int]

#: Samples per cell and axis.
SAMPLES = 2

#: Side in samples of the square that must fit into a label for it to be
#: voted on. The features do not resolve what is smaller.
SOLID = 7

#: A label that would keep less than this share of its area is left as the
#: field brings it: a vote moves outlines and erases nothing.
KEPT = 0.5

#: Labels times samples of a vote, which bounds its memory.
MOST_VOTES = 1 << 23


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
    votes : ndarray of float or None, shape (h2, w2, K, K)
        Likelihood of each displacement around `backward`, in cells of the
        source; None where they were not kept.
    source_cells : tuple of int
        Rows and columns of the source's feature cells.
    """

    source_shape: Shape
    target_shape: Shape
    backward: FloatArray
    confidence: FloatArray
    votes: npt.NDArray[Any] | None
    source_cells: Shape


def label_kernel(
    field: LabelField,
    pixels: Pixels | None,
    *,
    min_confidence: float = 0.0,
    vote: bool = True,
    sparse: Labels | None = None,
) -> Kernel:
    """How labels of the source are put on the target's grid.

    Parameters
    ----------
    field : LabelField
        Of the two images.
    pixels : Pixels or None
        Of the labels; not looked at with `sparse`.
    min_confidence : float
        Pixels that are matched with less confidence get 0.
    vote : bool
        Whether the correspondence's votes are counted.
    sparse : ndarray, optional
        What :func:`sparse_labels` gives, if it is known.

    Returns
    -------
    Kernel
    """
    nearest = Nearest(
        field.source_shape,
        field.target_shape,
        field.confidence,
        min_confidence,
    )
    if not vote or field.votes is None:
        return nearest
    if sparse is None:
        assert pixels is not None
        sparse = sparse_labels(pixels, field.source_shape, field.source_cells)
    ballot = hold_vote(sparse, field.votes, field.backward)
    return nearest if ballot is None else Voted(nearest, ballot)


def sparse_indices(
    shape: Shape, cells: tuple[int, ...]
) -> list[npt.NDArray[np.intp]]:
    """Rows and columns at two samples per cell.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    cells : tuple of int
        Rows and columns of the cells.

    Returns
    -------
    list of ndarray of int
    """
    return [
        (centers(SAMPLES * count) * side).astype(np.intp)
        for side, count in zip(shape, cells, strict=True)
    ]


def sparse_labels(
    pixels: Pixels, shape: Shape, cells: tuple[int, ...]
) -> Labels:
    """Labels at two samples per cell and axis.

    Parameters
    ----------
    pixels : Pixels
        Of the labels.
    shape : tuple of int
        Their rows and columns.
    cells : tuple of int
        Rows and columns of the cells.

    Returns
    -------
    ndarray, shape (2 h, 2 w)
    """
    at = sparse_indices(shape, cells)
    if pixels.whole is not None:
        found: Labels = pixels.whole[np.ix_(*at)]
        return found
    parts = np.empty((len(at[0]), len(at[1])), pixels.data.dtype)
    for tile in tiles(shape, side=(WINDOW_SIDE, WINDOW_SIDE)):
        rows, columns = (
            np.flatnonzero((where >= part.start) & (where < part.stop))
            for where, part in zip(at, tile, strict=True)
        )
        if not rows.size or not columns.size:
            continue
        box = [(part.start, part.stop) for part in tile]
        window = pixels.window(box[0], box[1])
        parts[np.ix_(rows, columns)] = window[
            np.ix_(at[0][rows] - box[0][0], at[1][columns] - box[1][0])
        ]
    return parts


def hold_vote(
    labels: Labels, votes: npt.NDArray[Any], field: FloatArray
) -> Ballot | None:
    """Let the displacements around a field vote on labels.

    Parameters
    ----------
    labels : ndarray of int or bool, shape (2 h, 2 w)
        Of the source, see :func:`sparse_labels`.
    votes : ndarray of float, shape (h2, w2, K, K)
        Likelihood of each displacement, in cells of the source around the
        one that the field leads to.
    field : ndarray of float32, shape (h2, w2, 2)
        Normalized displacement from target to source.

    Returns
    -------
    Ballot or None
        None if the field wins everywhere.
    """
    values, index = np.unique(labels, return_inverse=True)
    index = index.reshape(labels.shape)
    grid = SAMPLES * field.shape[0], SAMPLES * field.shape[1]
    solid = _solid(index, len(values), MOST_VOTES // (grid[0] * grid[1]))
    solid |= values == 0
    brought, voted = _candidates(index, votes, field, outside=len(values))
    weights = Upsampler(votes.reshape(*field.shape[:2], -1), grid).rows(
        slice(0, grid[0])
    )
    while True:
        chosen = np.unique(np.append(values[solid], values.dtype.type(0)))
        # From places among all labels to places among the chosen ones; what
        # is beyond the image is background, what is too small abstains.
        names = np.full(len(values) + 1, len(chosen))
        names[:-1][solid] = np.searchsorted(chosen, values[solid])
        names[-1] = np.searchsorted(chosen, 0)
        shares = _count(names[voted], weights, len(chosen))
        own = names[brought]
        score = shares.copy()
        known = own < len(chosen)
        rows, columns = np.nonzero(known)
        score[own[known], rows, columns] += HEAD_START
        winner = np.where(known, score.argmax(0), own)
        before, after = (
            np.bincount(who.ravel(), minlength=len(chosen) + 1)
            for who in (own, winner)
        )
        erased = chosen[(after < KEPT * before)[:-1] & (chosen != 0)]
        if not erased.size:
            break
        solid &= ~np.isin(values, erased)
    contested = winner != own
    if not contested.any():
        return None
    return Ballot(chosen, shares, _grown(contested))


def _solid(
    index: npt.NDArray[np.intp], count: int, most: int
) -> npt.NDArray[np.bool_]:
    """Which labels a square of `SOLID` samples fits into; the largest."""
    padded = np.pad(index, SOLID // 2, mode='edge')
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SOLID, SOLID))
    alike = (windows == index[..., None, None]).all((2, 3))
    found = np.zeros(count, bool)
    found[index[alike]] = True
    if found.sum() > most:
        areas = np.bincount(index.ravel(), minlength=count) * found
        found[np.argsort(areas)[: count - most]] = False
    return found


def _candidates(
    index: npt.NDArray[np.intp],
    votes: npt.NDArray[Any],
    field: FloatArray,
    *,
    outside: int,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Labels that the field, and that each displacement around it, leads to.

    Returns
    -------
    brought : ndarray of int, shape (n, m)
    voted : ndarray of int, shape (K * K, n, m)
        Places of labels, `outside` beyond the source.
    """
    grid = SAMPLES * field.shape[0], SAMPLES * field.shape[1]
    at = Mapping(field, grid, index.shape).positions(slice(0, grid[0]))
    # With a frame for what is outside, to which all that is beyond it goes.
    framed = np.pad(index, 1, constant_values=outside)
    sides = votes.shape[2:]
    places = []
    for k, side in enumerate(index.shape):
        steps = SAMPLES * (np.arange(sides[k]) - sides[k] // 2)
        near = np.rint(at[k]).astype(np.intp) + 1
        places.append(
            (
                near.clip(0, side + 1),
                (near + steps[:, None, None]).clip(0, side + 1),
            )
        )
    (row, rows), (column, columns) = places
    voted = framed[rows[:, None], columns[None]]
    return framed[row, column], voted.reshape(-1, *grid)


def _count(
    voted: npt.NDArray[np.intp], weights: FloatArray, labels: int
) -> FloatArray:
    """Share of the votes per label, (labels, n, m); abstentions left out."""
    grid = voted.shape[1:]
    samples = grid[0] * grid[1]
    keys = voted.reshape(len(voted), -1) * samples + np.arange(samples)
    counts = np.bincount(
        keys.ravel(), weights.ravel(), minlength=(labels + 1) * samples
    )[: labels * samples].reshape(labels, *grid)
    # Neighbors belong together: without this, votes leave specks.
    for axis in (1, 2):
        counts = _smoothed(counts, axis)
    return (counts / counts.sum(0).clip(1e-6)).astype(np.float32)


def _smoothed(values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """Binomial mean of three neighbors, the outermost one repeated."""
    padded = np.pad(
        values,
        [(int(k == axis),) * 2 for k in range(values.ndim)],
        mode='edge',
    )
    before, middle, after = (
        padded.take(range(k, k + values.shape[axis]), axis) for k in range(3)
    )
    return (before + 2 * middle + after) / 4


def _grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """With all neighbors."""
    padded = np.pad(mask, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.asarray(windows.any((2, 3)))
