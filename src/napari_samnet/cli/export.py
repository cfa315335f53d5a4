"""``napari-samnet export``: the field of a saved correspondence for others."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.main`."""
    parser.description = (
        'Write the field of CORRESPONDENCE.npz to FILE. Its '
        'ending says how: .flo (Middlebury), .mha, .nrrd or .nii.gz '
        '(displacement field of ITK), .h5 or .tfm (transform of ITK, which '
        'elastix, ANTs and 3D Slicer apply), or .npy.'
    )
    parser.add_argument('correspondence', metavar='CORRESPONDENCE.npz')
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

    correspondence = Correspondence.load(arguments.correspondence)
    told = export_field(correspondence, arguments.file, arguments.grid)
    sys.stdout.write(f'{arguments.file}\n{told}\n')
    return 0
