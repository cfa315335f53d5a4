"""``napari-samnet invert``: source and target change places."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.main`."""
    parser.description = (
        'Write to OUT.npz what leads from the target to the '
        'source. Both directions were found by the match; nothing is '
        'computed.'
    )
    parser.add_argument('correspondence', metavar='CORRESPONDENCE.npz')
    parser.add_argument('out', metavar='OUT.npz')


def run(arguments: argparse.Namespace) -> int:
    """Swap and write."""
    from napari_samnet.correspondence import Correspondence

    correspondence = Correspondence.load(arguments.correspondence)
    path = correspondence.inverse().save(arguments.out)
    sys.stdout.write(f'{path}\n')
    return 0
