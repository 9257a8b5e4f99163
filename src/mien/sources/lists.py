"""CSV lists as raw sets have them: columns found by name, rows streamed, damage told in one line.

A file that cannot be trusted as a whole (no text, another encoding, an open quote) is a `DatasetError`. A
single row with the wrong number of columns is not: it comes with `PROBLEM` set, to be rejected on its own.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mien.errors import DatasetError
from mien.inputs import open_regular

# The field of a row that cannot be read, with the reason as text.
PROBLEM = "problem"

# No line of a list comes near this many characters; a file without line ends is not read whole.
MAX_LINE_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class CsvList:
    """A CSV file whose columns are known. Picklable.

    Attributes:
        path: the file; a name that ends in ``.gz`` is unpacked while reading.
        columns: place of each column found, by mien's name for it.
        width: number of columns.
        header: the names in the first line, empty where that is a row already.
    """

    path: Path
    columns: dict[str, int]
    width: int
    header: tuple[str, ...] = ()

    def unread(self, *, without: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return the note on columns that are not read, in no sentence where all are.

        Args:
            without: names of `columns` that are not read either.
        """
        read = {place for name, place in self.columns.items() if name not in without}
        names = [name or "(no name)" for place, name in enumerate(self.header) if place not in read]
        return (f"Columns not read in `{self.path.name}`: {', '.join(names)}.",) if names else ()

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield each row's 1-based number and its cells by column name; blank lines are no rows.

        Raises:
            DatasetError: the file cannot be read to its end.
        """
        with closing(_read_cells(self.path)) as lines:
            if self.header:
                next(lines, None)
            for number, cells in enumerate(lines, start=1):
                if len(cells) != self.width and (len(cells) < self.width or any(cells[self.width :])):
                    yield number, {PROBLEM: f"the row has {len(cells)} columns, the list has {self.width}"}
                else:
                    yield number, {name: cells[place] for name, place in self.columns.items()}


def open_list(path: Path, spellings: Mapping[str, tuple[str, ...]], *, required: tuple[str, ...]) -> CsvList:
    """Find a list's columns by the names in its first line, in any order, capitals and blanks aside.

    Args:
        path: the file.
        spellings: for each column mien knows, the names it may have in the file, the preferred first.
        required: the columns that must be there.

    Raises:
        DatasetError: the file cannot be read, or a required column is missing or stands there twice.
    """
    names = tuple(cell.strip() for cell in read_first_row(path))
    header = [name.lower() for name in names]
    columns: dict[str, int] = {}
    for name, accepted in spellings.items():
        found = next((spelling for spelling in accepted if spelling.lower() in header), None)
        if found is None:
            continue
        if header.count(found.lower()) > 1:
            raise DatasetError(f"`{path}` has more than one column `{found}`: rename or remove one of them")
        columns[name] = header.index(found.lower())
    missing = [" or ".join(spellings[name]) for name in required if name not in columns]
    if missing:
        raise DatasetError(
            f"`{path}` must begin with a line of column names, separated by commas, with "
            f"{_quoted(missing)}; it begins with {_shortened(header)}"
        )
    return CsvList(path=path, columns=columns, width=len(header), header=names)


def read_first_row(path: Path) -> list[str]:
    """Return the cells of a list's first line.

    Raises:
        DatasetError: the file cannot be read, or is empty.
    """
    with closing(_read_cells(path)) as lines:
        cells = next(lines, None)
    if cells is None:
        raise DatasetError(f"`{path}` is empty, where a CSV list was expected: copy it again")
    return cells


def _read_cells(path: Path) -> Generator[list[str], None, None]:
    """Yield the cells of each line that is not blank."""
    try:
        with _open_text(path) as file:
            reader = csv.reader(_checked_lines(file, path), strict=True)
            try:
                for cells in reader:
                    if len(cells) > 1 or any(cell.strip() for cell in cells):
                        yield cells
            except csv.Error as error:
                raise DatasetError(
                    f"`{path}` cannot be read as CSV near line {reader.line_num}: {error}; correct that line"
                ) from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"`{path}` cannot be read: {reason}") from None


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    # Undecodable bytes pass as surrogates, so that `_checked_lines` can name the line they are in.
    with open_regular(path) as file:
        data = gzip.GzipFile(fileobj=file) if path.suffix.lower() == ".gz" else file
        with io.TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            yield text


def _checked_lines(file: TextIO, path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE_CHARACTERS):
        number += 1
        if len(line) == MAX_LINE_CHARACTERS:
            raise DatasetError(f"`{path}` is no CSV list: line {number} has over {len(line):,} characters")
        if "\0" in line:
            raise DatasetError(
                f"`{path}` must be UTF-8 text, but line {number} holds a zero byte: it is damaged, "
                "or saved as UTF-16; save it as CSV in UTF-8"
            )
        if not line.isascii():
            _require_utf8(line, path, number)
        yield line


def _require_utf8(line: str, path: Path, number: int) -> None:
    try:
        line.encode("utf-8")
    except UnicodeEncodeError as error:
        byte = ord(line[error.start]) & 0xFF
        raise DatasetError(
            f"`{path}` must be UTF-8 text, but line {number} holds the byte 0x{byte:02x}: "
            "save it as CSV in UTF-8"
        ) from None


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _shortened(cells: list[str]) -> str:
    shown = ", ".join(repr(cell[:40]) for cell in cells[:12])
    return f"{shown}, ..." if len(cells) > 12 else shown
