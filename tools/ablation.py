"""What each part of a match is worth: the default with one thing changed.

``python -m ablation davis --root DATA --limit 30`` measures the default and
the usual changes in one run, on the same pairs. ``--change NAME=VALUE`` adds
a row, with several options joined by commas; ``--layers`` adds rows that
match by fewer layers of the features; ``--compare NAME=FILE`` adds other
weights.

``python -m ablation all --root DATA --out FOLDER`` measures every part on
every set and makes one table. What FOLDER holds already of the same weights
and rows is not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablation_parts import (
    PARTS,
    SETS,
    MeasuredSet,
    StartAlone,
    UnlearnedFit,
    kept,
    whole_table,
    with_features_before,
)
from tqdm import tqdm

from napari_samnet.cli.arguments import add_match_options, read_match_options
from napari_samnet.cli.benchmark import changed_options
from napari_samnet.errors import InputError
from napari_samnet.evaluation.benchmark import run_benchmark
from napari_samnet.evaluation.interfaces import Method, Protocol
from napari_samnet.evaluation.methods.base import Samnet
from napari_samnet.evaluation.methods.registry import get_methods
from napari_samnet.evaluation.protocols.registry import (
    PairRequest,
    open_protocol,
)
from napari_samnet.evaluation.report import markdown
from napari_samnet.files import write_text
from napari_samnet.options import PAPER, MatchOptions
from napari_samnet.runtime.weights import get_weights, read_model, save_model
from napari_samnet.samnet.network import SAMNet

#: Rows beside the default when none are asked for.
CHANGES = (
    'attributes=false',
    'lambda_max=1',
    'init=identity',
    'iterations=1,tolerance=0',
    'iterations=3,tolerance=0',
    'iterations=5,tolerance=0',
    'iterations=10,tolerance=0',
    'window=5',
    'window=7',
    'window=11',
)


def with_layers(weights: str, layers: Sequence[str], path: Path) -> None:
    """Write a network that matches by some of another's layers alone.

    ``weights``: name or file of a network that has these layers, or deeper
    ones.
    ``layers``: matching layers of the new network, all channels of each.
    ``path``: file of its weights, fp16 as the packaged ones are.
    """
    whole = read_model(get_weights(weights).path)
    part = SAMNet(
        replace(
            whole.config,
            matching_layers=tuple(layers),
            projection=0,
            context=0,
            taught_blocks=False,
            likeness=0,
        )
    )
    wanted = part.state_dict().keys()
    part.load_state_dict(
        {k: v for k, v in whole.state_dict().items() if k in wanted}
    )
    save_model(part, path)


@contextmanager
def _layer_files(weights: str, wanted: bool) -> Iterator[dict[str, str]]:
    """The paper's layer alone, then one more of the network's at a time."""
    if not wanted:
        yield {}
        return
    layers = read_model(get_weights(weights).path).config.matching_layers
    choices = [
        ('relu4_1',),
        *(layers[:count] for count in range(1, len(layers) + 1)),
    ]
    with TemporaryDirectory(prefix='napari-samnet-') as folder:
        files = {}
        for choice in dict.fromkeys(choices):
            path = Path(folder) / f'{"_".join(choice)}.safetensors'
            with_layers(weights, choice, path)
            files[' + '.join(choice)] = str(path)
        yield files


def rows(
    options: MatchOptions, changes: Sequence[str], networks: dict[str, str]
) -> list[Method]:
    """Make the methods that are compared.

    ``changes``: ``NAME=VALUE``, several joined by commas, one row each.
    Returns: `nearest` and `identity`, the default, and one for each change.
    Raises InputError if there is no such option, value or network.
    """
    for name in networks.values():
        get_weights(name)
    return [
        *get_methods(['identity', 'nearest'], options),
        Samnet('default', options),
        *(
            Samnet(text, changed_options(options, text.split(',')))
            for text in changes
        ),
        *(
            Samnet(name, replace(options, weights=file))
            for name, file in networks.items()
        ),
    ]


def part_rows(
    options: MatchOptions, networks: dict[str, str], before: str
) -> list[Method]:
    """Make the rows of the table of all parts.

    ``networks``: further weights by name. ``before``: file of the network
    with the features before.
    """
    named = {
        title: changed_options(options, text.split(','))
        for title, text in PARTS.items()
    }
    for name in networks.values():
        get_weights(name)
    return [
        *get_methods(['identity', 'nearest'], options),
        Samnet('default', options),
        *(Samnet(title, changed) for title, changed in named.items()),
        UnlearnedFit('W_G without what was learned', options),
        StartAlone('no W_G', options),
        *(
            Samnet(name, replace(options, weights=file))
            for name, file in (networks | {'features before': before}).items()
        ),
        Samnet('paper', replace(options, **PAPER)),
    ]


def measure_all(
    sets: Sequence[MeasuredSet],
    options: MatchOptions,
    networks: dict[str, str],
    *,
    root: Path,
    folder: Path,
    limit: int | None,
) -> dict[str, dict[str, Any]]:
    """Results of all parts by the name of the set.

    ``root``: folder of the data.
    ``folder``: of the results, which grows by a file for each set.
    ``limit``: pairs of each set at most.
    Raises InputError if a set or a network cannot be read.
    """
    with TemporaryDirectory(prefix='napari-samnet-') as temporary:
        before = str(Path(temporary) / 'before.safetensors')
        with_features_before(options.weights, Path(before))
        methods = part_rows(options, networks, before)
        results = {}
        for chosen in sets:
            pairs = min(chosen.pairs, limit or chosen.pairs)
            about = {
                'pairs': pairs,
                'rows': [method.name for method in methods],
                'weights': {
                    name: get_weights(name).sha256
                    for name in (options.weights, 'paper', *networks.values())
                },
            }
            measure = partial(
                _run,
                open_protocol(chosen.name, PairRequest(root=root)),
                methods,
                pairs,
                chosen.name,
            )
            results[chosen.name] = kept(folder, chosen, about, measure)
    return results


def _run(
    protocol: Protocol, methods: Sequence[Method], limit: int | None, name: str
) -> dict[str, Any]:
    """Result of a benchmark, with a bar on standard error."""
    with tqdm(file=sys.stderr, unit='pair', mininterval=10) as bar:
        bar.set_description_str(name)

        def show(done: int, total: int, _: str) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return run_benchmark(
            protocol, methods, limit=limit, on_pair=show
        ).result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    ``argv``: words after the program's name, by default those of the process.
    Returns: exit status: 0 done, 2 wrong input.
    """
    parser = argparse.ArgumentParser(prog='ablation', description=__doc__)
    add = parser.add_argument
    add('protocol', help="protocol or data set, as of benchmark, or 'all'")
    add('--preset', help='data set, after a protocol')
    add('--pairs', type=Path, help='list of pairs (CSV)')
    add('--root', type=Path, default=Path(), help='folder of the data')
    add('--limit', type=int, help='take only so many pairs')
    add('--change', action='append', help='NAME=VALUE,…, one row each')
    add('--layers', action='store_true', help='rows of fewer layers')
    add('--compare', action='append', default=[], help='NAME=FILE of weights')
    add('--out', type=Path, help="folder of the results of 'all'")
    add('--sets', help="those of 'all' that are measured, by commas")
    add('--json', action='store_true', help='print one JSON object')
    add_match_options(parser)
    args = parser.parse_args(argv)
    try:
        options = read_match_options(args)
        networks = dict(_pair(text) for text in args.compare)
        if args.protocol == 'all':
            text = _all(args, options, networks)
            sys.stdout.write(text)
            return 0
        request = PairRequest(pairs=args.pairs, root=args.root)
        protocol = open_protocol(args.protocol, request, args.preset)
        changes = CHANGES if args.change is None else args.change
        with _layer_files(options.weights, args.layers) as files:
            methods = rows(options, changes, networks | files)
            result = _run(protocol, methods, args.limit, args.protocol)
    except InputError as error:
        sys.stderr.write(f'ablation: {error}\n')
        return 2
    text = json.dumps(result) + '\n' if args.json else markdown(result)
    sys.stdout.write(text)
    return 0


def _all(
    args: argparse.Namespace, options: MatchOptions, networks: dict[str, str]
) -> str:
    """Measure every part on every set; the table, or the results as JSON."""
    if args.out is None:
        raise InputError('all needs --out FOLDER for its results')
    names = [chosen.name for chosen in SETS]
    wanted = args.sets.split(',') if args.sets else names
    if unknown := sorted(set(wanted) - set(names)):
        raise InputError(
            f'sets must be among {", ".join(names)}, got {", ".join(unknown)}'
        )
    results = measure_all(
        [chosen for chosen in SETS if chosen.name in wanted],
        options,
        networks,
        root=args.root,
        folder=args.out,
        limit=args.limit,
    )
    table = whole_table(results)
    write_text(args.out / 'table.md', table)
    return json.dumps(results) + '\n' if args.json else table


def _pair(text: str) -> tuple[str, str]:
    name, equals, file = text.partition('=')
    if not equals or not name or not file:
        raise InputError(f'compare must be NAME=FILE, got {text!r}')
    return name, file


if __name__ == '__main__':
    raise SystemExit(main())
