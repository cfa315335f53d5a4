"""The code blocks of a page, as a reader would type them.

A comment before a block, ``<!-- check: WORD -->``, says how the tests check
it; without one it is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ['Block', 'read_blocks']

_BLOCK = re.compile(
    r'(?:^<!-- check: (?P<check>\w+) -->\n+)?'
    r'^(?P<fence>`{3,})(?P<language>python|bash|sh|shell|console)\n'
    r'(?P<code>.*?)^(?P=fence)$',
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One code block.

    Parameters
    ----------
    language : str
        As it is named after the fence.
    check : str
        How it is checked; 'run' if the page does not say.
    code : str
        Its lines.
    line : int
        Where the code begins in its page, from 1.
    """

    language: str
    check: str
    code: str
    line: int


def read_blocks(page: Path) -> list[Block]:
    """Read the blocks in Python and shell of a page.

    Parameters
    ----------
    page : Path
        Markdown file.

    Returns
    -------
    list of Block
        In the page's order.
    """
    text = page.read_text(encoding='utf-8')
    return [
        Block(
            language=found['language'],
            check=found['check'] or 'run',
            code=found['code'],
            line=text.count('\n', 0, found.start('code')) + 1,
        )
        for found in _BLOCK.finditer(text)
    ]
