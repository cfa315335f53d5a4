"""Files that appear whole or not at all, and the folder of the user's own."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import platformdirs

from napari_samnet.errors import InputError, cannot

#: Environment variable that names another folder for the user's own files.
HOME_VARIABLE = 'NAPARI_SAMNET_HOME'


def as_path(path: str | os.PathLike[str]) -> Path:
    """A path that was given; raises InputError if it is none.

    An integer would be one of the numbers of open files.
    """
    try:
        return Path(path)
    except TypeError:
        raise InputError(
            f'expected the path of a file, got {path!r}'
        ) from None


def as_path_with(path: str | os.PathLike[str], ending: str) -> Path:
    """A path to write to that has an ending, or none.

    Raises InputError if it has another one, such as that of a picture which
    would be replaced.
    """
    file = as_path(path)
    if file.suffix.lower() not in ('', ending):
        raise InputError(f'expected a file ending with {ending}, got {file}')
    return file


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises InputError if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot(f'make the folder {folder}', error) from error


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a file beside its destination and move it there when complete.

    An existing file stays as it is until then, and stays if anything goes
    wrong. The parent folder must exist.

    ``path``: file that appears whole or not at all.
    Yields: to be written to; open for reading and seeking too.
    Raises InputError if the file cannot be written.
    """
    final = Path(os.path.realpath(as_path(path)))
    part = final.with_name(f'.{final.name[:80]}.{uuid.uuid4().hex[:8]}.part')
    try:
        with open(part, 'x+b') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, final)
    except OSError as error:
        raise cannot(f'write {path}', error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def atomic_files(folder: Path) -> Iterator[Path]:
    """Make several files that replace others together when all are complete.

    Yields: an empty folder to write them to. Raises InputError if they cannot
    be written.
    """
    try:
        with tempfile.TemporaryDirectory(
            dir=folder, prefix='.napari-samnet-'
        ) as draft:
            yield Path(draft)
            for file in sorted(Path(draft).iterdir()):
                os.replace(file, folder / file.name)
    except OSError as error:
        raise cannot(f'write to {folder}', error) from error


def replace_folder(draft: Path, final: Path) -> None:
    """Move a folder that is complete to its place, where an earlier one goes.

    ``draft``: on the same disk. Raises OSError if it cannot be moved; the
    earlier folder then stays.
    """
    if not final.exists():
        os.replace(draft, final)
        return
    outdated = draft.with_name(f'.{uuid.uuid4().hex}.old')
    os.replace(final, outdated)
    try:
        os.replace(draft, final)
    except OSError:
        os.replace(outdated, final)
        raise
    shutil.rmtree(outdated, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all.

    ``path``: file that appears whole or not at all. ``text``: content, written
    as UTF-8. Raises InputError if the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write(text.encode())


def user_folder(part: str) -> Path:
    """Folder of the user's own files; it need not exist yet.

    ``part``: which part of it: 'weights' or 'training'.
    Returns: below what the environment variable NAPARI_SAMNET_HOME names, or
    else below the platform's folder for data of applications.
    """
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser() / part
    return platformdirs.user_data_path('napari-samnet', False) / part
