"""NumPy's ``.npy`` format, read without trust.

No object arrays, so no pickle; and the shape that a header claims is
compared with the bytes that are there before any memory is taken.
"""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from napari_samnet.arrays.lazy import is_large
from napari_samnet.errors import in_one_line

#: The numbers of a header: shape, column-major order, dtype.
Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


def read_npy_header(file: Any, name: str, size: int) -> Header:
    """Read a header that says what the rest of the file is.

    ``size``: bytes of the whole file, header included.
    Returns: ``shape``: name of the array in the file; ``fortran``: whether
    columns are stored one after another; ``dtype``: numbers or bools, perhaps
    complex.
    Raises ValueError if it is no such header, or does not fit the size.
    """
    try:
        version = npy.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = npy.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = npy.read_array_header_2_0(file)
        else:
            raise ValueError(f'its version is {version}')
    except OSError:
        raise
    except Exception as error:
        # numpy parses a header as Python, so damage raises many errors.
        reason = in_one_line(error)
        raise ValueError(f'{name} has no npy header: {reason}') from error
    # Objects would need pickle, and records or texts are no images.
    if dtype.kind == 'O':
        raise ValueError(
            f'{name} holds Python objects, which may run code and are not '
            f'read: save the array of numbers alone'
        )
    if dtype.kind not in 'biufc':
        raise ValueError(f'{name} holds {dtype}, which is no kind of number')
    left = size - file.tell()
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != left:
        raise ValueError(f'{name} claims shape {shape} but holds {left} bytes')
    return shape, fortran, dtype


def read_npy(path: Path) -> npt.NDArray[Any]:
    """Read an array of numbers.

    Returns: in the file's dtype and order; a large one is mapped, not read,
    and must not be written to.
    Raises ValueError if it is not such a file, or not what its header says.
    Raises OSError if it cannot be read.
    """
    with open(path, 'rb') as file:
        size = os.fstat(file.fileno()).st_size
        read_npy_header(file, path.name, size)
    mapped = np.load(path, mmap_mode='r', allow_pickle=False)
    if is_large(mapped.nbytes):
        return mapped.view(np.ndarray)
    return np.array(mapped)
