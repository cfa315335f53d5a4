"""The list of pairs of a batch: a CSV file, and a folder for each pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from napari_samnet.datasets.pair_lists import Row, read_rows
from napari_samnet.errors import InputError

#: Columns that may hold the labels, in order of precedence.
LABELS = ('labels', 'mask', 'source_mask')

#: Longest part of a folder's name that is taken from one file.
STEM = 80

#: Characters that some file system does not take, besides control ones.
_FORBIDDEN = set('<>:"/\\|?*')


@dataclass(frozen=True)
class BatchPair:
    """One line of the list."""

    #: Of the folder that the results go to; unique in the list.
    name: str
    #: ``source``, ``target``: files of the two images.
    source: Path
    target: Path
    #: Labels of the source.
    labels: Path | None = None
    #: Points of the source.
    points: Path | None = None


def read_pairs(path: Path, root: Path) -> list[BatchPair]:
    """Pairs of a list with the columns ``source, target``.

    Understood further: ``labels`` or ``mask``, ``points``, and ``name``.
    Pairs without a name are called after their two files, with a number if
    that is taken. The files themselves are not looked at.

    Returns: pairs of one source stand together, so that its features are
    computed once.
    Raises InputError if it is no such list, or two pairs have one name.
    """
    rows = list(read_rows(path, ('source', 'target')))
    taken = _given_names(rows)
    root = root.absolute()
    pairs: dict[Path, list[BatchPair]] = {}
    for row in rows:
        source, target = (
            root / row.need(name) for name in ('source', 'target')
        )
        labels = next(filter(None, map(row.get, LABELS)), '')
        points = row.get('points')
        pair = BatchPair(
            row.get('name') or _free_name(source, target, taken),
            source,
            target,
            root / labels if labels else None,
            root / points if points else None,
        )
        pairs.setdefault(source, []).append(pair)
    return [pair for group in pairs.values() for pair in group]


def _given_names(rows: list[Row]) -> set[str]:
    """Names that the list gives, checked, without case."""
    seen: dict[str, str] = {}
    for row in rows:
        name = row.get('name')
        if not name:
            continue
        if (
            name.startswith('.')
            or name.endswith('.')
            or len(name.encode()) > 2 * STEM
            or any(c in _FORBIDDEN or not c.isprintable() for c in name)
        ):
            raise InputError(
                f'{row.where}: name must be fit for a folder: at most '
                f'{2 * STEM} bytes, no dot at either end, none of '
                f'{" ".join(sorted(_FORBIDDEN))}; got {name!r}'
            )
        # Some file systems do not tell capitals from small letters.
        key = name.casefold()
        if key in seen:
            raise InputError(
                f'{row.where}: the name {name!r} was given before, in '
                f'{seen[key]}; each pair needs a name of its own'
            )
        seen[key] = row.where
    return set(seen)


def _free_name(source: Path, target: Path, taken: set[str]) -> str:
    """A name after two files that no other pair has; it is taken then."""
    stem = '-'.join(_short(file.stem) for file in (source, target))
    for name in _numbered(stem.strip('.') or 'pair'):
        key = name.casefold()
        if key not in taken:
            taken.add(key)
            return name
    raise AssertionError


def _short(stem: str) -> str:
    """A stem that is fit for a folder."""
    fit = ''.join(
        '_' if c in _FORBIDDEN or not c.isprintable() else c for c in stem
    )
    return fit.encode()[:STEM].decode(errors='ignore')


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    yield from (f'{stem}-{number}' for number in count(2))
