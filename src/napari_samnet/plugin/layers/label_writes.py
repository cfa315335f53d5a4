"""Write labels as one step of undo, whatever its size."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_samnet.plugin.model.grids import Index

#: Pixels that are compared and written at a time, which bounds the memory.
BLOCK = 4_000_000

#: More ids than this are counted rather than listed.
LISTED_IDS = 8

Indices = tuple[NDArray[np.integer[Any]], ...]
Result = TypeVar('Result')


@dataclass(frozen=True)
class Written:
    """What was written into a layer of labels."""

    #: Name of the layer that was written.
    name: str
    #: Ids that were written, in order, without the background.
    ids: tuple[int, ...]
    #: Pixels that were set to one of them, or cleared.
    pixels: int

    def __str__(self) -> str:
        if not self.pixels:
            return f'nothing to change in {self.name!r}'
        count = f'{self.pixels:,} pixel{"s" * (self.pixels != 1)}'
        if not self.ids:
            return f'cleared {count} of {self.name!r}'
        shown = ', '.join(map(str, self.ids))
        if len(self.ids) > LISTED_IDS:
            shown = f'{len(self.ids)} ids'
        else:
            shown = f'id{"s" * (len(self.ids) > 1)} {shown}'
        return f'wrote {shown} ({count}) into {self.name!r}'


def write_steps(
    layer: Any, pieces: Iterable[tuple[Indices, NDArray[Any]]]
) -> Generator[None, None, Written]:
    """Write labels as one step of undo, with pauses.

    ``pieces``: what to write: one index array for each axis, and as many
    values.
    Yields: after each piece, so that the window can breathe. Returns: ids and
    number of pixels.
    """
    layer = getattr(layer, '__wrapped__', layer)
    ids: set[int] = set()
    count = 0
    with layer.block_history():
        for indices, values in pieces:
            if values.size:
                # Half the memory of numpy's own indices, in the history too.
                small = tuple(axis.astype(np.int32) for axis in indices)
                layer.data_setitem(small, values, refresh=False)
                ids.update(int(value) for value in pd.unique(values))
                count += values.size
            yield
    if count:
        layer.refresh()
    return Written(layer.name, tuple(sorted(ids - {0})), count)


def write_labels(
    layer: Any, pieces: Iterable[tuple[Indices, NDArray[Any]]]
) -> Written:
    """Do :func:`write_steps` without a pause."""
    return without_pause(write_steps(layer, pieces))


def without_pause(steps: Generator[Any, None, Result]) -> Result:
    """Do all steps at once. Returns: what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Parts of the first axis that hold about `BLOCK` pixels each."""
    per_row = max(1, int(np.prod(shape[1:], dtype=np.int64)))
    step = max(1, BLOCK // per_row)
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def update_labels(
    layer: Any,
    data: NDArray[Any],
    planes: Collection[Index] | None = None,
    ids: Collection[int] | None = None,
) -> Written | None:
    """Bring a result up to date.

    ``data``: new labels, of the same shape.
    ``planes``: planes that the new labels cover; others stay as they are.
    ``ids``: the only ids to touch: pixels of others stay, unless one of these
    comes to lie there.
    Returns: None if shape or data type differ, so that nothing was written.
    """
    old = layer.data
    if old.shape != data.shape or old.dtype != data.dtype:
        return None

    def pieces() -> Iterator[tuple[Indices, NDArray[Any]]]:
        for index in [()] if planes is None else sorted(planes):
            for block in _blocks(old[index].shape):
                before, after = old[index][block], data[index][block]
                if ids is not None:
                    rest = np.where(is_one_of(before, ids), 0, before)
                    after = np.where(after != 0, after, rest)
                differs = before != after
                if not differs.any():
                    continue
                at = np.nonzero(differs)
                values = after[at]
                at = (at[0] + block.start, *at[1:])
                yield (*_constant(index, values.size), *at), values

    return write_labels(layer, pieces())


def is_one_of(labels: NDArray[Any], ids: Collection[int]) -> NDArray[np.bool_]:
    """Where labels have one of some ids, exactly, also those of 64 bits.

    ``ids``: those that the type of the labels cannot hold are nowhere.
    """
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    limits = np.iinfo(labels.dtype)
    there = [number for number in ids if limits.min <= number <= limits.max]
    return np.isin(labels, np.array(sorted(there), labels.dtype))


def _constant(index: Index, count: int) -> Indices:
    """The same position on the leading axes for several pixels."""
    return tuple(np.full(count, place, np.int32) for place in index)
