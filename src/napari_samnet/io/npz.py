"""Arrays and a JSON header in one ``.npz`` file, read without trust.

The members are stored without compression. So the size of the file bounds
the memory that reading it takes, whatever its headers claim, and the
checksum of every member is checked before it is looked at.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_samnet.errors import InputError, cannot, in_one_line
from napari_samnet.files import as_path, as_path_with, atomic_write
from napari_samnet.io.npy import read_npy_header
from napari_samnet.io.size_limits import check_claim

FORMAT = 'napari-samnet correspondence'
VERSION = 1

#: Name of the member that holds the header, as UTF-8 bytes.
HEADER = 'header'

#: What the standard library and numpy raise on damaged files.
DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    struct.error,
    TypeError,
    ValueError,
    zlib.error,
)


def write(
    path: str | os.PathLike[str],
    header: dict[str, Any],
    arrays: dict[str, npt.NDArray[Any]],
) -> Path:
    """Write a file that :func:`read` and :func:`numpy.load` can read.

    ``path``: destination; whole or not at all.
    ``arrays``: an array of numbers or bools.
    Raises InputError if the file cannot be written or JSON cannot hold the
    header.
    """
    try:
        text = json.dumps({'format': FORMAT, 'version': VERSION, **header})
    except (TypeError, ValueError) as error:
        raise InputError(
            f'metadata must be JSON: {in_one_line(error)}'
        ) from None
    members = {HEADER: np.frombuffer(text.encode(), np.uint8), **arrays}
    final = as_path_with(path, '.npz')
    with atomic_write(final) as file:
        # It writes no times, so that equal contents give equal files.
        savez: Any = np.savez
        savez(file, **members)
    return final


@contextmanager
def _readable(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Tell in one line that a file is not what was expected, or damaged."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise cannot(f'read {path}', error) from error
    except DAMAGE as error:
        raise InputError(
            f'{path} is not {what}, or damaged: {in_one_line(error)}'
        ) from error


def read(
    path: str | os.PathLike[str],
    *,
    needed: Collection[str],
    allowed: Collection[str] = (),
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read a file that :func:`write` wrote.

    ``needed``, ``allowed``: arrays that it must hold, and others that it may.
    Returns: ``header``: as it was given; ``arrays``: as they were given.
    Raises InputError if the file is missing, of another kind, or damaged.
    """
    file_path = as_path(path)
    with _readable(path, 'a saved correspondence'):
        with open(file_path, 'rb') as file, zipfile.ZipFile(file) as archive:
            _check_members(archive, os.fstat(file.fileno()).st_size)
            members = {
                info.filename.removesuffix('.npy'): _array(archive, info)
                for info in archive.infolist()
            }
        header = json.loads(members.pop(HEADER).tobytes())
        if header['format'] != FORMAT:
            raise ValueError(f'its format is {header["format"]!r}')
        if header['version'] != VERSION:
            raise ValueError(
                f'version {VERSION} was expected, got {header["version"]!r}'
            )
    if not {*needed} <= {*members} <= {*needed, *allowed}:
        raise InputError(
            f'{path} is damaged: it must hold {", ".join(needed)}, got '
            f'{", ".join(sorted(members)) or "nothing"}'
        )
    return header, members


def read_member(path: str | os.PathLike[str], name: str) -> npt.NDArray[Any]:
    """Read one array of an ``.npz`` file that others wrote.

    ``path``: the file, compressed or not.
    Returns: an array of numbers or bools.
    Raises InputError if the file is missing or damaged, does not hold the
    array, or claims more than an honest one would.
    """
    with (
        _readable(path, f'an .npz file with {name}'),
        zipfile.ZipFile(path) as archive,
    ):
        info = archive.getinfo(f'{name}.npy')
        check_claim(name, Path(path), info.file_size)
        return _array(archive, info)


def is_archive(path: str | os.PathLike[str], members: Collection[str]) -> bool:
    """Tell a file of :func:`write` from other archives by its names alone."""
    return {HEADER, *members} <= {*array_names(path)}


def array_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Names of the arrays of an archive of NumPy.

    Returns: empty for any other file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, *DAMAGE):
        return ()
    if not all(name.endswith('.npy') for name in names):
        return ()
    return tuple(name.removesuffix('.npy') for name in names)


def only_array(path: str | os.PathLike[str], name: str) -> npt.NDArray[Any]:
    """Read the array of an archive that holds a single one.

    ``path``: the file, compressed or not. Returns: an array of numbers or
    bools. Raises InputError if it holds several, or is damaged.
    """
    names = array_names(path)
    if len(names) != 1:
        raise InputError(
            f'{name}: {path} holds {len(names)} arrays '
            f'({", ".join(names)[:200]}): save the one that is meant as .npy'
        )
    return read_member(path, names[0])


def _check_members(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse what could take more memory than the file is large."""
    members = archive.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED for info in members):
        raise ValueError('its members must be stored without compression')
    if sum(info.file_size for info in members) > size:
        raise ValueError('its members claim more than the file holds')
    damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f'the checksum of {damaged} is wrong')


def _array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> npt.NDArray[Any]:
    """One member, whose claimed shape is checked before memory is taken."""
    with archive.open(info) as member:
        shape, fortran, dtype = read_npy_header(
            member, info.filename, info.file_size
        )
        flat = np.frombuffer(bytearray(member.read()), dtype, prod(shape))
        return flat.reshape(shape, order='F' if fortran else 'C')
