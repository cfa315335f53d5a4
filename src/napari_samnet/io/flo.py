"""Optical flow files in the Middlebury format, ``.flo``.

The format is described at https://vision.middlebury.edu/flow/submit/: the
float 202021.25, width and height as 32-bit integers, then for each pixel,
row by row, the displacement along x and along y; all little-endian. Here
flows are (row, column), so the two change places.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_samnet.errors import InputError, cannot
from napari_samnet.files import atomic_write

#: The first four bytes, which read "PIEH".
MAGIC = struct.pack('<f', 202021.25)
HEADER = struct.Struct('<4sii')

#: Rows converted at once.
BLOCK_ROWS = 256


def read_flo(path: str | os.PathLike[str]) -> npt.NDArray[np.float32]:
    """Read a flow.

    Returns: (H, W, 2): displacement (row, column) in pixels. The format's mark
    of an unknown flow, a value above 1e9, is left as it is.
    Raises InputError if the file is missing, or not what its header says.
    """
    try:
        with open(path, 'rb') as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(HEADER.size)
            if len(start) < HEADER.size or not start.startswith(MAGIC):
                raise InputError(
                    f'{path} is not a .flo file: it must begin with '
                    f'{MAGIC!r}, got {start[:4]!r}'
                )
            _, width, height = HEADER.unpack(start)
            expected = HEADER.size + 8 * width * height
            if width < 1 or height < 1 or size != expected:
                raise InputError(
                    f'{path} is damaged: its header says {height} rows and '
                    f'{width} columns, which are {expected} bytes, got '
                    f'{size}'
                )
            flow = np.empty((height, width, 2), '<f4')
            if file.readinto(flow.data.cast('B')) != flow.nbytes:
                raise InputError(f'{path} ended while it was read')
    except OSError as error:
        raise cannot(f'read {path}', error) from error
    return np.ascontiguousarray(flow[..., ::-1], np.float32)


def write_flo(path: str | os.PathLike[str], flow: npt.ArrayLike) -> Path:
    """Write a flow.

    ``path``: destination; whole or not at all.
    ``flow`` (H, W, 2): displacement (row, column) in pixels.
    Raises InputError if it is not a flow, or the file cannot be written.
    """
    array = np.asarray(flow)
    if (
        array.dtype.kind not in 'iuf'
        or array.ndim != 3
        or array.shape[2] != 2
        or not array.size
    ):
        raise InputError(
            f'flow must be numbers of shape (H, W, 2), got {array.dtype} of '
            f'shape {array.shape}'
        )
    height, width = array.shape[:2]
    with atomic_write(path) as file:
        file.write(HEADER.pack(MAGIC, width, height))
        for top in range(0, height, BLOCK_ROWS):
            block = array[top : top + BLOCK_ROWS, :, ::-1]
            file.write(block.astype('<f4').tobytes())
    return Path(path)
