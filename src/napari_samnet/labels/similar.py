"""Similarities of the cells of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_samnet.arrays.resize import resized
from napari_samnet.arrays.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

#: Evidence is gathered on at most this many cells a side: the similarities
#: of all pairs of cells grow with its fourth power.
LARGEST_SIDE = 64

#: Similarities that are held in memory; more are computed again when they are
#: asked for again.
MOST_VALUES = 1 << 24

#: Cells whose similarities are looked at together, so that what is computed of
#: them stays in the cache of a core.
ROWS = 256

#: Share of a cell from which on it counts.
HALF = 0.5


class CellFeatures(NamedTuple):
    """What the cells of an image are compared by.

    Features that were taught to tell places of one object apart say less of
    which object a place belongs to, so labels are found by all channels: 60
    pairs of Weizmann training images are carried with an IoU of .843 instead
    of .829. Whether the object is there at all is told in directions that were
    taught a little: by those that the field is matched in, 21 of 25 targets
    with another object are told instead of 24.
    """

    #: (h, w, C): all channels of the feature network.
    channels: npt.NDArray[Any]
    #: (h, w, C'): those by which it is told whether the object is there.
    likeness: npt.NDArray[Any]

    def within(self, kept: npt.NDArray[np.bool_]) -> CellFeatures:
        """The same, cells like none where most pixels do not count.

        ``kept`` (H, W): pixels of the image that count.
        """
        counts = kept_cells(kept, self.channels.shape[:2])[..., None]
        return CellFeatures(*(part * counts for part in self))


def kept_cells(
    kept: npt.NDArray[np.bool_], cells: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """Cells of which at least half counts.

    ``kept`` (H, W): pixels that count. ``cells``: rows and columns of cells.
    """
    shares = resized(kept[..., None].astype(np.float32), *cells[:2])
    return np.asarray(shares[..., 0] >= HALF)


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


class Cosines:
    """Similarities of all cells of two images, some rows at a time.

    ``queries`` (N, C), ``bank`` (M, C): features of unit length.
    ``whole``: whether to compare them in whole numbers, where the processor
    multiplies these faster; see :mod:`napari_samnet.samnet.whole_numbers`.

    Iterated over as often as one likes, it gives which rows and their
    similarities, which must not be changed.
    """

    def __init__(
        self, queries: FloatArray, bank: FloatArray, *, whole: bool = False
    ) -> None:
        import torch

        from napari_samnet.samnet.whole_numbers import WholeFeatures

        # By torch, which keeps to the cores that it was given.
        one, other = torch.from_numpy(queries), torch.from_numpy(bank)
        self._pair = (
            (WholeFeatures.of(one), WholeFeatures.of(other)) if whole else None
        )
        self._queries, self._bank = one, other
        self._held: Tensor | None = None

    def __iter__(self) -> Iterator[tuple[slice, FloatArray]]:
        count = len(self._queries)
        hold = count * len(self._bank) <= MOST_VALUES
        if hold and self._held is None:
            self._held = self._rows(slice(0, count))
        for start in range(0, count, ROWS):
            part = slice(start, start + ROWS)
            rows: FloatArray = (
                self._rows(part) if self._held is None else self._held[part]
            ).numpy()
            yield part, rows

    def _rows(self, part: slice) -> Tensor:
        if self._pair is not None:
            return self._pair[0].some(part).products(self._pair[1])
        return self._queries[part] @ self._bank.T

    def popularity(self, temperature: float) -> FloatArray:
        """How much each cell of the bank is asked for, as a cosine, (M,)."""
        import torch

        from napari_samnet.samnet.exponentials import exp_

        total = torch.zeros(len(self._bank))
        for _, rows in self:
            likely = torch.from_numpy(rows) - 1
            total += exp_(likely.div_(temperature)).sum(0)
        least = torch.finfo(total.dtype).tiny
        asked: FloatArray = (
            1 + temperature * total.clamp_min(least).log()
        ).numpy()
        return asked


def softmax(values: FloatArray, temperature: float) -> FloatArray:
    """Along the last axis."""
    top = values.max(1, keepdims=True)
    weight = np.exp((values - top) / np.float32(temperature))
    return np.asarray(weight / weight.sum(1, keepdims=True))


def descending(
    index: npt.NDArray[Any], values: FloatArray
) -> tuple[npt.NDArray[Any], FloatArray]:
    """Both, by descending values."""
    order = np.argsort(-values, axis=1, kind='stable')
    return (
        np.take_along_axis(index, order, 1),
        np.take_along_axis(values, order, 1),
    )


def most_similar(
    target: FloatArray,
    references: Sequence[FloatArray],
    *,
    whole: bool = False,
) -> FloatArray:
    """How alike the most similar cell of annotated images is.

    ``target`` (h2, w2, C), ``references`` (h, w, C): features of their cells.
    ``whole``: compare in whole numbers of eight bits, see :class:`Cosines`.
    Returns: (h2', w2'): cosine for each cell of the target, on at most 64
    cells a side.
    """
    small = pooled(target)
    queries, bank = (
        all_rows([small]),
        all_rows([pooled(p) for p in references]),
    )
    cosines = Cosines(queries, bank, whole=whole)
    best = [part.max(1) for _, part in cosines]
    return np.asarray(np.concatenate(best).reshape(small.shape[:2]))


def all_rows(images: Sequence[FloatArray]) -> FloatArray:
    """All cells of images, one a row."""
    if len(images) == 1:
        return images[0].reshape(-1, images[0].shape[-1])
    return np.concatenate([p.reshape(-1, p.shape[-1]) for p in images])
