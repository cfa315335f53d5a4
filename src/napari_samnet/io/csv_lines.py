"""CSV files as programs and spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_samnet.errors import InputError, cannot, in_one_line

#: Names of columns that a message shows, and letters of each.
SHOWN_NAMES, SHOWN_LETTERS = 8, 30

#: What stands between values. Where a comma is the sign of decimals, a
#: spreadsheet puts semicolons there.
SEPARATORS = ',;\t'


@dataclass(frozen=True)
class CsvLines:
    """The lines of a file that are not empty."""

    #: Number of each line, from 1, and its values.
    lines: list[tuple[int, list[str]]]
    #: What stands between values.
    separator: str = ','

    @property
    def header(self) -> list[str]:
        """Values of the first line, without spaces around them."""
        return (
            [name.strip() for name in self.lines[0][1]] if self.lines else []
        )

    @property
    def shown_header(self) -> str:
        """The first line for a message, however long it is."""
        names = [name[:SHOWN_LETTERS] for name in self.header]
        more = ['…'] if len(names) > SHOWN_NAMES else []
        return ', '.join([*names[:SHOWN_NAMES], *more]) or 'nothing'

    def number(self, text: str) -> float:
        """Value of a cell; raises ValueError if it is no number."""
        if self.separator != ',':
            text = text.replace(',', '.')
        return float(text)

    def numbers(
        self,
        places: Sequence[int],
        what: str,
        *,
        after: int = 1,
        finite: bool = True,
    ) -> npt.NDArray[np.float64]:
        """Values of some columns.

        ``places``: the columns. ``what``: what is read, and from which file,
        for messages. ``after``: lines at the beginning that have none.
        Returns: (N, columns). Raises InputError at the first line that lacks
        one, or where one is no number, or, if wanted so, no finite one.
        """
        rows = []
        for line, cells in self.lines[after:]:
            for place in places:
                cell = cells[place].strip() if place < len(cells) else ''
                try:
                    value = self.number(cell)
                except ValueError:
                    value = None
                if value is None or (finite and not isfinite(value)):
                    raise InputError(
                        f'{what} must be {"finite " * finite}numbers; line '
                        f'{line} has {cell[:SHOWN_LETTERS]!r}: correct the '
                        f'line, or leave it out'
                    )
                rows.append(value)
        return np.array(rows, float).reshape(-1, len(places))


def read_csv(path: Path) -> CsvLines:
    """Read a file of values between commas, semicolons or tabs.

    ``path``: text in UTF-8, or in UTF-16 with a mark of the order of bytes.
    Raises OSError if it cannot be opened, InputError if it is no such text.
    """
    content = path.read_bytes()
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode('utf-16' if marked else 'utf-8-sig')
        first = next(filter(str.strip, text.splitlines()), '')
        separator = max(SEPARATORS, key=first.count)
        reader = csv.reader(io.StringIO(text, newline=''), delimiter=separator)
        return CsvLines(
            [
                (reader.line_num, cells)
                for cells in reader
                if any(cell.strip() for cell in cells)
            ],
            separator,
        )
    except UnicodeError:
        if b'\0' in content:
            raise InputError(
                f'{path} is no text; expected a CSV file'
            ) from None
        raise InputError(
            f'{path} is not a CSV text file in UTF-8; if it is text, save it '
            'again as "CSV UTF-8"'
        ) from None
    except csv.Error as error:
        raise InputError(
            f'{path} cannot be read as a CSV file: {in_one_line(error)}'
        ) from None


def read_csv_of(what: str, path: Path) -> CsvLines:
    """Read a file like :func:`read_csv`, saying what it was to hold.

    ``what``: such as 'points', which each message begins with.
    Raises InputError if there is no such file, it cannot be opened, or it is
    no such text.
    """
    if not path.is_file():
        raise InputError(f'{what}: there is no file {path}')
    try:
        return read_csv(path)
    except OSError as error:
        raise cannot(f'read the {what} of {path}', error) from None
    except InputError as error:
        raise InputError(f'{what}: {error}') from None


def csv_text(lines: Iterable[Iterable[object]], end: str = '\r\n') -> str:
    """Text of a CSV file, its lines ended as the standard has it."""
    text = io.StringIO(newline='')
    csv.writer(text, lineterminator=end).writerows(lines)
    return text.getvalue()


def place_of(header: list[str], name: str) -> int | None:
    """Column of a name, as it is or else in other capitals; None without."""
    if name in header:
        return header.index(name)
    small = [other.casefold() for other in header]
    return small.index(name.casefold()) if name.casefold() in small else None
