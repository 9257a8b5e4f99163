"""Writing readings down: JSON Lines and CSV for programs, a table for people. All write row by row."""

import csv
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from mien.predict.reading import NO_FACE, OK, FaceReading

PIXEL_DECIMALS = 2
VALUE_DECIMALS = 6
MAX_SOURCE_COLUMNS = 56


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
        value = {
            "source": str(reading.source),
            "face": reading.face,
            "status": reading.status,
            "detail": reading.detail,
            "box_xyxy": _pixels(reading.box_xyxy),
            "score": _rounded(reading.score),
            "expression": reading.expression,
            "confidence": _rounded(reading.confidence),
            "probabilities": _rounded_probabilities(reading),
            "landmarks": _pixels(reading.landmarks),
            "valence": _rounded(reading.valence),
            "arousal": _rounded(reading.arousal),
        }
        self._stream.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


class CsvWriter:
    """One line a row; the box in four columns, ``p_<Class>`` for every class, landmarks as ``x;y;x;y;...``."""

    def __init__(self, stream: TextIO, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._csv = csv.writer(stream, lineterminator="\n")
        self._csv.writerow(
            (
                *("source", "face", "status", "detail", "box_x0", "box_y0", "box_x1", "box_y1", "score"),
                *("expression", "confidence", *(f"p_{name}" for name in self._classes)),
                *("landmarks", "valence", "arousal"),
            )
        )

    def write(self, reading: FaceReading) -> None:
        """Write one row."""
        probabilities = _rounded_probabilities(reading) or {}
        landmarks = [] if reading.landmarks is None else _pixels(reading.landmarks.reshape(-1))
        self._csv.writerow(
            (
                str(reading.source),
                reading.face,
                reading.status,
                reading.detail,
                *(_pixels(reading.box_xyxy) or [None] * 4),
                _rounded(reading.score),
                reading.expression,
                _rounded(reading.confidence),
                *(probabilities.get(name) for name in self._classes),
                ";".join(str(value) for value in landmarks),
                _rounded(reading.valence),
                _rounded(reading.arousal),
            )
        )


class TableWriter:
    """Aligned columns for a terminal. The width of the first is known before the first row: the names are."""

    def __init__(self, stream: TextIO, classes: Sequence[str], sources: Sequence[Path]) -> None:
        self._stream = stream
        longest = max((_columns(str(source)) for source in sources), default=0)
        self._source_columns = min(MAX_SOURCE_COLUMNS, max(longest, len("picture")))
        self._class_columns = max(len("expression"), *(_columns(name) for name in classes))
        self._has_header = False

    def write(self, reading: FaceReading) -> None:
        """Write one row, and the heading before the first."""
        if not self._has_header:
            self._line(("picture", "face", "expression", "conf.", "valence", "arousal"))
            self._has_header = True
        source = str(reading.source)
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
            )
        )

    def _line(self, cells: Sequence[str]) -> None:
        source, face, *rest = cells
        line = f"{_padded(_shortened(source, self._source_columns), self._source_columns)}  {face:>4}"
        if len(rest) == 1:
            line += f"  {rest[0]}"
        else:
            line += f"  {_padded(rest[0], self._class_columns)}" + "".join(
                f"  {cell:>7}" for cell in rest[1:]
            )
        self._stream.write(_printable(line.rstrip()) + "\n")


def _pixels(values: NDArray[np.float64] | None) -> Any:
    return None if values is None else np.round(values, PIXEL_DECIMALS).tolist()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, VALUE_DECIMALS)


def _rounded_probabilities(reading: FaceReading) -> dict[str, float] | None:
    if reading.probabilities is None:
        return None
    return {name: round(value, VALUE_DECIMALS) for name, value in reading.probabilities.items()}


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


def _printable(text: str) -> str:
    """Return a line that any terminal takes, whatever bytes a file name holds."""
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
