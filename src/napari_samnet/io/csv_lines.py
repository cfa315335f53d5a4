"""CSV files as programs and spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_samnet.errors import InputError, in_one_line

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

    def number(self, text: str) -> float:
        """Value of a cell; raises ValueError if it is no number."""
        if self.separator != ',':
            text = text.replace(',', '.')
        return float(text)


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
    except (UnicodeError, csv.Error) as error:
        raise InputError(
            f'{path} is not a CSV text file in UTF-8: {in_one_line(error)}'
        ) from None


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
