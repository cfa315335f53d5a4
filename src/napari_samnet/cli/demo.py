"""``napari-samnet demo``: a bundled pair, in napari or as a picture."""

from __future__ import annotations

import argparse
import sys

from napari_samnet.cli.progress import MatchProgress
from napari_samnet.datasets import DEMO_PAIR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = (
        'Open napari with a bundled pair, run, and show the '
        'layers. Without a display, or with --headless, write overview.png.'
    )
    parser.add_argument(
        '--headless', action='store_true', help='write a picture, no window'
    )
    parser.add_argument(
        '--out',
        metavar='DIR',
        default='.',
        help='folder for the picture, by default the current one',
    )
    parser.add_argument(
        '--pair',
        metavar='NAME',
        default=DEMO_PAIR,
        help=f'which pair (default {DEMO_PAIR}); elephant, jug and kidney '
        'are of two things, coffee, cat and tissue are drawn from one '
        'picture, motorcycle is by two cameras',
    )


def run(arguments: argparse.Namespace) -> int:
    """Open napari with a pair, or write its overview."""
    from napari_samnet.datasets.samples import load_sample

    if not arguments.headless:
        from napari_samnet.cli.display import missing_display

        reason = missing_display()
        if reason is None:
            return _open_napari(arguments.pair)
        sys.stderr.write(f'napari-samnet: {reason}, so there is a picture\n')
    from napari_samnet.outputs.folder import (
        FILES,
        check_folder,
        write_overview,
    )
    from napari_samnet.outputs.written import WrittenFiles

    folder = check_folder(arguments.out)
    ours = WrittenFiles(folder)
    ours.check([FILES['overview']])
    pair = load_sample(arguments.pair)

    from napari_samnet.matching.match import match

    with MatchProgress() as progress:
        result = match(
            pair.source, pair.target, labels=pair.labels, on_step=progress
        )
    path = write_overview(
        folder,
        result,
        source=pair.source,
        target=pair.target,
        labels=pair.labels,
        heading=pair.title,
    )
    ours.note(path.name)
    sys.stdout.write(f'{path.absolute()}\n')
    return 0


def _open_napari(pair: str) -> int:
    import napari

    from napari_samnet.plugin import open_demo

    open_demo(pair=pair)
    napari.run()
    return 0
