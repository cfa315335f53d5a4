"""What the commands on a network and a list of training images share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_samnet.errors import InputError
from napari_samnet.options import MatchOptions


def image_parser(module: str, description: str) -> argparse.ArgumentParser:
    """Parser of a command that looks at training images with a network.

    ``module``: name of the module in this package that is run with
    ``python -m``.
    """
    parser = argparse.ArgumentParser(
        prog=f'python -m napari_samnet.training.{module}',
        description=description,
    )
    parser.add_argument(
        'images', type=Path, help='folder of images, or a CSV file'
    )
    parser.add_argument(
        '--root', type=Path, help="what the CSV file's paths are relative to"
    )
    parser.add_argument(
        '--weights',
        default=MatchOptions.weights,
        help='name or file of the network',
    )
    return parser


def run_command(
    parser: argparse.ArgumentParser,
    action: Callable[[argparse.Namespace], None],
    words: Sequence[str] | None,
) -> None:
    """Run a command; what a user can put right is told in one line.

    ``words``: words after the program's name; those of the process if None.
    """
    args = parser.parse_args(words)
    try:
        action(args)
    except InputError as error:
        parser.error(str(error))
