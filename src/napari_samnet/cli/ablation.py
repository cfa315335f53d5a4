"""``napari-samnet benchmark ablation`` on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions

__all__ = ['add_ablation_options', 'run_ablation']


def add_ablation_options(parser: argparse.ArgumentParser) -> None:
    """Add what only ``ablation`` understands.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of ``benchmark``.
    """
    group = parser.add_argument_group('ablation')
    group.add_argument(
        '--compare',
        metavar='NAME=FILE',
        action='append',
        default=[],
        help='also measure these weights beside the default ones, such as '
        'those trained with another loss; may be repeated',
    )


def run_ablation(args: argparse.Namespace, options: MatchOptions) -> int:
    """Measure, and print the tables.

    Parameters
    ----------
    args : argparse.Namespace
        Of ``benchmark``.
    options : MatchOptions
        What the variants start from.

    Returns
    -------
    int
        Exit status.

    Raises
    ------
    InputError
        If anything asked for is not there or does not fit.
    """
    from tqdm import tqdm

    from napari_samnet.cli.speed import open_pairs
    from napari_samnet.evaluation.ablation import (
        ablate,
        as_markdown,
        parse_networks,
        write_ablation,
    )
    from napari_samnet.evaluation.report import check_folder
    from napari_samnet.runtime.weights import get_weights

    if options.reference:
        raise InputError('an ablation of the reference would take days')
    networks = parse_networks(args.compare)
    for name in (options.weights, *networks.values()):
        get_weights(name)
    protocol = open_pairs(args)
    if args.report is not None:
        check_folder(args.report)
    # Logs keep every update of a bar that a terminal overwrites.
    pause = 0.5 if sys.stderr.isatty() else 30
    with tqdm(file=sys.stderr, unit='pair', mininterval=pause) as bar:

        def show(done: int, total: int, name: str) -> None:
            bar.total = total
            bar.set_description_str(name, refresh=False)
            bar.update(done - bar.n)

        result = ablate(
            protocol,
            options,
            networks=networks,
            limit=args.limit,
            on_pair=show,
        )
    if args.preset or (args.pairs is None and args.root != Path()):
        result['preset'] = args.preset or 'pf-willow'
    if args.json:
        sys.stdout.write(json.dumps(result, allow_nan=False) + '\n')
    else:
        sys.stdout.write(as_markdown(result))
    if args.report is not None:
        for file in write_ablation(args.report, result):
            sys.stderr.write(f'wrote {file}\n')
    return 0
