"""Command-line flags made from the parameters of a match."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from napari_samnet.errors import InputError, in_one_line
from napari_samnet.io.formats.names import FORMATS
from napari_samnet.options import (
    CHOICES,
    DEFAULTS,
    MatchOptions,
    parameter_text,
)
from napari_samnet.outputs.folder import FILES
from napari_samnet.outputs.written import WrittenFiles

#: Flags that are called otherwise than their parameter: annotated images are
#: given by ``--reference``.
FLAGS = {'reference': 'reference-operators'}

#: Shorter names of files that may be asked for.
SHORT = {'labels': 'warped_labels', 'points': 'warped_points'}


class OneLineParser(argparse.ArgumentParser):
    """Parser whose errors are one line, without the usage before it."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Remember the words, which an error may have to name."""
        self._words = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    @property
    def flags(self) -> list[str]:
        """All options that there are."""
        return list(self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        """End the program with status 2."""
        for word in self._words:
            if word.startswith('-') and Path(word).exists():
                message = f'{word} is taken for an option; write ./{word}'
        self.exit(2, f'{self.prog}: {message} (see {self.prog} --help)\n')


def unknown_words(parser: OneLineParser, words: Sequence[str]) -> str:
    """What to say of words that a command does not know."""
    for word in words:
        near = get_close_matches(word.partition('=')[0], parser.flags, 1, 0.75)
        if word.startswith('-') and near:
            return f'there is no option {word}; did you mean {near[0]}?'
    return f'unrecognized arguments: {" ".join(words)}'


def add_match_options(
    parser: argparse.ArgumentParser, only: Collection[str] | None = None
) -> None:
    """Add a flag for every parameter of a match.

    ``only``: names of the parameters that the command looks at; all by
    default.
    """
    group = parser.add_argument_group('matching')
    for field in fields(MatchOptions):
        if only is not None and field.name not in only:
            continue
        default = getattr(DEFAULTS, field.name)
        name = FLAGS.get(field.name, field.name)
        flag = '--' + name.replace('_', '-')
        # argparse reads % as the start of a format.
        text = parameter_text(field.name).replace('%', '%%')
        if isinstance(default, bool):
            group.add_argument(
                flag,
                action=argparse.BooleanOptionalAction,
                dest=field.name,
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

    Raises InputError if one is out of its limits.
    """
    given = vars(arguments)
    names = [field.name for field in fields(MatchOptions)]
    return MatchOptions(**{n: given[n] for n in names if n in given})


def add_json_option(
    parser: argparse.ArgumentParser,
    text: str = 'print one JSON object instead of text',
) -> None:
    """Add the choice of JSON."""
    parser.add_argument('--json', action='store_true', help=text)


def add_out_option(parser: argparse.ArgumentParser) -> None:
    """Add the folder for the results."""
    parser.add_argument(
        '--out',
        metavar='DIR',
        required=True,
        help='folder for the results; files in it that were changed since a '
        'run wrote them, or that none has written, are not overwritten',
    )


def tell_facts(
    arguments: argparse.Namespace, facts: dict[str, Any], text: str
) -> None:
    """Write what has come out to standard output.

    ``facts``, ``text``: the same for programs, where JSON was asked for, and
    for people.
    """
    if arguments.json:
        write_json(facts)
    else:
        sys.stdout.write(text)


def write_json(value: dict[str, Any]) -> None:
    """Write one JSON object to standard output.

    ``value``: anything that JSON can hold; NaN is none of it.
    """
    json.dump(value, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write('\n')


def check_new_file(
    flag: str, path: str, ending: str, *read: str
) -> WrittenFiles:
    """Refuse a file to write that is probably meant to be something else.

    ``flag``: what the help calls it. ``ending``: which it must have, so that
    no argument too few writes to another file; empty for any. ``read``: files
    that are read.
    Returns: where it is to be noted when it is written.
    Raises InputError if it ends otherwise, is read, or is there and no run
    has left it so.
    """
    file = Path(path)
    if ending and file.suffix.lower() != ending:
        raise InputError(f'{flag} must end with {ending}, got {path}')
    ours = WrittenFiles(file.parent)
    ours.check(
        [file.name], read=map(Path, read), otherwise='choose another name'
    )
    return ours


def about_file(file: str, error: InputError) -> str:
    """What is wrong with one file of many, in a line that names it."""
    text = in_one_line(error, None)
    return text if Path(file).name in text else f'{file}: {text}'


def status_of(done: int, failed: int) -> int:
    """Exit status of a command that does many things, one after another.

    ``done``, ``failed``: how many could be done, and how many could not.
    Returns: 0 if all are done, 1 if some are, 2 if none is.
    """
    if not failed:
        return 0
    return 1 if done else 2


def tell_notices(notices: Iterable[str]) -> None:
    """Write what the readers decided to standard error, each once."""
    for notice in dict.fromkeys(notices):
        sys.stderr.write(f'napari-samnet: note: {notice}\n')


def read_named_values(
    flag: str, texts: Iterable[str], kinds: Mapping[str, type[Any]]
) -> dict[str, Any]:
    """Values from texts such as ``size=256``.

    ``texts``: ``NAME=VALUE`` each; dashes in names are underscores.
    ``kinds``: the names that there are, and the types of their values.
    Raises InputError if there is no such name, or a value is of another type.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition('=')
        name = name.strip().replace('-', '_')
        if not equals or name not in kinds:
            raise InputError(
                f'{flag} must be NAME=VALUE with a name of '
                f'{", ".join(kinds)}, got {text!r}'
            )
        values[name] = _typed(name, value.strip(), kinds[name])
    return values


def _typed(name: str, text: str, kind: type[Any]) -> Any:
    """A value from a text."""
    if kind is bool:
        known = {'true': True, 'false': False, '1': True, '0': False}
        if text.lower() not in known:
            raise InputError(f'{name} must be true or false, got {text!r}')
        return known[text.lower()]
    try:
        return kind(text)
    except ValueError:
        what = 'a whole number' if kind is int else 'a number'
        raise InputError(f'{name} must be {what}, got {text!r}') from None


def _positive(text: str) -> float:
    """A number above 0 from a flag."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(
            f'must be a number above 0, got {text!r}'
        )
    return value


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """Add how labels are read and written.

    ``parser``: parser of a command that reads labels of an image.
    """
    parser.add_argument(
        '--labels-as',
        metavar='FORMAT',
        help=f'write the warped labels for other programs too: '
        f'{", ".join(FORMATS)}; several with commas',
    )
    parser.add_argument(
        '--pixel-size',
        metavar='X',
        type=_positive,
        help='side of a pixel of SOURCE in micrometers, for labels in '
        'GeoJSON. Default: what its file says.',
    )
    parser.add_argument(
        '--label-unit',
        choices=('px', 'um'),
        default='',
        help='unit of labels in GeoJSON. Default: told apart.',
    )


def read_label_formats(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Formats of other programs from parsed flags.

    Raises InputError if there is no such format.
    """
    text = arguments.labels_as
    kinds = [] if text is None else [word.strip() for word in text.split(',')]
    for kind in kinds:
        if kind not in FORMATS:
            raise InputError(
                f'--labels-as must name some of {", ".join(FORMATS)}, got '
                f'{kind!r}'
            )
    return tuple(dict.fromkeys(kinds))


def add_write_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of files."""
    parser.add_argument(
        '--outputs',
        '--write',
        dest='write',
        metavar='NAME,NAME',
        help='which files to write, such as labels,points; what none of them '
        'needs is not computed. Default: all that there is something for: '
        f'{", ".join(FILES)}.',
    )


def read_write_option(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Keys of the files that are wanted, in their usual order.

    Raises InputError if there is no such file.
    """
    if arguments.write is None:
        return tuple(FILES)
    words = [word.strip() for word in arguments.write.split(',')]
    wanted = [SHORT.get(word, word) for word in words]
    for word in wanted:
        if word not in FILES:
            raise InputError(
                f'--outputs must name some of {", ".join(FILES)}, got {word!r}'
            )
    if 'transferred' in wanted and not arguments.attributes:
        raise InputError(
            '--outputs names transferred, which --no-attributes does not '
            'make: leave one of both out'
        )
    return tuple(key for key in FILES if key in wanted)
