"""``napari-samnet propagate``: labels through a film or stack of files."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samnet.cli.arguments import (
    add_json_option,
    add_match_options,
    add_out_option,
    read_match_options,
    status_of,
    tell_facts,
    tell_notices,
)
from napari_samnet.cli.film import (
    Annotations,
    Film,
    like_first,
    open_film,
    read_annotations,
    read_mask,
)
from napari_samnet.cli.film_report import REPORTS, records_of, write_report
from napari_samnet.errors import InputError
from napari_samnet.options import DEFAULTS, parameter_text
from napari_samnet.outputs.written import WrittenFiles
from napari_samnet.series.working_size import LARGEST

#: Parameters of a match that a propagation looks at, besides the size.
_OPTIONS = ('device', 'precision', 'backend', 'weights', 'outlines')

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
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
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
    add_out_option(parser)
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
        help=f'{text} Default: from {DEFAULTS.size} to {LARGEST}, by the '
        f'size of the labels.',
    )
    add(
        '--fast',
        action='store_true',
        help='describe planes by the light one of the two networks alone: a '
        'fraction of the time, and more of what looks alike is confused',
    )
    add_json_option(parser)
    add_match_options(parser, only=_OPTIONS)


def run(arguments: argparse.Namespace) -> int:
    """Carry labels through a film.

    Returns: 0 if all planes on the way have labels, 1 if some had to be left
    out or lie behind a cut, 2 if no plane has any.
    """
    from napari_samnet.io.label_files import write_labels
    from napari_samnet.outputs.folder import check_folder
    from napari_samnet.series.propagate import propagate_steps
    from napari_samnet.series.region import kept_planes
    from napari_samnet.series.verdicts import PlaneReport, summarize

    begun = time.perf_counter()
    film = open_film(arguments)
    given = read_annotations(arguments.labels, film)
    start = None
    if arguments.start is not None:
        start = film.number(arguments.start, '--start')
    ids = _ids(arguments.ids)
    adapt_size = arguments.size is None
    if adapt_size:
        arguments.size = DEFAULTS.size
    options = read_match_options(arguments)
    folder = check_folder(arguments.out)
    ours = WrittenFiles(folder)
    names = [film.output(index) for index in range(len(film))]
    images = [file.name for file in film.files]
    corrected = given.corrected([folder / name for name in names])
    _check_outputs(ours, film, given, corrected)
    annotations = given.labels
    if not annotations:
        raise InputError('--labels hold no label: all pixels are 0')
    tell_notices(_not_there(ids, annotations))
    first = film.picture(min(annotations))
    tell_notices(first.notices)
    steps = propagate_steps(
        lambda index: like_first(first, film.picture(index)),
        len(film),
        annotations,
        options,
        ids=ids,
        start=start,
        direction=arguments.direction,
        skip=corrected - set(annotations),
        channel_axis=first.channel_axis,
        adapt_size=adapt_size,
        fast=arguments.fast,
        kept=kept_planes(
            read_mask(arguments.region, '--region', len(film)),
            read_mask(arguments.leave_out, '--leave-out', len(film)),
            len(film),
        ),
    )
    reports = {
        index: PlaneReport(
            index,
            'annotated',
            'corrected by hand' if index in corrected else '',
            quality=1.0,
        )
        for index in corrected | set(annotations)
    }
    labeled = set(reports)
    created = False
    try:
        for step in steps:
            if not created:
                # Only now is it known that there is something to write.
                folder.mkdir(parents=True, exist_ok=True)
                for index in set(annotations) - corrected:
                    write_labels(folder / names[index], annotations[index])
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
    carried = [each for each in reports.values() if each.state != 'annotated']
    text = summarize(
        carried,
        len(labeled),
        len(film),
        time.perf_counter() - begun,
        files=None if film.stack else images,
    )
    facts = {
        'out': str(folder),
        'planes': records_of(names, images, reports, labeled),
        'text': text,
    }
    tell_facts(arguments, facts, f'{text}\n{folder / "report.csv"}\n')
    done = sum(report.is_labeled for report in carried)
    return status_of(done, len(carried) - done)


def _check_outputs(
    ours: WrittenFiles,
    film: Film,
    given: Annotations,
    corrected: Collection[int],
) -> None:
    """Refuse to overwrite files, with what keeps a corrected result.

    ``corrected``: planes of which the result itself is given as labels, which
    stays.
    """
    names = {
        film.output(index): index
        for index in range(len(film))
        if index not in corrected
    }
    for name in ours.changed(names):
        index = names[name]
        plane = index if film.stack else film.files[index].stem
        file = ours.folder / name
        raise InputError(
            f'{file} was changed after it was written: keep it with '
            f'--labels {plane}={file}, move it away, or choose another '
            f'folder with --out'
        )
    ours.check((*names, *REPORTS), read=[*film.files, *given.files])


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


def _not_there(
    ids: Collection[int] | None, annotations: Mapping[int, NDArray[Any]]
) -> tuple[str, ...]:
    """What to say of ids that are asked for and that no plane shows."""
    if ids is None:
        return ()
    there = {
        number
        for labels in annotations.values()
        for number in np.unique(labels).tolist()
    }
    missing = sorted(set(ids) - there)
    if not missing or len(missing) == len(set(ids)):
        return ()
    return (
        f'--ids: no annotated plane shows {", ".join(map(str, missing))}; '
        f'there are {", ".join(map(str, sorted(there - {0})))}',
    )


def _tell(step: Any, film: Film) -> None:
    """Progress on standard error, with what is to be looked at."""
    report = step.report
    text = f'{step.done} of {step.total}: {film.output(report.index)}'
    if report.state != 'good':
        text += f': {report.state}, {report.reason}'
    sys.stderr.write(text + '\n')
