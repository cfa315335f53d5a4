"""The ``napari-samnet`` command.

Standard output carries the result, one JSON object if asked for; progress
and messages go to standard error. What a user can put right ends with one
line and status 2, and so does Ctrl-C, with 130, from the first moment on:
nothing is imported here before somebody is there to catch it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns: exit status: 0 done, 1 done in part, 2 wrong input, 130
    interrupted.
    """
    try:
        from napari_samnet.cli.interrupts import after_imports

        with after_imports():
            from napari_samnet.cli.commands import run_command

            return run_command(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        sys.stderr.write('napari-samnet: interrupted\n')
        return 130
