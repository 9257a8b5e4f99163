"""The file of rows: its formats, its partial, its name, and what a stopped run left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mien.errors import ArtifactError
from mien.predict.outputs import SUFFIXES, claim_rows, open_rows
from mien.reading.readings import FaceReading

ROW = FaceReading("a.png", status="no_face")
# Writes rows for ever.
ENDLESS = """
import sys
from pathlib import Path
from mien.predict.outputs import claim_rows, open_rows
from mien.reading.readings import FaceReading
out = Path(sys.argv[1])
with claim_rows(out, force=False), open_rows(out, ("Happy",), force=False, announce=print) as writer:
    print("ready", flush=True)
    for number in range(10**9):
        writer.write(FaceReading("x" * (number % 5000), status="no_face", detail=str(number)))
"""


def write(out: Path, *, n_rows: int = 1, force: bool = False, stop: bool = False) -> list[str]:
    """Write rows and return what was announced."""
    told: list[str] = []
    with (
        claim_rows(out, force=force),
        open_rows(out, ("Happy",), force=force, announce=told.append) as writer,
    ):
        for _ in range(n_rows):
            writer.write(ROW)
        if stop:
            raise KeyboardInterrupt
    return told


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_partial_file_itself_gets_the_name(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is renamed, not copied: a copy can be seen half-written. And it is synced before."""
    out = tmp_path / f"rows{suffix}"
    synced: list[tuple[int, bool]] = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, out.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    with claim_rows(out, force=False), open_rows(out, ("Happy",), force=False, announce=print) as writer:
        writer.write(ROW)
        number = (tmp_path / f"rows{suffix}.partial").stat().st_ino
    assert out.stat().st_ino == number
    assert synced[0] == (number, False)
    assert synced[-1] == (tmp_path.stat().st_ino, True)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_of_a_stopped_run_are_replaced_only_with_force(tmp_path: Path, suffix: str) -> None:
    """They may be hours of work."""
    out, partial = tmp_path / f"rows{suffix}", tmp_path / f"rows{suffix}.partial"
    with pytest.raises(KeyboardInterrupt):
        write(out, stop=True)
    before = partial.read_bytes()
    with pytest.raises(ArtifactError, match="Give it another name to keep them, or add --force"):
        write(out)
    assert partial.read_bytes() == before
    assert write(out, force=True) == [
        f"{partial} is of a run that was stopped; this run begins anew and replaces it"
    ]
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_that_stops_before_its_first_row_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    """Nothing would be lost, and the next run would be refused."""
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / f"rows{suffix}", n_rows=0, stop=True)
    assert list(tmp_path.iterdir()) == []


def test_partial_follows_no_link(tmp_path: Path) -> None:
    """What a link of that name leads to is not written; with --force the link goes."""
    out, dear = tmp_path / "rows.csv", tmp_path / "dear"
    dear.write_text("to me")
    (tmp_path / "rows.csv.partial").symlink_to(dear)
    with pytest.raises(ArtifactError):
        write(out)
    write(out, force=True)
    assert dear.read_text() == "to me"
    assert not out.is_symlink()


@pytest.mark.parametrize(("suffix", "n_head"), [(".jsonl", 0), (".csv", 1)])
def test_a_row_is_on_the_disk_once_it_is_written(tmp_path: Path, suffix: str, n_head: int) -> None:
    """So a kill loses none that was read."""
    out = tmp_path / f"rows{suffix}"
    with claim_rows(out, force=False), open_rows(out, ("Happy",), force=False, announce=print) as writer:
        for n_rows in range(1, 4):
            writer.write(ROW)
            text = (tmp_path / f"rows{suffix}.partial").read_text()
            assert text.endswith("\n")
            assert text.count("\n") == n_head + n_rows


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_killed_run_leaves_whole_lines(tmp_path: Path, suffix: str) -> None:
    """Up to the last row that was written, and nothing under the final name."""
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


def test_a_killed_parquet_file_is_told_and_replaced(tmp_path: Path) -> None:
    """Without its end nobody can read it: there is nothing to keep."""
    out, partial = tmp_path / "rows.parquet", tmp_path / "rows.parquet.partial"
    partial.write_bytes(b"PAR1" + bytes(1000))
    assert len(write(out)) == 1
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["rows.json", "rows", "rows.jsonl.gz", "rows.tsv"])
def test_an_ending_of_no_format_is_refused(tmp_path: Path, name: str) -> None:
    """By both doors, with the formats that there are; nothing is written in a format that nobody asked for."""
    with (
        pytest.raises(ArtifactError, match=r"must end in \.jsonl or \.csv or \.parquet"),
        claim_rows(tmp_path / name, force=False),
    ):
        pass
    with (
        pytest.raises(ArtifactError, match=r"must end in \.jsonl or \.csv or \.parquet"),
        open_rows(tmp_path / name, ("Happy",), force=False, announce=print) as writer,
    ):
        writer.write(ROW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_written_under_its_ending(tmp_path: Path, suffix: str) -> None:
    """In capitals as well."""
    out = tmp_path / f"rows{suffix.upper()}"
    with claim_rows(out, force=False), open_rows(out, ("Happy",), force=False, announce=print) as writer:
        writer.write(ROW)
    begins = {".jsonl": b'{"source"', ".csv": b"source,", ".parquet": b"PAR1"}[suffix]
    assert out.read_bytes().startswith(begins)
    if suffix == ".jsonl":
        assert json.loads(out.read_text())["status"] == "no_face"
