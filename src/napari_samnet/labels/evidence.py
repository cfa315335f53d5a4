"""Which cells of annotated images a cell of another image looks like.

For each cell of the target, the most similar cells of all annotated images
are kept with their weights: the softmax of their cosine similarities. The
weighted mean of their labels is the *evidence*. It is how labels are
propagated through videos [1]_, without a window: whatever moves, turns or is
there several times is found as well.

References
----------
.. [1] Jabri, Owens, Efros. Space-Time Correspondence as a Contrastive Random
   Walk. NeurIPS 2020. arXiv:2006.14613
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import resized
from napari_samnet.arrays.types import FloatArray, Shape
from napari_samnet.errors import InputError

if TYPE_CHECKING:
    from scipy import sparse


#: Cells that are kept for each cell of the target.
NEIGHBORS = 10

#: Temperature of the softmax over cosine similarities.
TEMPERATURE = 0.03

#: Evidence is gathered on at most this many cells a side: the similarities
#: of all pairs of cells grow with its fourth power.
LARGEST_SIDE = 64

#: Similarities that are held in memory at once.
BLOCK_VALUES = 1 << 23


class CellFeatures(NamedTuple):
    """What the cells of an image are compared by.

    Directions that were taught to tell places of one object apart say less of
    which object a place belongs to, so labels are found by all channels: 60
    pairs of Weizmann training images are carried with an IoU of .843 instead
    of .829. Whether the object is there at all, the taught ones tell better.
    """

    #: (h, w, C): all channels of the feature network.
    channels: npt.NDArray[Any]
    #: (h, w, C'): those that the field is matched by.
    matching: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The cells of annotated images that each cell of a target looks like.

    Parameters
    ----------
    index : ndarray of int, shape (h2, w2, k)
        Flat indices of cells: those of the first annotated image row by row,
        then those of the second, and so on. Most similar first.
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


def pooled(features: FloatArray, side: int = LARGEST_SIDE) -> FloatArray:
    """Features on at most so many cells a side, of unit length.

    ``features`` (h, w, C): features of the cells of an image.
    ``side``: largest number of rows and of columns of the result.
    Returns: (h', w', C): means over squares of cells where there are more,
    else the features themselves; of unit length in both cases.
    """
    values = np.asarray(features, np.float32)
    step = -(-max(values.shape[:2]) // side)
    if step > 1:
        height, width = (-(-count // step) for count in values.shape[:2])
        padding = [
            (0, count * step - size)
            for count, size in zip(
                (height, width), values.shape[:2], strict=True
            )
        ]
        values = np.pad(values, [*padding, (0, 0)], mode='edge')
        values = values.reshape(height, step, width, step, -1).mean((1, 3))
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.maximum(length, np.float32(1e-12))


def find_evidence(
    target: FloatArray,
    references: Sequence[FloatArray],
    *,
    neighbors: int = NEIGHBORS,
    temperature: float = TEMPERATURE,
    similarity: FloatArray | None = None,
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
    similarity : ndarray of float, shape (h2', w2'), optional
        How alike the most similar cell is to each cell, where other features
        tell that better; by default by these.

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
    queries, bank = _rows([small]), _rows(others)
    count = min(neighbors, len(bank))
    index = np.empty((len(queries), count), np.int32)
    best = np.empty((len(queries), count), np.float32)
    step = max(1, BLOCK_VALUES // len(bank))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        cosine = queries[part] @ bank.T
        chosen = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(cosine, chosen, 1)
        order = np.argsort(-values, axis=1, kind='stable')
        index[part] = np.take_along_axis(chosen, order, 1)
        best[part] = np.take_along_axis(values, order, 1)
    weight = np.exp((best - best[:, :1]) / np.float32(temperature))
    weight /= weight.sum(1, keepdims=True)
    kind: type[np.integer[Any]] = np.int32
    if len(bank) <= 1 << 16:
        kind = np.uint16
    return Evidence(
        index.astype(kind).reshape(*shape, count),
        weight.astype(np.float16).reshape(*shape, count),
        (best[:, 0].reshape(shape) if similarity is None else similarity)
        .clip(-1, 1)
        .astype(np.float16),
        np.array([part.shape[:2] for part in others], np.int32),
    )


def most_similar(
    target: FloatArray, references: Sequence[FloatArray]
) -> FloatArray:
    """How alike the most similar cell of annotated images is.

    ``target`` (h2, w2, C), ``references`` (h, w, C): features of their cells.
    Returns: (h2', w2'): cosine for each cell of the target, on at most 64
    cells a side.
    """
    small = pooled(target)
    queries, bank = _rows([small]), _rows([pooled(p) for p in references])
    step = max(1, BLOCK_VALUES // len(bank))
    best = [
        (queries[start : start + step] @ bank.T).max(1)
        for start in range(0, len(queries), step)
    ]
    return np.asarray(np.concatenate(best).reshape(small.shape[:2]))


def _rows(images: Sequence[FloatArray]) -> FloatArray:
    """All cells of images, one a row."""
    return np.concatenate([p.reshape(-1, p.shape[-1]) for p in images])


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
