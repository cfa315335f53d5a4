"""``napari-samnet export``: the field of a saved correspondence for others."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from napari_samnet.errors import InputError


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
    from napari_samnet.io.flo import write_flo
    from napari_samnet.io.itk_fields import (
        ITK_FIELDS,
        ITK_TRANSFORMS,
        write_itk,
    )

    path = Path(arguments.file)
    itk = path.name.lower().endswith((*ITK_FIELDS, *ITK_TRANSFORMS))
    if not itk and path.suffix.lower() not in ('.flo', '.npy'):
        raise InputError(
            f'FILE must end with .flo, .npy, '
            f'{", ".join((*ITK_FIELDS, *ITK_TRANSFORMS))}, got {path.name}'
        )
    correspondence = Correspondence.load(arguments.correspondence)
    grid = arguments.grid or ('target' if itk else 'source')
    flow = (
        correspondence.flow
        if grid == 'source'
        else correspondence.backward_flow
    )
    if itk:
        write_itk(path, flow)
    elif path.suffix.lower() == '.flo':
        write_flo(path, flow)
    else:
        import numpy as np

        from napari_samnet.files import atomic_write

        with atomic_write(path) as file:
            np.save(file, flow, allow_pickle=False)
    rows, columns = flow.shape[:2]
    order = 'x, y' if itk or path.suffix.lower() == '.flo' else 'row, column'
    other = 'target' if grid == 'source' else 'source'
    sys.stdout.write(
        f'{path}\nfrom each of {rows} × {columns} pixels of the {grid} to '
        f'the {other}, {order}, in pixels\n'
    )
    return 0
