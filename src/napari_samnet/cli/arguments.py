"""Command-line flags made from the parameters of a match."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import NoReturn

from napari_samnet.errors import InputError
from napari_samnet.options import (
    CHOICES,
    DEFAULTS,
    MatchOptions,
    parameter_text,
)
from napari_samnet.outputs.folder import FILES

__all__ = [
    'OneLineParser',
    'add_match_options',
    'add_write_option',
    'read_match_options',
    'read_write_option',
]


class OneLineParser(argparse.ArgumentParser):
    """Parser whose errors are one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """End the program with status 2.

        Parameters
        ----------
        message : str
            What is wrong with the arguments.
        """
        self.exit(2, f'{self.prog}: {message} (see {self.prog} --help)\n')


def add_match_options(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every parameter of a match.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of a command that matches images.
    """
    group = parser.add_argument_group('matching')
    for field in fields(MatchOptions):
        default = getattr(DEFAULTS, field.name)
        flag = '--' + field.name.replace('_', '-')
        # argparse reads % as the start of a format.
        text = parameter_text(field.name).replace('%', '%%')
        if isinstance(default, bool):
            group.add_argument(
                flag,
                action=argparse.BooleanOptionalAction,
                default=default,
                help=text,
            )
            continue
        group.add_argument(
            flag,
            type=type(default),
            default=default,
            metavar=_metavar(field.name, default),
            help=f'{text} Default: {default}.',
        )


def _metavar(name: str, default: object) -> str:
    """What stands for a value in the help."""
    if name in CHOICES:
        return '{' + ','.join(CHOICES[name]) + '}'
    if name == 'orientation':
        return 'ANGLE'
    if isinstance(default, str):
        return 'NAME|FILE'
    return 'N' if isinstance(default, int) else 'X'


def read_match_options(arguments: argparse.Namespace) -> MatchOptions:
    """Parameters of a match from parsed flags.

    Parameters
    ----------
    arguments : argparse.Namespace
        What a parser with :func:`add_match_options` returned.

    Returns
    -------
    MatchOptions
        The parameters, checked.

    Raises
    ------
    InputError
        If one is out of its limits.
    """
    names = [field.name for field in fields(MatchOptions)]
    return MatchOptions(**{name: getattr(arguments, name) for name in names})


def add_write_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of files.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of a command that writes results.
    """
    parser.add_argument(
        '--write',
        metavar='NAME,NAME',
        default=','.join(FILES),
        help='which files to write. Default: all that there is something '
        f'for: {", ".join(FILES)}.',
    )


def read_write_option(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Keys of the files that are wanted, in their usual order.

    Parameters
    ----------
    arguments : argparse.Namespace
        What a parser with :func:`add_write_option` returned.

    Returns
    -------
    tuple of str
        Keys of :data:`napari_samnet.outputs.folder.FILES`.

    Raises
    ------
    InputError
        If there is no such file.
    """
    wanted = [word.strip() for word in arguments.write.split(',')]
    for word in wanted:
        if word not in FILES:
            raise InputError(
                f'--write must name some of {", ".join(FILES)}, got {word!r}'
            )
    return tuple(key for key in FILES if key in wanted)
