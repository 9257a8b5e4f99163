"""Prediction files: JSON Lines, CSV and Parquet, written row by row under a partial name until complete."""

import csv
import json
import logging
import os
import pkgutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO, TypeAlias

from mien.artifacts import claim_output, disk_errors, one_writer, publish, require_suffix
from mien.errors import ArtifactError
from mien.inference.interop import arrow_schema, valid_unicode, with_valid_source
from mien.inference.results import FacePrediction, flat_columns
from mien.predict.options import PEER_FORMATS, PREDICTION_FORMATS, PeerFormat
from mien.runtime.csv_text import CsvLines
from mien.tasks import NO_ANNOTATIONS, Annotations

_log = logging.getLogger(__name__)

# Width and height of the upright image that a row is of; None if it is unreadable.
SizeWh: TypeAlias = tuple[int, int] | None
# Rows per group of a Parquet file, which are buffered in memory.
PARQUET_GROUP_ROWS = 4096


class RowWriter(Protocol):
    """Anything that writes predictions row by row.

    A class that writes a file is in `PREDICTION_FORMATS` or `PEER_FORMATS` and has ``n_header_lines``, the lines before the
    first row, and `close` if something follows the last one. For a binary format the number is None; it then has a static
    method ``holds_rows`` that says whether a file has any. Its static method ``read_sources`` yields the source of each row
    of a finished file, for `--resume`; the layouts of other programs do not need it.
    """

    def write(self, row: FacePrediction, _size_wh: SizeWh = None, /) -> None:
        """Write one row."""


class JsonLinesWriter:
    """One JSON object per line, with every key in every line, null where there is no value."""

    n_header_lines = 0

    def __init__(
        self,
        stream: TextIO,
        _classes: Sequence[str] = (),
        _annotations: Annotations = NO_ANNOTATIONS,
        _columns: Sequence[str] = (),
    ) -> None:
        self._stream = stream

    def write(self, row: FacePrediction, _size_wh: SizeWh = None, /) -> None:
        """Write one row.

        Raises:
            ValueError: a number is not finite.
        """
        self.write_values(row.to_dict())

    def write_values(self, values: dict[str, Any]) -> None:
        """Write one row of any columns."""
        self._stream.write(json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n")

    @staticmethod
    def read_sources(path: Path) -> Iterator[str]:
        """Yield the source of each row."""
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["source"]


class CsvWriter:
    """One line per row; landmarks as ``x;y;x;y;...``."""

    n_header_lines = 1

    def __init__(
        self,
        stream: TextIO,
        classes: Sequence[str],
        annotations: Annotations = NO_ANNOTATIONS,
        columns: Sequence[str] = (),
    ) -> None:
        self._columns = columns or flat_columns(classes, annotations)
        self._csv = csv.writer(CsvLines(stream))
        self._csv.writerow(self._columns)

    def write(self, row: FacePrediction, _size_wh: SizeWh = None, /) -> None:
        """Write one row."""
        values = row.to_flat_dict()
        values["landmarks"] = ";".join(str(coordinate) for coordinate in values["landmarks"] or [])
        self.write_values(values)

    def write_values(self, values: dict[str, Any]) -> None:
        """Write one row of the columns."""
        self._csv.writerow([values.get(column) for column in self._columns])

    @staticmethod
    def read_sources(path: Path) -> Iterator[str]:
        """Yield the source of each row."""
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                yield row["source"]


class ParquetWriter:
    """The columns of `CsvWriter` with types; landmarks as a list of 136 numbers."""

    n_header_lines = None

    def __init__(
        self,
        file: BinaryIO,
        classes: Sequence[str],
        annotations: Annotations = NO_ANNOTATIONS,
        columns: Sequence[str] = (),
    ) -> None:
        import pyarrow as pa  # noqa: PLC0415 - only this format needs it
        from pyarrow import parquet  # noqa: PLC0415

        self._schema = arrow_schema(columns or flat_columns(classes, annotations))
        self._table_from_rows = pa.Table.from_pylist
        self._file = parquet.ParquetWriter(file, self._schema)
        self._group: list[dict[str, Any]] = []

    def write(self, row: FacePrediction, _size_wh: SizeWh = None, /) -> None:
        """Write one row; the file grows by groups of rows."""
        self.write_values(row.to_flat_dict())

    def write_values(self, values: dict[str, Any]) -> None:
        """Write one row of the columns."""
        self._group.append(with_valid_source(values))
        if len(self._group) >= PARQUET_GROUP_ROWS:
            self._write_group()

    def _write_group(self) -> None:
        self._file.write_table(self._table_from_rows(self._group, schema=self._schema))
        self._group = []

    @staticmethod
    def holds_rows(path: Path) -> bool:
        """Return whether a file has a readable row."""
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        try:
            return int(parquet.read_metadata(path).num_rows) > 0
        except pa.ArrowInvalid:  # a killed process leaves no footer
            return False

    @staticmethod
    def read_sources(path: Path) -> Iterator[str]:
        """Yield the source of each row."""
        from pyarrow import parquet  # noqa: PLC0415

        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["source"]):
                yield from batch.column("source").to_pylist()

    def close(self) -> None:
        """Write the last group and the footer, without which the file cannot be read."""
        if self._group:
            self._write_group()
        self._file.close()


@contextmanager
def claim_prediction_file(
    out: Path, *, force: bool, resume: bool = False, layout: PeerFormat | None = None
) -> Iterator[None]:
    """Reserve a prediction file before any work. An existing one stays until the new one is complete.

    Args:
        out: the file.
        force: replace it, and discard the rows that an interrupted run left.
        resume: discard only the latter: they are written again.
        layout: another program's layout, in place of mien's own.

    Raises:
        ArtifactError: its suffix is not a known format, it exists or is being written, or an interrupted run left rows
            and ``force`` is not set.
    """
    writer = _find_writer(out, layout)
    if out.is_dir() and force:
        raise ArtifactError(
            f"--out {out} is a folder, but predictions are written to a file. Choose another path"
        )
    with one_writer(out):
        claim_output(out, force=force)
        partial = _partial_path(out)
        if _holds_rows(partial, writer) and not (force or resume):
            raise ArtifactError(
                f"{partial} holds the rows of an interrupted run. Rename it to keep them, or add --force to discard "
                "them and start over"
            )
        yield


def read_sources(out: Path) -> set[str] | None:
    """Return the sources that a finished prediction file has rows of, see `valid_unicode`.

    None if there is no such file, or it is not one of mien's.
    """
    try:
        sources = _find_writer(out, None).read_sources(out)
        return {valid_unicode(source) for source in sources}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error):
        return None


@contextmanager
def open_prediction_file(
    out: Path,
    classes: Sequence[str],
    annotations: Annotations = NO_ANNOTATIONS,
    *,
    force: bool,
    layout: PeerFormat | None = None,
    columns: Sequence[str] = (),
) -> Iterator[Any]:
    """Yield a writer of rows. The file has a partial name until all rows are written, and keeps it if interrupted.

    However the process ends, the rows written so far are in it, each complete; a Parquet file of a killed process has
    none.

    Args:
        out: the file, whose suffix selects the format; claimed by `claim_prediction_file`.
        classes: the classes with a probability column.
        annotations: the columns of the model's optional tasks.
        force: replace a file that exists by then.
        layout: that of another program, or None for mien's own.
        columns: others than those of `flat_columns`, for a format of mien's own. Its writer also has a method
            ``write_values``, which takes a row by column.

    Raises:
        ArtifactError: the suffix is not a known format.
    """
    open_writer = _find_writer(out, layout)
    partial = _partial_path(out)
    arguments = (classes, annotations, *([columns] if columns else []))
    with disk_errors(out):
        if os.path.lexists(partial):
            _log.warning("%s is left over from an interrupted run, and is replaced", partial)
        partial.unlink(missing_ok=True)
        try:
            if open_writer.n_header_lines is None:
                with (
                    partial.open("xb") as file,
                    closing(open_writer(file, *arguments)) as writer,
                ):
                    yield writer
            else:
                # A file name that is not valid Unicode is written with escapes that JSON can read. Line by line, so
                # that a killed process leaves complete ones.
                with partial.open(
                    "x", buffering=1, encoding="utf-8", errors="backslashreplace", newline=""
                ) as text:
                    writer = open_writer(text, *arguments)
                    yield writer
                    if hasattr(writer, "close"):
                        writer.close()
        except BaseException:
            if not _holds_rows(partial, open_writer):
                partial.unlink(missing_ok=True)
            raise
        publish(partial, out, replace=force)


def _find_writer(out: Path, layout: PeerFormat | None) -> Any:
    """Return the class that writes the format that a file's suffix, or the layout, selects.

    Raises:
        ArtifactError: the suffix selects none, or is not that of the layout.
    """
    if layout is not None:
        suffix, writer = PEER_FORMATS[layout]
        require_suffix(out, (suffix,), option=f"--format {layout} --out")
        return pkgutil.resolve_name(writer)
    suffix = require_suffix(out, PREDICTION_FORMATS, option="--out")
    return pkgutil.resolve_name(PREDICTION_FORMATS[suffix])


def _partial_path(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _holds_rows(partial: Path, writer: Any) -> bool:
    """Return whether a partial file has a readable row, or is something that only a person may remove."""
    if not os.path.lexists(partial):
        return False
    if partial.is_symlink() or not partial.is_file():
        return True
    if writer.n_header_lines is None:
        return bool(writer.holds_rows(partial))
    n_header_lines: int = writer.n_header_lines
    with partial.open("rb") as file:
        return len(list(islice(file, n_header_lines + 1))) > n_header_lines
