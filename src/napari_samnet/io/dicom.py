"""DICOM pictures, by pydicom, an optional package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.errors import InputError
from napari_samnet.io.extras import require
from napari_samnet.io.picture import Stored, choose_plane
from napari_samnet.io.size_limits import check_claim

_COLORS = ('RGB', 'YBR_FULL', 'YBR_FULL_422', 'YBR_ICT', 'YBR_RCT')


def read_dicom(file: Path, name: str, page: int | None = None) -> Stored:
    """Read one frame of a DICOM file.

    ``page``: which frame, counted from 0, of a file that holds several.
    Returns: its numbers, in the units of the modality (such as Hounsfield
    units) where the file says how.
    Raises InputError if pydicom is missing, or the file holds no single
    picture.
    """
    what = f'{name}: DICOM files such as {file}'
    decoders = require('pydicom.pixels', what, extra='dicom')
    pydicom = require('pydicom', what, extra='dicom')
    data = pydicom.dcmread(file, force=True)
    rows, columns = (int(data.get(key, 0)) for key in ('Rows', 'Columns'))
    samples = int(data.get('SamplesPerPixel', 1))
    frames = int(data.get('NumberOfFrames', 1) or 1)
    bits = int(data.get('BitsAllocated', 8))
    if not rows or not columns or 'PixelData' not in data:
        raise InputError(f'{name}: {file} is a DICOM file without a picture')
    check_claim(name, file, rows * columns * samples * frames * bits // 8)
    frame, notices = choose_plane(page, frames, 'frame', name=name, file=file)
    pixels = decoders.pixel_array(data, index=frame)
    kind = str(data.get('PhotometricInterpretation', 'MONOCHROME2'))
    if kind.startswith('MONOCHROME'):
        gray = _gray(decoders.apply_rescale(pixels, data), data, kind)
        return gray.with_notices(*notices)
    if kind == 'PALETTE COLOR':
        pixels = decoders.apply_color_lut(pixels, data)
    elif kind not in _COLORS:
        raise InputError(
            f'{name}: {file} has the colors {kind}, which are not read: save '
            f'it as TIFF or PNG'
        )
    return Stored(pixels=pixels, space='rgb', channel_axis=2, notices=notices)


def _gray(pixels: Any, data: Any, kind: str) -> Stored:
    pixels = np.asarray(pixels)
    if pixels.dtype == np.float64:
        # A slope and an intercept that are whole keep whole numbers.
        whole = np.rint(pixels)
        if np.array_equal(whole, pixels) and np.abs(whole).max() < 2**31:
            pixels = whole.astype(np.int32)
        else:
            pixels = pixels.astype(np.float32)
    return Stored(
        pixels=pixels,
        space='gray',
        bits=int(data.get('BitsStored', 16)),
        white_is_zero=kind == 'MONOCHROME1',
    )
