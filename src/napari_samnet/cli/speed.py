"""``napari-samnet benchmark speed`` on the command line."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samnet.cli.arguments import tell_facts
from napari_samnet.errors import InputError
from napari_samnet.options import LIMITS, SIZE_STEP, MatchOptions

if TYPE_CHECKING:
    from napari_samnet.evaluation.interfaces import Protocol

#: Rounds and pairs, and the working sizes that are compared.
REPEATS = 3
SIZES = (128, 256, 512, 1024)


def add_speed_options(parser: argparse.ArgumentParser) -> None:
    """Add what only ``speed`` understands.

    ``parser``: parser of the command ``benchmark``.
    """
    group = parser.add_argument_group('speed')
    group.add_argument(
        '--repeats',
        metavar='N',
        type=int,
        help=f'rounds that medians are taken over. Default: {REPEATS}.',
    )
    group.add_argument(
        '--sizes',
        metavar='N,N',
        help='working sizes of the scaling. Default: '
        f'{",".join(map(str, SIZES))}.',
    )
    group.add_argument(
        '--quick',
        action='store_true',
        help='one round, small sizes, and TV-L1 as the only baseline',
    )


def run_speed(args: argparse.Namespace, options: MatchOptions) -> int:
    """Measure, and print the result.

    ``args``: parsed words of the command ``benchmark``. Raises InputError if
    anything asked for is not there or does not fit.
    """
    repeats = args.repeats
    if repeats is None:
        repeats = 1 if args.quick else REPEATS
    if repeats < 1:
        raise InputError(f'repeats must be at least 1, got {repeats}')
    if options.reference:
        raise InputError(
            'the reference is measured in any case: leave out '
            '--reference-operators'
        )
    sizes = _sizes(args.sizes, options) if args.sizes else SIZES
    if args.quick and not args.sizes:
        half = options.size // 2 // SIZE_STEP * SIZE_STEP
        sizes = tuple(
            sorted({max(half, int(LIMITS['size'][0])), options.size})
        )
    protocol = open_pairs(args)

    from tqdm import tqdm

    from napari_samnet.evaluation.speed.measure import measure
    from napari_samnet.evaluation.speed.runs import SpeedRequest
    from napari_samnet.evaluation.speed.table import as_text

    with tqdm(file=sys.stderr, bar_format='{desc} [{elapsed}]') as bar:
        result = measure(
            SpeedRequest(
                options=options,
                protocol=protocol,
                repeats=repeats,
                pairs=args.limit or (1 if args.quick else REPEATS),
                sizes=sizes,
                quick=args.quick,
            ),
            bar.set_description_str,
        )
    tell_facts(args, result, as_text(result))
    return 0


def _sizes(text: str, options: MatchOptions) -> tuple[int, ...]:
    """Working sizes from text, checked as those of a match are."""
    try:
        sizes = [int(word) for word in text.split(',')]
    except ValueError:
        raise InputError(
            f'sizes must be whole numbers separated by commas, got {text!r}'
        ) from None
    return tuple(replace(options, size=size).size for size in sizes)


def open_pairs(args: argparse.Namespace) -> Protocol:
    """Pairs of a list or data set, else warped photographs.

    ``args``: parsed words of the command ``benchmark``. Returns: pairs of the
    list, or of warped photographs. Raises InputError if they cannot be read.
    """
    from napari_samnet.evaluation.protocols.registry import (
        PairRequest,
        open_protocol,
    )

    request = PairRequest(
        pairs=args.pairs,
        root=args.root,
        threshold_by=args.threshold_by,
        move=args.move,
        seed=args.seed,
    )
    if args.pairs is not None:
        return open_protocol('keypoints', request, args.preset)
    if args.root != Path():
        return open_protocol(args.preset or 'pf-willow', request)
    return open_protocol('synthetic', request)
