"""The record in a pair's folder, by which an up-to-date one is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_samnet.outputs.written import digest_of

#: Name of the record in the folder of a pair.
RECORD = 'pair.json'

#: What file managers leave in folders that somebody looks at.
_OF_FILE_MANAGERS = ('.DS_Store', 'Thumbs.db', 'desktop.ini')

#: Entries that must be the same for a folder to be kept.
SETTINGS = ('format', 'options', 'weights', 'write', 'planes')


def fingerprint(file: Path) -> dict[str, Any]:
    """Describe an input so that a change of it is noticed.

    ``file``: an image, labels or points. Returns: its path, size, time of
    change, and the hash of its content.
    """
    status = file.stat()
    return {
        'path': str(file),
        'size': status.st_size,
        'mtime_ns': status.st_mtime_ns,
        'blake2b': digest_of(file),
    }


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a folder that is complete but for it."""
    files = {file.name: fingerprint(file) for file in folder.iterdir()}
    for known in files.values():
        # The folder is moved when it is complete.
        del known['path']
    text = json.dumps({**record, 'files': files}, indent=1, allow_nan=False)
    (folder / RECORD).write_text(text + '\n', encoding='utf-8')


def read_record(folder: Path) -> dict[str, Any] | None:
    """Read the record of a folder.

    ``folder``: folder of a pair, perhaps not there. Returns: what
    :func:`write_record` wrote; None where nothing can be read.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def is_current(
    folder: Path,
    record: Mapping[str, Any],
    settings: Mapping[str, Any],
    inputs: Mapping[str, Path],
) -> bool:
    """Whether a folder holds what would be made again.

    An input whose time has changed is still the same if its content is.

    Returns: False also where files are missing. One that was corrected by
    hand is still what the folder is there for.
    """
    try:
        if any(record[key] != settings[key] for key in SETTINGS):
            return False
        known = record['inputs']
        if known.keys() != inputs.keys():
            return False
        return all(
            (folder / name).is_file() for name in record['files']
        ) and all(_same(known[role], file) for role, file in inputs.items())
    except (OSError, KeyError, TypeError, AttributeError):
        return False


def changed_files(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Files of a folder that are not as the batch left them.

    Returns: names of files that were changed since, or are not the batch's.
    """
    left = record.get('files', {})
    return sorted(
        file.name
        for file in folder.iterdir()
        if file.name not in (RECORD, *_OF_FILE_MANAGERS)
        and (file.name not in left or not _same(left[file.name], file))
    )


def _same(known: Mapping[str, Any], file: Path) -> bool:
    status = file.stat()
    if status.st_size != known['size']:
        return False
    return bool(
        status.st_mtime_ns == known['mtime_ns']
        or digest_of(file) == known['blake2b']
    )
