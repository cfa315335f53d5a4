"""``napari-samnet repeat``: make a saved result again, and compare."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from napari_samnet.cli.arguments import (
    add_json_option,
    tell_facts,
    tell_notices,
)
from napari_samnet.cli.pages import add_page_options, read_page_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = (
        'Match SOURCE with TARGET as it was done for RESULT, a '
        'correspondence.npz, and compare every array. Status 0 if all are '
        'the same bit for bit, 1 if not.'
    )
    parser.add_argument('result', metavar='RESULT', help='a saved result')
    parser.add_argument('source', metavar='SOURCE', help='its source image')
    parser.add_argument('target', metavar='TARGET', help='its target image')
    parser.add_argument('--labels', metavar='MASK', help='labels of SOURCE')
    add_page_options(parser)
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Match again, and compare.

    Returns: 0 if every array is the same, else 1.
    """
    from napari_samnet.correspondence import Correspondence
    from napari_samnet.io.annotated import read_annotated
    from napari_samnet.io.image_files import read_picture
    from napari_samnet.matching.reproduce import repeat

    source_plane, target_plane = read_page_options(arguments)
    source = read_annotated(
        arguments.source, labels=arguments.labels, **asdict(source_plane)
    )
    target = read_picture(
        arguments.target, name='target', **asdict(target_plane)
    )
    tell_notices((*source.notices, *target.notices))
    made = repeat(
        Correspondence.load(arguments.result),
        source.picture.pixels,
        target.pixels,
        labels=None if source.labels is None else source.labels.labels,
    )
    facts = {
        'same': made.same,
        'differences': made.differences,
        'provenance': made.provenance,
    }
    lines = [
        f'{name}: differs by up to {difference:g}'
        if difference
        else f'{name}: the same'
        for name, difference in made.differences.items()
    ]
    lines += made.provenance
    tell_facts(arguments, facts, ''.join(f'{line}\n' for line in lines))
    return 0 if made.same else 1
