"""Readings as JSON Lines, CSV and a table."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest

from mien.inference.results import FacePrediction
from mien.predict.writers import CsvWriter, JsonLinesWriter, TableWriter

CLASSES = ("Neutral", "Happy")
FACE = FacePrediction(
    "in/ä, b.jpg",
    face=0,
    box_xyxy=np.array([1.234, 2, 3, 4]),
    score=0.987654321,
    expression="Happy",
    confidence=0.75,
    probabilities={"Neutral": 0.25, "Happy": 0.75},
    landmarks=np.arange(136, dtype=np.float64).reshape(68, 2) / 3,
    valence=0.5,
    arousal=-0.25,
)
NO_FACE = FacePrediction("empty.jpg", status="no_face")
UNREADABLE = FacePrediction("bad.jpg", status="not_an_image", detail='begins with b"<html>\n"')


def json_rows(*readings: FacePrediction) -> list[dict[str, Any]]:
    """Write and read back, refusing what is not strict JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    stream = io.StringIO()
    for reading in readings:
        JsonLinesWriter(stream).write(reading)
    return [json.loads(line, parse_constant=refuse) for line in stream.getvalue().splitlines()]


def csv_rows(*readings: FacePrediction) -> list[dict[str, str]]:
    """Write and read back."""
    stream = io.StringIO()
    writer = CsvWriter(stream, CLASSES)
    for reading in readings:
        writer.write(reading)
    return list(csv.DictReader(io.StringIO(stream.getvalue())))


def table_lines(*readings: FacePrediction) -> list[str]:
    """Write and split."""
    stream = io.StringIO()
    writer = TableWriter(stream, CLASSES, [reading.source for reading in readings])
    for reading in readings:
        writer.write(reading)
    return stream.getvalue().splitlines()


def test_json_holds_a_face() -> None:
    """Every field comes back; pixels to a hundredth, other numbers to a millionth."""
    (row,) = json_rows(FACE)
    assert row["source"] == "in/ä, b.jpg"
    assert row["box_xyxy"] == [1.23, 2, 3, 4]
    assert row["score"] == 0.987654
    assert list(row["probabilities"].items()) == [("Neutral", 0.25), ("Happy", 0.75)]
    np.testing.assert_allclose(row["landmarks"], FACE.landmarks, atol=0.005)
    assert (row["valence"], row["arousal"]) == (0.5, -0.25)


def test_json_rows_have_the_same_keys() -> None:
    """An image without a face, or unreadable, has null where there is nothing."""
    face, empty, bad = json_rows(FACE, NO_FACE, UNREADABLE)
    assert list(face) == list(empty) == list(bad)
    assert empty["status"] == "no_face"
    assert empty["landmarks"] is empty["face"] is empty["probabilities"] is None
    assert bad["detail"] == UNREADABLE.detail


def test_json_refuses_what_is_no_number() -> None:
    """NaN never reaches a file."""
    with pytest.raises(ValueError, match="Out of range"):
        json_rows(FacePrediction("a.jpg", valence=float("nan")))


def test_csv_holds_a_face() -> None:
    """Flat columns, a probability a class, landmarks as x;y;x;y."""
    (row,) = csv_rows(FACE)
    assert (row["source"], row["face"], row["status"]) == ("in/ä, b.jpg", "0", "ok")
    assert [row[f"box_{side}"] for side in ("x0", "y0", "x1", "y1")] == ["1.23", "2.0", "3.0", "4.0"]
    assert (row["p_Neutral"], row["p_Happy"]) == ("0.25", "0.75")
    points = np.array(row["landmarks"].split(";"), dtype=np.float64).reshape(68, 2)
    np.testing.assert_allclose(points, FACE.landmarks, atol=0.005)


def test_csv_has_empty_cells_where_there_is_nothing() -> None:
    """The line breaks and quotes of a detail survive."""
    empty, bad = csv_rows(NO_FACE, UNREADABLE)
    assert set(empty.values()) == {"empty.jpg", "no_face", ""}
    assert bad["detail"] == UNREADABLE.detail


def test_the_table_is_aligned() -> None:
    """The expression begins in one column, whatever the names' lengths and widths."""
    wide = FacePrediction(
        "中文照片.jpg", face=0, expression="Happy", confidence=0.5, valence=0.1, arousal=0.2
    )
    heading, first, second = table_lines(FACE, wide)
    assert heading.index("expression") == first.index("Happy")
    # five characters that take two columns each: the line is shorter by them
    assert second.index("Happy") == first.index("Happy") - 4
    assert first.split() == ["in/ä,", "b.jpg", "0", "Happy", "75%", "+0.50", "-0.25"]


def test_the_table_says_what_went_wrong_in_one_line() -> None:
    """A line break in a detail does not break the table."""
    lines = table_lines(NO_FACE, UNREADABLE)
    assert len(lines) == 3
    assert lines[1].endswith("no face found")
    assert "not_an_image: begins with" in lines[2]


def test_the_table_keeps_the_end_of_a_long_name() -> None:
    """A deep path is cut at its beginning."""
    deep = FacePrediction("folder/" * 30 + "photo.jpg", status="no_face")
    line = table_lines(deep)[1]
    assert line.startswith("…")
    assert "folder/photo.jpg" in line
    assert len(line) < 90


def test_a_name_that_is_no_text_is_written() -> None:
    """A file name of foreign bytes does not stop the table."""
    table_lines(FacePrediction("photo\udcff.jpg", status="no_face"))[1].encode("utf-8")
