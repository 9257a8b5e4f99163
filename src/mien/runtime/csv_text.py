"""CSV as mien writes it: UTF-8, lines end with LF, and every cell reads back unchanged.

Cells that begin with ``=``, which spreadsheets take for formulas, are not escaped: paths must stay exact.
"""

from typing import Protocol


class TextStream(Protocol):
    """A text stream that was opened with ``newline=""``."""

    def write(self, text: str, /) -> object:
        """Write text."""


class CsvLines:
    r"""A stream for `csv.writer` and `csv.DictWriter` to write to.

    Up to Python 3.12 they quote a cell with a line break only if the break is part of their line terminator, so a
    carriage return in a file name would begin a new row. Here they terminate lines with CRLF, which becomes LF.

    Example:
        >>> import csv, io
        >>> text = io.StringIO()
        >>> csv.writer(CsvLines(text)).writerow(["a\rb", 1])
        >>> text.getvalue()
        '"a\rb",1\n'
    """

    def __init__(self, stream: TextStream) -> None:
        self._stream = stream

    def write(self, row: str) -> None:
        """Write one row that ends with CRLF."""
        self._stream.write(row.removesuffix("\r\n") + "\n")
