"""``napari-samnet propagate``: labels through a film or stack of files."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.cli.arguments import (
    add_json_option,
    add_match_options,
    read_match_options,
    status_of,
    tell_notices,
    write_json,
)
from napari_samnet.cli.film_report import REPORTS, records_of, write_report
from napari_samnet.errors import InputError
from napari_samnet.options import DEFAULTS, parameter_text

if TYPE_CHECKING:
    from napari_samnet.io.picture import Picture

#: Parameters of a match that a propagation looks at, besides the size.
_OPTIONS = ('device', 'precision', 'backend', 'weights', 'outlines')

#: What the name of a file with labels ends in.
_ENDING = '_labels.tif'

_DESCRIPTION = """\
Carry the labels of some planes to all others of FILM, a folder of images in
natural order (img2 before img10), a TIFF stack or an animated picture. Masks
that are given, and labels of an earlier run, may lie in the folder. Planes are
read one at a time. DIR gets one file of labels for each plane and
report.csv, which says for each plane how it went and why. Annotated planes
are written as they are. A plane that cannot be used, or lies behind a cut,
gets no file, and the exit status is 1 then.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.main`."""
    parser.description = _DESCRIPTION
    add = parser.add_argument
    add('film', metavar='FILM', help='folder of images, or one file of planes')
    add(
        '--labels',
        metavar='PLANE=MASK',
        action='append',
        required=True,
        help='labels of a plane, given by its number from 0 or by the name '
        'of its file; as often as you like. MASK alone is a stack with a '
        'plane for each of FILM, annotated where there are labels.',
    )
    for flag, text in (
        ('region', 'carry labels only where MASK is not 0'),
        (
            'leave-out',
            'carry none where MASK is not 0: damage, another object',
        ),
    ):
        add(
            f'--{flag}',
            metavar='MASK',
            help=f'{text}; one plane for all, or a stack with a plane for '
            f'each of FILM',
        )
    add('--out', metavar='DIR', required=True, help='folder for the results')
    add(
        '--ids',
        metavar='N,N',
        help='carry only these labels. Default: all.',
    )
    add(
        '--start',
        metavar='PLANE',
        help='annotated plane to go out from. Default: all annotated planes.',
    )
    add(
        '--direction',
        choices=('both', 'forwards', 'backwards'),
        default='both',
        help='carry labels to later planes, to earlier ones, or to both. '
        'Default: both',
    )
    add(
        '--channel',
        metavar='N',
        type=int,
        help='take this channel of each plane alone, from 0',
    )
    text = parameter_text('size').replace('%', '%%')
    add(
        '--size',
        metavar='N',
        type=int,
        help=f'{text} Default: from {DEFAULTS.size} to 384, by the size of '
        f'the labels.',
    )
    add(
        '--fast',
        action='store_true',
        help='describe planes by the light one of the two networks alone: a '
        'fraction of the time, and more of what looks alike is confused',
    )
    add_json_option(parser)
    add_match_options(parser, only=_OPTIONS)


@dataclass(frozen=True)
class _Film:
    """The planes of a film by number."""

    #: File of each plane, one and the same for a stack.
    files: Sequence[Path]
    stack: bool
    #: The only channel to read.
    channel: int | None = None

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, index: int) -> Any:
        """Read one plane."""
        from napari_samnet.io.image_files import read_picture

        return read_picture(
            self.files[index],
            name=f'plane {index}',
            page=index if self.stack else None,
            channel=self.channel,
        )

    def number(self, word: str, flag: str) -> int:
        """Number of a plane from its number or the name of its file."""
        if word.isascii() and word.isdecimal():
            number = int(word)
            if number < len(self):
                return number
        elif not self.stack:
            for number, file in enumerate(self.files):
                if word in (file.name, file.stem):
                    return number
        raise InputError(
            f'{flag} must name a plane from 0 to {len(self) - 1}'
            f'{"" if self.stack else " or a file of the folder"}, got {word!r}'
        )

    def output(self, index: int) -> str:
        """Name of the file for the labels of a plane."""
        stem = self.files[index].stem
        return f'{stem}_{index:05}{_ENDING}' if self.stack else stem + _ENDING


def run(arguments: argparse.Namespace) -> int:
    """Carry labels through a film.

    Returns: 0 if all planes on the way have labels, 1 if some had to be left
    out or lie behind a cut, 2 if no plane has any.
    """
    from napari_samnet.io.label_files import write_labels
    from napari_samnet.outputs.folder import check_folder
    from napari_samnet.outputs.written import WrittenFiles
    from napari_samnet.series.propagate import propagate_steps
    from napari_samnet.series.region import kept_planes
    from napari_samnet.series.verdicts import PlaneReport, summarize

    begun = time.perf_counter()
    film = _open(arguments)
    annotations, masks = _annotations(arguments.labels, film)
    start = None
    if arguments.start is not None:
        start = film.number(arguments.start, '--start')
    ids = _ids(arguments.ids)
    adapt_size = arguments.size is None
    if adapt_size:
        arguments.size = DEFAULTS.size
    # A propagation does not look at it; it must fit the size.
    arguments.window = 3
    options = read_match_options(arguments)
    folder = check_folder(arguments.out)
    ours = WrittenFiles(folder)
    names = [film.output(index) for index in range(len(film))]
    images = [file.name for file in film.files]
    ours.check((*names, *REPORTS), read=[*film.files, *masks])
    first = film.picture(min(annotations))
    tell_notices(first.notices)
    steps = propagate_steps(
        lambda index: _like(first, film.picture(index)),
        len(film),
        annotations,
        options,
        ids=ids,
        start=start,
        direction=arguments.direction,
        channel_axis=first.channel_axis,
        adapt_size=adapt_size,
        fast=arguments.fast,
        kept=kept_planes(
            _read_mask(arguments.region, '--region', len(film)),
            _read_mask(arguments.leave_out, '--leave-out', len(film)),
            len(film),
        ),
    )
    reports = {
        index: PlaneReport(index, 'annotated', quality=1.0)
        for index in annotations
    }
    labeled = set(annotations)
    created = False
    try:
        for step in steps:
            if not created:
                # Only now is it known that there is something to write.
                folder.mkdir(parents=True, exist_ok=True)
                for index, labels in annotations.items():
                    write_labels(folder / names[index], labels)
                    ours.note(names[index])
                created = True
            report = step.report
            reports[report.index] = report
            name = names[report.index]
            if report.is_labeled:
                write_labels(folder / name, step.labels)
                ours.note(name)
                labeled.add(report.index)
            else:
                # Those of an earlier run would pass for labels of this one.
                ours.drop(name)
            _tell(step, film)
    finally:
        if created:
            write_report(
                ours,
                records_of(names, images, reports, labeled),
                images,
            )
    if not created:
        raise InputError(
            'there is nothing to carry: all planes in that direction are '
            'annotated by --labels'
        )
    carried = [reports[k] for k in reports if k not in annotations]
    text = summarize(
        carried,
        len(labeled),
        len(film),
        time.perf_counter() - begun,
        files=None if film.stack else images,
    )
    if arguments.json:
        write_json(
            {
                'out': str(folder),
                'planes': records_of(names, images, reports, labeled),
                'text': text,
            }
        )
    else:
        sys.stdout.write(f'{text}\n{folder / "report.csv"}\n')
    done = sum(report.is_labeled for report in carried)
    return status_of(done, len(carried) - done)


def _open(arguments: argparse.Namespace) -> _Film:
    """The planes of a folder or of one file."""
    from napari_samnet.batch.folders import find_unlabeled
    from napari_samnet.io.planes import count_planes

    path = Path(arguments.film)
    if path.is_dir():
        masks = [_plane_and_mask(word)[1] for word in arguments.labels]
        masks += filter(None, (arguments.region, arguments.leave_out))
        frames = find_unlabeled(path, map(Path, masks))
        return _Film(frames, False, arguments.channel)
    count = count_planes(path, name='FILM')
    if count < 2:
        raise InputError(
            f'FILM must be a folder of images or a file of several planes, '
            f'{path} holds one picture'
        )
    return _Film([path] * count, True, arguments.channel)


def _like(first: Picture, picture: Picture) -> NDArray[Any]:
    """Pixels of a plane, gray ones as colors where the first has colors."""
    axis = first.channel_axis
    pixels: NDArray[Any] = picture.pixels
    if axis is None or pixels.ndim != 2 or first.pixels.shape[axis] != 3:
        return pixels
    return np.stack([pixels] * 3, axis)


def _plane_and_mask(word: str) -> tuple[str, str]:
    """Parts of PLANE=MASK; the plane is empty where there is none."""
    plane, equals, mask = word.partition('=')
    return (plane, mask) if equals and not Path(word).exists() else ('', word)


def _annotations(
    words: Sequence[str], film: _Film
) -> tuple[dict[int, NDArray[Any]], list[Path]]:
    """Labels by plane, and the files that they are from."""
    from napari_samnet.io.label_files import read_label_picture
    from napari_samnet.io.planes import count_planes

    annotations: dict[int, NDArray[Any]] = {}
    files: list[Path] = []
    for word in words:
        plane, mask = _plane_and_mask(word)
        if plane:
            number = film.number(plane, '--labels')
            made = read_label_picture(mask, name=f'labels of plane {number}')
            tell_notices(made.notices)
            labels_by_plane = {number: made.labels}
        else:
            count = count_planes(mask, name='--labels')
            if count != len(film):
                raise InputError(
                    f'--labels must be PLANE=MASK, or a stack with a plane '
                    f'for each of the {len(film)} of FILM; {mask} has {count}'
                )
            labels_by_plane = {
                number: read_label_picture(mask, page=number).labels
                for number in range(count)
            }
        files.append(Path(mask))
        for number, labels in labels_by_plane.items():
            if not labels.any():
                continue
            if number in annotations:
                raise InputError(f'--labels names plane {number} twice')
            if labels.dtype == bool:
                labels = labels.astype(np.uint8)
            annotations[number] = labels
    if not annotations:
        raise InputError('--labels hold no label: all pixels are 0')
    return annotations, files


def _read_mask(
    file: str | None, flag: str, length: int
) -> NDArray[Any] | None:
    """A mask for all planes, or one for each; None without a file."""
    from napari_samnet.io.label_files import read_label_picture
    from napari_samnet.io.planes import count_planes

    if file is None:
        return None
    count = count_planes(file, name=flag)
    if count == 1:
        return read_label_picture(file, name=flag).labels
    if count != length:
        raise InputError(
            f'{flag} must have one plane, or one for each of the {length} of '
            f'FILM; {file} has {count}'
        )
    pages = [read_label_picture(file, page=n).labels for n in range(count)]
    return np.stack(pages)


def _ids(text: str | None) -> list[int] | None:
    """Ids from numbers with commas."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(',')]
    except ValueError:
        raise InputError(
            f'--ids must be whole numbers with commas, got {text!r}'
        ) from None


def _tell(step: Any, film: _Film) -> None:
    """Progress on standard error, with what is to be looked at."""
    report = step.report
    text = f'{step.done} of {step.total}: {film.output(report.index)}'
    if report.state != 'good':
        text += f': {report.state}, {report.reason}'
    sys.stderr.write(text + '\n')
