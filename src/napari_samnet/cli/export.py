"""``napari-samnet export``: the field of a saved correspondence for others."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from napari_samnet.cli.arguments import check_new_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = (
        'Write the field of CORRESPONDENCE.npz to FILE. Its '
        'ending says how: .flo (Middlebury), .mha, .nrrd or .nii.gz '
        '(displacement field of ITK), .h5 or .tfm (transform of ITK, which '
        'elastix, ANTs and 3D Slicer apply), or .npy.'
    )
    parser.add_argument(
        'correspondence',
        metavar='CORRESPONDENCE.npz',
        help='what transfer has written',
    )
    parser.add_argument('file', metavar='FILE', help='file to write')
    parser.add_argument(
        '--grid',
        choices=('source', 'target'),
        help='whose grid the field lives on. Default: target for files of '
        'ITK, by which those programs bring the source onto the target; '
        'source for the others.',
    )


def run(arguments: argparse.Namespace) -> int:
    """Write a field."""
    from napari_samnet.correspondence import Correspondence
    from napari_samnet.outputs.export import export_field

    given, file = arguments.correspondence, Path(arguments.file)
    ours = check_new_file('FILE', arguments.file, '', given)
    correspondence = Correspondence.load(given)
    told = export_field(correspondence, file, arguments.grid)
    ours.note(file.name)
    sys.stdout.write(f'{arguments.file}\n{told}\n')
    return 0
