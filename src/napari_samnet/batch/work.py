"""One pair of a batch, from its files to its folder.

This runs in a worker, be it this process or one on another computer.
A folder is made elsewhere and renamed when complete, so that each pair's
files are whole or absent, whenever the process is ended.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_samnet.batch.pairs import BatchPair
from napari_samnet.batch.record import (
    RECORD,
    changed_files,
    fingerprint,
    read_record,
    write_record,
)
from napari_samnet.errors import InputError, in_one_line
from napari_samnet.files import replace_folder
from napari_samnet.io.picture import WHOLE_FILE, PlaneChoice
from napari_samnet.options import MatchOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samnet.io.annotated import AnnotatedImage

#: Folder, beside those of the pairs, in which unfinished ones are.
UNFINISHED = '.unfinished'


@dataclass(frozen=True)
class BatchSettings:
    """What all pairs of a batch have in common."""

    #: Folder of all results, absolute.
    out: Path
    #: Options of every match.
    options: MatchOptions
    #: Keys of the files to write.
    only: tuple[str, ...]
    #: SHA-256 of the weights.
    weights: str
    #: ``source``, ``target``: page and channel that are taken of every source
    #: and target.
    source: PlaneChoice = WHOLE_FILE
    target: PlaneChoice = WHOLE_FILE

    def as_record(self) -> dict[str, Any]:
        """Write down what decides whether a folder is up to date."""
        return {
            'format': 1,
            'options': asdict(self.options),
            'weights': self.weights,
            'write': list(self.only),
            'planes': [asdict(self.source), asdict(self.target)],
        }


@dataclass(frozen=True)
class PairResult:
    """What became of a pair."""

    #: Line of the list that this is about.
    pair: BatchPair
    #: Why there are no results; empty if there are.
    error: str = ''
    #: From reading to renaming.
    seconds: float = 0.0
    #: Images whose features were computed.
    encoded: int = 0
    #: Figures of the match.
    figures: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Source:
    """An annotated image in memory, and the state of its files."""

    image: AnnotatedImage
    fingerprints: dict[str, dict[str, Any]]

    @property
    def labels(self) -> NDArray[Any] | None:
        """Ids on the image's grid."""
        labels = self.image.labels
        return None if labels is None else labels.labels


class _SourceCache:
    """The source that was read last: mostly the next pair has it too."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._key: object = None
        self._held: _Source | None = None

    def get(self, key: object, read: Callable[[], _Source]) -> _Source:
        """Return the source of a key, read anew if another one is held."""
        with self._lock:
            if self._held is None or self._key != key:
                # First let go, so that never two are in memory.
                self._key = self._held = None
                self._held = read()
                self._key = key
            return self._held


_LAST_SOURCE = _SourceCache()


def inputs_of(pair: BatchPair) -> dict[str, Path]:
    """Files that a pair is made from, by what they are.

    Returns: files by ``source``, ``target``, and ``labels`` and ``points``
    where the pair has them.
    """
    files = {
        'source': pair.source,
        'target': pair.target,
        'labels': pair.labels,
        'points': pair.points,
    }
    return {role: file for role, file in files.items() if file is not None}


def process_pair(pair: BatchPair, settings: BatchSettings) -> PairResult:
    """Match a pair and write its folder.

    ``settings``: options, and where the folder goes. Returns: figures, with an
    error, if the pair cannot be done.
    """
    start = time.perf_counter()
    try:
        figures = _make(pair, settings)
    except Exception as error:  # noqa: BLE001
        reason = in_one_line(error, None)
        if not isinstance(error, InputError):
            reason = f'{type(error).__name__}: {reason}'
        return PairResult(pair, reason)
    encoded = int(figures.pop('encoded'))
    return PairResult(
        pair,
        seconds=time.perf_counter() - start,
        encoded=encoded,
        figures=figures,
    )


def _make(pair: BatchPair, settings: BatchSettings) -> dict[str, Any]:
    """Make the folder of a pair; returns figures of its match."""
    final = settings.out / pair.name
    if final.exists() and not (final / RECORD).is_file():
        raise InputError(
            f'{final} is there already and no batch has made it: choose '
            f'another name or folder'
        )
    _check_unchanged(final)
    from napari_samnet.io.annotated import about_files
    from napari_samnet.io.image_files import read_picture
    from napari_samnet.matching.match import match
    from napari_samnet.outputs.folder import Products, needs_transferred
    from napari_samnet.outputs.verdict import judge
    from napari_samnet.runtime.feature_cache import FEATURES

    source = _source(pair, settings.source)
    _check_outputs(settings.only, source)
    target = read_picture(
        pair.target, name='target', **asdict(settings.target)
    )
    picture = source.image.picture
    axes = (picture.channel_axis, target.channel_axis)
    misses = FEATURES.misses
    result = match(
        picture.pixels,
        target.pixels,
        labels=source.labels,
        transferred=needs_transferred(settings.only),
        source_channel_axis=axes[0],
        target_channel_axis=axes[1],
        **asdict(settings.options),
    )
    about = about_files(source.image, target)
    result.metadata['files'] = about
    error = result.mean_consistency()
    verdict = judge(result, source.labels, points=source.image.points)
    figures = {
        'verdict': verdict.level,
        'reason': verdict.reason,
        'iterations_used': result.metadata['iterations_used'],
        'mean_consistency_px': round(error, 4) if isfinite(error) else None,
        'mean_confidence': round(
            float(result.backward_cell_confidence.mean()), 4
        ),
        'seconds': result.metadata['seconds'],
        'device': result.metadata['device'],
        'precision': result.metadata['precision'],
        'orientation': result.metadata['orientation'],
        'warnings': result.metadata['warnings'],
        'notices': about['notices'],
    }
    record = {
        **settings.as_record(),
        'name': pair.name,
        'inputs': {**source.fingerprints, 'target': fingerprint(pair.target)},
        'versions': result.metadata['versions'],
        'figures': figures,
    }
    unfinished = settings.out / UNFINISHED
    draft = unfinished / uuid.uuid4().hex
    try:
        draft.mkdir(parents=True)
        Products(
            result=result,
            source=picture.pixels,
            target=target.pixels,
            labels=source.labels,
            points=source.image.table,
            axes=axes,
            only=settings.only,
            profile=picture.profile,
            label_colors=source.image.labels.colors
            if source.image.labels
            else None,
        ).write(draft)
        write_record(draft, record)
        replace_folder(draft, final)
    except OSError as problem:
        raise InputError(
            f'cannot write {final}: {problem.strerror or problem}'
        ) from problem
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {**figures, 'encoded': FEATURES.misses - misses}


def _source(pair: BatchPair, plane: PlaneChoice) -> _Source:
    """The source of a pair with what belongs to it."""
    files = inputs_of(pair)
    del files['target']
    for role, file in files.items():
        if not file.is_file():
            raise InputError(f'{role}: there is no file {file}')
    state = {role: file.stat() for role, file in files.items()}
    key = [
        (role, files[role], status.st_size, status.st_mtime_ns)
        for role, status in state.items()
    ]
    return _LAST_SOURCE.get((plane, key), partial(_read, files, plane))


def _read(files: dict[str, Path], plane: PlaneChoice) -> _Source:
    from napari_samnet.io.annotated import read_annotated

    image = read_annotated(
        files['source'],
        labels=files.get('labels'),
        points=files.get('points'),
        **asdict(plane),
    )
    known = {role: fingerprint(file) for role, file in files.items()}
    return _Source(image, known)


def _check_outputs(only: tuple[str, ...], source: _Source) -> None:
    """Refuse to make a folder without results."""
    missing = {
        key
        for key, value in (
            ('warped_labels', source.labels),
            ('warped_points', source.image.points),
        )
        if value is None
    }
    if missing.issuperset(only):
        raise InputError(
            f'nothing to write: --outputs names {", ".join(only)} alone, for '
            f'which the list gives nothing in this line'
        )


def _check_unchanged(folder: Path) -> None:
    """Refuse to replace a folder of an earlier run that was worked on."""
    record = read_record(folder)
    changed = [] if record is None else changed_files(folder, record)
    if changed:
        raise InputError(
            f'{folder / changed[0]} was changed or added after the batch had '
            f'made its folder: move the folder away, or choose another one '
            f'with --out'
        )
