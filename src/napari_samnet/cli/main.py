"""The ``napari-samnet`` command.

Standard output carries the result, one JSON object if asked for; progress
and messages go to standard error. What a user can put right ends with one
line and status 2.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from napari_samnet.cli.arguments import OneLineParser
from napari_samnet.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ['main']

#: Module of each command, imported when called, and what it does.
_COMMANDS = {
    'transfer': (
        'napari_samnet.cli.transfer',
        'match two images and write everything found',
    ),
    'demo': (
        'napari_samnet.cli.demo',
        'show what it does on a bundled pair of images',
    ),
    'info': (
        'napari_samnet.cli.info',
        'print versions, devices and the packaged weights',
    ),
    'apply': (
        'napari_samnet.cli.apply',
        'carry further files by a saved correspondence',
    ),
    'invert': (
        'napari_samnet.cli.invert',
        'swap source and target of a saved correspondence',
    ),
    'export': (
        'napari_samnet.cli.export',
        'write the field of a saved correspondence for other programs',
    ),
    'benchmark': (
        'napari_samnet.cli.benchmark',
        'measure the accuracy on published and synthetic sets',
    ),
    'train': (
        'napari_samnet.cli.train',
        'train the network, or fine-tune it on your images',
    ),
    'batch': (
        'napari_samnet.cli.batch',
        'do many pairs, on all cores or on many computers',
    ),
    'propagate': (
        'napari_samnet.cli.propagate',
        'carry labels of some planes to all others of a film or stack',
    ),
    'look': (
        'napari_samnet.cli.look',
        'learn a change of stain or color, and give it to many images',
    ),
    'repeat': (
        'napari_samnet.cli.repeat',
        'make a saved result again and compare',
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments, by default those of the process.

    Returns
    -------
    int
        Exit status: 0 done, 1 done in part, 2 wrong input, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # What decoders say of a damaged file is said once, by the error.
    logging.getLogger('tifffile').addHandler(logging.NullHandler())
    warnings.filterwarnings('ignore', module=r'PIL\.')
    try:
        arguments = _parser(words).parse_args(words)
        status: int = arguments.run(arguments)
    except InputError as error:
        sys.stderr.write(f'napari-samnet: {" ".join(str(error).split())}\n')
        return 2
    except KeyboardInterrupt:
        sys.stderr.write('napari-samnet: interrupted\n')
        return 130
    return status


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
    for name, (module, text) in _COMMANDS.items():
        if name == chosen:
            command = import_module(module)
            command.add_parser(commands)
            commands.choices[name].set_defaults(run=command.run)
        else:
            commands.add_parser(name, help=text, add_help=False)
    return parser
