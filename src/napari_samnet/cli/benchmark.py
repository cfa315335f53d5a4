"""``napari-samnet benchmark``: protocols and baselines as one command."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from napari_samnet.cli.arguments import (
    add_json_option,
    add_match_options,
    read_match_options,
    read_named_values,
)
from napari_samnet.cli.speed import add_speed_options, run_speed
from napari_samnet.errors import InputError
from napari_samnet.options import DEFAULTS, MatchOptions
from napari_samnet.outputs.written import WrittenFiles

_DESCRIPTION = """\
Measure methods on pairs with ground truth. PROTOCOL is one of keypoints
(PCK), masks (IoU, LT-ACC), flow (T5 of the TSS kit), landmarks (rTRE),
synthetic (end-point error on known warps), objects (the same where an object
moves on its own), attributes and stain (known-answer attribute transfer),
instances (IoU of many labels on known warps), series (J and F of films),
presence (is the object there at all), orientation (another protocol's pairs,
turned and mirrored), verdicts (are wrong results told from right ones) and
corrections (what five landmarks do for failed matches), or a data set as it
is published: pf-willow, pf-pascal, tss, weizmann, photo-style, histology,
davis, mouse, animal-pose, animal-pose-kept-back and animal-pose-left-out,
which then lies in --root.
speed measures times, memory and the deviation of every fast path, on PF-WILLOW
if --root is given and on synthetic pairs otherwise.
"""

_METHODS = """\
method to measure; repeat it, or separate names by commas. samnet is the
default network with default settings, field the same without evidence of
labels, with-labels the same that is told what moves as one (objects, masks),
pairwise the same that matches each frame of a film with the first one, fast
the same that follows films by the light network alone;
identity keeps normalized coordinates; nearest and affine use the
network's features alone; tvl1, ilk, dis and elastix are other packages (extra
bench); warp, reinhard, histogram, macenko and transport take part in
attributes and stain, and vahadane where wsi-normalizer is installed (by name
alone); any packaged weights by name; all. By default samnet and
identity, for attributes also nearest, warp, reinhard and histogram, for stain
nearest and all of these
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = _DESCRIPTION
    add = parser.add_argument
    add('protocol', metavar='PROTOCOL', help='protocol or data set')
    add('--pairs', metavar='FILE', type=Path, help='list of pairs (CSV)')
    add(
        '--root',
        metavar='DIR',
        type=Path,
        default=Path(),
        help='folder that the paths of the list start from, or that holds '
        'the data set; by default the current folder',
    )
    add(
        '--preset',
        metavar='NAME',
        help='data set, after a protocol; presence, orientation, verdicts and '
        'corrections take those of other protocols',
    )
    add(
        '--method',
        '--methods',
        metavar='NAME',
        dest='methods',
        action='append',
        help=_METHODS,
    )
    add(
        '--limit',
        metavar='N',
        type=int,
        help='take only N pairs, evenly spread over the list',
    )
    add(
        '--threshold-by',
        metavar='LENGTH',
        help="what PCK's tolerance is a share of: kp-box, the longest side "
        'of the box of the keypoints; box, that of the object box; image, '
        '224 with both images scaled to 224x224 (SCNet)',
    )
    add(
        '--move',
        choices=('source', 'target'),
        default='source',
        help='whose keypoints are moved to the other image; default: source',
    )
    add(
        '--seed',
        metavar='N',
        type=int,
        default=0,
        help='of made-up pairs: another one draws others; default: 0',
    )
    add(
        '--references',
        metavar='K',
        type=int,
        default=1,
        help='annotated images that a method may use for each target '
        '(masks); default: 1',
    )
    add(
        '--turns',
        choices=('all', 'quarter', 'upright'),
        default='all',
        help='orientation: all flips, quarter turns and multiples of 15 '
        'degrees, the first two alone, or upright pairs alone; default: all',
    )
    add(
        '--estimates',
        metavar='DIR',
        type=Path,
        help='also score <group>/<pair>/flow1.flo and flow2.flo of another '
        'program (flow)',
    )
    add(
        '--option',
        metavar='NAME=VALUE',
        action='append',
        default=[],
        help='any parameter of the match, as an alternative to its flag',
    )
    add_json_option(parser, 'print one JSON object')
    add(
        '--report',
        metavar='DIR',
        type=Path,
        help='write report.md, pairs.csv, result.json and pairs.png, the '
        'best, median and worst pair of the first method',
    )
    add_speed_options(parser)
    add_match_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    options = changed_options(read_match_options(args), args.option)
    if args.limit is not None and args.limit < 1:
        raise InputError(f'limit must be at least 1, got {args.limit}')
    if args.seed < 0:
        raise InputError(f'seed must not be negative, got {args.seed}')
    if args.protocol == 'speed':
        return run_speed(args, options)

    from tqdm import tqdm

    from napari_samnet.evaluation import benchmark
    from napari_samnet.evaluation.methods.estimates import Estimates
    from napari_samnet.evaluation.methods.registry import get_methods
    from napari_samnet.evaluation.protocols.registry import (
        PRESETS,
        PairRequest,
        open_protocol,
    )
    from napari_samnet.evaluation.report import (
        REPORT_FILES,
        check_folder,
        markdown,
        write_report,
    )

    protocol = open_protocol(
        args.protocol,
        PairRequest(
            pairs=args.pairs,
            root=args.root,
            threshold_by=args.threshold_by,
            move=args.move,
            seed=args.seed,
            references=args.references,
            turns=args.turns,
            estimates=args.estimates,
        ),
        args.preset,
    )
    names = [
        name.strip()
        for text in args.methods or protocol.default_methods
        for name in text.split(',')
    ]
    methods = get_methods(
        names, options, color=protocol.name in ('attributes', 'stain')
    )
    if args.estimates is not None:
        if protocol.name != 'flow':
            raise InputError('estimates can only be scored by flow')
        methods.append(Estimates(args.estimates))
    if args.report is not None:
        check_folder(args.report)
        ours = WrittenFiles(args.report)
        ours.check(REPORT_FILES, otherwise='choose another folder')

    # Logs keep every update of a bar that a terminal overwrites.
    pause = 0.5 if sys.stderr.isatty() else 30
    with tqdm(file=sys.stderr, unit='pair', mininterval=pause) as bar:

        def show(done: int, total: int, name: str) -> None:
            bar.total = total
            bar.set_description_str(name, refresh=False)
            bar.update(done - bar.n)

        outcome = benchmark.run_benchmark(
            protocol, methods, limit=args.limit, on_pair=show
        )
    preset = args.preset or (args.protocol if args.protocol in PRESETS else '')
    if preset:
        outcome.result['preset'] = preset
    if args.limit is not None:
        outcome.result['limit'] = args.limit
    if args.json:
        sys.stdout.write(json.dumps(outcome.result) + '\n')
    else:
        sys.stdout.write(markdown(outcome.result))
    if args.report is not None:
        files = write_report(args.report, protocol, methods, outcome)
        for file in files:
            ours.note(file.name)
            sys.stderr.write(f'wrote {file}\n')
    return 0


def changed_options(
    options: MatchOptions, texts: Sequence[str]
) -> MatchOptions:
    """Change options by texts.

    ``texts``: changes, each as ``NAME=VALUE``. Raises InputError if there is
    no such option, or the value does not fit.
    """
    kinds = {
        field.name: type(getattr(DEFAULTS, field.name))
        for field in fields(MatchOptions)
    }
    return replace(options, **read_named_values('--option', texts, kinds))
