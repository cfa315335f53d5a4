"""``napari-samnet apply``: a saved correspondence, for any further file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samnet.arrays.checks import check_share
from napari_samnet.cli.arguments import (
    about_file,
    add_json_option,
    add_out_option,
    read_label_formats,
    status_of,
    tell_facts,
    tell_notices,
)
from napari_samnet.cli.pages import add_page_options, read_page_option
from napari_samnet.errors import InputError
from napari_samnet.io.formats.names import FORMATS

if TYPE_CHECKING:
    from napari_samnet.correspondence import Correspondence

KINDS = ('auto', 'labels', 'image', 'points')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = (
        'Carry every FILE on the grid of the source, such as '
        'another channel, a heat map, labels or points, to the target, and '
        'write it into DIR. No image is matched again, and neither is '
        'needed.'
    )
    parser.add_argument(
        'correspondence',
        metavar='CORRESPONDENCE.npz',
        help='what transfer has written',
    )
    parser.add_argument(
        'files',
        metavar='FILE',
        nargs='+',
        help='images, labels of any kind, and points as CSV',
    )
    add_out_option(parser)
    parser.add_argument(
        '--as',
        dest='kind',
        choices=KINDS,
        default='auto',
        help='what the files are. Default: auto, which takes CSV as points, '
        'files of annotation programs, palette and 1-bit pictures as labels, '
        'and all other pictures as images.',
    )
    parser.add_argument(
        '--from',
        dest='side',
        choices=('source', 'target'),
        default='source',
        help='whose grid the files are on. Default: source, so that they are '
        'carried to the target.',
    )
    add_page_options(parser, images='')
    parser.add_argument(
        '--labels-as',
        metavar='FORMAT',
        help=f'write labels for other programs too: {", ".join(FORMATS)}; '
        f'several with commas',
    )
    parser.add_argument(
        '--min-confidence',
        metavar='X',
        type=float,
        default=0.0,
        help='leave out labels that are less sure, from 0 to 1. Default: 0.',
    )
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Carry files.

    Returns: 0 if all files are carried, 1 if some could not be, 2 if none.
    """
    formats = read_label_formats(arguments)
    plane = read_page_option(arguments)
    check_share('--min-confidence', arguments.min_confidence)
    from napari_samnet.correspondence import Correspondence
    from napari_samnet.outputs.apply import Carrier
    from napari_samnet.outputs.folder import check_folder

    out = check_folder(arguments.out)
    correspondence: Correspondence = Correspondence.load(
        arguments.correspondence
    )
    if arguments.side == 'target':
        correspondence = correspondence.inverse()
    carrier = Carrier(
        correspondence=correspondence,
        folder=out,
        kind=arguments.kind,
        plane=plane,
        formats=formats,
        min_confidence=arguments.min_confidence,
    )
    written: dict[str, list[str]] = {}
    failures: dict[str, str] = {}
    notices: list[str] = []
    for file in arguments.files:
        try:
            files, told = carrier.carry(Path(file))
        except InputError as error:
            # One bad file does not stop the others.
            failures[file] = about_file(file, error)
            sys.stderr.write(f'napari-samnet: {failures[file]}\n')
            continue
        written[file] = [str(path) for path in files]
        notices += told
    tell_notices(notices)
    facts = {
        'files': written,
        'failures': failures,
        'notices': list(dict.fromkeys(notices)),
    }
    paths = [path for files in written.values() for path in files]
    tell_facts(arguments, facts, ''.join(f'{path}\n' for path in paths))
    return status_of(len(written), len(failures))
