"""Writing readings down: JSON Lines, CSV and Parquet for programs, a table for people. All write row by row."""

import csv
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

from mien.reading.readings import NO_FACE, OK, FaceReading, in_order_of_probability
from mien.tables import CsvLines
from mien.terminal import on_one_line

MAX_SOURCE_COLUMNS = 56
# Rows that wait in memory for their place in a Parquet file.
PARQUET_GROUP_ROWS = 4096


class RowWriter(Protocol):
    """Takes readings one by one."""

    def write(self, reading: FaceReading) -> None:
        """Write one row."""


class JsonLinesWriter:
    """One JSON object a line, every key in every line, null where there is nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, reading: FaceReading) -> None:
        """Write one row.

        Raises:
            ValueError: a number is not finite.
        """
        self._stream.write(json.dumps(reading.to_dict(), ensure_ascii=False, allow_nan=False) + "\n")


BOX_COLUMNS = ("box_x0", "box_y0", "box_x1", "box_y1")


def flat_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of CSV and Parquet: the box in four, ``p_<Class>`` for every class."""
    return (
        *("source", "frame", "seconds", "face", "track", "status", "detail", *BOX_COLUMNS, "score"),
        *("expression", "confidence", *(f"p_{name}" for name in classes)),
        *("landmarks", "valence", "arousal"),
    )


def flatten(reading: FaceReading) -> dict[str, Any]:
    """Return a row by `flat_columns`, the landmarks as 136 numbers x, y, x, y, ..."""
    row = reading.to_dict()
    row.update(zip(BOX_COLUMNS, row.pop("box_xyxy") or [None] * 4, strict=True))
    row.update({f"p_{name}": share for name, share in (row.pop("probabilities") or {}).items()})
    if row["landmarks"] is not None:
        row["landmarks"] = [value for point in row["landmarks"] for value in point]
    return row


class CsvWriter:
    """One line a row; landmarks as ``x;y;x;y;...``."""

    def __init__(self, stream: TextIO, classes: Sequence[str]) -> None:
        self._columns = flat_columns(classes)
        self._csv = csv.writer(CsvLines(stream))
        self._csv.writerow(self._columns)

    def write(self, reading: FaceReading) -> None:
        """Write one row."""
        row = flatten(reading)
        row["landmarks"] = ";".join(str(value) for value in row["landmarks"] or [])
        self._csv.writerow([row.get(column) for column in self._columns])


class ParquetWriter:
    """The columns of `CsvWriter` with their types; landmarks as a list of 136 numbers."""

    def __init__(self, file: BinaryIO, classes: Sequence[str]) -> None:
        import pyarrow as pa  # noqa: PLC0415 - only this format waits for it
        from pyarrow import parquet  # noqa: PLC0415

        text = ("source", "status", "detail", "expression")
        whole = ("frame", "face", "track")

        def type_of(column: str) -> Any:
            if column in text:
                return pa.string()
            if column in whole:
                return pa.int64()
            return pa.list_(pa.float32()) if column == "landmarks" else pa.float64()

        self._schema = pa.schema([(column, type_of(column)) for column in flat_columns(classes)])
        self._table_of = pa.Table.from_pylist
        self._file = parquet.ParquetWriter(file, self._schema)
        self._waiting: list[dict[str, Any]] = []

    def write(self, reading: FaceReading) -> None:
        """Write one row, in groups."""
        row = flatten(reading)
        # A file name that is no text is written in the notation of Python.
        row["source"] = row["source"].encode("utf-8", "backslashreplace").decode("utf-8")
        self._waiting.append(row)
        if len(self._waiting) >= PARQUET_GROUP_ROWS:
            self._write_group()

    def _write_group(self) -> None:
        self._file.write_table(self._table_of(self._waiting, schema=self._schema))
        self._waiting = []

    def close(self) -> None:
        """Write the last group and the file's end, without which it cannot be read."""
        if self._waiting:
            self._write_group()
        self._file.close()


def holds_parquet_rows(path: Path) -> bool:
    """Whether a file has a row that can be read: a Parquet file without its end, as a kill leaves it, has none."""
    import pyarrow as pa  # noqa: PLC0415 - only this format waits for it
    from pyarrow import parquet  # noqa: PLC0415

    try:
        return int(parquet.read_metadata(path).num_rows) > 0
    except pa.ArrowInvalid:
        return False


class TableWriter:
    """Aligned columns for a terminal, which takes every character (`on_one_line`). The width of the first is known before the first row: the names are."""

    def __init__(
        self, stream: TextIO, classes: Sequence[str], sources: Sequence[str], *, top: int | None = None
    ) -> None:
        self._stream = stream
        self._top = top or 1
        longest = max((_columns(on_one_line(source)) for source in sources), default=0)
        self._source_columns = min(MAX_SOURCE_COLUMNS, max(longest, len("picture")))
        self._class_columns = max(len("expression"), *(_columns(name) for name in classes))
        self._has_header = False

    def write(self, reading: FaceReading) -> None:
        """Write one row, and the heading before the first."""
        if not self._has_header:
            likeliest = ("likeliest",) if self._top > 1 else ()
            self._line(("picture", "face", "expression", "conf.", "valence", "arousal", *likeliest))
            self._has_header = True
        source = on_one_line(reading.source)
        if reading.status != OK:
            what = "no face found" if reading.status == NO_FACE else f"{reading.status}: {reading.detail}"
            self._line((source, "-", what))
            return
        self._line(
            (
                source,
                str(reading.face),
                str(reading.expression),
                f"{reading.confidence or 0:.0%}",
                "-" if reading.valence is None else f"{reading.valence:+.2f}",
                "-" if reading.arousal is None else f"{reading.arousal:+.2f}",
                *self._likeliest(reading),
            )
        )

    def _likeliest(self, reading: FaceReading) -> tuple[str, ...]:
        """Return the cell that names several classes, where several were asked for."""
        if self._top < 2 or reading.probabilities is None:
            return ()
        ordered = in_order_of_probability(reading.probabilities)[: self._top]
        return (", ".join(f"{name} {share:.0%}" for name, share in ordered),)

    def _line(self, cells: Sequence[str]) -> None:
        source, face, *rest = cells
        line = f"{_padded(_shortened(source, self._source_columns), self._source_columns)}  {face:>4}"
        if len(rest) == 1:
            line += f"  {rest[0]}"
        else:
            line += f"  {_padded(rest[0], self._class_columns)}" + "".join(
                f"  {cell:>7}" for cell in rest[1:]
            )
        self._stream.write(on_one_line(line.rstrip()) + "\n")


def _columns(text: str) -> int:
    """Count terminal columns: East Asian characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - _columns(text))


def _shortened(text: str, columns: int) -> str:
    """Cut a name that is too long at its beginning, since its end tells more."""
    if _columns(text) <= columns:
        return text
    while _columns(text) > columns - 1:
        text = text[1:]
    return "…" + text
