"""What is known of propagated results, kept beyond the day.

A file of labels keeps no word of which planes runs have written, and so none
of which were corrected since. What runs write is therefore noted in the
folder of the user's own, and in the files that we write ourselves. A result
is known again by the labels of its planes, whatever program has saved it.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_samnet.errors import refused
from napari_samnet.files import atomic_write, user_folder
from napari_samnet.plugin.layers.edits import about_layer, plane_digest
from napari_samnet.plugin.model.capture import METADATA
from napari_samnet.plugin.model.grids import Index, at_place, index_key

#: What the metadata of a propagated result say it is.
ROLE = 'labels propagated'

#: What of the metadata holds on another day. Identities of layers do not.
_KEPT = (
    'role',
    'source',
    'target',
    'annotation',
    'version',
    'options',
    'weights',
    'axis',
    'anchor',
    'annotated',
    'corrected',
    'drawn',
    'ids',
    'planes',
    'digests',
    'locked',
    'verdict',
    'memory',
)

#: Notes that are kept, the latest.
_MOST = 200

#: Name of what we say in the description of a TIFF file.
_IN_FILES = 'napari-samnet'

Record = dict[str, Any]


def index_of(key: str) -> Index:
    """A plane by its key in metadata."""
    return tuple(map(int, key.split(',')))


def corrected_planes(
    labels: NDArray[Any], about: Mapping[str, Any]
) -> list[str]:
    """Planes of a result that the user has corrected, by their keys.

    ``about``: what its metadata say.
    Returns: those that were known, and those that hold now what no run has
    written.
    """
    found = {str(key) for key in about.get('corrected', ())}
    known = about.get('digests', {})
    for key, written in known.items():
        if plane_digest(labels[index_of(key)]) not in written:
            found.add(key)
    axis, anchor = about['axis'], tuple(about['anchor'])
    for place in range(labels.shape[axis]):
        index = at_place(anchor, axis, place)
        if index_key(index) not in known and labels[index].any():
            found.add(index_key(index))
    return sorted(found, key=index_of)


def record_of(labels: NDArray[Any], about: Mapping[str, Any]) -> Record | None:
    """What is to be known of a result on another day.

    ``labels``: all of its planes. ``about``: what its metadata say.
    Returns: what can be written as JSON; None if it is no propagated result.
    """
    record = _written(labels, about)
    if record is not None:
        record['corrected'] = corrected_planes(labels, about)
    return record


def _written(labels: NDArray[Any], about: Mapping[str, Any]) -> Record | None:
    """What runs have written into a result, as far as they know."""
    if about.get('role') != ROLE or 'digests' not in about:
        return None
    record = {name: about[name] for name in _KEPT if name in about}
    record['shape'] = list(labels.shape)
    # Whatever else options hold is for people to read.
    return dict(json.loads(json.dumps(record, default=str)))


def remember(layer: Any) -> None:
    """Note what runs have written into a propagated result.

    Nothing is said where it cannot be noted: then a result that is opened
    again is told by its name.
    """
    if not isinstance(layer.data, np.ndarray):
        return
    about = dict(about_layer(layer))
    about.setdefault('memory', uuid.uuid4().hex[:12])
    # What was corrected is told by the labels when they are opened.
    record = _written(layer.data, about)
    if record is None:
        return
    layer.metadata = {**layer.metadata, METADATA: about}
    folder = user_folder('series')
    name = f'{_prefix(layer.data)}{about["memory"]}'
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        # The window waits: it is not forced onto the disk.
        draft = folder / f'.{name}.{os.getpid()}.part'
        draft.write_text(json.dumps(record), encoding='utf-8')
        os.replace(draft, folder / f'{name}.json')
        _forget_oldest(folder)


def _prefix(labels: NDArray[Any]) -> str:
    """How the notes of results of a shape are called."""
    return f'{"x".join(map(str, labels.shape))}-'


def _latest(folder: Path, pattern: str) -> list[Path]:
    """Notes in a folder, the latest first."""
    return sorted(
        folder.glob(pattern),
        key=lambda note: note.stat().st_mtime,
        reverse=True,
    )


def _forget_oldest(folder: Path) -> None:
    for note in _latest(folder, '*.json')[_MOST:]:
        note.unlink(missing_ok=True)


def recall(layer: Any) -> Record | None:
    """Find what is known of labels that were opened from a file.

    ``layer`` (napari.layers.Labels): whose data are in memory.
    Returns: what their file says, or else what was noted of a result that has
    some of their planes; None if nothing is known.
    """
    labels = layer.data
    path = getattr(layer.source, 'path', None)
    record = None if path is None else read_record(path)
    if record is not None and record['shape'] == list(labels.shape):
        return record
    best, most = None, 0
    for note in _notes(labels):
        same = _planes_known(labels, note)
        if same > most:
            best, most = note, same
    return best


def _planes_known(labels: NDArray[Any], record: Record) -> int:
    """How many planes are as a run has carried them.

    Returns: 0 as well if most planes that it has given labels have none. They
    are an annotation then, whose planes may be those of a result by chance.
    """
    nothing = plane_digest(np.zeros(labels.shape[-2:], np.uint8))
    carried = {
        key: written
        for key, written in record['digests'].items()
        if key not in record['drawn'] and written[-1:] != [nothing]
    }
    there = [key for key in carried if labels[index_of(key)].any()]
    if 2 * len(there) < len(carried):
        return 0
    return sum(
        plane_digest(labels[index_of(key)]) in carried[key] for key in there
    )


def _notes(labels: NDArray[Any]) -> Iterator[Record]:
    """What was noted of results of this shape, the latest first."""
    notes: list[Path] = []
    with suppress(OSError):
        notes = _latest(user_folder('series'), f'{_prefix(labels)}*.json')
    for note in notes:
        with suppress(OSError, ValueError):
            record = json.loads(note.read_text(encoding='utf-8'))
            if _is_whole(record):
                yield record


def _is_whole(record: Any) -> bool:
    """Whether a record can be used, wherever it is from."""
    try:
        shape, axis = tuple(record['shape']), int(record['axis'])
        return (
            record['role'] == ROLE
            and 0 <= axis < len(shape) - 2
            and len(record['anchor']) == len(shape) - 2
            and isinstance(record['drawn'], list)
            and all(
                len(index_of(key)) == len(shape) - 2
                and np.all(np.less(index_of(key), shape[:-2]))
                and isinstance(written, list)
                for key, written in record['digests'].items()
            )
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return False


def as_known(layer: Any, record: Record, owner: Any) -> None:
    """Let labels be the result that a record is about.

    ``owner``: identity of the stack that they lie on.
    """
    about = {name: record[name] for name in _KEPT if name in record}
    about['on'] = owner
    about['corrected'] = corrected_planes(layer.data, about)
    layer.metadata = {**layer.metadata, METADATA: about}


def write_record(
    path: Path, labels: NDArray[Any], record: Record, **told: Any
) -> None:
    """Write labels of a propagated result with what is known of them.

    ``path``: a TIFF file, which appears whole or not at all.
    ``told``: what else its description says.
    Raises InputError if it cannot be written.
    """
    with refused(f'cannot write {path}'), atomic_write(path) as file:
        tifffile.imwrite(
            file,
            labels,
            photometric='minisblack',
            compression='zlib',
            bigtiff=labels.nbytes > 2**31,
            metadata={**told, _IN_FILES: json.dumps(record)},
        )


def read_record(path: str | os.PathLike[str]) -> Record | None:
    """What a TIFF file of ours says of the labels in it; None if nothing."""
    if Path(path).suffix.lower() not in ('.tif', '.tiff'):
        return None
    try:
        with tifffile.TiffFile(path) as content:
            told = content.shaped_metadata or ({},)
            record = json.loads(told[0].get(_IN_FILES, 'null'))
    except (OSError, ValueError, TypeError, LookupError):
        return None
    return record if _is_whole(record) else None
