"""Prediction files: JSON Lines, CSV and Parquet, written row by row under a partial name until complete."""

import csv
import json
import logging
import os
import pkgutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

from mien.artifacts import claim_output, disk_errors, one_writer, publish, require_suffix
from mien.errors import ArtifactError
from mien.faces.quality import FaceQuality
from mien.inference.results import FacePrediction
from mien.predict.options import PREDICTION_FORMATS
from mien.runtime.csv_text import CsvLines
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations

_log = logging.getLogger(__name__)

BOX_COLUMNS = ("box_x0", "box_y0", "box_x1", "box_y1")
# Rows per group of a Parquet file, which are buffered in memory.
PARQUET_GROUP_ROWS = 4096


class RowWriter(Protocol):
    """Anything that writes predictions row by row.

    A class that writes a file is in `PREDICTION_FORMATS` and has ``n_header_lines``, the lines before the first row. For a
    binary format that is None; it then has `close`, and a static method ``holds_rows`` that says whether a file has any.
    """

    def write(self, row: FacePrediction) -> None:
        """Write one row."""


class JsonLinesWriter:
    """One JSON object per line, with every key in every line, null where there is no value."""

    n_header_lines = 0

    def __init__(
        self,
        stream: TextIO,
        _classes: Sequence[str] = (),
        _annotations: Annotations = NO_ANNOTATIONS,
    ) -> None:
        self._stream = stream

    def write(self, row: FacePrediction) -> None:
        """Write one row.

        Raises:
            ValueError: a number is not finite.
        """
        self._stream.write(json.dumps(row.to_dict(), ensure_ascii=False, allow_nan=False) + "\n")


def flat_columns(classes: Sequence[str], annotations: Annotations = NO_ANNOTATIONS) -> tuple[str, ...]:
    """Return the columns of CSV and Parquet: four for the box, then those of each task, ``p_<Class>`` first."""
    return (
        *("source", "frame", "seconds", "face", "track", "status", "detail", *BOX_COLUMNS, "score"),
        *("found_by", "expression", "confidence", "reason", *(field.name for field in fields(FaceQuality))),
        *(name for task in TASKS.values() for name in task.columns(tuple(classes), annotations)),
    )


def flatten(row: FacePrediction) -> dict[str, Any]:
    """Return a row's values by `flat_columns`, the landmarks as 136 numbers x, y, x, y, ..."""
    values = row.to_dict()
    values.update(zip(BOX_COLUMNS, values.pop("box_xyxy") or [None] * 4, strict=True))
    values.update({f"p_{name}": number for name, number in (values.pop("probabilities") or {}).items()})
    for name in [name for name, value in values.items() if isinstance(value, dict)]:
        values.update(values.pop(name))
    if values["landmarks"] is not None:
        values["landmarks"] = [coordinate for point in values["landmarks"] for coordinate in point]
    return values


class CsvWriter:
    """One line per row; landmarks as ``x;y;x;y;...``."""

    n_header_lines = 1

    def __init__(
        self, stream: TextIO, classes: Sequence[str], annotations: Annotations = NO_ANNOTATIONS
    ) -> None:
        self._columns = flat_columns(classes, annotations)
        self._csv = csv.writer(CsvLines(stream))
        self._csv.writerow(self._columns)

    def write(self, row: FacePrediction) -> None:
        """Write one row."""
        values = flatten(row)
        values["landmarks"] = ";".join(str(coordinate) for coordinate in values["landmarks"] or [])
        self._csv.writerow([values.get(column) for column in self._columns])


class ParquetWriter:
    """The columns of `CsvWriter` with types; landmarks as a list of 136 numbers."""

    n_header_lines = None

    def __init__(
        self, file: BinaryIO, classes: Sequence[str], annotations: Annotations = NO_ANNOTATIONS
    ) -> None:
        import pyarrow as pa  # noqa: PLC0415 - only this format needs it
        from pyarrow import parquet  # noqa: PLC0415

        types = dict.fromkeys(("source", "status", "detail", "found_by", "expression", "reason"), pa.string())
        types |= dict.fromkeys(("frame", "face", "track"), pa.int64())
        types["landmarks"] = pa.list_(pa.float32())
        columns = flat_columns(classes, annotations)
        self._schema = pa.schema([(column, types.get(column, pa.float64())) for column in columns])
        self._table_from_rows = pa.Table.from_pylist
        self._file = parquet.ParquetWriter(file, self._schema)
        self._group: list[dict[str, Any]] = []

    def write(self, row: FacePrediction) -> None:
        """Write one row; the file grows by groups of rows."""
        values = flatten(row)
        # A file name that is not valid Unicode is written with Python's escapes.
        values["source"] = values["source"].encode("utf-8", "backslashreplace").decode("utf-8")
        self._group.append(values)
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

    def close(self) -> None:
        """Write the last group and the footer, without which the file cannot be read."""
        if self._group:
            self._write_group()
        self._file.close()


@contextmanager
def claim_prediction_file(out: Path, *, force: bool) -> Iterator[None]:
    """Reserve a prediction file before any work. An existing one stays until the new one is complete.

    Raises:
        ArtifactError: its suffix is not a known format, it exists or is being written, or an interrupted run left rows
            and ``force`` is not set.
    """
    _find_writer(out)
    if out.is_dir() and force:
        raise ArtifactError(
            f"--out {out} is a folder, but predictions are written to a file. Choose another path"
        )
    with one_writer(out):
        claim_output(out, force=force)
        partial = _partial_path(out)
        if _holds_rows(partial) and not force:
            raise ArtifactError(
                f"{partial} holds the rows of an interrupted run. Rename it to keep them, or add --force to discard "
                "them and start over"
            )
        yield


@contextmanager
def open_prediction_file(
    out: Path,
    classes: Sequence[str],
    annotations: Annotations = NO_ANNOTATIONS,
    *,
    force: bool,
) -> Iterator[RowWriter]:
    """Yield a writer of rows. The file has a partial name until all rows are written, and keeps it if interrupted.

    However the process ends, the rows written so far are in it, each complete; a Parquet file of a killed process has
    none.

    Args:
        out: the file, whose suffix selects the format; claimed by `claim_prediction_file`.
        classes: the classes with a probability column.
        annotations: the columns of the model's optional tasks.
        force: replace a file that exists by then.

    Raises:
        ArtifactError: the suffix is not a known format.
    """
    open_writer = _find_writer(out)
    partial = _partial_path(out)
    with disk_errors(out):
        if os.path.lexists(partial):
            _log.warning("%s is left over from an interrupted run, and is replaced", partial)
        partial.unlink(missing_ok=True)
        try:
            if open_writer.n_header_lines is None:
                with (
                    partial.open("xb") as file,
                    closing(open_writer(file, classes, annotations)) as writer,
                ):
                    yield writer
            else:
                # A file name that is not valid Unicode is written with escapes that JSON can read. Line by line, so
                # that a killed process leaves complete ones.
                with partial.open(
                    "x", buffering=1, encoding="utf-8", errors="backslashreplace", newline=""
                ) as text:
                    yield open_writer(text, classes, annotations)
        except BaseException:
            if not _holds_rows(partial):
                partial.unlink(missing_ok=True)
            raise
        publish(partial, out, replace=force)


def _find_writer(out: Path) -> Any:
    """Return the class that writes the format that a file's suffix selects.

    Raises:
        ArtifactError: it selects none.
    """
    suffix = require_suffix(out, PREDICTION_FORMATS, option="--out")
    return pkgutil.resolve_name(PREDICTION_FORMATS[suffix])


def _partial_path(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _holds_rows(partial: Path) -> bool:
    """Return whether a partial file has a readable row, or is something that only a person may remove."""
    if not os.path.lexists(partial):
        return False
    if partial.is_symlink() or not partial.is_file():
        return True
    writer = _find_writer(partial.with_suffix(""))
    if writer.n_header_lines is None:
        return bool(writer.holds_rows(partial))
    n_header_lines: int = writer.n_header_lines
    with partial.open("rb") as file:
        return len(list(islice(file, n_header_lines + 1))) > n_header_lines
