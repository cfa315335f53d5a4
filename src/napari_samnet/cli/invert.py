"""``napari-samnet invert``: source and target change places."""

from __future__ import annotations

import argparse
import sys
from typing import Any

__all__ = ['add_parser', 'run']


def add_parser(commands: Any) -> None:
    """Add the command.

    Parameters
    ----------
    commands : argparse subparsers
        Where the command is added to the program.
    """
    parser = commands.add_parser(
        'invert',
        help='swap source and target of a saved correspondence',
        description='Write to OUT.npz what leads from the target to the '
        'source. Both directions were found by the match; nothing is '
        'computed.',
    )
    parser.add_argument('correspondence', metavar='CORRESPONDENCE.npz')
    parser.add_argument('out', metavar='OUT.npz')


def run(arguments: argparse.Namespace) -> int:
    """Swap and write.

    Parameters
    ----------
    arguments : argparse.Namespace
        Of a parser that :func:`add_parser` has made.

    Returns
    -------
    int
        0, as errors are raised.
    """
    from napari_samnet.correspondence import Correspondence

    correspondence = Correspondence.load(arguments.correspondence)
    path = correspondence.inverse().save(arguments.out)
    sys.stdout.write(f'{path}\n')
    return 0
