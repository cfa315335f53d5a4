"""The commands, and what is said when one of them ends early.

Each command is a module, imported when it is called. ``add_arguments(parser)``
describes it and adds its arguments; ``run(arguments)`` takes what the parser
read, and returns the exit status or raises an `InputError`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version

from napari_samnet.cli.arguments import OneLineParser, unknown_words
from napari_samnet.errors import InputError, in_one_line

#: What each command does; its module has the same name.
_COMMANDS = {
    'transfer': 'match two images and write everything found',
    'demo': 'show what it does on a bundled pair of images',
    'info': 'print versions, devices and the packaged weights',
    'apply': 'carry further files by a saved correspondence',
    'invert': 'swap source and target of a saved correspondence',
    'export': 'write the field of a saved correspondence for other programs',
    'benchmark': 'measure the accuracy on published and synthetic sets',
    'train': 'train the network, or fine-tune it on your images',
    'batch': 'do many pairs, on all cores or on many computers',
    'propagate': 'carry labels of some planes to all others of a film',
    'look': 'learn a change of stain or color, and give it to many images',
    'repeat': 'make a saved result again and compare',
}


def run_command(words: list[str]) -> int:
    """Run what these words ask for.

    Returns: exit status: 0 done, 1 done in part, 2 wrong input.
    """
    # What decoders say of a damaged file is said once, by the error.
    logging.getLogger('tifffile').addHandler(logging.NullHandler())
    warnings.filterwarnings('ignore', module=r'PIL\.')
    try:
        arguments = _parsed(words)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except InputError as error:
        sys.stderr.write(f'napari-samnet: {in_one_line(error, None)}\n')
        return 2
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `head` does. What the
        # interpreter still holds of it goes nowhere.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parsed(words: list[str]) -> argparse.Namespace:
    """What the words ask for; ends the program where they make no sense."""
    arguments, unknown = _parser(words).parse_known_args(words)
    if unknown:
        arguments.parser.error(unknown_words(arguments.parser, unknown))
    return arguments


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog='napari-samnet',
        description='Find what corresponds in two images that show something '
        'alike, and carry labels and appearance across.',
    )
    parser.add_argument(
        '--version',
        action='version',
        version=f'%(prog)s {version("napari-samnet")}',
    )
    commands = parser.add_subparsers(
        metavar='COMMAND', required=True, title='commands'
    )
    chosen = next((word for word in words if not word.startswith('-')), '')
    for name, text in _COMMANDS.items():
        if name == chosen:
            command = import_module(f'napari_samnet.cli.{name}')
            chosen_parser = commands.add_parser(name, help=text)
            command.add_arguments(chosen_parser)
            chosen_parser.set_defaults(run=command.run, parser=chosen_parser)
        else:
            commands.add_parser(name, help=text, add_help=False)
    return parser
