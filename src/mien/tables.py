"""CSV as mien writes it: UTF-8, a line ends with LF, and every cell reads back as it was.

Cells are not altered for programs that take a cell beginning with ``=`` for a formula: paths must stay exact.
"""

from typing import Protocol


class Lines(Protocol):
    """A text stream that was opened with ``newline=""``."""

    def write(self, text: str, /) -> object:
        """Take text."""


class CsvLines:
    r"""What `csv.writer` and `csv.DictWriter` write through.

    They quote a cell with a line break only where the break is a part of their line end, up to Python 3.12: a carriage
    return in a file's name would begin a new row. So they end lines with CRLF, of which LF arrives.

    Example:
        >>> import csv, io
        >>> text = io.StringIO()
        >>> csv.writer(CsvLines(text)).writerow(["a\rb", 1])
        >>> text.getvalue()
        '"a\rb",1\n'
    """

    def __init__(self, stream: Lines) -> None:
        self._stream = stream

    def write(self, row: str) -> None:
        """Write one row, which ends with CRLF."""
        self._stream.write(row.removesuffix("\r\n") + "\n")
