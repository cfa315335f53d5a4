"""``napari-samnet invert``: source and target change places."""

from __future__ import annotations

import argparse
import sys

from napari_samnet.cli.arguments import check_new_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = (
        'Write to OUT.npz what leads from the target to the '
        'source. Both directions were found by the match; nothing is '
        'computed.'
    )
    parser.add_argument(
        'correspondence',
        metavar='CORRESPONDENCE.npz',
        help='what transfer has written',
    )
    parser.add_argument('out', metavar='OUT.npz', help='file to write')


def run(arguments: argparse.Namespace) -> int:
    """Swap and write."""
    from napari_samnet.correspondence import Correspondence

    given = arguments.correspondence
    ours = check_new_file('OUT.npz', arguments.out, '.npz', given)
    correspondence = Correspondence.load(given)
    path = correspondence.inverse().save(arguments.out)
    ours.note(path.name)
    sys.stdout.write(f'{path}\n')
    return 0
