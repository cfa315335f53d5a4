"""A folder of annotated images, and a folder of images to be annotated.

Every target takes its best references. The results are ranked by predicted
quality, worst first, and the image whose annotation would help most is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_samnet.batch.run import write_table
from napari_samnet.datasets.image_lists import is_image_file
from napari_samnet.errors import InputError, cannot, in_one_line
from napari_samnet.io.file_kinds import natural_order
from napari_samnet.io.picture import WHOLE_FILE, PlaneChoice
from napari_samnet.labels.references import propose_next
from napari_samnet.options import MatchOptions
from napari_samnet.outputs.written import LABELS_ENDING, WrittenFiles

#: Name of the table of results, worst first.
RANKING = 'ranking.csv'

_COLUMNS = (
    'rank',
    'target',
    'labels',
    'predicted_iou',
    'likely_absent',
    'vanished',
    'references',
    'error',
)


@dataclass
class FolderResults:
    """What became of the images of a folder."""

    #: One for each target, by the columns of the table, worst first.
    rows: list[dict[str, Any]] = field(default_factory=list)
    #: The target whose annotation would help the others most.
    next_to_annotate: Path | None = None
    #: Images that the network has seen.
    encoded: int = 0

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Rows of targets that have no labels, with the reason."""
        return [row for row in self.rows if row['error']]


def find_images(folder: Path) -> list[Path]:
    """Images of a folder, in natural order.

    ``folder``: looked at without its subfolders. Returns: images, at least
    one. Raises InputError if the folder cannot be read or has no image.
    """
    try:
        files = [path for path in folder.iterdir() if is_image_file(path)]
    except OSError as error:
        raise cannot(f'read the folder {folder}', error) from error
    if not files:
        raise InputError(f'{folder} must hold images, found none in it')
    return sorted(files, key=natural_order)


def find_unlabeled(folder: Path, labels: Iterable[Path]) -> list[Path]:
    """Images of a folder in which labels may lie as well.

    ``labels``: files that are read as labels. Returns: images without these,
    and without the labels that earlier runs have written there. Raises
    InputError if there are none.
    """
    given = {file.resolve() for file in labels}
    ours = WrittenFiles(folder)
    images = [
        path
        for path in find_images(folder)
        if path.resolve() not in given
        and not (
            path.name.endswith(LABELS_ENDING) and ours.has_written(path.name)
        )
    ]
    if not images:
        raise InputError(f'{folder} must hold images, found only labels in it')
    return images


def find_annotated(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Images with the file of their labels.

    ``masks``: folder of labels. A file belongs to the image of the same stem,
    or of the same stem before ``_mask`` or ``_labels``.
    Returns: image and labels; images without labels are left out.
    Raises InputError if no image has labels.
    """
    known: dict[str, Path] = {}
    for path in find_images(masks):
        stem = path.stem
        for ending in ('_mask', '_labels'):
            stem = stem.removesuffix(ending)
        known.setdefault(stem, path)
    pairs = [
        (image, known[image.stem])
        for image in find_images(images)
        if image.stem in known and known[image.stem] != image
    ]
    if not pairs:
        raise InputError(
            f'no image of {images} has labels in {masks}: the file of the '
            f'labels must have the same name before its ending'
        )
    return pairs


def annotate_folder(
    annotated: Sequence[tuple[Path, Path]],
    targets: Sequence[Path],
    out: Path,
    options: MatchOptions,
    *,
    best: int,
    planes: tuple[PlaneChoice, PlaneChoice] = (WHOLE_FILE, WHOLE_FILE),
    on_target: Callable[[Path], object] = lambda _: None,
) -> FolderResults:
    """Carry labels to all images of a folder.

    ``targets``: images that labels are wanted for; annotated ones are left
    out.
    ``planes``: page and channel to take of every annotated image, and of every
    target.
    Raises InputError if a reference cannot be used, or the folder holds such
    labels that no earlier run has written.
    """
    from napari_samnet.io.annotated import read_annotated
    from napari_samnet.matching.carry import LabelCarrier

    given = {file.resolve() for pair in annotated for file in pair}
    targets = [path for path in targets if path.resolve() not in given]
    names = _names(targets)
    ours = WrittenFiles(out)
    changed = set(ours.changed(names))
    given_files = [file for pair in annotated for file in pair]
    ours.check(
        [RANKING, *(name for name in names if name not in changed)],
        read=[*given_files, *targets],
    )
    references, axes = [], []
    for image, mask in annotated:
        read = read_annotated(
            image, labels=mask, name=image.name, **asdict(planes[0])
        )
        assert read.labels is not None
        references.append((read.picture.pixels, read.labels.labels))
        axes.append(read.picture.channel_axis)
    carrier = LabelCarrier(references, options, best=best, channel_axes=axes)
    del references
    rows, means = [], []
    for path, name in zip(targets, names, strict=True):
        row = (
            _kept(path, out / name)
            if name in changed
            else _carry_to(path, out / name, carrier, annotated, planes[1])
        )
        if row['labels']:
            ours.note(name)
        mean = row.pop('mean')
        if mean is not None:
            means.append((path, mean, row['predicted_iou']))
        rows.append(row)
        on_target(path)
    rows.sort(key=_worst_first)
    for rank, row in enumerate(rows, start=1):
        row['rank'] = rank
    write_table(
        ours,
        RANKING,
        _COLUMNS,
        ([row[column] for column in _COLUMNS] for row in rows),
    )
    proposed = propose_next(
        [mean for _, mean, _ in means],
        carrier.means,
        [np.nan if q == '' else float(q) for _, _, q in means],
    )
    return FolderResults(
        rows,
        None if proposed is None else means[proposed][0],
        carrier.describer.encoded,
    )


def _kept(path: Path, file: Path) -> dict[str, Any]:
    """The row of a target whose labels were corrected by hand."""
    row: dict[str, Any] = dict.fromkeys(_COLUMNS, '')
    return row | {
        'target': str(path),
        'mean': None,
        'error': f'{file} was changed after it was written and is kept: move '
        f'it away for another one',
    }


def _carry_to(
    path: Path,
    file: Path,
    carrier: Any,
    annotated: Sequence[tuple[Path, Path]],
    plane: PlaneChoice,
) -> dict[str, Any]:
    """One row of the table, and the mean feature of its target."""
    from napari_samnet.io.image_files import read_picture
    from napari_samnet.io.label_files import write_labels

    row: dict[str, Any] = dict.fromkeys(_COLUMNS, '')
    row |= {'target': str(path), 'mean': None}
    try:
        picture = read_picture(path, name='target', **asdict(plane))
        carried = carrier(picture.pixels, channel_axis=picture.channel_axis)
        write_labels(file, carried.labels)
        row['mean'] = carrier.mean(
            picture.pixels, channel_axis=picture.channel_axis
        )
    except InputError as error:
        return row | {'error': in_one_line(error, None)}
    quality = carried.predicted_iou
    return row | {
        'labels': str(file),
        'predicted_iou': '' if np.isnan(quality) else round(quality, 4),
        'likely_absent': carried.likely_absent,
        'vanished': ' '.join(map(str, carried.vanished)),
        'references': ' '.join(
            annotated[index][0].name for index in carried.references
        ),
    }


def _worst_first(row: dict[str, Any]) -> tuple[bool, float]:
    """Failures first, then the lowest predicted quality."""
    quality = row['predicted_iou']
    return not row['error'], 1.0 if quality == '' else float(quality)


def _names(targets: Sequence[Path]) -> list[str]:
    """Files of labels, one for each target; equal stems get their suffix."""
    stems = [path.stem.casefold() for path in targets]
    return [
        (path.stem if stems.count(stem) == 1 else path.name) + LABELS_ENDING
        for path, stem in zip(targets, stems, strict=True)
    ]
