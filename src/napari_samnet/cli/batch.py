"""``napari-samnet batch`` on the command line."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from napari_samnet.cli.arguments import (
    add_json_option,
    add_match_options,
    add_out_option,
    add_write_option,
    read_match_options,
    read_write_option,
    status_of,
    tell_facts,
)
from napari_samnet.cli.pages import add_page_options, read_page_options
from napari_samnet.errors import InputError
from napari_samnet.labels.references import BEST
from napari_samnet.options import MatchOptions

#: Failures that are printed; all of them are in the table.
PRINTED_FAILURES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = (
        'Match every pair of PAIRS.csv and write, into a folder '
        'of DIR for each, what transfer writes. Pairs that are there already, '
        'from the same files with the same options, are left out, so that a '
        'run that was interrupted goes on with the same command. Or, with '
        '--annotated and --targets, carry labels from a folder of annotated '
        'images to all images of another folder, ranked by predicted '
        'quality, worst first.'
    )
    parser.add_argument(
        'pairs',
        nargs='?',
        metavar='PAIRS.csv',
        help='columns source and target, and perhaps labels (or mask), '
        'points, and name (of the folder)',
    )
    add_out_option(parser)
    parser.add_argument(
        '--root',
        metavar='DIR',
        help='folder that the paths in PAIRS.csv start from. Default: where '
        'PAIRS.csv is.',
    )
    parser.add_argument(
        '--annotated',
        nargs=2,
        metavar=('IMAGES', 'MASKS'),
        help='folder of annotated images, and folder of their labels under '
        'the same names',
    )
    parser.add_argument(
        '--targets',
        metavar='FOLDER',
        help='folder of images that labels are wanted for',
    )
    parser.add_argument(
        '--best',
        metavar='K',
        type=int,
        default=BEST,
        help='annotated images that each target takes: those that look most '
        f'like it. Default: {BEST}.',
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        '--workers',
        metavar='N',
        type=int,
        default=0,
        help='processes on this computer. Default: 0, in this process with '
        'all cores for one pair at a time.',
    )
    where.add_argument(
        '--scheduler',
        metavar='ADDRESS',
        help='use the workers of this dask scheduler instead; they must see '
        'the same files under the same paths',
    )
    parser.add_argument(
        '--anew',
        action='store_true',
        help='do pairs again that are there already',
    )
    add_page_options(parser)
    add_write_option(parser)
    add_json_option(parser)
    add_match_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do a batch.

    Returns: 0 if all pairs are there, 1 if some could not be done, 2 if
    none could.
    """
    options = read_match_options(arguments)
    only = read_write_option(arguments)
    if arguments.annotated or arguments.targets:
        return _run_folders(arguments, options)
    if arguments.pairs is None:
        raise InputError(
            'batch needs PAIRS.csv, or --annotated IMAGES MASKS and '
            '--targets FOLDER'
        )
    if arguments.workers < 0:
        raise InputError(f'workers must be 0 or more, got {arguments.workers}')
    from napari_samnet.batch.pairs import read_pairs
    from napari_samnet.outputs.folder import check_folder

    table = Path(arguments.pairs)
    pairs = read_pairs(table, Path(arguments.root or table.parent))
    out = check_folder(arguments.out).absolute()

    from napari_samnet.runtime.devices import resolve_execution_target
    from napari_samnet.runtime.weights import get_weights

    weights = get_weights(options.weights)
    if arguments.scheduler is None:
        # Else every pair would fail in the same way.
        resolve_execution_target(
            options.device,
            options.precision,
            options.backend,
            weights=weights,
        )

    from tqdm import tqdm

    from napari_samnet.batch.run import Batch, locked_folder
    from napari_samnet.batch.work import BatchSettings, PairResult
    from napari_samnet.batch.workers import open_pool

    settings = BatchSettings(
        out, options, only, weights.sha256, *read_page_options(arguments)
    )
    start = time.perf_counter()
    with (
        locked_folder(out),
        tqdm(total=len(pairs), unit='pair', file=sys.stderr) as bar,
    ):

        def show(result: PairResult) -> None:
            bar.update()
            if result.error:
                bar.set_postfix(failed=len(batch.failed))

        batch = Batch(pairs, settings, show)
        batch.check_tables()
        todo = batch.pending(anew=arguments.anew)
        bar.update(len(pairs) - len(todo))
        try:
            if todo:
                with open_pool(
                    settings,
                    workers=min(arguments.workers, len(todo)),
                    scheduler=arguments.scheduler,
                ) as pool:
                    batch.process(todo, pool)
        except KeyboardInterrupt:
            bar.close()
            there = len(pairs) - len(todo) + batch.done
            sys.stderr.write(
                f'napari-samnet: {there} of {len(pairs)} pairs are there; '
                f'give the same command again to go on\n'
            )
            raise
        finally:
            tables = batch.write_tables()
    facts = _facts(batch, len(pairs), len(pairs) - len(todo))
    facts['seconds'] = round(time.perf_counter() - start, 3)
    facts['files'] = tables
    tell_facts(arguments, facts, _text(facts))
    return status_of(facts['skipped'] + batch.done, len(batch.failed))


def _run_folders(arguments: argparse.Namespace, options: MatchOptions) -> int:
    """Carry labels from one folder to another."""
    if arguments.pairs or not (arguments.annotated and arguments.targets):
        raise InputError(
            'give PAIRS.csv, or both --annotated IMAGES MASKS and --targets '
            'FOLDER'
        )
    from tqdm import tqdm

    from napari_samnet.batch.folders import (
        RANKING,
        annotate_folder,
        find_annotated,
        find_unlabeled,
    )
    from napari_samnet.batch.run import locked_folder
    from napari_samnet.outputs.folder import check_folder

    annotated = find_annotated(*map(Path, arguments.annotated))
    masks = [mask for _, mask in annotated]
    targets = find_unlabeled(Path(arguments.targets), masks)
    out = check_folder(arguments.out).absolute()
    start = time.perf_counter()
    with (
        locked_folder(out),
        tqdm(total=len(targets), unit='image', file=sys.stderr) as bar,
    ):
        results = annotate_folder(
            annotated,
            targets,
            out,
            options,
            best=arguments.best,
            planes=read_page_options(arguments),
            on_target=lambda _: bar.update(),
        )
    proposed = results.next_to_annotate
    facts = {
        'annotated': len(annotated),
        'targets': len(results.rows),
        'failed': len(results.failed),
        'images_encoded': results.encoded,
        'worst_first': results.rows,
        'next_to_annotate': None if proposed is None else str(proposed),
        'seconds': round(time.perf_counter() - start, 3),
        'files': {'ranking': str(out / RANKING)},
    }
    tell_facts(arguments, facts, _folder_text(facts))
    return status_of(
        len(results.rows) - len(results.failed), len(results.failed)
    )


def _folder_text(facts: dict[str, Any]) -> str:
    """What is printed of a folder, the images to look at first."""
    if not facts['targets']:
        return (
            'nothing to do: all images of the folder of targets are '
            'annotated, or are labels\n'
        )
    lines = [
        f'{facts["targets"]} images from {facts["annotated"]} annotated '
        f'ones, {facts["failed"]} failed; look here first:'
    ]
    for row in facts['worst_first'][:PRINTED_FAILURES]:
        said = row['error'] or f'predicted IoU {row["predicted_iou"]}'
        if row['likely_absent']:
            said += ', probably not in here'
        if row['vanished']:
            said += f', without label {row["vanished"]}'
        lines.append(f'  {row["target"]}: {said}')
    if facts['next_to_annotate']:
        lines.append(
            f'to annotate {facts["next_to_annotate"]} would help most'
        )
    lines += list(facts['files'].values())
    return '\n'.join(lines) + '\n'


def _facts(batch: Any, total: int, skipped: int) -> dict[str, Any]:
    """What is printed, and the JSON object."""
    workers, rate = batch.workers, batch.pairs_per_second
    peaks = [w.peak_mb for w in workers if w.peak_mb is not None]
    return {
        'pairs': total,
        'skipped': skipped,
        'done': batch.done,
        'failed': len(batch.failed),
        'failures': [
            {'name': result.pair.name, 'error': result.error}
            for result in batch.failed
        ],
        'verdicts': batch.verdicts(),
        'workers': len(workers),
        'threads_per_pair': next((w.threads for w in workers), None),
        'images_encoded': batch.encoded,
        'pairs_per_second': None if rate is None else round(rate, 4),
        'peak_mb_per_worker': max(peaks, default=None),
    }


def _text(facts: dict[str, Any]) -> str:
    lines = [
        f'{facts["pairs"]} pairs: {facts["done"]} done, {facts["skipped"]} '
        f'were there, {facts["failed"]} failed'
    ]
    if facts['pairs_per_second']:
        lines.append(
            f'{facts["pairs_per_second"]:.3f} pairs per second by '
            f'{facts["workers"]} workers'
        )
    said = facts['verdicts']
    if any(said.values()):
        lines.append(
            f'{len(said["good"])} good, {len(said["look"])} to be looked at, '
            f'{len(said["bad"])} not to be used'
        )
    lines += [
        f'do not use: {name}: {why}'
        for name, why in list(said['bad'].items())[:PRINTED_FAILURES]
    ]
    if len(said['bad']) > PRINTED_FAILURES:
        more = len(said['bad']) - PRINTED_FAILURES
        lines.append(f'and {more} more, see summary.csv')
    lines += [
        f'failed: {failure["name"]}: {failure["error"]}'
        for failure in facts['failures'][:PRINTED_FAILURES]
    ]
    if facts['failed'] > PRINTED_FAILURES:
        lines.append(f'and {facts["failed"] - PRINTED_FAILURES} more')
    lines += list(facts['files'].values())
    return '\n'.join(lines) + '\n'
