"""Which cells of annotated images a cell of another image looks like.

For each cell of the target, the most similar cells of all annotated images
are kept with their weights: half of it the softmax of their cosine
similarities, half that of similarities that are mutual. The weighted mean of
their labels is the *evidence*. It is how labels are propagated through videos
[1]_, without a window: whatever moves, turns or is there several times is
found as well.

References
----------
.. [1] Jabri, Owens, Efros. Space-Time Correspondence as a Contrastive Random
   Walk. NeurIPS 2020. arXiv:2006.14613
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.brief import brief
from napari_samnet.arrays.resize import resized
from napari_samnet.arrays.types import FloatArray, Shape
from napari_samnet.errors import InputError
from napari_samnet.labels.similar import (
    Cosines,
    all_rows,
    descending,
    pooled,
    softmax,
)

if TYPE_CHECKING:
    from scipy import sparse


#: Cells that are kept for each cell of the target.
NEIGHBORS = 10

#: Temperature of the softmax over cosine similarities.
TEMPERATURE = 0.03

#: Share of the weights that counts only what is mutual: the same softmax
#: times that over the cells of the target. Some cells look a little like many,
#: those of the labeled thing like all that stands before another background.
#: On 60 pairs of Weizmann training images IoU rises from .843 to .848.
MUTUAL = 0.5

#: Most similar cells among which those are chosen that are kept.
CANDIDATES = 30


@dataclass(frozen=True, eq=False)
class Evidence:
    """The cells of annotated images that each cell of a target looks like.

    Parameters
    ----------
    index : ndarray of int, shape (h2, w2, k)
        Flat indices of cells: those of the first annotated image row by row,
        then those of the second, and so on. Those with most weight first.
    weight : ndarray of float, shape (h2, w2, k)
        Their weights, which sum to 1 along the last axis.
    similarity : ndarray of float, shape (h2, w2)
        Cosine similarity of the most similar cell, from -1 to 1, by the
        features that the field is matched by.
    reference_cells : ndarray of int, shape (R, 2)
        Rows and columns of the cells of each annotated image.
    confirmed : ndarray of float, shape (h2, w2), optional
        How far, from 0 to 1, the pixels confirm the field of the match in
        each cell. Where they do, it is right to the pixel, which the
        evidence of cells is not.

    Raises
    ------
    InputError
        If the shapes do not fit together, or an index leads to no cell.
    """

    __repr__ = brief

    index: npt.NDArray[np.integer[Any]]
    weight: npt.NDArray[np.floating[Any]]
    similarity: npt.NDArray[np.floating[Any]]
    reference_cells: npt.NDArray[np.integer[Any]]
    confirmed: npt.NDArray[np.floating[Any]] | None = None

    def __post_init__(self) -> None:
        index = np.asarray(self.index)
        cells = np.asarray(self.reference_cells)
        kinds = index.dtype.kind + cells.dtype.kind
        if (
            not set(kinds) <= set('iu')
            or index.ndim != 3
            or 0 in index.shape
            or cells.ndim != 2
            or cells.shape[1] != 2
            or cells.size == 0
            or cells.min() < 1
        ):
            raise InputError(
                f'evidence must have indices of shape (h, w, k) and reference '
                f'cells of shape (R, 2), both of whole numbers, got '
                f'{index.dtype} of shape {index.shape} and {cells.dtype} of '
                f'shape {cells.shape}'
            )
        total = int(cells.astype(np.int64).prod(1).sum())
        if index.min() < 0 or index.max() >= total:
            raise InputError(
                f'indices of evidence must be from 0 to {total - 1}, got '
                f'values from {index.min()} to {index.max()}'
            )
        for name, shape, low in (
            ('weight', index.shape, 0),
            ('similarity', index.shape[:2], -1.01),
            ('confirmed', index.shape[:2], 0),
        ):
            if name == 'confirmed' and self.confirmed is None:
                continue
            values = np.asarray(getattr(self, name))
            if values.dtype.kind != 'f' or values.shape != shape:
                raise InputError(
                    f'{name} of evidence must be float of shape {shape}, got '
                    f'{values.dtype} of shape {values.shape}'
                )
            least, most = float(values.min()), float(values.max())
            if not low <= least <= most <= 1.01:
                raise InputError(
                    f'{name} of evidence must be from {low:.0f} to 1, got '
                    f'values from {least:g} to {most:g}'
                )

    @property
    def shape(self) -> Shape:
        """Rows and columns of the target's cells."""
        return self.index.shape[0], self.index.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return (
            self.index.nbytes
            + self.weight.nbytes
            + self.similarity.nbytes
            + self.reference_cells.nbytes
            + (0 if self.confirmed is None else self.confirmed.nbytes)
        )

    def rearranged(
        self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
    ) -> Evidence:
        """The evidence of other cells of the target.

        Parameters
        ----------
        rows, columns : ndarray of int, shape (h2, w2)
            The cell of this evidence that each cell of the result takes.

        Returns
        -------
        Evidence
            For a target seen turned or mirrored, for example.
        """
        return Evidence(
            self.index[rows, columns],
            self.weight[rows, columns],
            self.similarity[rows, columns],
            self.reference_cells,
            None if self.confirmed is None else self.confirmed[rows, columns],
        )

    def beside_field(self, confirmed: FloatArray) -> Evidence:
        """The same, knowing where the field is right to the pixel.

        Parameters
        ----------
        confirmed : ndarray of float32, shape (n, m)
            How far, from 0 to 1, the pixels confirm the field, on any grid
            over the target.

        Returns
        -------
        Evidence
            With that on its own cells.
        """
        cells = resized(confirmed[..., None], *self.shape)[..., 0]
        return replace(self, confirmed=cells.clip(0, 1).astype(np.float16))

    def matrix(self) -> sparse.csr_array:
        """The weights as a sparse matrix.

        Returns
        -------
        scipy.sparse.csr_array of float32, shape (h2 * w2, cells)
            Row `i` holds the weights of the cells that cell `i` of the
            target looks like; rows sum to 1.
        """
        from scipy import sparse

        rows, columns, count = self.index.shape
        total = int(self.reference_cells.astype(np.int64).prod(1).sum())
        return sparse.csr_array(
            (
                self.weight.astype(np.float32).ravel(),
                self.index.astype(np.int32).ravel(),
                np.arange(rows * columns + 1, dtype=np.int32) * count,
            ),
            shape=(rows * columns, total),
        )


def find_evidence(
    target: FloatArray,
    references: Sequence[FloatArray],
    *,
    neighbors: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
    mutual: float = MUTUAL,
    similarity: FloatArray | None = None,
    whole: bool = False,
) -> Evidence:
    """Find the most similar cells of annotated images.

    Parameters
    ----------
    target : ndarray of float, shape (h2, w2, C)
        Matching features of the image that labels are wanted for.
    references : sequence of ndarray of float, each of shape (h, w, C)
        Those of the annotated images, of any numbers of cells.
    neighbors : int
        Cells that are kept for each cell of the target. More of them smooth
        the labels and lose small objects.
    temperature : float
        Of the softmax over cosine similarities. Lower values trust the best
        cell alone, higher ones the mean of all that are kept.
    mutual : float
        How much of the weights goes to cells that find no better place in the
        target either, from 0 to 1. More of it keeps labels from spreading
        over what looks a little like them, and loses what is there more
        often than in the annotated images.
    similarity : ndarray of float, shape (h2', w2'), optional
        How alike the most similar cell is to each cell, where other features
        tell that better; by default by these.
    whole : bool
        Compare cells in whole numbers of eight bits, by which a similarity
        is off by about .001. Only for processors that multiply these: they
        take an eighth of the time.

    Returns
    -------
    Evidence
        On at most 64 cells a side, see :func:`pooled`.

    Raises
    ------
    InputError
        If there is no annotated image, or numbers of channels differ.
    """
    if not references:
        raise InputError('references must hold at least one image, got none')
    channels = {part.shape[-1] for part in (target, *references)}
    if len(channels) > 1:
        raise InputError(
            f'features must all have the same number of channels, got '
            f'{", ".join(map(str, sorted(channels)))}'
        )
    small, others = pooled(target), [pooled(part) for part in references]
    shape = small.shape[:2]
    queries, bank = all_rows([small]), all_rows(others)
    cosines = Cosines(queries, bank, whole=whole)
    asked = cosines.popularity(temperature) if mutual else None
    count = min(neighbors, len(bank))
    candidates = min(max(neighbors, CANDIDATES if mutual else 0), len(bank))
    index = np.empty((len(queries), count), np.int32)
    weight = np.empty((len(queries), count), np.float32)
    best = np.empty(len(queries), np.float32)
    for part, cosine in cosines:
        chosen = np.argpartition(-cosine, candidates - 1, axis=1)
        chosen = chosen[:, :candidates]
        values = np.take_along_axis(cosine, chosen, 1)
        chosen, values = descending(chosen, values)
        best[part] = values[:, 0]
        share = softmax(values, temperature)
        share[:, neighbors:] = 0
        share /= share.sum(1, keepdims=True)
        if asked is not None:
            both = softmax(2 * values - asked[chosen], temperature)
            share = (1 - mutual) * share + np.float32(mutual) * both
            chosen, share = descending(chosen, share)
        index[part], weight[part] = chosen[:, :count], share[:, :count]
    weight /= weight.sum(1, keepdims=True)
    kind: type[np.integer[Any]] = np.int32
    if len(bank) <= 1 << 16:
        kind = np.uint16
    if similarity is None:
        similarity = best.reshape(shape)
    return Evidence(
        index.astype(kind).reshape(*shape, count),
        weight.astype(np.float16).reshape(*shape, count),
        similarity.clip(-1, 1).astype(np.float16),
        np.array([part.shape[:2] for part in others], np.int32),
    )


def label_shares(
    places: npt.NDArray[np.intp], count: int, cells: Shape
) -> sparse.csr_array:
    """Share of each label in each cell of an annotated image.

    ``places`` (n, m): samples of a label map: which of `count` labels each one
    has.
    ``count``: number of labels that `places` counts, one column for each.
    ``cells``: rows and columns of the cells that cover the label map.
    Returns: (rows * columns, count): area averages: every row sums to 1.
    Memory grows with the labels per cell, not with all labels.
    """
    from scipy import sparse

    # Every cell gets a sample at least.
    places = places[
        np.ix_(
            *(
                np.arange(max(side, number)) * side // max(side, number)
                for side, number in zip(places.shape, cells, strict=True)
            )
        )
    ]
    row, column = (
        (np.arange(side) * number) // side
        for side, number in zip(places.shape, cells, strict=True)
    )
    cell = row[:, None] * cells[1] + column
    areas = sparse.coo_array(
        (
            np.ones(places.size, np.float32),
            (cell.ravel(), places.ravel()),
        ),
        shape=(prod(cells), count),
    ).tocsr()
    total = areas.sum(1).clip(1)
    areas.data /= np.repeat(total, np.diff(areas.indptr)).astype(np.float32)
    return areas
