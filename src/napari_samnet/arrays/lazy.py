"""Arrays that are not in memory: in which pieces they are best read.

dask, zarr, HDF5 and memory maps all give slices. A slice of some rows of a
chunked array costs as much as all chunks it touches, so that pieces should
fit the chunks.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from math import prod
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

#: Rows that are kept for the next reader take at most so much memory.
CACHED_BYTES = 1 << 27

#: Larger arrays are mapped from files, which the system may put back there.
MAPPED_BYTES = 1 << 29


def is_large(size: int) -> bool:
    """Whether an array of so many bytes had better be mapped from a file."""
    return size > MAPPED_BYTES


def new_array(
    shape: tuple[int, ...], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """Make an array to be filled, a large one in a temporary file.

    The file has no name and goes with the array. Set the variable TMPDIR to
    choose where it is.

    Returns: its content is not defined.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    if not is_large(size):
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(suffix='.napari-samnet') as file:
        try:
            _reserve(file.fileno(), size)
        except OSError:
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, 'r+', shape=shape).view(np.ndarray)


def _reserve(file: int, size: int) -> None:
    """Take room on the disk: if it were full later, the process would end."""
    if hasattr(os, 'posix_fallocate'):
        os.posix_fallocate(file, 0, size)
    elif shutil.disk_usage(tempfile.gettempdir()).free < 2 * size:
        raise OSError('the disk is nearly full')
    else:
        os.truncate(file, size)


def chunk_shape(array: Any) -> tuple[int, ...] | None:
    """Shape of the largest pieces in which an array is stored.

    ``array``: in memory or lazy. Returns: one number per axis; None where any
    slice costs what it holds.
    """
    if isinstance(array, np.ndarray):
        return None
    # A shard of zarr is read and written as a whole.
    for name in ('shards', 'chunks'):
        chunks = getattr(array, name, None)
        if isinstance(chunks, tuple) and len(chunks) == len(array.shape):
            return tuple(
                int(max(side)) if isinstance(side, tuple) else int(side)
                for side in chunks
            )
    return None


class RowCache:
    """Rows of a lazy array, read by whole chunks and kept for the next band.

    Neighboring bands of rows lie in the same chunks, and would have each
    chunk read and unpacked once per band.

    ``array``: in memory or lazy.
    """

    def __init__(self, array: Any, axis: int) -> None:
        self._array = array
        self._axis = axis
        self._height = self._slab_height()
        self._slabs: dict[int, npt.NDArray[Any]] = {}
        self._lock = Lock()

    def _slab_height(self) -> int:
        """Rows that are read at once; 0 to read just what is asked for."""
        chunks = chunk_shape(self._array)
        if chunks is None:
            return 0
        row = self._array.dtype.itemsize * np.prod(
            [
                side
                for k, side in enumerate(self._array.shape)
                if k != self._axis
            ]
        )
        return min(
            chunks[self._axis], max(1, CACHED_BYTES // max(1, int(row)))
        )

    def rows(self, rows: slice) -> npt.NDArray[Any]:
        """Read rows.

        Returns: all axes of the array; not to be written to.
        """
        if not self._height:
            return self._read(rows.start, rows.stop)
        first = rows.start // self._height
        last = max(first, (rows.stop - 1) // self._height)
        parts = []
        for index in range(first, last + 1):
            top = index * self._height
            slab = self._slab(index)
            parts.append(
                self._cut(slab, max(0, rows.start - top), rows.stop - top)
            )
        return (
            parts[0] if len(parts) == 1 else np.concatenate(parts, self._axis)
        )

    def _slab(self, index: int) -> npt.NDArray[Any]:
        with self._lock:
            slab = self._slabs.pop(index, None)
            if slab is None:
                top = index * self._height
                slab = self._read(top, top + self._height)
                # Threads work side by side on two slabs at most.
                while len(self._slabs) > 1:
                    del self._slabs[next(iter(self._slabs))]
            self._slabs[index] = slab
            return slab

    def _cut(self, array: Any, start: int, stop: int) -> Any:
        where = [slice(None)] * len(self._array.shape)
        where[self._axis] = slice(start, stop)
        return array[tuple(where)]

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        return np.asarray(self._cut(self._array, start, stop))
