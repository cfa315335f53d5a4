"""``napari-samnet train``: the recipe on the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samnet.cli.arguments import (
    add_json_option,
    read_named_values,
    write_json,
)
from napari_samnet.cli.pages import add_page_options, read_page_option
from napari_samnet.errors import InputError

if TYPE_CHECKING:
    from napari_samnet.training.runs import Progress

#: Steps over which the printed loss is averaged.
AVERAGED = 25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes; see :mod:`napari_samnet.cli.commands`."""
    parser.description = (
        'Train the decoder as an auto-encoder and the matching network '
        'on synthetic pairs of photographs and on pairs of one category. '
        'With several GPUs, start it by torchrun. An interrupted run '
        'goes on when the same command is given again.'
    )
    parser.add_argument(
        'images',
        type=Path,
        help='folder of images, or a CSV file with a column "file"',
    )
    parser.add_argument(
        '--root',
        type=Path,
        help="what the CSV file's paths are relative to; its own folder by "
        'default',
    )
    parser.add_argument(
        '--out', type=Path, required=True, help='folder of the run'
    )
    parser.add_argument(
        '--name',
        default='',
        help='keep the network under this name too, which --weights and the '
        'plugin then know; not if it has not become better',
    )
    parser.add_argument(
        '--points',
        type=Path,
        metavar='DIR',
        help='teach the features of samnet by points that you marked: DIR '
        'holds a CSV file for each image, named like it, as napari saves a '
        'points layer. It may be the folder of the images',
    )
    add_page_options(parser, images='')
    add_json_option(parser, 'print one JSON object at the end')
    parser.add_argument(
        '--json-lines',
        action='store_true',
        help='for programs: print one JSON object per step, and stop, with '
        'what was learnt kept, when standard input ends',
    )
    parser.add_argument(
        '--option',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='any option of the recipe, such as matcher_steps=500 or '
        'start=samnet; may be repeated',
    )


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    from tqdm import tqdm

    from napari_samnet.outputs.folder import check_folder

    check_folder(args.out)
    options = _read_options(args)
    plane = read_page_option(args)
    if args.name:
        from napari_samnet.runtime.user_weights import check_own_name

        check_own_name(args.name)

    from napari_samnet.datasets.image_lists import read_images
    from napari_samnet.training.distributed import processes, rank
    from napari_samnet.training.recipe import train_steps
    from napari_samnet.training.runs import WEIGHTS_NAME

    images = read_images(args.images, root=args.root, plane=plane)
    if args.points is not None:
        from napari_samnet.training.marked_points import read_marked_images

        # Before the folder is made, which would hold a run with these.
        read_marked_images(args.images, args.points)
    if args.json_lines:
        from napari_samnet.training.process import run_child

        return run_child(images, args.out, options, name=args.name)
    with processes():
        bar = tqdm(file=sys.stderr, unit='step', disable=rank() > 0)
        steps = train_steps(
            images, args.out, options, watch=partial(_show_made, bar)
        )
        last = _show(bar, steps)
        if rank():
            return 0
    path = args.out / WEIGHTS_NAME
    if args.name:
        from napari_samnet.training.keeping import keep_network

        kept = keep_network(args.out, args.name, options, images=len(images))
        sys.stderr.write(
            'no better than before, so not kept\n'
            if kept is None
            else f'kept as {args.name}\n'
        )
    if args.json:
        write_json({'weights': str(path), 'losses': last})
    else:
        sys.stderr.write(f'{path}\n')
    return 0


#: What is made before a stage can begin, by its name, and what is counted.
MADE = {
    'encoded': ('features of the images', 'image'),
    'pairs': ('pairs for the matching network', 'pair'),
    'confidence': ('pairs for the confidence', 'pair'),
}


def _show_made(bar: Any, progress: Progress) -> None:
    """Show how much of what a stage needs has been made."""
    if progress.stage not in MADE:
        return
    text, unit = MADE[progress.stage]
    if bar.unit != unit:
        bar.unit = unit
        bar.reset()
        bar.total = progress.total or None
        bar.set_postfix({}, refresh=False)
    bar.set_description_str(text, refresh=False)
    bar.n = progress.step
    bar.refresh()


def _show(bar: Any, steps: Iterable[Progress]) -> dict[str, dict[str, float]]:
    """Train, show how far it is, and return each stage's last mean losses."""
    last: dict[str, dict[str, float]] = {}
    mean: dict[str, float] = {}
    for progress in steps:
        if progress.stage not in last:
            bar.unit = 'step'
            bar.reset(progress.total)
            bar.set_description_str(progress.stage)
            mean = {}
        for key, value in progress.losses.items():
            mean[key] = mean.get(key, value) + (
                value - mean.get(key, value)
            ) / min(progress.step, AVERAGED)
        bar.n = progress.step
        bar.set_postfix(
            {key: f'{value:.3f}' for key, value in mean.items()}, refresh=True
        )
        last[progress.stage] = dict(mean)
    bar.close()
    return last


def _read_options(args: argparse.Namespace) -> Any:
    """TrainingOptions from ``NAME=VALUE`` texts, and where points are."""
    from napari_samnet.training.options import (
        POINT_TUNING_DEFAULTS,
        TRAINING_DEFAULTS,
        TrainingOptions,
    )

    usual = TRAINING_DEFAULTS
    if args.points is not None:
        if not args.images.is_dir():
            raise InputError(
                f'with --points, the images must be a folder, got '
                f'{args.images}'
            )
        usual = replace(
            POINT_TUNING_DEFAULTS,
            keypoints=str(args.points),
            keypoints_root=str(args.images),
        )

    kinds = {
        field.name: type(getattr(TRAINING_DEFAULTS, field.name))
        for field in fields(TrainingOptions)
    }
    return replace(usual, **read_named_values('--option', args.option, kinds))
