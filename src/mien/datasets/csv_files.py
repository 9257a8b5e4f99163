"""CSV files of raw datasets: columns found by name, rows streamed, damage reported in one line.

A file that cannot be trusted (not text, another encoding, an unclosed quote) is a `DatasetError`. A single row with the
wrong number of columns is not: it has `PROBLEM` set, and only that row is rejected.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from mien.errors import DatasetError
from mien.faces.file_signatures import identify_format, read_signature
from mien.faces.images import IMAGE_SUFFIXES
from mien.runtime.regular_files import open_regular

# The field of a row that cannot be read, with the reason as text.
PROBLEM = "problem"

# Far more characters than any real line; a file without line breaks is not read to its end.
MAX_LINE_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file whose columns are known. Picklable.

    Attributes:
        path: the file; a name that ends in ``.gz`` is decompressed while reading.
        columns: index of each column that was found, by mien's name for it.
        width: number of columns.
        header: the names in the first line, empty if the first line is a data row.
        delimiter: what separates columns; a blank stands for any blanks, of which the last one counts if there are two
            columns, so that a path may contain some.
    """

    path: Path
    columns: dict[str, int]
    width: int
    header: tuple[str, ...] = ()
    delimiter: str = ","

    def note_ignored_columns(self, *, without: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a note on columns that are not used, or nothing if all are.

        Args:
            without: names in `columns` that are not used either.
        """
        used = {index for name, index in self.columns.items() if name not in without}
        header = self.header or tuple(str(number) for number in range(1, self.width + 1))
        names = [name or "(no name)" for index, name in enumerate(header) if index not in used]
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")
        return (f"Columns not used in `{self.path.name}`: {shown}.",) if names else ()

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the 1-based number of each row and its cells by column name; blank lines are skipped.

        Raises:
            DatasetError: the file cannot be read to its end.
        """
        for number, cells in self.cells():
            yield number, {PROBLEM: cells} if isinstance(cells, str) else self.fields_of(cells)

    def cells(self) -> Iterator[tuple[int, list[str] | str]]:
        """Yield the 1-based number of each row and all of its cells, or why it has no such cells.

        Raises:
            DatasetError: the file cannot be read to its end.
        """
        with closing(_read_cells(self.path, self.delimiter, self.width)) as lines:
            header = next(lines, None) if self.header else None
            for number, cells in enumerate(lines, start=1):
                if cells == header:
                    yield number, "the row repeats the names of the columns"
                elif len(cells) != self.width and (len(cells) < self.width or any(cells[self.width :])):
                    yield number, f"the row has {len(cells)} columns, the list has {self.width}"
                else:
                    yield number, cells

    def fields_of(self, cells: list[str]) -> dict[str, str]:
        """Return the cells that are read, by column name."""
        return {name: cells[index] for name, index in self.columns.items()}


def open_csv_file(
    path: Path, spellings: Mapping[str, tuple[str, ...]], *, required: tuple[str, ...]
) -> CsvFile:
    """Find the columns of a CSV file by the names in its first line, in any order, ignoring case and blanks.

    Args:
        path: the file.
        spellings: for each column that mien knows, its possible names in the file, in order of preference.
        required: the columns that must be present.

    Raises:
        DatasetError: the file cannot be read, or a required column is missing or appears twice.
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
    missing = [f"`{' or '.join(spellings[name])}`" for name in required if name not in columns]
    if missing:
        shown = ", ".join(repr(cell[:40]) for cell in header[:12]) + (", ..." if len(header) > 12 else "")
        raise DatasetError(
            f"`{path}` must begin with a line of column names, separated by commas, with "
            f"{', '.join(missing)}; it begins with {shown}"
        )
    return CsvFile(path=path, columns=columns, width=len(header), header=names)


def read_first_row(path: Path) -> list[str]:
    """Return the cells of the first line of a CSV file.

    Raises:
        DatasetError: the file cannot be read, or is empty.
    """
    with closing(_read_cells(path)) as lines:
        cells = next(lines, None)
    if cells is None:
        raise DatasetError(f"`{path}` is empty, expected a CSV file: copy it again")
    return cells


def read_first_rows(path: Path, limit: int) -> tuple[str, list[list[str]]]:
    """Return the delimiter of a list, found in its first line, and the cells of its first rows.

    Raises:
        DatasetError: the file cannot be read, or is empty.
    """
    with closing(_read_cells(path, "\n")) as lines:
        first = next(lines, None)
    if first is None:
        raise DatasetError(f"`{path}` is empty, expected a list of images: copy it again")
    line, delimiter, width = first[0].strip(), ",", 0
    if "\t" in line:
        delimiter = "\t"
    elif max(line.count(";"), line.count("|")) > line.count(","):
        delimiter = ";" if line.count(";") >= line.count("|") else "|"
    elif "," not in line and len(line.split()) > 1:
        delimiter = " "
        # One path with blanks and a label, or several columns.
        width = 2 if Path(line.rsplit(None, 1)[0]).suffix.lower() in IMAGE_SUFFIXES else 0
    with closing(_read_cells(path, delimiter, width)) as rows:
        return delimiter, list(islice(rows, limit))


def _read_cells(path: Path, delimiter: str = ",", width: int = 0) -> Generator[list[str], None, None]:
    r"""Yield the cells of each line that is not blank; for the delimiter ``\n``, the line itself."""
    try:
        with _open_text(path) as file:
            lines = _checked_lines(file, path)
            if delimiter in " \n":
                for line in lines:
                    if line.strip():
                        yield [line] if delimiter == "\n" else line.rsplit(None, 1 if width == 2 else -1)
                return
            reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
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


# What people give in place of a CSV file, and what to do with it.
_BINARY_ADVICE = {
    "zip": "a zip archive or an Excel workbook: unpack it, or save the sheet as CSV in UTF-8",
    "Excel 97": "an Excel workbook: save the sheet as CSV in UTF-8",
    "Parquet": 'a Parquet file: write it as CSV, for example with `pandas.read_parquet(FILE).to_csv("list.csv")`',
    "gzip": "a gzip file whose name lacks `.gz`: rename it",
}


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    # Bytes that are not UTF-8 become surrogates, so that `_checked_lines` can name their line.
    with open_regular(path) as file:
        is_utf_16 = file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff")  # as Excel saves "Unicode text"
        data = gzip.GzipFile(fileobj=file) if path.suffix.lower() == ".gz" else file
        encoding, errors = ("utf-16", "replace") if is_utf_16 else ("utf-8-sig", "surrogateescape")
        with io.TextIOWrapper(data, encoding=encoding, errors=errors, newline="") as text:
            yield text


def _checked_lines(file: TextIO, path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE_CHARACTERS):
        number += 1
        if len(line) == MAX_LINE_CHARACTERS:
            raise DatasetError(f"`{path}` is not a CSV file: line {number} has over {len(line):,} characters")
        if number == 1 and path.suffix.lower() != ".gz":
            name = identify_format(read_signature(path))
            if name not in (None, "BMP", "PPM"):  # two letters that a list may begin with
                advice = _BINARY_ADVICE.get(name, f"{name}: give the list of its images")
                raise DatasetError(f"`{path}` must be a text file, it is {advice}")
        if number == 1 and line[:4].lower() == "sep=" and len(line.strip()) == 5:
            continue  # Excel's statement of the delimiter
        if "\0" in line:
            raise DatasetError(
                f"`{path}` must be UTF-8 text, but line {number} contains a zero byte: it is damaged, "
                "or saved as UTF-16; save it as CSV in UTF-8"
            )
        if not line.isascii():
            try:
                line.encode("utf-8")
            except UnicodeEncodeError as error:
                byte = ord(line[error.start]) & 0xFF
                raise DatasetError(
                    f"`{path}` must be UTF-8 text, but line {number} contains the byte 0x{byte:02x}: save it as CSV in UTF-8, or "
                    f"convert it, with `iconv -f {_guess_encoding(line)} -t UTF-8` if that is its encoding"
                ) from None
        yield line


def _guess_encoding(line: str) -> str:
    """Return the name of the encoding that text with escaped bytes is most probably in: that of Chinese, or of Windows."""
    try:
        text = line.encode("utf-8", "surrogateescape").decode("gb2312")
    except UnicodeDecodeError:
        return "CP1252"
    return "GB18030" if any("\u4e00" <= character <= "\u9fff" for character in text) else "CP1252"


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the 1-based number and the text of each line of a list that is not a CSV; blank lines are skipped.

    Raises:
        DatasetError: the file cannot be read to its end.
    """
    try:
        with _open_text(path) as file:
            for number, line in enumerate(_checked_lines(file, path), start=1):
                if text := line.strip():
                    yield number, text
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"`{path}` cannot be read: {reason}") from None
