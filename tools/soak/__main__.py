"""``python -m soak soak`` and ``python -m soak fuzz``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from napari_samnet.errors import InputError
from soak import cli, fuzz

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the two commands.

    Returns: 0 if nothing was found, 1 if something was, 2 for wrong arguments.
    """
    parser = argparse.ArgumentParser(prog='soak', description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    parts = {'soak': cli, 'fuzz': fuzz}
    for part in parts.values():
        part.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        return parts[arguments.command].run(arguments)
    except InputError as error:
        sys.stderr.write(f'soak: {" ".join(str(error).split())}\n')
        return 2


if __name__ == '__main__':
    raise SystemExit(main())
