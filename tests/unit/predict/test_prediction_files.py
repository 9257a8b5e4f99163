"""Prediction files: formats, partial files, and what an interrupted run leaves."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.errors import ArtifactError
from mien.inference.results import FacePrediction
from mien.predict.options import PREDICTION_FORMATS
from mien.predict.prediction_files import (
    CsvWriter,
    JsonLinesWriter,
    claim_prediction_file,
    open_prediction_file,
)

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
EMPTY = FacePrediction("empty.jpg", status="no_face")
UNREADABLE = FacePrediction("bad.jpg", status="not_an_image", detail='begins with b"<html>\n"')
ROW = FacePrediction("a.png", status="no_face")
# Writes rows forever.
ENDLESS = """
import sys
from pathlib import Path
from mien.predict.prediction_files import claim_prediction_file, open_prediction_file
from mien.inference.results import FacePrediction
out = Path(sys.argv[1])
with claim_prediction_file(out, force=False), open_prediction_file(out, ("Happy",), force=False) as writer:
    print("ready", flush=True)
    for number in range(10**9):
        writer.write(FacePrediction("x" * (number % 5000), status="no_face", detail=str(number)))
"""


def write(out: Path, *, n_rows: int = 1, force: bool = False, stop: bool = False) -> None:
    """Write rows."""
    with (
        claim_prediction_file(out, force=force),
        open_prediction_file(out, ("Happy",), force=force) as writer,
    ):
        for _ in range(n_rows):
            writer.write(ROW)
        if stop:
            raise KeyboardInterrupt


@pytest.mark.parametrize("suffix", PREDICTION_FORMATS)
def test_the_partial_file_is_renamed(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not copied, since a copy could be seen incomplete; and it is synced before."""
    out = tmp_path / f"rows{suffix}"
    synced: list[tuple[int, bool]] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, out.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with (
        claim_prediction_file(out, force=False),
        open_prediction_file(out, ("Happy",), force=False) as writer,
    ):
        writer.write(ROW)
        inode = (tmp_path / f"rows{suffix}.partial").stat().st_ino
    assert out.stat().st_ino == inode
    assert synced[0] == (inode, False)
    assert synced[-1] == (tmp_path.stat().st_ino, True)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("suffix", PREDICTION_FORMATS)
def test_rows_of_an_interrupted_run_are_replaced_only_with_force(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They may be hours of work."""
    out, partial = tmp_path / f"rows{suffix}", tmp_path / f"rows{suffix}.partial"
    with pytest.raises(KeyboardInterrupt):
        write(out, stop=True)
    before = partial.read_bytes()
    with pytest.raises(ArtifactError, match="Rename it to keep them, or add --force"):
        write(out)
    assert partial.read_bytes() == before
    write(out, force=True)
    assert caplog.messages == [f"{partial} is left over from an interrupted run, and is replaced"]
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("suffix", PREDICTION_FORMATS)
def test_a_run_interrupted_before_its_first_row_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    """There is nothing to keep, and a leftover would block the next run."""
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / f"rows{suffix}", n_rows=0, stop=True)
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    """The target of a link with the partial name is not written; with --force the link is removed."""
    out, target = tmp_path / "rows.csv", tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "rows.csv.partial").symlink_to(target)
    with pytest.raises(ArtifactError):
        write(out)
    write(out, force=True)
    assert target.read_text() == "precious"
    assert not out.is_symlink()


@pytest.mark.parametrize(("suffix", "n_header"), [(".jsonl", 0), (".csv", 1)])
def test_a_row_is_in_the_file_once_it_is_written(tmp_path: Path, suffix: str, n_header: int) -> None:
    """So that a killed process loses none."""
    out = tmp_path / f"rows{suffix}"
    with (
        claim_prediction_file(out, force=False),
        open_prediction_file(out, ("Happy",), force=False) as writer,
    ):
        for n_rows in range(1, 4):
            writer.write(ROW)
            text = (tmp_path / f"rows{suffix}.partial").read_text()
            assert text.endswith("\n")
            assert text.count("\n") == n_header + n_rows


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_killed_run_leaves_complete_lines(tmp_path: Path, suffix: str) -> None:
    """Up to the last row written, and nothing under the final name."""
    out, partial = tmp_path / f"rows{suffix}", tmp_path / f"rows{suffix}.partial"
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(out)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while partial.stat().st_size < 100_000:
            pass
        process.send_signal(signal.SIGKILL)
    lines = partial.read_bytes().split(b"\n")
    assert lines.pop() == b""
    starts = [b"source,"] if suffix == ".csv" else []
    assert all(line.endswith((b"}", b",")) for line in lines[len(starts) :])
    assert len(lines) > 20
    assert not out.exists()


def test_a_parquet_file_of_a_killed_run_is_reported_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its footer it cannot be read: there is nothing to keep."""
    out, partial = tmp_path / "rows.parquet", tmp_path / "rows.parquet.partial"
    partial.write_bytes(b"PAR1" + bytes(1000))
    write(out)
    assert len(caplog.messages) == 1
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["rows.json", "rows", "rows.jsonl.gz", "rows.tsv"])
def test_an_unknown_suffix_is_rejected(tmp_path: Path, name: str) -> None:
    """By both functions, naming the formats; nothing is written in another format."""
    with (
        pytest.raises(ArtifactError, match=r"must end in \.jsonl or \.csv or \.parquet"),
        claim_prediction_file(tmp_path / name, force=False),
    ):
        pass
    with (
        pytest.raises(ArtifactError, match=r"must end in \.jsonl or \.csv or \.parquet"),
        open_prediction_file(tmp_path / name, ("Happy",), force=False) as writer,
    ):
        writer.write(ROW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", PREDICTION_FORMATS)
def test_the_suffix_selects_the_format(tmp_path: Path, suffix: str) -> None:
    """In upper case as well."""
    out = tmp_path / f"rows{suffix.upper()}"
    with (
        claim_prediction_file(out, force=False),
        open_prediction_file(out, ("Happy",), force=False) as writer,
    ):
        writer.write(ROW)
    magic = {".jsonl": b'{"source"', ".csv": b"source,", ".parquet": b"PAR1"}[suffix]
    assert out.read_bytes().startswith(magic)
    if suffix == ".jsonl":
        assert json.loads(out.read_text())["status"] == "no_face"


def json_rows(*rows: FacePrediction) -> list[dict[str, Any]]:
    """Write and read back, rejecting what is not strict JSON."""

    def reject(name: str) -> None:
        raise AssertionError(name)

    stream = io.StringIO()
    for row in rows:
        JsonLinesWriter(stream).write(row)
    return [json.loads(line, parse_constant=reject) for line in stream.getvalue().splitlines()]


def csv_rows(*rows: FacePrediction) -> list[dict[str, str]]:
    """Write and read back."""
    stream = io.StringIO()
    writer = CsvWriter(stream, CLASSES)
    for row in rows:
        writer.write(row)
    return list(csv.DictReader(io.StringIO(stream.getvalue())))


def test_json_of_a_face() -> None:
    """Every field is written; pixels to hundredths, other numbers to millionths."""
    (row,) = json_rows(FACE)
    assert row["source"] == "in/ä, b.jpg"
    assert row["box_xyxy"] == [1.23, 2, 3, 4]
    assert row["score"] == 0.987654
    assert list(row["probabilities"].items()) == [("Neutral", 0.25), ("Happy", 0.75)]
    np.testing.assert_allclose(row["landmarks"], FACE.landmarks, atol=0.005)
    assert (row["valence"], row["arousal"]) == (0.5, -0.25)


def test_json_rows_have_the_same_keys() -> None:
    """An image without a face, or an unreadable one, has null where there is no value."""
    face, empty, bad = json_rows(FACE, EMPTY, UNREADABLE)
    assert list(face) == list(empty) == list(bad)
    assert empty["status"] == "no_face"
    assert empty["landmarks"] is empty["face"] is empty["probabilities"] is None
    assert bad["detail"] == UNREADABLE.detail


def test_json_rejects_nan() -> None:
    """It never reaches a file."""
    with pytest.raises(ValueError, match="Out of range"):
        json_rows(FacePrediction("a.jpg", valence=float("nan")))


def test_csv_of_a_face() -> None:
    """Flat columns, a probability per class, landmarks as x;y;x;y."""
    (row,) = csv_rows(FACE)
    assert (row["source"], row["face"], row["status"]) == ("in/ä, b.jpg", "0", "ok")
    assert [row[f"box_{side}"] for side in ("x0", "y0", "x1", "y1")] == ["1.23", "2.0", "3.0", "4.0"]
    assert (row["p_Neutral"], row["p_Happy"]) == ("0.25", "0.75")
    points = np.array(row["landmarks"].split(";"), dtype=np.float64).reshape(68, 2)
    np.testing.assert_allclose(points, FACE.landmarks, atol=0.005)


def test_csv_has_empty_cells_where_there_is_no_value() -> None:
    """Line breaks and quotes in a detail survive."""
    empty, bad = csv_rows(EMPTY, UNREADABLE)
    assert set(empty.values()) == {"empty.jpg", "no_face", ""}
    assert bad["detail"] == UNREADABLE.detail
