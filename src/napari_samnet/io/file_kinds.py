"""What a file is, by its first bytes; names are only believed without any."""

from __future__ import annotations

import os
from pathlib import Path

from napari_samnet.errors import InputError
from napari_samnet.io.npz import array_names
from napari_samnet.io.volumes import VOLUME_ENDINGS
from napari_samnet.io.zarr_files import is_zarr

#: First bytes of formats that are known but not read, with what to do.
_NOT_READ = (
    (b'%PDF', 'a PDF document: save its picture as PNG or TIFF'),
    (b'8BPS', 'a Photoshop document: save it as TIFF or PNG'),
    (b'v/1\x01', 'an OpenEXR picture: save it as TIFF'),
    (b'#?RADIANCE', 'a Radiance picture: save it as TIFF'),
    (b'\x89HDF', 'an HDF5 file: open it in napari and save as TIFF'),
    (b'ZISRAWFILE', 'a CZI file: open it in napari and save as TIFF'),
    (b'\x70\x00\x00\x00', 'a LIF file: open it in napari and save as TIFF'),
    (b'PK\x03\x04', 'a ZIP archive: unpack it first'),
    (b'\x1f\x8b', 'a compressed archive: unpack it first'),
    (b'<svg', 'a drawing (SVG): save it as PNG'),
    (b'<?xml', 'an XML text, perhaps a drawing: save it as PNG'),
    (b'\xff\x0a', 'a JPEG XL picture: save it as PNG or TIFF'),
    (b'\0\0\0\x0cJXL ', 'a JPEG XL picture: save it as PNG or TIFF'),
)

_RAW_SUFFIXES = {
    '.3fr', '.arw', '.cr2', '.cr3', '.crw', '.dng', '.erf', '.iiq', '.kdc',
    '.mef', '.mos', '.mrw', '.nef', '.nrw', '.orf', '.pef', '.raf', '.raw',
    '.rw2', '.rwl', '.sr2', '.srf', '.srw', '.x3f',
}  # fmt: skip

_TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')

#: Brands of the ISO base media format that hold HEVC or unknown pictures.
_HEIC_BRANDS = (b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx')


def existing_file(path: str | os.PathLike[str], name: str) -> Path:
    """A file that is there.

    ``path``: absolute, or relative to the current folder. Raises InputError if
    there is none, or it is a folder, unless of Zarr.
    """
    file = Path(path)
    if not file.exists():
        raise InputError(f'{name}: there is no file {file}')
    if file.is_dir() and not is_zarr(file):
        raise InputError(
            f'{name}: {file} is a folder, expected a file; choose the files '
            'in it'
        )
    if not file.is_file() and not is_zarr(file):
        raise InputError(f'{name}: {file} is not a file')
    return file


def file_kind(file: Path, name: str) -> str:
    """Tell what reads a file.

    Returns: 'npy', 'npz', 'tiff', 'dicom', 'heic', 'volume', 'zarr', or
    'picture' for what Pillow may read.
    Raises InputError if it is of a kind that is known and not read.
    """
    if file.is_dir():
        return 'zarr'
    with open(file, 'rb') as content:
        start = content.read(132)
    suffix = file.suffix.lower()
    if suffix in _RAW_SUFFIXES:
        raise InputError(
            f'{name}: {file} is a raw file of a camera: develop it, and save '
            f'it as TIFF or JPEG'
        )
    if start.startswith(b'\x93NUMPY') or suffix == '.npy':
        return 'npy'
    if start.startswith(_TIFF_STARTS):
        return 'tiff'
    if start[128:132] == b'DICM' or suffix in ('.dcm', '.dicom'):
        return 'dicom'
    if file.name.lower().endswith(VOLUME_ENDINGS):
        return 'volume'
    if start[4:8] == b'ftyp':
        brands = start[8:64]
        if b'avif' not in brands and (
            start[8:12] in (*_HEIC_BRANDS, b'mif1', b'msf1')
            or any(brand in brands for brand in _HEIC_BRANDS)
        ):
            return 'heic'
    if not start:
        raise InputError(f'{name}: {file} is empty')
    if start.startswith(b'PK\x03\x04') and array_names(file):
        return 'npz'
    for magic, what in _NOT_READ:
        if start.lstrip().startswith(magic):
            raise InputError(f'{name}: {file} is {what}')
    if suffix in ('.nd2', '.lif', '.vsi'):
        raise InputError(
            f'{name}: {file} is a file of a microscope: open it in '
            f'napari and save the plane as TIFF'
        )
    return 'picture'


def natural_order(path: Path) -> tuple[tuple[int, int | str], ...]:
    """Key that sorts files as people do: img2 before img10.

    Returns: runs of digits as numbers, the rest as text without case.
    """
    key: list[tuple[int, int | str]] = []
    run = ''
    for letter in f'{path}\0':
        if run and run[-1].isdecimal() != letter.isdecimal():
            key.append(_run_key(run))
            run = ''
        run += letter
    return (*key, (1, str(path)))


def _run_key(run: str) -> tuple[int, int | str]:
    return (0, int(run)) if run.isdecimal() else (1, run.casefold())
